"""A run of `annotate` that was interrupted goes on, and its output is that of one that was not."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spacy_bio_crf.bulk import part
from tests.support.annotate_tools import Crash, Fuse, folder  # noqa: F401

# ruff: noqa: F811


def write_input(folder, kind):
    texts = [f"Ana Ruiz {i} in Rio{' !' * (i % 7)}" for i in range(60)]
    if kind == "text":
        return folder.write("a.txt", "\n".join(texts))
    if kind == "folder":
        for i, text in enumerate(texts):
            folder.write(f"in/{i % 4}/{i:02}.txt", text)
        return folder.path / "in"
    # Blank lines, bad records and a folder with an empty file.
    lines = [json.dumps({"text": text, "id": i}) for i, text in enumerate(texts)]
    lines[10:10] = ["", "bad", "", ""]
    lines[40:40] = ["bad", '{"text": "poison"}']
    folder.write("in/1.jsonl", "\n".join(lines[:37]) + "\n")
    folder.write("in/2.jsonl", "")
    folder.write("in/3.jsonl", "\n".join(lines[37:]) + "\n\n")
    return folder.path / "in"


def contents(path):
    """The bytes of a file, or of all files in a folder."""
    if path.is_file():
        return path.read_bytes()
    return {file.name: file.read_bytes() for file in path.iterdir()}


class Rig:
    """Runs that crash at a document, as if the process had been killed."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.patch = folder, monkeypatch

    def crash(self, path, output, *, at, every, **options):
        """Crash; the state on disk is that of some batch before, the rows go on after it."""
        Fuse.seen, Fuse.at = 0, at
        save = part.Part.save
        calls = []

        def sometimes(self):
            calls.append(0)
            if len(calls) % every == 0:
                save(self)
            else:
                self._file.flush()

        def killed(self):
            if not self._file.closed:
                self._file.write(b"torn")
                self._file.close()
            self._lock.close()

        with self.patch.context() as patch:
            patch.setattr(part, "INTERVAL", 0)
            patch.setattr(part.Part, "save", sometimes)
            patch.setattr(part.Part, "close", killed)
            try:
                self.folder.annotate(path, output, **options)
            except Crash:
                return True
            finally:
                Fuse.at = 0
        return False


@pytest.fixture
def rig(folder, monkeypatch):
    return Rig(folder, monkeypatch)


@pytest.mark.parametrize(
    ("kind", "output", "options"),
    [
        ("text", ".jsonl", {}),
        ("folder", ".jsonl", {}),
        ("jsonl", ".jsonl", {}),
        ("jsonl", ".spacy", {}),
        ("jsonl", ".spacy", {"docs_per_file": 11}),
        ("jsonl", ".parquet", {}),
    ],
)
def test_crashes_anywhere_leave_no_trace(folder, rig, kind, output, options):
    if output == ".parquet":
        pytest.importorskip("pyarrow")
    path = write_input(folder, kind)
    options = {"batch_size": 7, "skip_bad": True, **options}
    expected = contents(folder.annotate(path, f"whole{output}", **options))
    generator = random.Random(0)
    for number in range(8):
        name = f"out{number}{output}"
        crashes = 0
        # Crash again and again, until nothing is left to do.
        every = generator.choice([1, 2, 3])
        while rig.crash(path, name, at=generator.randint(5, 60), every=every, **options):
            assert not (folder.path / name).exists()
            crashes += 1
            if crashes == 6:
                folder.annotate(path, name, **options)
                break
        assert crashes
        assert contents(folder.path / name) == expected
        assert not (folder.path / f"{name}.part").exists()


def test_finished_documents_are_not_annotated_again(folder, rig):
    path = write_input(folder, "text")
    assert rig.crash(path, "out.jsonl", at=50, every=1, batch_size=7)
    state = json.loads((folder.path / "out.jsonl.part" / "state.json").read_text())
    assert state["counts"]["documents"] == 49
    rows = (folder.path / "out.jsonl.part" / "rows").read_bytes()
    assert len(rows) == state["size"] + len(b"torn")
    Fuse.seen = 0
    seen = []
    assert len(folder.rows(path, batch_size=7, report=seen.append)) == 60
    assert Fuse.seen == 11
    assert [p.counts.documents for p in seen] == [49, 56, 60]
    assert seen[-1].done == seen[-1].total == path.stat().st_size


