"""spaCy's `ent_iob` values, and spans counted in tokens or in rows."""

import numpy as np
import pytest
from spacy.tokens import Doc, Span
from spacy.vocab import Vocab

from spacy_bio_crf.errors import BioError
from spacy_bio_crf.tags.spans import (
    EntIob,
    annotated_labels,
    entities_in,
    rows_of_spans,
    spans_of_rows,
)


def test_ent_iob_has_spacys_values():
    doc = Doc(Vocab(), words=list("abcde"))
    doc.set_ents([Span(doc, 1, 3, "X")], missing=[doc[0:1]], blocked=[doc[4:5]], default="outside")
    values = [EntIob(token.ent_iob) for token in doc]
    assert values == [EntIob.MISSING, EntIob.BEGIN, EntIob.INSIDE, EntIob.OUTSIDE, EntIob.BEGIN]
    assert (doc.to_array("ENT_IOB") == EntIob.BEGIN).tolist() == [False, True, False, False, True]


def test_tokens_become_rows():
    tokens = np.array([1, 2, 4, 7, 9])
    spans = [(0, 4, "X"), (3, 4, "X"), (4, 8, "Y"), (8, 10, "X"), (9, 12, "X")]
    # The second has no row at all.
    assert rows_of_spans(spans, tokens) == [
        (0, 2, "X"),
        (2, 4, "Y"),
        (4, 5, "X"),
        (4, 5, "X"),
    ]
    assert rows_of_spans([], tokens) == []


def test_rows_become_tokens():
    tokens = np.array([1, 2, 4, 7, 9])
    rows = [(0, 3, "X"), (3, 4, "Y"), (4, 5, "X")]
    # Token 3 has no row and lies inside; 0, 5, 6 and 8 have none and lie beside.
    assert spans_of_rows(rows, tokens) == [(1, 5, "X"), (7, 8, "Y"), (9, 10, "X")]
    assert spans_of_rows([], tokens) == []


def test_entities_of_a_doc_are_listed_once():
    doc = Doc(Vocab(), words=["Porto", "de", "Galinhas"])
    first, inner = Span(doc, 0, 3, label="LOC"), Span(doc, 2, 3, label="LOC")
    doc.ents = [first]
    empty = Span(doc, 1, 1, label="LOC")
    doc.spans["gold"] = [first, inner, Span(doc, 0, 3, label="LOC"), empty]
    places = [(span.start, span.end) for span in entities_in(doc, "gold")]
    assert places == [(0, 3), (2, 3), (1, 1)]
    assert [(span.start, span.end) for span in entities_in(doc, None)] == [(0, 3)]
    assert entities_in(doc, "other") == []


def test_annotated_labels_are_read_and_checked():
    doc = Doc(Vocab(), words=["a"])
    assert annotated_labels(doc) is None
    doc.user_data["labels_annotated"] = ["X", "Y"]
    assert annotated_labels(doc) == {"X", "Y"}
    for wrong in ("X", [1]):
        doc.user_data["labels_annotated"] = wrong
        with pytest.raises(BioError, match="labels_annotated of document 'a"):
            annotated_labels(doc)
