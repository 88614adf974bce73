"""Viterbi on a CPU: sequences cut into pieces that run side by side, until they fit together.

A time step costs about the same for one sequence as for dozens, so long sequences are cut:

    |--- piece 0 ---|--- piece 1 ---|--- piece 2 ---|
                    ^ what enters a piece is what leaves the one before

All pieces run at once from a guess of what enters them, then again from what their neighbors left.
Best paths meet after some rows wherever they came from, so this second run soon finds the values
that are already there, and stops. A piece that then still does not fit runs again by itself. Values
are compared bit for bit, so the result is exactly that of one run without cuts. The way back from
the last tag to the first does the same with tags.

For the values to become equal, and not only equally far apart, every `STRIDE`-th row is lowered by
its maximum, counted from a sequence's own first row.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from .batch import Packing, first_rows, make_packing

# Rows from one normalization to the next; the length of pieces is a multiple of it.
STRIDE = 8
# Candidates (from tag, to tag, piece) of a time step: with fewer its fixed cost dominates, and more
# bring nothing.
GOOD_STEP = 2**16
SHORTEST_PIECE = 48
# Up to so many candidates NumPy is faster than torch, because a call of it costs less. Torch takes
# them in blocks that stay in a level-2 cache.
NUMPY_CANDIDATES = 2**13
BLOCK = 2**17
# From so many tags on, forbidden transitions are left out; a tag that has at most so many before it
# takes its candidates by index.
MANY_TAGS, FEW_ORIGINS = 100, 4

Reach = Callable[[np.ndarray, np.ndarray], None]


@dataclass(frozen=True)
class Pieces:
    """The pieces of a batch, and how they lie.

    packing (Packing): Their rows. A piece that has a successor is as long as any, so the last rows
        of all of those are in the last time step.
    firsts (ndarray): The pieces that begin a sequence, int64 [F].
    follows (ndarray): The pieces that come after another one of the same sequence, int64 [P - F].
    """

    packing: Packing
    firsts: np.ndarray
    follows: np.ndarray


def decode_in_pieces(
    emissions: np.ndarray,
    start: np.ndarray,
    transitions: np.ndarray,
    end: np.ndarray,
    *,
    lengths: np.ndarray,
    piece_length: int | None = None,
) -> np.ndarray:
    """Find the best path of each sequence: tag ids, int64 [N]. All scores have one dtype.

    piece_length (int): Rows of a piece, a multiple of `STRIDE`; by default what is fastest.
    """
    if not len(emissions):
        return np.empty(0, dtype=np.int64)
    if piece_length is None:
        # So long that a time step of all pieces is worth its fixed cost.
        rows = max(SHORTEST_PIECE, len(emissions) * transitions.size // GOOD_STEP)
        piece_length = -(-rows // STRIDE) * STRIDE
    pieces = cut_pieces(lengths, piece_length)
    index = pieces.packing.index
    best = _score_forward(np.take(emissions, index, axis=0), pieces, start, transitions)
    tags = np.empty_like(index)
    tags[index] = _trace_back(best, pieces, transitions, end)
    return tags


def cut_pieces(lengths: np.ndarray, piece_length: int) -> Pieces:
    """Cut sequences into pieces of one length, but for each sequence's last one."""
    lengths = lengths[lengths > 0]
    counts = -(-lengths // piece_length)
    firsts = first_rows(counts)
    piece_lengths = np.full(counts.sum(), piece_length)
    piece_lengths[firsts + counts - 1] = lengths - (counts - 1) * piece_length
    packing = make_packing(piece_lengths)
    is_first = np.zeros(len(piece_lengths), dtype=bool)
    is_first[firsts] = True
    return Pieces(packing, firsts, np.flatnonzero(~is_first))


def _score_forward(
    packed: np.ndarray, pieces: Pieces, start: np.ndarray, transitions: np.ndarray
) -> np.ndarray:
    """Find the score of the best path to each row and tag, up to a constant in each row.

    packed (ndarray): Packed emissions [N, K]; their memory is used for the result.
    """
    packing, follows = pieces.packing, pieces.follows
    rank = packing.ranks
    make = _max_plus if len(transitions) < MANY_TAGS else _sparse_max_plus
    reach = make(transitions, packing.first.stop)
    # A time step is worked on as [K, width], so that the inner loop runs over pieces.
    groups = _split_by_width(packed, packing)
    results = [np.empty(group.shape, group.dtype) for group in groups]
    scores = [step for group in groups for step in np.ascontiguousarray(group)]
    best = [step for result in results for step in result]
    # shape: (K, P), by rank; a piece whose predecessor is unknown is entered evenly
    entering = np.repeat(transitions.max(axis=0)[:, None], len(rank), axis=1)
    entering[:, rank[pieces.firsts]] = start[:, None]
    _sweep_forward(scores, best, entering, reach, known=False)
    if len(follows):
        left = _leave(best, entering, reach, pieces)
        _sweep_forward(scores, best, left, reach, known=True)
        if not np.array_equal(_leave(best, left, reach, pieces), left):
            _mend(scores, best, left, reach, pieces)
    for group, result in zip(groups, results, strict=True):
        group[:] = result
    return packed


def _split_by_width(packed: np.ndarray, packing: Packing) -> list[np.ndarray]:
    """View packed rows [N, K] as groups of equally wide time steps [steps, K, width]."""
    changes = np.flatnonzero(packing.widths[1:] != packing.widths[:-1]) + 1
    rows = np.split(packed, packing.offsets[changes])
    widths = packing.widths[[0, *changes]].tolist()
    return [
        group.reshape(-1, width, group.shape[1]).transpose(0, 2, 1)
        for group, width in zip(rows, widths, strict=True)
    ]


def _leave(
    best: list[np.ndarray], entering: np.ndarray, reach: Reach, pieces: Pieces
) -> np.ndarray:
    """Find what enters each piece from its predecessor's last row; first pieces keep theirs."""
    left = np.empty_like(best[-1])
    reach(best[-1], left)
    result = entering.copy()
    rank, follows = pieces.packing.ranks, pieces.follows
    result[:, rank[follows]] = left[:, rank[follows - 1]]
    return result


def _mend(
    scores: list[np.ndarray],
    best: list[np.ndarray],
    entered: np.ndarray,
    reach: Reach,
    pieces: Pieces,
) -> None:
    """Run, one after the other, the pieces that were not entered by what their predecessor left."""
    packing = pieces.packing
    for piece in pieces.follows:
        own, before = (slice(rank, rank + 1) for rank in packing.ranks[[piece, piece - 1]])
        left = np.empty_like(entered[:, own])
        reach(best[-1][:, before], left)
        if not np.array_equal(left, entered[:, own]):
            own_scores = [step[:, own] for step in scores[: packing.lengths[piece]]]
            own_best = [step[:, own] for step in best[: packing.lengths[piece]]]
            _sweep_forward(own_scores, own_best, left, reach, known=True)


def _sweep_forward(
    scores: list[np.ndarray],
    best: list[np.ndarray],
    entering: np.ndarray,
    reach: Reach,
    *,
    known: bool,
) -> None:
    """Run all pieces from what enters them. With `known`, stop where `best` already holds that."""
    fresh = np.empty_like(entering)
    previous = entering
    for step, (score, stored) in enumerate(zip(scores, best, strict=True)):
        width = stored.shape[1]
        compare = known and step % STRIDE == 0
        here = fresh[:, :width] if compare else stored
        if step:
            reach(previous[:, :width], here)
        else:
            here[:] = entering
        here += score
        if step % STRIDE == 0:
            top = here.max(axis=0)
            here -= np.where(top == -math.inf, 0.0, top)
        if compare:
            if np.array_equal(here, stored):
                return
            stored[:] = here
        previous = stored


def _max_plus(transitions: np.ndarray, widest: int) -> Reach:
    """Make the function that finds, for scores [K from, w], the best way to each tag [K to, w]."""
    n_from, n_to = transitions.shape
    # shape: (K from, K to, 1)
    steps = transitions[:, :, None]
    few = NUMPY_CANDIDATES // max(1, transitions.size)
    size = max(1, min(n_to, BLOCK // max(1, n_from * widest)))
    split = torch.from_numpy(steps).split(size, dim=1)
    memory = torch.empty(n_from * size * widest, dtype=split[0].dtype)

    @cache
    def parts(width: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        block = memory[: n_from * size * width].view(n_from, size, width)
        return [(part, block[:, : part.shape[1]]) for part in split]

    def reach(previous: np.ndarray, result: np.ndarray) -> None:
        width = previous.shape[1]
        if width <= few:
            np.maximum.reduce(previous[:, None] + steps, axis=0, out=result)
            return
        origins = torch.from_numpy(previous)[:, None]
        target = torch.from_numpy(result)
        targets = (target,) if size == n_to else target.split(size)
        for (part, candidates), target in zip(parts(width), targets, strict=True):
            torch.add(origins, part, out=candidates)
            torch.amax(candidates, dim=0, out=target)

    return reach


def _sparse_max_plus(transitions: np.ndarray, widest: int) -> Reach:
    """Make the function of `_max_plus` from the transitions that are open, with equal results.

    In a tagging scheme an entity's inner tag follows two tags, and the others share the tags that
    they may follow. Where in addition all scores to a tag are equal, as those of a softmax are, one
    maximum serves for all.
    """
    is_open = transitions > -math.inf
    if is_open.all():
        return _max_plus(transitions, widest)
    few = is_open.sum(axis=0) <= FEW_ORIGINS
    # shape: (FEW_ORIGINS, n few); where there are fewer, closed transitions fill the columns up
    origins = np.zeros((FEW_ORIGINS, int(few.sum())), dtype=np.int64)
    targets, sources = np.nonzero(is_open[:, few].T)
    place = np.arange(len(targets)) - np.searchsorted(targets, targets)
    origins[place, targets] = sources
    scores = np.full(origins.shape, -math.inf, transitions.dtype)
    scores[place, targets] = transitions[:, few][sources, targets]
    shared = np.flatnonzero(is_open[:, ~few].any(axis=1))
    block = transitions[np.ix_(shared, ~few)]
    top = block.max(axis=0, initial=-math.inf)
    is_even = (block == top).all(axis=0)
    even, others = np.flatnonzero(~few)[is_even], np.flatnonzero(~few)[~is_even]
    reach_others = _max_plus(block[:, ~is_even], widest)

    def reach(previous: np.ndarray, result: np.ndarray) -> None:
        result[few] = (previous[origins] + scores[:, :, None]).max(axis=0)
        before = previous[shared]
        if len(even):
            result[even] = before.max(axis=0, initial=-math.inf) + top[is_even, None]
        if len(others):
            reached = np.empty((len(others), previous.shape[1]), previous.dtype)
            reach_others(before, reached)
            result[others] = reached

    return reach


def _trace_back(
    best: np.ndarray, pieces: Pieces, transitions: np.ndarray, end: np.ndarray
) -> np.ndarray:
    """Follow the best paths from their last tags to their first, given their scores [N, K]."""
    packing, follows = pieces.packing, pieces.follows
    rank = packing.ranks
    offsets = packing.offsets.tolist()
    into = np.ascontiguousarray(transitions.T)
    # shape: (P, K), by rank
    final = best[packing.last]
    # A tag for the last row of each piece: certain where the sequence ends, else a guess.
    leaving = final.argmax(axis=1)
    lasts = rank[np.append(pieces.firsts[1:], len(rank)) - 1]
    leaving[lasts] = (final[lasts] + end).argmax(axis=1)
    tags = np.empty(len(best), dtype=np.int64)
    _sweep_back(best, into, offsets, leaving, tags, known=False)
    if not len(follows):
        return tags
    # First rows are the first packed rows, by rank.
    ahead, behind = rank[follows], rank[follows - 1]
    leaving[behind] = (final[behind] + into[tags[ahead]]).argmax(axis=1)
    _sweep_back(best, into, offsets, leaving, tags, known=True)
    wanted = (final[behind] + into[tags[ahead]]).argmax(axis=1)
    if np.array_equal(wanted, leaving[behind]):
        return tags
    # The pieces that are left by another tag, one after the other, from the end of each sequence.
    for left, right in zip(behind[::-1], ahead[::-1], strict=True):
        tag = (final[left] + into[tags[right]]).argmax(keepdims=True)
        rows = packing.offsets[:-1] + left
        own = tags[rows]
        if own[-1] != tag:
            _sweep_back(best[rows], into, range(len(rows) + 1), tag, own, known=True)
            tags[rows] = own
    return tags


def _sweep_back(
    best: np.ndarray,
    into: np.ndarray,
    offsets: Sequence[int],
    leaving: np.ndarray,
    tags: np.ndarray,
    *,
    known: bool,
) -> None:
    """Trace all pieces back from their last tags. With `known`, stop where `tags` holds that."""
    after = tags[:0]
    origins = np.empty_like(best[: len(leaving)])
    for begin, stop in zip(offsets[-2::-1], offsets[:0:-1], strict=True):
        going_on = len(after)
        # shape: (going on, K)
        candidates = origins[:going_on]
        # "clip" is the mode that needs no buffer; no tag is out of range.
        np.take(into, after, axis=0, out=candidates, mode="clip")
        candidates += best[begin : begin + going_on]
        here = candidates.argmax(axis=1)
        if going_on < stop - begin:
            here = np.concatenate([here, leaving[going_on : stop - begin]])
        stored = tags[begin:stop]
        if known and np.array_equal(here, stored):
            return
        stored[:] = here
        after = here