def test_going_on_with_another_size_of_batches(folder, rig):
    path = write_input(folder, "text")
    expected = contents(folder.annotate(path, "whole.jsonl"))
    assert rig.crash(path, "out.jsonl", at=30, every=1, batch_size=7)
    assert contents(folder.annotate(path, "out.jsonl", batch_size=5)) == expected


def test_an_error_keeps_what_is_done(folder):
    path = folder.write("a.txt", "Rio\n" * 10 + "poison\n" + "Rio\n" * 10)
    assert "line 11: the pipeline failed" in folder.error(path, batch_size=2)
    state = json.loads((folder.path / "out.jsonl.part" / "state.json").read_text())
    assert state["counts"]["documents"] == 10
    Fuse.seen = 0
    assert len(folder.rows(path, batch_size=2, skip_bad=True)) == 20
    # The batch with the bad one is tried as a whole, as far as that one, then one by one.
    assert Fuse.seen == 1 + 2 + 9


def test_a_bad_record_may_be_mended(folder):
    path = folder.write("a.jsonl", '{"text": "Rio"}\n' * 5 + "{\n" + '{"text": "Rio"}\n')
    assert "line 6" in folder.error(path, batch_size=2)
    folder.write("a.jsonl", '{"text": "Rio"}\n' * 5 + '{"text": "mended"}\n{"text": "more"}\n')
    Fuse.seen = 0
    rows = folder.rows(path, batch_size=2)
    assert [row["text"] for row in rows] == ["Rio"] * 5 + ["mended", "more"]
    assert Fuse.seen == 3


@pytest.mark.parametrize("kind", ["text", "folder"])
def test_other_input_is_refused(folder, rig, kind):
    path = write_input(folder, kind)
    assert rig.crash(path, "out.jsonl", at=30, every=1, batch_size=7)
    first = path if path.is_file() else path / "0" / "00.txt"
    content = first.read_bytes()
    first.write_bytes(content.replace(b"Ana", b"Eva", 1))
    message = "expected the input that the interrupted run has annotated in part, found other"
    assert message in folder.error(path, batch_size=7)
    first.write_bytes(content)
    if path.is_dir():
        first.rename(path / "0" / "000.txt")
        assert message in folder.error(path, batch_size=7)
    else:
        path.write_bytes(content[:50])
        assert message in folder.error(path, batch_size=7)
    assert folder.rows(path, restart=True)[0]["text"].startswith("Ana Ruiz 0")


def test_other_settings_are_refused(folder, rig, tmp_path):
    path = write_input(folder, "text")
    assert rig.crash(path, "out.jsonl", at=30, every=1, batch_size=7)
    error = folder.error(path, entities_key="ents")
    assert error == (
        "out.jsonl.part: the interrupted run had another entities key: 'entities', now 'ents'; "
        "--restart begins anew"
    )
    folder.nlp.get_pipe("entity_ruler").add_patterns([{"label": "X", "pattern": "in"}])
    assert "the interrupted run had another pipeline: " in folder.error(path)
    assert len(folder.rows(path, restart=True)[0]["entities"]) == 3


def test_a_pipeline_from_disk_is_known_by_its_files(folder, tmp_path):
    from spacy import load

    from spacy_bio_crf.bulk.fingerprint import pipeline_digest

    for name in "model", "copy":
        folder.nlp.to_disk(tmp_path / name)
    digests = [pipeline_digest(load(tmp_path / name)) for name in ("model", "copy")]
    assert digests[0] == digests[1]
    (tmp_path / "copy" / "__pycache__").mkdir()
    (tmp_path / "copy" / "__pycache__" / "x").write_text("x")
    assert pipeline_digest(load(tmp_path / "copy")) == digests[0]
    code = folder.write("code.py", "x = 1")
    assert pipeline_digest(load(tmp_path / "copy"), [code]) != digests[0]
    nlp = load(tmp_path / "copy")
    with (tmp_path / "copy" / "vocab" / "strings.json").open("a") as file:
        file.write("\n")
    assert pipeline_digest(nlp) != digests[0]


