"""A run that has ended early goes on: its rows are those of an undisturbed run, and what must not
change is checked."""

import errno
import multiprocessing
import os
import stat
from concurrent.futures import ProcessPoolExecutor

import pytest
import spacy
from spacy import load

from spacy_bio_crf.bulk import AnnotateError, Counts, annotate
from spacy_bio_crf.bulk.fingerprint import pipeline_digest
from tests.support.annotate_tools import Crash, Fuse, folder  # noqa: F401

# ruff: noqa: F811

OPTIONS = {"docs_per_file": 7, "one_file": True}


def write_input(folder, kind):
    texts = [f"Ana Ruiz {i} in Rio{' !' * (i % 7)}" for i in range(60)]
    if kind == "text":
        return folder.write("a.txt", "\n".join(texts))
    for i, text in enumerate(texts):
        folder.write(f"in/{i % 4}/{i:02}.txt", text)
    return folder.path / "in"


def crash(folder, path, output="out.jsonl", *, at=30, **options):
    """End at a document, as no handler expects it."""
    Fuse.seen, Fuse.at = 0, at
    try:
        with pytest.raises(Crash):
            folder.annotate(path, output, **{**OPTIONS, **options})
    finally:
        Fuse.seen = Fuse.at = 0


@pytest.mark.parametrize("kind", ["text", "folder"])
def test_finished_parts_are_not_annotated_again(folder, kind):
    path = write_input(folder, kind)
    expected = folder.rows(path, "whole.jsonl")
    crash(folder, path, at=50)
    assert folder.finished() == [*range(7)]
    assert not list((folder.path / "out.jsonl.parts").glob(".*"))
    seen = []
    assert folder.rows(path, report=seen.append, **OPTIONS) == expected
    assert Fuse.seen == 60 - 49
    assert [p.counts.documents for p in seen] == [49, 56, 60]
    assert seen[-1].done == seen[-1].total


def test_a_finished_folder_has_nothing_to_do(folder):
    path = write_input(folder, "text")
    target = folder.annotate(path, "out")
    before = {file.name: file.stat().st_mtime_ns for file in target.iterdir()}
    Fuse.seen = 0
    folder.annotate(path, "out")
    assert Fuse.seen == 0
    after = {file.name: file.stat().st_mtime_ns for file in target.iterdir()}
    assert {k: v for k, v in after.items() if k != "_lock"} == {
        k: v for k, v in before.items() if k != "_lock"
    }


def test_going_on_with_another_size_of_batches(folder):
    path = write_input(folder, "text")
    expected = folder.rows(path, "whole.jsonl")
    crash(folder, path, batch_size=7)
    assert folder.rows(path, batch_size=5, **OPTIONS) == expected


def test_an_error_keeps_what_is_done(folder):
    path = folder.write("a.txt", "Rio\n" * 10 + "poison\n" + "Rio\n" * 10)
    options = {"docs_per_file": 2, "one_file": True}
    assert "line 11: the pipeline failed" in folder.error(path, **options)
    assert folder.finished() == [*range(5)]
    Fuse.seen = 0
    assert len(folder.rows(path, skip_bad=True, **options)) == 20
    # The part with the bad one is tried as a whole, as far as that one, then one by one.
    assert Fuse.seen == 1 + 2 + 9


def test_a_bad_record_may_be_mended(folder):
    line = '{"text": "Rio"}\n'
    path = folder.write("a.jsonl", line * 5 + "{\n" + line * 5)
    options = {"docs_per_file": 2, "one_file": True}
    assert "line 6" in folder.error(path, n_process=2, **options)
    assert folder.finished()[:2] == [0, 1] and 2 not in folder.finished()
    # Parts behind it may have been done by other processes: only their place in the file changes.
    folder.write("a.jsonl", line * 5 + '{"text": "mended"}\n' + line * 5)
    rows = folder.rows(path, **options)
    assert [row["text"] for row in rows] == ["Rio"] * 5 + ["mended"] + ["Rio"] * 5


def test_more_input_may_come(folder):
    folder.write("in/1.txt", "Rio")
    folder.write("in/2.txt", "Rio")
    path = folder.path / "in"
    folder.annotate(path, "out", docs_per_file=2)
    folder.write("in/3.txt", "Ana Ruiz")
    Fuse.seen = 0
    folder.annotate(path, "out", docs_per_file=2)
    assert Fuse.seen == 1 and folder.finished("out") == [0, 1]


# -- what has changed -----------------------------------------------------------------------------

CHANGED = "expected the content of an earlier run, got another; `restart` begins anew"


