"""Shapes of words and of their sub-words."""

import numpy as np
import pytest
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_bio_crf.subwords.casing import Shape, shape_of, shapes_of_subwords
from spacy_bio_crf.subwords.tokenizer import Subwords


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("red", Shape.LOWER),
        ("ação", Shape.LOWER),
        ("Rome", Shape.TITLE),
        ("Évora", Shape.TITLE),
        ("A", Shape.TITLE),
        ("NATO", Shape.UPPER),
        ("AT&T", Shape.UPPER),
        ("iPhone", Shape.MIXED),
        ("McCoy", Shape.MIXED),
        ("v2.1", Shape.DIGITS),
        ("2024", Shape.DIGITS),
        ("...", Shape.OTHER),
        ("東京", Shape.OTHER),
        ("🎉", Shape.OTHER),
        (" ", Shape.OTHER),
    ],
)
def test_shapes(text, shape):
    assert shape_of(text) == shape


def test_subwords_have_the_shape_of_their_token():
    """Sub-word 1 overlaps both "do" and "'TX"; sub-word 4 belongs to no token."""
    doc = Doc(Vocab(), words=["Dom", "do", "'TX", "x"])
    subwords = Subwords(
        ids=np.arange(5),
        rows=np.array([0, 1, 1, 2, 3]),
        lengths=np.array([1, 1, 2, 1], dtype=np.int32),
        word_starts=np.ones(5, dtype=bool),
    )
    assert shapes_of_subwords(doc, subwords).tolist() == [
        Shape.TITLE,
        Shape.UPPER,
        Shape.UPPER,
        Shape.LOWER,
        Shape.OTHER,
    ]
