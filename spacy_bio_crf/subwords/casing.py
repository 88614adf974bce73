"""Shapes of words (lower case, Title, UPPER …) for encoders whose tokenizer lower-cases them."""

from enum import IntEnum
from functools import lru_cache

import numpy as np
from spacy.tokens import Doc

from .tokenizer import LONG_WORD, REMEMBERED_WORDS, Subwords


class Shape(IntEnum):
    """The letters of a word."""

    OTHER = 0  # no letter and no digit; also special sub-words and padding
    LOWER = 1  # "red"
    TITLE = 2  # "Rome", "A"
    UPPER = 3  # "NATO"
    MIXED = 4  # "iPhone", "McCoy"
    DIGITS = 5  # a digit anywhere: "v2.1", "3M"


def shape_of(text: str) -> Shape:
    if any(c.isdigit() for c in text):
        return Shape.DIGITS
    if text.islower():
        return Shape.LOWER
    if text.istitle():
        return Shape.TITLE
    if text.isupper():
        return Shape.UPPER
    return Shape.MIXED if any(c.isupper() or c.islower() for c in text) else Shape.OTHER


_known_shape = lru_cache(maxsize=REMEMBERED_WORDS)(shape_of)


def shapes_of_subwords(doc: Doc, subwords: Subwords) -> np.ndarray:
    """Find the shape of the token that each sub-word of a document belongs to.

    RETURNS (np.ndarray): int64 [n_subwords]; `Shape.OTHER` where a sub-word belongs to no token,
        the last of its tokens where it belongs to several.
    """
    words = (token.text for token in doc)
    tokens = np.array(
        [_known_shape(word) if len(word) < LONG_WORD else shape_of(word) for word in words],
        dtype=np.int64,
    )
    shapes = np.full(len(subwords.ids), Shape.OTHER, dtype=np.int64)
    shapes[subwords.rows] = np.repeat(tokens, subwords.lengths)
    return shapes
