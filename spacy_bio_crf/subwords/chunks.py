"""Chunks of long texts for a tokenizer, and the sub-words of the chunks joined again.

A tokenizer takes several times the memory of its answer and works on one core per text, so a long
text reaches it in chunks. At the edges of a chunk sub-words may differ: tokenizer families treat
the beginning of a text, and spaces there, in their own ways. So the tokenizer reads each chunk with
some context on both sides, and the sub-words of the context are dropped:

    text        ...............................|...............................
    chunk 0     [==============================|-----)
    chunk 1                              [-----|==============================)

If the two chunks have different sub-words around their cut, the text is not cut at all. So the
sub-words are those of the whole text. (In a long text without any space, a Unigram model's rounding
errors may choose another of two equally good ones.) One sub-word for unknown text may be longer
than the context, as for a word of a million characters: it is put together from chunk to chunk.
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


def join_chunks(
    chunks: list[Chunk], encoding: Encoding, unknown: int | None
) -> tuple[Encoding, set[int]]:
    """Join the sub-words of chunks into those of texts.

    chunks (list[Chunk]): All chunks.
    encoding (Encoding): Their sub-words, those of the context included, owned by chunks.
    unknown (int | None): Id of the sub-word for unknown text.
    RETURNS (tuple[Encoding, set[int]]): The sub-words owned by texts, and the indices of texts with
        chunks that disagree: they must be tokenized again uncut.
    """
    lows, highs, owners = np.array([(c.low, c.high, c.owner) for c in chunks], dtype=np.int64).T
    chunk = encoding.owners
    kept = (encoding.starts >= lows[chunk]) & (encoding.starts < highs[chunk])
    # First sub-word of each chunk. shape: [n_chunks + 1]
    bounds = np.searchsorted(chunk, np.arange(len(chunks) + 1))
    ends = encoding.ends.copy()
    torn = set()
    # Backwards, so that the end of a sub-word goes from chunk to chunk.
    for i in np.flatnonzero(owners[1:] == owners[:-1])[::-1] + 1:
        cut = chunks[i].low
        left, right = (
            _around(encoding, np.arange(bounds[j], bounds[j + 1]), cut) for j in (i - 1, i)
        )
        if not _agree(encoding.select(left), encoding.select(right), cut, unknown):
            torn.add(chunks[i].owner)
            continue
        # The left chunk owns what begins before the cut, and the right one sees more of it.
        owned = encoding.starts[left] < cut
        ends[left[owned]] = ends[right[owned]]
    return replace(encoding, ends=ends, owners=owners[chunk]).select(kept), torn


def _cuts(text: str) -> list[int]:
    """Where to cut a text: at the last space in the last half of a chunk, if there is one."""
    cuts: list[int] = []
    start = 0
    while len(text) - start > CHUNK_CHARACTERS:
        space = text.rfind(" ", start + CHUNK_CHARACTERS // 2, start + CHUNK_CHARACTERS)
        start = space if space > 0 else start + CHUNK_CHARACTERS
        cuts.append(start)
    return cuts


def _around(encoding: Encoding, which: np.ndarray, cut: int) -> np.ndarray:
    """Those of some sub-words that begin near a cut or lie across it."""
    starts, ends = encoding.starts[which], encoding.ends[which]
    return which[(np.abs(starts - cut) < _near()) | ((starts < cut) & (ends > cut))]


def _agree(left: Encoding, right: Encoding, cut: int, unknown: int | None) -> bool:
    """Whether two neighbors have the same sub-words around their cut, some on each side of it.

    A sub-word for unknown text may go on beyond what is near, where one of the two ends.
    """
    both_sides = (left.starts < cut).any() and (left.ends > cut).any()
    if not both_sides or not np.array_equal(left.ids, right.ids):
        return False
    may_go_on = left.ids == unknown
    far_left = np.maximum(left.starts, right.starts) <= cut - _near()
    far_right = np.minimum(left.ends, right.ends) >= cut + _near()
    same_start = (left.starts == right.starts) | (may_go_on & far_left)
    same_end = (left.ends == right.ends) | (may_go_on & far_right)
    return bool((same_start & same_end).all())


def _near() -> int:
    return CONTEXT_CHARACTERS // 2
