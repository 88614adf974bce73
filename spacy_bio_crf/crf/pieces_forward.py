"""The way forward of `pieces`: the score of the best path to each row and tag."""

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import torch

from .batch import Packing
from .pieces import STRIDE, Pieces

# Up to so many candidates (from tag, to tag, piece) NumPy is faster than torch, for a call of it
# costs less. Torch takes them in blocks that stay in a level-2 cache.
NUMPY_CANDIDATES = 2**13
BLOCK = 2**17

Reach = Callable[[np.ndarray, np.ndarray], None]


def score_forward(
    packed: np.ndarray, pieces: Pieces, start: np.ndarray, transitions: np.ndarray
) -> np.ndarray:
    """Find the score of the best path to each row and tag.

    packed (ndarray): Emissions, packed [N, K]; their memory is used for the result.
    pieces (Pieces): Their layout.
    start (ndarray): [K].
    transitions (ndarray): [K, K].
    RETURNS (ndarray): Packed [N, K], each row up to a constant.
    """
    n_tags = len(start)
    reach = _max_plus(transitions, pieces.packing.first.stop)
    # a time step is worked on as [K, width], so that the inner loop runs over pieces
    by_step = [
        packed[rows].reshape(steps, width, n_tags).transpose(0, 2, 1)
        for rows, steps, width in _equal_widths(pieces.packing)
    ]
    stored = [np.empty(run.shape, run.dtype) for run in by_step]
    scores = [step for run in by_step for step in np.ascontiguousarray(run)]
    best = [step for run in stored for step in run]

    # shape: (K, P), by rank; a piece whose predecessor is unknown is entered evenly
    entering = np.repeat(transitions.max(axis=0)[:, None], len(pieces.rank), axis=1)
    entering[:, pieces.rank[pieces.firsts]] = start[:, None]
    _sweep(scores, best, entering, reach, known=False)
    if len(pieces.follows):
        left = _leave(best, entering, reach, pieces)
        _sweep(scores, best, left, reach, known=True)
        if not np.array_equal(_leave(best, left, reach, pieces), left):
            _mend(scores, best, left, transitions, pieces)
    for run, result in zip(by_step, stored, strict=True):
        run[:] = result
    return packed


def _sweep(
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
            _lower(here)
        if compare:
            if np.array_equal(here, stored):
                return
            stored[:] = here
        previous = stored


def _leave(
    best: list[np.ndarray], entering: np.ndarray, reach: Reach, pieces: Pieces
) -> np.ndarray:
    """Find what enters each piece from its predecessor's last row; first pieces keep theirs."""
    left = np.empty_like(best[-1])
    reach(best[-1], left)
    result = entering.copy()
    result[:, pieces.rank[pieces.follows]] = left[:, pieces.rank[pieces.follows - 1]]
    return result


def _mend(
    scores: list[np.ndarray],
    best: list[np.ndarray],
    entered: np.ndarray,
    transitions: np.ndarray,
    pieces: Pieces,
) -> None:
    """Run, one after the other, the pieces that were not entered by what their predecessor left."""
    for piece in pieces.follows:
        column, predecessor = pieces.rank[piece], pieces.rank[piece - 1]
        # shape: (K,)
        here = (best[-1][:, predecessor, None] + transitions).max(axis=0)
        if np.array_equal(here, entered[:, column]):
            continue
        for step, (score, stored) in enumerate(zip(scores, best, strict=True)):
            if column >= stored.shape[1]:
                break
            if step:
                here = (here[:, None] + transitions).max(axis=0)
            here = here + score[:, column]
            if step % STRIDE == 0:
                _lower(here)
                if np.array_equal(here, stored[:, column]):
                    break
            stored[:, column] = here


def _lower(scores: np.ndarray) -> None:
    """Subtract the maximum over tags, if there is one, from scores [K, ...] in place."""
    top = scores.max(axis=0)
    scores -= np.where(top == -math.inf, 0.0, top)


def _max_plus(transitions: np.ndarray, widest: int) -> Reach:
    """Make the function that finds, for scores [K, w], the best way to each tag, into [K, w]."""
    n_tags = len(transitions)
    # shape: (K from, K to, 1)
    steps = transitions[:, :, None]
    few = NUMPY_CANDIDATES // transitions.size
    size = max(1, min(n_tags, BLOCK // (n_tags * widest)))
    memory = np.empty(n_tags * max(n_tags * few, size * widest), transitions.dtype)
    torch_memory = torch.from_numpy(memory)
    split = torch.from_numpy(steps).split(size, dim=1)

    @cache
    def scratch(width: int) -> np.ndarray:
        return memory[: transitions.size * width].reshape(n_tags, n_tags, width)

    @cache
    def parts(width: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        block = torch_memory[: n_tags * size * width].view(n_tags, size, width)
        return [(part, block[:, : part.shape[1]]) for part in split]

    def reach(previous: np.ndarray, result: np.ndarray) -> None:
        width = previous.shape[1]
        if width <= few:
            candidates = scratch(width)
            np.add(previous[:, None], steps, out=candidates)
            np.maximum.reduce(candidates, axis=0, out=result)
            return
        origins = torch.from_numpy(previous)[:, None]
        target = torch.from_numpy(result)
        targets = (target,) if size == n_tags else target.split(size)
        for (part, block), target in zip(parts(width), targets, strict=True):
            torch.add(origins, part, out=block)
            torch.amax(block, dim=0, out=target)

    return reach


def _equal_widths(packing: Packing) -> list[tuple[slice, int, int]]:
    """Find runs of equally wide time steps: their packed rows, how many steps, how wide."""
    changes = np.flatnonzero(packing.widths[1:] != packing.widths[:-1]) + 1
    bounds = [0, *changes.tolist(), len(packing.widths)]
    return [
        (slice(int(packing.offsets[begin]), int(packing.offsets[stop])), stop - begin, width)
        for begin, stop, width in zip(
            bounds[:-1], bounds[1:], packing.widths[bounds[:-1]].tolist(), strict=True
        )
    ]
