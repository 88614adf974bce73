"""Chunks of long texts for a tokenizer, and the sub-words of the chunks joined again.

A tokenizer takes several times the memory of its answer and works on one core per text, so a long
text reaches it in chunks. At the edges of a chunk sub-words may differ: tokenizer families treat
the beginning of a text, and spaces there, in their own ways. So the tokenizer reads each chunk with
some context on both sides, and the sub-words of the context are dropped:

    text        ...............................|...............................
    chunk 0     [==============================|-----)
    chunk 1                              [-----|==============================)

If the two chunks have different sub-words around their cut, as in a word longer than the context,
the text is not cut at all. So the sub-words are those of the whole text. (In a long text without
any space, a Unigram model's rounding errors may choose another of two equally good ones.)
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

# Texts longer than this many characters are cut into chunks of about this size.
CHUNK_CHARACTERS = 8192
# How many characters a chunk reads beyond each of its cuts. More than the longest word that
# WordPiece takes apart (100 as published), so that no chunk takes a longer word for a short one.
CONTEXT_CHARACTERS = 256


@dataclass(frozen=True)
class Chunk:
    """A text or a part of it. Offsets are those of all texts laid end to end.

    owner (int): Index of the text.
    text (str): The chunk and its context, for the tokenizer.
    begin (int): Offset of the first character of `text`.
    low (int), high (int): The chunk keeps the sub-words that begin in [low, high).
    """

    owner: int
    text: str
    begin: int
    low: int
    high: int


@dataclass(frozen=True, eq=False)
class Encoding:
    """Sub-words of several texts, in order: int64 arrays of shape [n_subwords].

    ids (ndarray): Ids in the vocabulary.
    starts (ndarray), ends (ndarray): Offsets of the characters of each sub-word, all texts laid end
        to end.
    owners (ndarray): Index of the chunk, or of the text, that each sub-word comes from.
    """

    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    owners: np.ndarray

    def select(self, which: np.ndarray | slice) -> "Encoding":
        return Encoding(self.ids[which], self.starts[which], self.ends[which], self.owners[which])


def make_chunks(texts: list[str], uncut: set[int]) -> list[Chunk]:
    """Cut texts into chunks, in order, but for those whose indices are in `uncut`."""
    chunks = []
    base = 0
    for i, text in enumerate(texts):
        # One more than the length, for a sub-word without characters at the end of the text.
        edges = [0, *([] if i in uncut else _cuts(text)), len(text) + 1]
        for low, high in pairwise(edges):
            begin = max(low - CONTEXT_CHARACTERS, 0)
            read = text[begin : high + CONTEXT_CHARACTERS]
            chunks.append(Chunk(i, read, base + begin, base + low, base + high))
        base += len(text)
    return chunks


def join_chunks(chunks: list[Chunk], encoding: Encoding) -> tuple[Encoding, set[int]]:
    """Join the sub-words of chunks into those of texts.

    chunks (list[Chunk]): All chunks.
    encoding (Encoding): Their sub-words, those of the context included, owned by chunks.
    RETURNS (tuple[Encoding, set[int]]): The sub-words owned by texts, and the indices of texts with
        chunks that disagree: they must be tokenized again uncut.
    """
    lows, highs, owners = np.array([(c.low, c.high, c.owner) for c in chunks], dtype=np.int64).T
    chunk = encoding.owners
    kept = (encoding.starts >= lows[chunk]) & (encoding.starts < highs[chunk])
    # First sub-word of each chunk. shape: [n_chunks + 1]
    bounds = np.searchsorted(chunk, np.arange(len(chunks) + 1))
    torn = set()
    for i in np.flatnonzero(owners[1:] == owners[:-1]) + 1:
        left = encoding.select(slice(bounds[i - 1], bounds[i]))
        right = encoding.select(slice(bounds[i], bounds[i + 1]))
        if not _agree(left, right, chunks[i].low):
            torn.add(chunks[i].owner)
    return replace(encoding, owners=owners[chunk]).select(kept), torn


def _cuts(text: str) -> list[int]:
    """Where to cut a text: at the last space in the last half of a chunk, if there is one."""
    cuts: list[int] = []
    start = 0
    while len(text) - start > CHUNK_CHARACTERS:
        space = text.rfind(" ", start + CHUNK_CHARACTERS // 2, start + CHUNK_CHARACTERS)
        start = space if space > 0 else start + CHUNK_CHARACTERS
        cuts.append(start)
    return cuts


def _agree(left: Encoding, right: Encoding, cut: int) -> bool:
    """Whether two neighbors have the same sub-words around their cut, at least one on each side."""
    left = left.select(np.abs(left.starts - cut) < CONTEXT_CHARACTERS // 2)
    right = right.select(np.abs(right.starts - cut) < CONTEXT_CHARACTERS // 2)
    return (
        np.array_equal(left.ids, right.ids)
        and np.array_equal(left.starts, right.starts)
        and np.array_equal(left.ends, right.ends)
        and bool((left.starts < cut).any() and (left.starts >= cut).any())
    )
