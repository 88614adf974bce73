from collections import Counter
from pathlib import Path

from spacy_bio_crf.corpora import Lost, Summary
from spacy_bio_crf.corpora.passages import REPAIR_KINDS, document_names
from spacy_bio_crf.tags.schemes import spans_of_tags


def test_losses_are_counted_and_listed():
    summary = Summary()
    summary.lose("too blue", place="a, line 3", text="Ana", label="PER")
    summary.lose("too blue", place="a, line 9", text="Bo", label="PER")
    summary.lose("too red", place="b, line 1", text="Rio", label="LOC")
    assert summary.dropped == Counter({"too blue": 2, "too red": 1})
    assert summary.lost[1:] == [
        Lost("a, line 9", "Bo", "PER", "too blue"),
        Lost("b, line 1", "Rio", "LOC", "too red"),
    ]


def test_names_of_documents():
    paths = ["/in/a.txt/anna.tsv", "/in/b.txt/anna.tsv", "/in/b.txt/bob.tsv", "/on/b.txt/bob.tsv"]
    found = document_names(map(Path, [*paths, "c.tsv"]))
    assert list(found.values()) == ["a.txt/anna", "b.txt/anna", "in/b.txt/bob", "on/b.txt/bob", "c"]
    same = document_names([Path("/in/a.tsv"), Path("/in/a.txt"), Path("a.tsv")])
    assert len(same) == 3 and document_names([]) == {}


def test_bytes_are_added_up():
    summary = Summary()
    for n_bytes in 3, 0, 4:
        summary.tick(n_bytes)
    assert summary.bytes_read == 7


def test_every_kind_of_repair_is_described():
    kinds = set()
    for repair in "begin", "discard":
        _, repairs = spans_of_tags(["I-X", "O", "B-X"], scheme="BIOES", repair=repair)
        kinds |= {what for _, what in repairs}
    assert kinds == REPAIR_KINDS.keys()