@pytest.mark.parametrize("kind", ["text", "folder"])
def test_other_input_is_refused(folder, kind):
    path = write_input(folder, kind)
    crash(folder, path)
    first = path if path.is_file() else path / "0" / "00.txt"
    name = first.name if path.is_file() else "0/00.txt"
    content = first.read_bytes()
    first.write_bytes(content.replace(b"Ana", b"Eva", 1))
    error = folder.error(path, **OPTIONS)
    assert error == f"{name}, records 1 to 7: {CHANGED}"
    first.write_bytes(content)
    if path.is_dir():
        first.rename(path / "0" / "000.txt")
        assert folder.error(path, **OPTIONS) == f"0/00.txt, records 1 to 7: {CHANGED}"
    else:
        path.write_bytes(content[:50])
        assert folder.error(path, **OPTIONS) == f"a.txt, records 1 to 7: {CHANGED}"
    assert folder.rows(path, restart=True, **OPTIONS)[0]["text"].startswith("Ana Ruiz")


def test_a_touched_file_is_the_same(folder):
    path = write_input(folder, "text")
    crash(folder, path)
    os.utime(path, (0, 0))
    assert len(folder.rows(path, **OPTIONS)) == 60


def test_a_shard_takes_no_other_input(folder):
    path = folder.write("a.txt", "Rio\n" * 8)
    folder.annotate(path, "out", docs_per_file=2, shard=(1, 2))
    for content in ("Rio\n" * 7 + "Ana\n", "Rio\n" * 9):
        folder.write("a.txt", content)
        with pytest.raises(AnnotateError, match="records . to .: expected the content"):
            folder.annotate(path, "out", docs_per_file=2, shard=(2, 2))
    assert folder.finished("out") == [0, 2]


def test_input_that_changes_during_a_run(folder):
    path = write_input(folder, "text")
    content = path.read_bytes()

    def report(progress):
        path.write_bytes(content.replace(b"Ruiz 40", b"Ruis 40"))

    error = folder.error(path, report=report, **OPTIONS)
    assert error == "a.txt, records 36 to 42: the content has changed since the run began"
    assert folder.finished() == [*range(5)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"entities_key": "ents"}, "the entities key of an earlier run, 'entities', got 'ents'"),
        ({"text_key": "body"}, "the text key of an earlier run, 'text', got 'body'"),
        ({"format": "jsonl"}, "the format of the input of an earlier run, 'text', got 'jsonl'"),
        ({"docs_per_file": 8}, "the number of documents in a part of an earlier run, 7, got 8"),
    ],
)
def test_other_settings_are_refused(folder, options, message):
    path = write_input(folder, "text")
    crash(folder, path)
    error = folder.error(path, **{**OPTIONS, **options})
    assert error == f"out.jsonl.parts: expected {message}; `restart` begins anew"


def test_another_pipeline_is_refused(folder):
    path = write_input(folder, "text")
    crash(folder, path)
    folder.nlp.get_pipe("entity_ruler").add_patterns([{"label": "X", "pattern": "in"}])
    assert "expected the pipeline of an earlier run, " in folder.error(path, **OPTIONS)
    assert len(folder.rows(path, restart=True, **OPTIONS)[0]["entities"]) == 3


def test_a_pipeline_from_disk_is_known_by_its_files(folder, tmp_path):
    for name in "model", "copy":
        folder.nlp.to_disk(tmp_path / name)
    digests = [pipeline_digest(load(tmp_path / name)) for name in ("model", "copy")]
    assert digests[0] == digests[1]
    (tmp_path / "copy" / "__pycache__").mkdir()
    (tmp_path / "copy" / "__pycache__" / "x").write_text("x")
    assert pipeline_digest(load(tmp_path / "copy")) == digests[0]
    code = folder.write("code.py", "x = 1")
    assert pipeline_digest(load(tmp_path / "copy"), code) != digests[0]
    nlp = load(tmp_path / "copy")
    with (tmp_path / "copy" / "vocab" / "strings.json").open("a") as file:
        file.write("\n")
    assert pipeline_digest(nlp) != digests[0]


def test_a_broken_manifest_is_refused(folder):
    path = write_input(folder, "text")
    crash(folder, path)
    manifest = folder.path / "out.jsonl.parts" / "_manifest.json"
    for content in "{}", "x":
        manifest.write_text(content)
        error = folder.error(path, **OPTIONS)
        assert error.startswith("out.jsonl.parts/_manifest.json: expected the manifest of a run")
    assert len(folder.rows(path, restart=True, **OPTIONS)) == 60
    target = folder.annotate(path, "parts")
    (target / "_manifest.json").write_text("x")
    with pytest.raises(AnnotateError, match="expected the manifest of a run"):
        folder.annotate(path, "parts")
    folder.annotate(path, "parts", restart=True)
    assert folder.finished("parts") == [0]


