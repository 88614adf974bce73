"""Corrections of documents: read, applied, and those that do not fit."""

import json
from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc, Span

from spacy_bio_crf.corpora.corrections import (
    Correction,
    correct,
    correction_data,
    read_corrections,
    text_digest,
)
from spacy_bio_crf.errors import ConvertError
from spacy_bio_crf.tags.spans import EntIob

NLP = spacy.blank("en")
WORDS = ["Ana", "Ruiz", "met", "Bo", "in", "New", "York", "City"]


def make_doc(ents: list, *, missing: tuple[int, ...] = ()) -> Doc:
    doc = Doc(NLP.vocab, words=WORDS)
    spans = [Span(doc, s, e, label=x, kb_id=f"Q{s}") for s, e, x in ents]
    doc.set_ents(spans, missing=[doc[i : i + 1] for i in missing])
    return doc


def entities(doc: Doc) -> list[tuple[int, int, str]]:
    return [(ent.start, ent.end, ent.label_) for ent in doc.ents]


def correction(doc: Doc, remove: list, add: list, *, document: int = 0) -> Correction:
    return Correction("d.jsonl, line 1", document, text_digest(doc), remove, add)


def test_the_digest_is_of_the_text_alone():
    one, other = make_doc([(0, 2, "PER")]), make_doc([])
    assert text_digest(one) == text_digest(other)
    assert text_digest(one) != text_digest(Doc(NLP.vocab, words=[*WORDS, "!"]))
    joined = Doc(NLP.vocab, words=["Ana Ruiz", *WORDS[2:]])
    assert joined.text == one.text and text_digest(joined) != text_digest(one)


def test_entities_go_and_come_and_all_else_stays():
    doc = make_doc([(0, 1, "PER"), (3, 4, "PER"), (5, 7, "LOC")], missing=(2,))
    made = [
        correction(doc, [(0, 1, "PER")], [(0, 2, "PER")]),
        correction(doc, [(5, 7, "LOC")], [(6, 7, "ORG")]),
    ]
    n, diff = correct([doc], iter(made))
    assert n == 2
    assert entities(doc) == [(0, 2, "PER"), (3, 4, "PER"), (6, 7, "ORG")]
    assert [ent.kb_id_ for ent in doc.ents] == ["", "Q3", ""]
    iob = [token.ent_iob for token in doc]
    assert iob[2] == EntIob.MISSING and iob[5] == iob[7] == EntIob.OUTSIDE
    assert diff.splitlines() == [
        "--- document 1 (Ana Ruiz met Bo in New York City)",
        "+++ document 1 (Ana Ruiz met Bo in New York City)",
        "@@ -1 +1 @@",
        "-0\t1\tPER\tAna",
        "+0\t2\tPER\tAna Ruiz",
        "@@ -3 +3 @@",
        "-5\t7\tLOC\tNew York",
        "+6\t7\tORG\tYork",
    ]


def test_an_entity_may_stand_between_others():
    doc = make_doc([(0, 2, "PER"), (3, 4, "PER")])
    assert correct([doc], iter([correction(doc, [], [(2, 3, "ACT")])]))[0] == 1
    assert entities(doc) == [(0, 2, "PER"), (2, 3, "ACT"), (3, 4, "PER")]


def test_a_second_time_changes_nothing():
    doc = make_doc([(0, 1, "PER"), (1, 2, "PER")])
    both = [
        correction(doc, [(0, 1, "PER"), (1, 2, "PER")], [(0, 2, "PER")]),
        correction(doc, [(1, 2, "PER"), (0, 1, "PER")], [(0, 2, "PER")]),
    ]
    assert correct([doc], iter(both))[0] == 1
    assert entities(doc) == [(0, 2, "PER")]
    assert correct([doc], iter(both)) == (0, "")


@pytest.mark.parametrize(
    ("remove", "add", "message"),
    [
        (
            [(0, 2, "ORG")],
            [(3, 4, "PER")],
            r"an entity of document 0 to remove, got 'Ana Ruiz' \(ORG",
        ),
        ([], [(1, 3, "PER")], r"tokens of document 0 without another entity, got 'Ruiz met'"),
        ([], [(7, 9, "LOC")], "tokens of document 0 without"),
        ([], [(4, 4, "LOC")], "tokens of document 0 without"),
        ([], [(4, 5, "")], "tokens of document 0 without"),
        ([], [(4, 6, "LOC"), (5, 7, "LOC")], "tokens of document 0 without"),
    ],
)
def test_what_does_not_fit_is_named(remove, add, message):
    doc = make_doc([(0, 2, "PER")])
    with pytest.raises(ConvertError, match=f"^d.jsonl, line 1: expected {message}"):
        correct([doc], iter([correction(doc, remove, add)]))
    assert entities(doc) == [(0, 2, "PER")]


def test_another_corpus_is_noticed():
    doc = make_doc([])
    with pytest.raises(ConvertError, match="line 1: expected a document from 0 to 0, got 1"):
        correct([doc], iter([correction(doc, [], [], document=1)]))
    other = Doc(NLP.vocab, words=["Bo"])
    made = correction(doc, [], [(0, 1, "PER")])
    with pytest.raises(
        ConvertError, match="the text that was reviewed as document 0, .* got 'Bo '"
    ):
        correct([other], iter([made]))


def test_lines_of_a_file(tmp_path: Path):
    doc = make_doc([(0, 2, "PER")])
    data = correction_data(0, doc, [(0, 2, "PER")], [])
    path = tmp_path / "d.jsonl"
    path.write_text(f"\n{json.dumps({'kind': 'missed', **data})}\n", "utf-8")
    (read,) = read_corrections(path)
    assert read == Correction(f"{path}, line 2", 0, text_digest(doc), [(0, 2, "PER")], [], "en")
    assert correct([doc], read_corrections(path))[0] == 1
    for wrong in ("{", "[]", "3", json.dumps({**data, "add": [[1, 2]]}), json.dumps({"add": []})):
        path.write_text(wrong, "utf-8")
        with pytest.raises(ConvertError, match="line 1: expected a JSON object with document, dig"):
            list(read_corrections(path))