def test_what_is_not_whole_is_refused(folder, rig):
    path = write_input(folder, "text")
    assert rig.crash(path, "out.jsonl", at=30, every=1, batch_size=7)
    rows = folder.path / "out.jsonl.part" / "rows"
    size = json.loads((rows.parent / "state.json").read_text())["size"]
    rows.write_bytes(rows.read_bytes()[: size - 1])
    assert f"rows: expected the {size} bytes that the interrupted run has written, found " in (
        folder.error(path)
    )
    (rows.parent / "state.json").write_text("{}")
    assert "state.json: expected the state of an interrupted run: KeyError" in folder.error(path)
    assert len(folder.rows(path, restart=True)) == 60


def test_two_runs_do_not_write_the_same_output(folder, run_python):
    path = folder.write("a.txt", "Rio\nRio\n")
    script = """
import sys
from pathlib import Path
from spacy_bio_crf.bulk import AnnotateError
from spacy_bio_crf.bulk.part import Part
try:
    Part(Path(sys.argv[1]), {})
except AnnotateError as err:
    print(err)
"""
    said = []

    def report(progress):
        if not said:
            said.append(run_python(script, folder.path / "out.jsonl"))

    folder.annotate(path, report=report)
    assert "out.jsonl.part: another run is writing there" in said[0]


# -- a real end -----------------------------------------------------------------------------------

KILLED = """
import sys, time
from pathlib import Path
import spacy
from spacy.language import Language
import spacy_bio_crf.bulk.part as part
from spacy_bio_crf.bulk import annotate

@Language.component("slow")
def slow(doc):
    time.sleep(0.003)
    return doc

if __name__ == "__main__":
    model, path, output, n_process = sys.argv[1:]
    part.INTERVAL = 0.02
    nlp = spacy.load(model)
    nlp.add_pipe("slow")
    annotate(nlp, Path(path), Path(output), batch_size=5, n_process=int(n_process))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
@pytest.mark.parametrize(("n_process", "suffix"), [(1, ".jsonl"), (2, ".jsonl"), (1, ".parquet")])
def test_kill_9_at_random_points(folder, n_process, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    folder.nlp.remove_pipe("fragile")
    folder.nlp.to_disk(folder.path / "model")
    path = folder.write("a.jsonl", [{"text": f"Ana Ruiz {i} in Rio", "i": i} for i in range(600)])
    expected = contents(folder.annotate(path, f"whole{suffix}", batch_size=5))
    output = folder.path / f"out{suffix}"
    generator = random.Random(suffix + str(n_process))
    done = [0]
    arguments = [folder.path / "model", path, output, n_process]
    for kills in range(4):
        target = generator.randint(1, 190) if kills < 3 else 1000
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, *map(str, arguments)], stderr=subprocess.PIPE
        )
        workers = []
        while process.poll() is None:
            state = folder.path / f"out{suffix}.part" / "state.json"
            documents = json.loads(state.read_text())["counts"]["documents"] if exists(state) else 0
            if documents >= done[-1] + target:
                time.sleep(generator.random() * 0.03)
                workers = children(process.pid)
                process.send_signal(signal.SIGKILL)
                done.append(documents)
                break
            time.sleep(0.005)
        _, errors = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), errors.decode()
        wait_for_end(workers)
        if process.returncode == 0:
            break
        assert n_process == 1 or not sys.platform.startswith("linux") or len(workers) == n_process
    assert len(done) == 4 and done == sorted(set(done))
    assert contents(output) == expected
    assert not (folder.path / f"out{suffix}.part").exists()


def exists(state):
    # It is renamed and removed while we look.
    try:
        return bool(state.read_text())
    except FileNotFoundError:
        return False


def children(pid):
    """The processes a process has begun, where that can be found out."""
    listing = Path(f"/proc/{pid}/task/{pid}/children")
    return list(map(int, listing.read_text().split())) if listing.exists() else []


def wait_for_end(pids):
    """Processes of one that was killed end by themselves."""
    deadline = time.monotonic() + 20
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < deadline, f"{pids} go on"
        time.sleep(0.05)


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/status")
    try:
        return "State:\tZ" not in status.read_text()
    except FileNotFoundError:
        return False
