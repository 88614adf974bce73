"""Trainings that are killed, also while they write, and end as an undisturbed one."""

import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest

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
