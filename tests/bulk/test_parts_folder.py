"""The folder of parts: names, plan, lock. Runs that use it are in test_going_on.py."""

import pytest

from spacy_bio_crf.bulk import AnnotateError, Counts
from spacy_bio_crf.bulk.inputs import Input
from spacy_bio_crf.bulk.outputs import Output
from spacy_bio_crf.bulk.parts_folder import Manifest, PartsFolder
from tests.support.annotate_tools import folder  # noqa: F401

# ruff: noqa: F811

SETTINGS = {"number of documents in a part": 2, "format of the output": "jsonl"}


@pytest.fixture
def parts(tmp_path):
    return PartsFolder(tmp_path / "parts")


def plan(folder, parts, content="a\nb\nc\n", settings=SETTINGS, **options):
    source = Input(folder.write("a.txt", content), "auto", "text", "entities")
    return parts.plan(source, settings, **{"is_shard": False, **options})


def test_the_name_of_a_part_has_its_account(parts):
    parts.path.mkdir()
    accounts = {12: Counts(1, 2, 3, 4), 3: Counts(), 12_345_678: Counts(10**9, 10**12, 10**10, 7)}
    for number, counts in accounts.items():
        parts.part(number, counts, "jsonl").touch()
    for name in "part-x.jsonl", ".part-0000001-1-1-1-1.jsonl.1.tmp", "_manifest.json":
        (parts.path / name).touch()
    assert {n: counts for n, (_, counts) in parts.finished().items()} == accounts
    assert parts.finished()[3][0].name == "part-0000003-0-0-0-0.jsonl"


def test_a_plan_is_kept(folder, parts):
    assert parts.load() is None
    with parts.locked(is_shared=False):
        made = plan(folder, parts)
        assert [(part.first, part.records) for part in made.parts] == [(0, 2), (2, 1)]
        assert parts.load() == made
        assert plan(folder, parts).parts == made.parts
        made = parts.load()
        saved = Manifest(**{**vars(made), "joined": Counts(1, 2, 3, 4), "schema": "x"})
        parts.save(saved)
        assert parts.load() == saved


def test_only_finished_parts_must_stay(folder, parts):
    with parts.locked(is_shared=False):
        plan(folder, parts)
        parts.part(1, Counts(), "jsonl").touch()
        # The first part is longer, the second is the same in another place.
        made = plan(folder, parts, "aaa\nb\nc\n")
        assert parts.load() == made and made.parts[1].start == 6
        for content in "aaa\nb\nd\n", "aaa\nb\n", "x\naaa\nb\nc\n":
            with pytest.raises(AnnotateError, match="expected the content of an earlier run"):
                plan(folder, parts, content)
        with pytest.raises(AnnotateError, match="a.txt, records 1 to 2: expected the content"):
            plan(folder, parts, "bbb\nb\nc\n", is_shard=True)
        with pytest.raises(AnnotateError, match="a.txt, records 3 to 3: expected the content"):
            plan(folder, parts, "aaa\nb\nc\nd\ne\n", is_shard=True)


def test_clear_leaves_other_files(folder, parts):
    with parts.locked(is_shared=False):
        plan(folder, parts)
        parts.part(1, Counts(), "jsonl").touch()
        (parts.path / "mine").touch()
        parts.clear()
    assert {path.name for path in parts.path.iterdir()} == {"mine", "_lock"}


def test_a_run_that_begins_tidies_up_what_was_not_finished(parts):
    with parts.locked(is_shared=False):
        pass
    (parts.path / ".part-1.jsonl.77.tmp").touch()
    with parts.locked(is_shared=True):
        assert (parts.path / ".part-1.jsonl.77.tmp").exists()
    with parts.locked(is_shared=False):
        assert not (parts.path / ".part-1.jsonl.77.tmp").exists()


@pytest.mark.parametrize("old", [None, "file", "folder"])
def test_join_and_deliver(folder, parts, tmp_path, old):
    target = tmp_path / "out.jsonl"
    if old == "file":
        target.write_text("old")
    if old == "folder":
        folder.write("out.jsonl/old", "old")
    with parts.locked(is_shared=False):
        made = plan(folder, parts)
        assert not parts.is_joined(made, target)
        parts.part(1, Counts(0, 0, 1, 0), "jsonl").write_text("b\n")
        parts.part(0, Counts(2, 0, 1, 0), "jsonl").write_text("a\n")
        parts.join(made, Output("jsonl", "entities", None))
    assert made.joined == Counts(2, 0, 2, 0) and parts.is_joined(made, target)
    parts.deliver(target)
    assert target.read_text() == "a\nb\n" and not parts.path.exists()


# -- workers of other machines --------------------------------------------------------------------


def test_workers_of_an_earlier_run_write_nothing(tmp_path):
    early, late = PartsFolder(tmp_path), PartsFolder(tmp_path)
    early.check_run()
    with early.locked(is_shared=False):
        early.begin_run()
        early.check_run()
    with late.locked(is_shared=False):
        # A local run has no name, and is a later one all the same.
        with pytest.raises(AnnotateError, match=": expected the run [0-9a-f]{16}, got a later one"):
            early.check_run()
        late.check_run()
        late.begin_run()
        late.check_run()
    with pytest.raises(AnnotateError, match="got a later one"):
        early.check_run()


def test_shards_share_the_name_of_a_run(tmp_path):
    one, two = PartsFolder(tmp_path), PartsFolder(tmp_path)
    for each in one, two:
        with each.locked(is_shared=True):
            each.begin_run()
    one.check_run()
    two.check_run()


def test_workers_that_begin_a_part_are_counted(tmp_path):
    mine, other = PartsFolder(tmp_path), PartsFolder(tmp_path)
    for each in mine, other:
        each.begin_run()
    assert [mine.begin_part(7), mine.begin_part(8), mine.begin_part(7)] == [1, 1, 2]
    # A run knows nothing of the deaths in another one.
    assert other.begin_part(7) == 1
    mine.end_part(7)
    mine.end_part(7)
    assert mine.begin_part(7) == 1
    assert mine.finished() == {}
    with other.locked(is_shared=False):
        assert not list(tmp_path.glob(".*"))
