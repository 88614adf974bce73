"""Runs that are killed lose nothing and write nothing twice: at each step that touches the output,
and at random moments."""

import contextlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
from spacy.language import Language
from spacy.tokens import Doc

from spacy_bio_crf.bulk import annotate
from tests.support.annotate_tools import Folder, folder, load_docs  # noqa: F401
from tests.support.processes import exit_code, fork

# ruff: noqa: F811

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and kill -9")
STEPS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.scandir", "os.listdir")
OPTIONS = {"docs_per_file": 4}


class Fuse:
    """Kills a process at a step, counted from 1, that touches what belongs to an output.

    number (int): The step.
    output (Path): The output.
    in_worker (bool): Count and kill in the first worker that comes so far, not in the process
        that installs the fuse.
    """

    def __init__(self, number: int, output: Path, *, in_worker: bool = False) -> None:
        self.number, self.output, self.in_worker = number, output, in_worker
        self.main, self.count = os.getpid(), 0

    def __call__(self, event: str, arguments: tuple) -> None:
        if event not in STEPS or not str(arguments[0]).startswith(str(self.output)):
            return
        if (os.getpid() == self.main) == self.in_worker:
            return
        self.count += 1
        if self.count == self.number:
            if self.in_worker:
                with contextlib.suppress(FileExistsError):
                    os.close(os.open(self.output.parent / "blown", os.O_CREAT | os.O_EXCL))
                    os.kill(os.getpid(), signal.SIGKILL)
            else:
                os.kill(os.getpid(), signal.SIGKILL)


def start(folder: Folder, path: Path, output: Path, fuse: Fuse | None = None, **options) -> int:
    """Annotate in a process of its own, the first of a group."""

    def work() -> None:
        os.setpgid(0, 0)
        if fuse is not None:
            fuse.main = os.getpid()
            sys.addaudithook(fuse)
        annotate(folder.nlp, path, output, **options)

    return fork(work)


def rows_of(output: Path) -> list:
    """The rows of a file or of a folder of parts, whatever their format."""
    files = [output] if output.is_file() else sorted(output.glob("part-*"))
    if output.suffix == ".spacy":
        docs = [doc for file in files for doc in load_docs(file)]
        return [(doc.text, doc.to_json()["ents"], doc.user_data["record"]) for doc in docs]
    if output.suffix == ".parquet":
        from pyarrow.parquet import read_table

        return [row for file in files for row in read_table(file).to_pylist()]
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def write_input(folder: Folder) -> Path:
    texts = [f"Ana Ruiz {i} in Rio" for i in range(13)]
    lines = [json.dumps({"text": text, "id": i}) for i, text in enumerate(texts)]
    lines[5:5] = ["", "bad"]
    return folder.write("in/1.jsonl", "\n".join(lines)).parent


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("out.jsonl", {"one_file": True}),
        ("out", {}),
        pytest.param("out.jsonl", {"one_file": True, "n_process": 2}, marks=pytest.mark.slow),
        pytest.param("out.parquet", {"one_file": True}, marks=pytest.mark.slow),
    ],
)
def test_a_kill_at_any_step_leaves_no_trace(folder, name, options):
    if name == "out.parquet":
        pytest.importorskip("pyarrow")
    path = write_input(folder)
    options = {**OPTIONS, **options, "skip_bad": True}
    expected = rows_of(folder.annotate(path, f"whole{Path(name).suffix}", **options))
    assert [row["id"] for row in expected] == [*range(13)]
    code, number = -signal.SIGKILL, 0
    while code:
        number += 1
        output = folder.path / str(number) / name
        output.parent.mkdir()
        code = exit_code(start(folder, path, output, Fuse(number, output), **options))
        assert code in (0, -signal.SIGKILL)
        is_done = output.is_file() and not output.with_name(f"{name}.parts").exists()
        # A run that has ended says that the output exists.
        if not is_done:
            folder.annotate(path, f"{number}/{name}", **options)
        assert rows_of(output) == expected
        # Of the last step of all, a hidden folder may be left.
        rest = {file.name for file in output.parent.iterdir()}
        assert rest - {f".{name}.parts"} == {name}
        if output.is_dir():
            names = {file.name for file in output.iterdir() if not file.name.startswith("part-")}
            assert names == {"_manifest.json", "_lock"}
    # At least: folder, lock, manifest, and of four parts each a file, its sync and its move.
    assert number > 15


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 8])
def test_a_worker_that_is_killed_is_replaced(folder, number):
    path = write_input(folder)
    options = {**OPTIONS, "skip_bad": True}
    expected = rows_of(folder.annotate(path, "whole.jsonl", **options, one_file=True))
    output = folder.path / "1" / "out"
    output.parent.mkdir()
    fuse = Fuse(number, output, in_worker=True)
    assert exit_code(start(folder, path, output, fuse, n_process=2, **options)) == 0
    assert (output.parent / "blown").exists()
    assert rows_of(output) == expected


# -- random moments -------------------------------------------------------------------------------


@Language.component("slow")
def slow(doc: Doc) -> Doc:
    time.sleep(0.002)
    return doc


@pytest.mark.parametrize(
    ("n_process", "name"),
    [
        (1, "out.jsonl"),
        (2, "out.jsonl"),
        (2, "out"),
        pytest.param(1, "out.spacy", marks=pytest.mark.slow),
        pytest.param(2, "out.parquet", marks=pytest.mark.slow),
        pytest.param(3, "out.jsonl", marks=pytest.mark.slow),
    ],
)
def test_kill_9_at_random_moments(folder, n_process, name):
    """Five kills each, of all processes or of the first one alone."""
    if name == "out.parquet":
        pytest.importorskip("pyarrow")
    folder.nlp.add_pipe("slow")
    path = folder.write("a.jsonl", [{"text": f"Ana Ruiz {i} in Rio", "i": i} for i in range(400)])
    expected = rows_of(folder.annotate(path, f"whole{Path(name).suffix}"))
    assert len(expected) == 400
    options = {"docs_per_file": 5, "one_file": "." in name, "n_process": n_process}
    output = folder.path / name
    parts = folder.path / (f"{name}.parts" if options["one_file"] else name)
    generator = random.Random(name + str(n_process))
    for _ in range(5):
        pid = start(folder, path, output, **options)
        target = len(list(parts.glob("part-*"))) + generator.randint(1, 12)
        deadline = time.monotonic() + 60
        while len(list(parts.glob("part-*"))) < target:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(generator.random() * 0.01)
        kill = generator.choice([os.kill, os.killpg])
        kill(pid, signal.SIGKILL)
        assert exit_code(pid) == -signal.SIGKILL
        wait_for_end(pid)
        assert len(folder.finished(name)) < 80
    assert exit_code(start(folder, path, output, **options)) == 0
    assert rows_of(output) == expected
    assert options["one_file"] != parts.exists()


def wait_for_end(group: int) -> None:
    """Processes of one that was killed end by themselves."""
    deadline = time.monotonic() + 30
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.01)
        pytest.fail("processes go on without the one that began them")
