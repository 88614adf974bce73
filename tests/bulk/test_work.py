"""The work at a part, as an engine that sends it away does it."""

import pickle

import pytest

from spacy_bio_crf.bulk import AnnotateError, BadRecord, Counts
from spacy_bio_crf.bulk.inputs import Input
from spacy_bio_crf.bulk.outputs import Output
from spacy_bio_crf.bulk.parts_folder import PartsFolder
from spacy_bio_crf.bulk.work import PartResult, Work
from tests.support.annotate_tools import folder  # noqa: F401

# ruff: noqa: F811


def make_work(folder, *, skip_bad=False):
    path = folder.write("a.jsonl", '{"text": "Rio"}\nbad\n{"text": "Ana Ruiz in Rio"}\n')
    source = Input(path, "auto", "text", "entities")
    output = Output("jsonl", "entities", None)
    return Work(source, PartsFolder(folder.path / "out"), output, None, skip_bad)


def test_work_travels(folder):
    work = pickle.loads(pickle.dumps(make_work(folder, skip_bad=True)))
    (part,) = work.source.parts(10)
    result = work(folder.nlp, part)
    bad = BadRecord(f"{folder.path}/a.jsonl, line 2", "expected a JSON object, got 'bad'")
    assert result.bad[0].place == bad.place and result.bad[0].reason.startswith(bad.reason)
    assert result == PartResult(part.size, Counts(2, 5, 3, 1), result.bad)
    (path,) = (folder.path / "out").iterdir()
    assert path.name == "part-0000000-2-5-3-1.jsonl"
    # A part that was read elsewhere.
    assert work.annotate(folder.nlp, part, work.source.read(part)) == result


def test_a_bad_record_ends_the_work(folder):
    work = make_work(folder)
    (part,) = work.source.parts(10)
    with pytest.raises(AnnotateError, match="line 2: expected a JSON object"):
        work(folder.nlp, part)
    assert not (folder.path / "out").exists()


def test_a_worker_of_an_earlier_run_leaves_nothing(folder):
    work = make_work(folder, skip_bad=True)
    (part,) = work.source.parts(10)
    work.folder.path.mkdir()
    work.folder.begin_run()
    (work.folder.path / "_run").write_text("another")
    with pytest.raises(AnnotateError, match="out: expected the run .*, got a later one"):
        work(folder.nlp, part)
    assert [path.name for path in work.folder.path.iterdir()] == ["_run"]
