"""Scores of entities in the span groups of a Doc."""

import spacy
import srsly
from spacy.tokens import Doc, Span, SpanGroup

from spacy_bio_crf.doc_scores import read_score, read_scores
from spacy_bio_crf.tags.spans import SCORES


def make_doc() -> Doc:
    return Doc(spacy.blank("xx").vocab, words=["Ana", "Ruiz", "met", "Bo"])


def add(doc: Doc, key: str, spans: list[tuple[int, int, str]], **attrs) -> None:
    group = [Span(doc, start, end, label) for start, end, label in spans]
    doc.spans[key] = SpanGroup(doc, name=key, spans=group, attrs=attrs)


def test_groups_with_scores_are_read_and_others_are_not():
    doc = make_doc()
    add(doc, "bio_ner", [(0, 2, "PER"), (3, 4, "PER")], **{SCORES: [0.9, 0.25]})
    add(doc, "other", [(2, 3, "X")])
    add(doc, "sc", [(0, 2, "ORG")], scores=[0.1])
    assert read_scores(doc) == {(0, 2, "PER"): 0.9, (3, 4, "PER"): 0.25, (0, 2, "ORG"): 0.1}
    assert read_scores(make_doc()) == {}


def test_the_first_group_that_scores_a_span_counts():
    doc = make_doc()
    add(doc, "a", [(0, 1, "X")])
    add(doc, "b", [(0, 1, "X")], scores=[0.5])
    add(doc, "c", [(0, 1, "X")], scores=[0.75])
    assert read_scores(doc) == {(0, 1, "X"): 0.5}


def test_scores_that_are_replaced_or_changed_are_read_anew():
    doc = make_doc()
    add(doc, "bio_ner", [(0, 2, "PER"), (3, 4, "PER")], scores=[0.125, 0.5])
    span = Span(doc, 3, 4, "PER")
    assert read_score(span) == 0.5
    doc.spans["bio_ner"].attrs[SCORES] = [0.125, 0.25]
    assert read_score(span) == 0.25
    doc.spans["bio_ner"].attrs[SCORES][1] = 0.75
    assert read_score(span) == 0.75
    assert read_score(Span(doc, 3, 4, "LOC")) is None


def test_scores_survive_bytes():
    doc = make_doc()
    add(doc, "bio_ner", [(0, 2, "PER")], scores=[0.125])
    assert read_scores(Doc(doc.vocab).from_bytes(doc.to_bytes())) == {(0, 2, "PER"): 0.125}


def test_reading_looks_for_no_entry_points(monkeypatch):
    """srsly's msgpack does, every time: more than a millisecond for each document."""
    doc = make_doc()
    add(doc, "bio_ner", [(0, 2, "PER")], scores=[0.125])

    def refused(data):
        raise AssertionError("packed or unpacked")

    for name in "msgpack_dumps", "msgpack_loads":
        monkeypatch.setattr(srsly, name, refused)
    assert read_scores(doc) == {(0, 2, "PER"): 0.125}
