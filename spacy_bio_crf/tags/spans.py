"""Spans of tokens, and spaCy's values of `token.ent_iob`."""

from enum import IntEnum

Span = tuple[int, int, str]  # first token, end (exclusive), label


class EntIob(IntEnum):
    """spaCy's values of `token.ent_iob`. A token that begins an entity of no type is blocked."""

    MISSING = 0
    INSIDE = 1
    OUTSIDE = 2
    BEGIN = 3
