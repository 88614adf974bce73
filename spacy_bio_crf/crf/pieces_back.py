"""The way back of `pieces`: from the last tag of each sequence to its first."""

import numpy as np

from .batch import Packing
from .pieces import Pieces


def trace_back(
    best: np.ndarray, pieces: Pieces, transitions: np.ndarray, end: np.ndarray
) -> np.ndarray:
    """Follow the best paths from their last tags to their first.

    best (ndarray): What `score_forward` found, packed [N, K].
    RETURNS (ndarray): Tag ids, packed, int64 [N].
    """
    packing, rank, follows = pieces.packing, pieces.rank, pieces.follows
    into = np.ascontiguousarray(transitions.T)
    # shape: (P, K), by rank
    final = best[packing.last]
    # a tag for the last row of each piece: certain where the sequence ends, else a guess
    leaving = final.argmax(axis=1)
    lasts = rank[np.append(pieces.firsts[1:], len(rank)) - 1]
    leaving[lasts] = (final[lasts] + end).argmax(axis=1)
    tags = np.empty(len(best), dtype=np.int64)
    _sweep(best, into, packing, leaving, tags, known=False)
    if not len(follows):
        return tags
    # first rows lie by rank at the beginning of the packed rows
    ahead, behind = rank[follows], rank[follows - 1]
    leaving[behind] = (final[behind] + into[tags[ahead]]).argmax(axis=1)
    _sweep(best, into, packing, leaving, tags, known=True)
    wanted = (final[behind] + into[tags[ahead]]).argmax(axis=1)
    if np.array_equal(wanted, leaving[behind]):
        return tags
    # the rest one after the other, from the end of each sequence
    offsets = packing.offsets.tolist()
    for left, right in zip(behind[::-1].tolist(), ahead[::-1].tolist(), strict=True):
        tag = (final[left] + into[tags[right]]).argmax()
        for step in range(len(packing.widths) - 1, -1, -1):
            if tags[offsets[step] + left] == tag:
                break
            tags[offsets[step] + left] = tag
            if step:
                tag = (best[offsets[step - 1] + left] + into[tag]).argmax()
    return tags


def _sweep(
    best: np.ndarray,
    into: np.ndarray,
    packing: Packing,
    leaving: np.ndarray,
    tags: np.ndarray,
    *,
    known: bool,
) -> None:
    """Trace all pieces back from their last tags. With `known`, stop where `tags` holds that."""
    after = tags[:0]
    origins = np.empty_like(best[: len(leaving)])
    steps = zip(packing.offsets[-2::-1].tolist(), packing.widths[::-1].tolist(), strict=True)
    for offset, width in steps:
        going_on = len(after)
        # shape: (going on, K)
        candidates = origins[:going_on]
        # "clip" is the mode that needs no buffer; no tag is out of range
        np.take(into, after, axis=0, out=candidates, mode="clip")
        candidates += best[offset : offset + going_on]
        here = candidates.argmax(axis=1)
        if going_on < width:
            here = np.concatenate([here, leaving[going_on:width]])
        stored = tags[offset : offset + width]
        if known and np.array_equal(here, stored):
            return
        stored[:] = here
        after = here
