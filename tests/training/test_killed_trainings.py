"""Trainings that are killed, also while they write, and end as an undisturbed one."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import spacy

from tests.support.paths import PROJECT_PATH
from tests.support.processes import exit_code, fork, fuse
from tests.support.trainings import assert_same, bio_ner, run_command, write_training

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and kill -9"),
    pytest.mark.filterwarnings("ignore:The pre-trained transformer"),
]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, tiny_encoder: Path) -> tuple[Path, float]:
    """The folder of a training, and how long it took in a process of its own."""
    folder = tmp_path_factory.mktemp("undisturbed")
    config = write_training(
        folder,
        {"bio_ner": bio_ner(tiny_encoder)},
        checkpoint={"steps": 3, "minutes": None},
        training={"logger": {"@loggers": "spacy.ConsoleLogger.v3", "output_file": "log.jsonl"}},
    )
    began = time.perf_counter()
    assert exit_code(start(config, folder / "output")) == 0
    return folder, time.perf_counter() - began


def start(config: Path, output: Path, *, step: int | None = None, place: str = "") -> int:
    """Train in a process of its own, with the log in the output's folder.

    step, place: The process is killed at this step, counted from 1, that touches what is called
        so in the output's folder.
    RETURNS (int): The process.
    """

    def work() -> None:
        output.mkdir(exist_ok=True)
        os.chdir(output)
        # What it prints is of no interest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if step is not None:
            sys.addaudithook(fuse(step, output / place))
        run_command(config, output, "--resume")

    return fork(work)


def check(folder: Path, output: Path) -> None:
    expected = folder / "output"
    assert_same(expected, output)
    assert (expected / "log.jsonl").read_text() == (output / "log.jsonl").read_text()
    names = {path.name for path in output.iterdir()}
    assert names == {"checkpoints", "log.jsonl", "model-best", "model-last"}
    kept = sorted(path.name for path in (output / "checkpoints").iterdir())
    assert kept == ["step-00000023", "step-00000024"]


def test_three_kills_while_writing(undisturbed, tmp_path: Path):
    folder, _ = undisturbed
    output = tmp_path / "output"
    # Within the first checkpoint, the exchange of the best model, and a later checkpoint.
    for place, step in (("checkpoints", 9), (".model-best", 12), ("checkpoints", 40)):
        pid = start(folder / "config.cfg", output, place=place, step=step)
        assert exit_code(pid) == -signal.SIGKILL
    assert exit_code(start(folder / "config.cfg", output)) == 0
    check(folder, output)


@pytest.mark.long
def test_thirty_kills_at_random_moments(undisturbed, tmp_path: Path):
    folder, duration = undisturbed
    moments, kills, trainings = random.Random(0), 0, 0
    while kills < 30:
        trainings += 1
        output = tmp_path / str(trainings)
        code = None
        while code != 0:
            pid = start(folder / "config.cfg", output)
            time.sleep(moments.uniform(0, 1.3 * duration))
            os.kill(pid, signal.SIGKILL)
            code = exit_code(pid)
            kills += code == -signal.SIGKILL
            assert code in (0, -signal.SIGKILL)
        check(folder, output)
    print(f"{kills} kills in {trainings} trainings")


KILLER = """
import os
import signal

import spacy


@spacy.registry.callbacks("test.kill_process.v1")
def make_killer():
    rank, start = os.environ["RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"]

    def kill(nlp, info):
        if f"{start}:{rank}:{info['step']}" in os.environ["TEST_KILLS"].split():
            os.kill(os.getpid(), signal.SIGKILL)

    return kill
"""


def run_torchrun(folder: Path, output: str, kills: list[str]) -> str:
    """Train in two processes, which torchrun starts again.

    kills: Number of the start, process and step of each kill, as "0:1:9".
    RETURNS (str): What is printed.
    """
    program = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [
            *(*program, f"--max-restarts={len(kills) + 1}", "-m", "spacy_bio_crf"),
            *("train", "config.cfg", "--output", output, "--code", "kill_process.py"),
        ],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": PROJECT_PATH,
            "OMP_NUM_THREADS": "1",
            "TEST_KILLS": " ".join(kills),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # Each kill has happened.
    assert done.stderr.count("failed (exitcode: -9)") == len(kills), done.stderr
    assert done.stdout.count("Going on after step") == len(kills)
    return " ".join(done.stdout.split())


@pytest.fixture(scope="module")
def together(tmp_path_factory, tiny_encoder: Path) -> Path:
    """The folder of a training in two processes, which nobody has killed."""
    folder = tmp_path_factory.mktemp("together")
    (folder / "kill_process.py").write_text(KILLER)
    spacy.registry.callbacks("test.kill_process.v1", func=lambda: lambda nlp, info: None)
    write_training(
        folder,
        {"bio_ner": bio_ner(tiny_encoder)},
        checkpoint={"steps": 3, "minutes": None},
        training={"before_update": {"@callbacks": "test.kill_process.v1"}},
    )
    told = run_torchrun(folder, "whole", [])
    # One process tells, and nothing twice.
    assert told.count("Pipeline: ['bio_ner']") == told.count("Saved pipeline to") == 1
    assert told.count("LOSS BIO_NER") == 1
    return folder


@pytest.mark.slow
def test_torchrun_starts_killed_processes_again(together: Path):
    told = run_torchrun(together, "killed", ["0:1:17"])
    assert "Going on after step 14," in told
    assert_same(together / "whole", together / "killed")
    names = sorted(path.name for path in (together / "killed" / "checkpoints").iterdir())
    assert names == ["step-00000023", "step-00000024"]


@pytest.mark.long
def test_many_kills_of_processes(together: Path):
    moments = random.Random(1)
    for number in range(3):
        steps = sorted(moments.sample(range(3, 24), 5))
        kills = [f"{i}:{moments.randrange(2)}:{step}" for i, step in enumerate(steps)]
        run_torchrun(together, f"killed-{number}", kills)
        assert_same(together / "whole", together / f"killed-{number}")
