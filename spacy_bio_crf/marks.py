"""Combining marks that are tokens of their own.

Some normalisers compose a mark with the character in front of it, and the offsets of the sub-word
then name that character alone:

    tokens      e|\u0301|t      "e", an acute accent, "t"
    sub-words   é|t             offsets (0, 1), (2, 3): nobody stands for the accent

The sub-word is stretched over the mark. A mark that the tokenizer deletes, as those that strip
accents do, has no sub-word.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from spacy.attrs import IDX, LENGTH
from spacy.tokens import Doc

from .chunks import Pieces


def stretch(
    docs: list[Doc], text: str, pieces: Pieces, *, represented: Callable[[str], bool]
) -> Pieces:
    """Let sub-words reach over the marks that were composed into them.

    docs (list[Doc]): The Docs.
    text (str): Their texts, laid end to end.
    pieces (Pieces): Their sub-words, with offsets in that text.
    represented (Callable[[str], bool]): Whether the tokenizer has sub-words for a token's text.
    RETURNS (Pieces): The sub-words, some with later ends.
    """
    starts, token_ends = token_offsets(docs)
    # A mark at the beginning of a Doc has nothing to be composed with.
    inner = np.ones(len(starts), dtype=bool)
    firsts = np.cumsum([0, *map(len, docs)])[:-1]
    inner[firsts[firsts < len(starts)]] = False
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    # A token after deleted text may begin at the end of all.
    inner &= starts < len(codes)
    candidates = np.flatnonzero(inner)
    kinds, kind_of = np.unique(codes[starts[candidates]], return_inverse=True)
    marks = np.array([unicodedata.category(chr(code))[0] == "M" for code in kinds], dtype=bool)
    candidates = candidates[marks[kind_of]]
    ends = pieces.ends.copy()
    for i in candidates.tolist():
        start, end = int(starts[i]), int(token_ends[i])
        # Pieces are in order, so those that begin before the token's end are a head of the array.
        head = int(np.searchsorted(pieces.starts, end, side="left"))
        if (ends[:head] > start).any():
            continue
        (before,) = np.nonzero(ends[:head] == start)
        if len(before) and represented(text[start:end]):
            ends[before[-1]] = end
    return replace(pieces, ends=ends)


def token_offsets(docs: list[Doc]) -> tuple[np.ndarray, np.ndarray]:
    """Where each token begins and ends, the texts of the Docs laid end to end.

    docs (list[Doc]): The Docs.
    RETURNS (tuple[ndarray, ndarray]): Offsets of characters, int64 [n_tokens of all Docs] each.
    """
    starts, lengths = [], []
    base = 0
    for doc in docs:
        # shape: [n_tokens, 2]
        spans = doc.to_array([IDX, LENGTH]).reshape(-1, 2).astype(np.int64)
        starts.append(spans[:, 0] + base)
        lengths.append(spans[:, 1])
        if len(doc):
            base = int(starts[-1][-1] + lengths[-1][-1]) + len(doc[-1].whitespace_)
    begins = np.concatenate(starts)
    return begins, begins + np.concatenate(lengths)