def test_parts_without_a_plan_are_not_taken_over(folder):
    path = folder.write("a.txt", "Rio\nRio")
    target = folder.annotate(path, "out", docs_per_file=1)
    (target / "_manifest.json").unlink()
    with pytest.raises(AnnotateError, match="got 'part-0000000-1-1-1-0.jsonl'"):
        folder.annotate(folder.write("b.txt", "Ana Ruiz\nno"), "out", docs_per_file=1)


# -- two runs -------------------------------------------------------------------------------------


def said_by_another_run(folder, path, output, **options):
    """The error of a run in another process."""
    nlp = spacy.blank("en")
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        return str(pool.submit(annotate, nlp, path, folder.path / output, **options).exception())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and its locks")
@pytest.mark.parametrize("shard", [None, (1, 1)])
def test_two_runs_do_not_write_the_same_output(folder, shard):
    path = folder.write("a.txt", "Rio\nRio\n")
    said = []

    def report(progress):
        said.append(said_by_another_run(folder, path, "out.jsonl", shard=shard))

    folder.annotate(path, report=report)
    assert len(said) == 2
    assert all("out.jsonl.parts: another run is writing there" in text for text in said)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and its locks")
def test_shards_may_run_at_once_but_nothing_else(folder):
    path = folder.write("a.txt", "Rio\nRio\n")
    said = []

    def report(progress):
        for shard in None, (2, 2):
            said.append(said_by_another_run(folder, path, "out", shard=shard))

    folder.annotate(path, "out", shard=(1, 2), report=report)
    assert "out: another run is writing there" in said[0]
    # It comes so far as to compare pipelines.
    assert "expected the pipeline of an earlier run" in said[1]


def test_a_file_system_without_locks(folder, monkeypatch):
    def refused(*args):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("spacy_bio_crf.bulk.parts_folder.fcntl.lockf", refused)
    assert len(folder.rows(folder.write("a.txt", "Rio"))) == 1


def test_a_file_system_that_can_not_sync_folders(folder, monkeypatch):
    fsync = os.fsync

    def refused(number):
        if stat.S_ISDIR(os.fstat(number).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(number)

    monkeypatch.setattr(os, "fsync", refused)
    assert len(folder.rows(folder.write("a.txt", "Rio"))) == 1


# -- the joined file ------------------------------------------------------------------------------


def join_only(folder, path, monkeypatch):
    """End when the joined file is in its place, and all parts are still there."""

    def end(*args):
        raise Crash

    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr("spacy_bio_crf.bulk.parts_folder.sync", end)
        folder.annotate(path, **OPTIONS)


@pytest.mark.parametrize("removed", [0, 1, 3])
def test_a_run_that_was_killed_while_it_tidied_up(folder, monkeypatch, removed):
    path = write_input(folder, "text")
    join_only(folder, path, monkeypatch)
    parts = sorted((folder.path / "out.jsonl.parts").glob("part-*"))
    assert len(parts) == 9 and (folder.path / "out.jsonl").exists()
    for part in parts[:removed]:
        part.unlink()
    Fuse.seen = 0
    counts = annotate(folder.nlp, path, folder.path / "out.jsonl", **OPTIONS)
    assert counts == Counts(60, 474, 120, 0) and Fuse.seen == 0
    assert [file.name for file in folder.path.iterdir() if file.is_dir()] == []
    with pytest.raises(AnnotateError, match="exists already"):
        folder.annotate(path, **OPTIONS)


def test_a_joined_file_that_somebody_has_taken_away(folder, monkeypatch):
    path = write_input(folder, "text")
    join_only(folder, path, monkeypatch)
    (folder.path / "out.jsonl").unlink()
    assert len(folder.rows(path, **OPTIONS)) == 60


def test_other_input_does_not_get_what_another_run_has_joined(folder, monkeypatch):
    path = write_input(folder, "text")
    join_only(folder, path, monkeypatch)
    (folder.path / "out.jsonl").unlink()
    (folder.path / "out.jsonl.parts" / "_joined").write_text("old")
    path.write_bytes(path.read_bytes().replace(b"Ana", b"Eva", 1))
    assert folder.error(path, **OPTIONS) == f"a.txt, records 1 to 7: {CHANGED}"
    assert folder.rows(path, restart=True, **OPTIONS)[0]["text"].startswith("Eva Ruiz")


def test_other_settings_do_not_finish_what_another_run_has_joined(folder, monkeypatch):
    path = write_input(folder, "text")
    join_only(folder, path, monkeypatch)
    with pytest.raises(AnnotateError, match="exists already"):
        folder.annotate(path, entities_key="ents", **OPTIONS)
    rows = folder.rows(path, entities_key="ents", force=True, restart=True, **OPTIONS)
    assert rows[0]["ents"]
