"""Cut long texts into chunks for a tokenizer, and put the chunks' sub-words together again.

A tokenizer takes several times the memory of its answer and works on one core per text, so a long
text goes to it in chunks. A chunk alone would be tokenised differently at its edges: families treat
the beginning of a text, and spaces there, in their own ways. So each chunk is read with some
context on both sides, and what lies in the context is thrown away:

    text        ...............................|...............................
    chunk 0     [==============================|-----)
    chunk 1                              [-----|==============================)

Where the two chunks do not see the same sub-words around the cut, as in a word longer than the
context, the text is not cut at all. So the sub-words are those of the whole text (in a long text
without any space, a Unigram model's rounding errors may choose another of two equally good ones).

Pure numpy.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

# Texts longer than this many characters are cut into chunks of about this size.
CHUNK = 8192
# How many characters a chunk reads beyond each of its cuts. More than the longest word that
# WordPiece takes apart (100 as published), so that no chunk takes a longer word for a short one.
CONTEXT = 256


@dataclass(frozen=True)
class Part:
    """A text or a chunk of it. Offsets are those of all texts laid end to end.

    owner (int): Index of the text.
    text (str): What the tokenizer gets: the chunk and its context.
    begin (int): Offset of the first character of that.
    low (int), high (int): The part answers for the sub-words that begin in [low, high).
    """

    owner: int
    text: str
    begin: int
    low: int
    high: int


@dataclass(frozen=True, eq=False)
class Pieces:
    """Sub-words of several texts, in order: int64 arrays of shape [n_subwords].

    ids (ndarray): Ids in the vocabulary.
    starts (ndarray), ends (ndarray): Offsets of the characters a sub-word stands for, all texts
        laid end to end.
    owners (ndarray): Index of the part, or of the text, that a sub-word comes from.
    """

    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    owners: np.ndarray

    def select(self, which: np.ndarray | slice) -> "Pieces":
        return Pieces(self.ids[which], self.starts[which], self.ends[which], self.owners[which])


def make_parts(texts: list[str], uncut: set[int]) -> list[Part]:
    """Cut texts into parts.

    texts (list[str]): The texts.
    uncut (set[int]): Indices of those that must be left whole.
    RETURNS (list[Part]): At least one for each text, in order.
    """
    parts = []
    base = 0
    for i, text in enumerate(texts):
        # One more than the length, for a sub-word without characters that stands at the end.
        edges = [0, *([] if i in uncut else _cuts(text)), len(text) + 1]
        for low, high in pairwise(edges):
            begin = max(low - CONTEXT, 0)
            chunk = text[begin : high + CONTEXT]
            parts.append(Part(i, chunk, base + begin, base + low, base + high))
        base += len(text)
    return parts


def join_parts(parts: list[Part], pieces: Pieces) -> tuple[Pieces, set[int]]:
    """Put the sub-words of the parts together to those of the texts.

    parts (list[Part]): All parts.
    pieces (Pieces): The sub-words of the parts' texts with the context; they are owned by parts.
    RETURNS (tuple[Pieces, set[int]]): The sub-words owned by texts, and the indices of the texts
        that are to be tokenised again uncut because two chunks do not fit together.
    """
    lows, highs, owners = np.array([(p.low, p.high, p.owner) for p in parts], dtype=np.int64).T
    part = pieces.owners
    kept = (pieces.starts >= lows[part]) & (pieces.starts < highs[part])
    # Where the sub-words of each part begin. shape: [n_parts + 1]
    bounds = np.searchsorted(part, np.arange(len(parts) + 1))
    torn = set()
    for i in np.flatnonzero(owners[1:] == owners[:-1]) + 1:
        left = pieces.select(slice(bounds[i - 1], bounds[i]))
        right = pieces.select(slice(bounds[i], bounds[i + 1]))
        if not _fit(left, right, parts[i].low):
            torn.add(parts[i].owner)
    return replace(pieces, owners=owners[part]).select(kept), torn


def _cuts(text: str) -> list[int]:
    """Where to cut a text: at the last space in the last half of a chunk, if there is any."""
    cuts: list[int] = []
    start = 0
    while len(text) - start > CHUNK:
        space = text.rfind(" ", start + CHUNK // 2, start + CHUNK)
        start = space if space > 0 else start + CHUNK
        cuts.append(start)
    return cuts


def _fit(left: Pieces, right: Pieces, cut: int) -> bool:
    """Do two neighbours see the same sub-words around their cut, at least one on each side?"""
    left = left.select(np.abs(left.starts - cut) < CONTEXT // 2)
    right = right.select(np.abs(right.starts - cut) < CONTEXT // 2)
    return (
        np.array_equal(left.ids, right.ids)
        and np.array_equal(left.starts, right.starts)
        and np.array_equal(left.ends, right.ends)
        and bool((left.starts < cut).any() and (left.starts >= cut).any())
    )
