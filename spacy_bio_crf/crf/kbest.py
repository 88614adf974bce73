"""The k best paths of each sequence, with their probabilities."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from .batch import Lengths, first_rows, make_batch, make_packing
from .sums import Sums

# Entries of the largest temporary array.
CANDIDATES = 2**22


@dataclass(frozen=True)
class ScoredPath:
    """One of the best paths of a sequence.

    tags (ndarray): Its tag ids, int64 [n].
    score (float): Its score, in nats.
    log_probability (float): log P(y | x), in nats.
    """

    tags: np.ndarray
    score: float
    log_probability: float


def kbest(
    emissions: torch.Tensor,
    lengths: Lengths,
    start: torch.Tensor,
    transitions: torch.Tensor,
    end: torch.Tensor,
    *,
    k: int,
) -> list[list[ScoredPath]]:
    """Find the k best paths of each sequence.

    Viterbi with k survivors for each tag (Seshadri and Sundberg 1994, "List Viterbi decoding
    algorithms with applications"). Computed on the CPU, in float64.

    emissions (Tensor): [N, K].
    lengths (Tensor, ndarray or list): [B].
    start (Tensor): [K].
    transitions (Tensor): [K, K].
    end (Tensor): [K].
    k (int): How many paths, one or more.
    RETURNS (List[List[ScoredPath]]): For each sequence its paths, best first. There are fewer than
        k where fewer are allowed, none where none is, and one of no tags for an empty sequence.
    RAISES: ValueError, if shapes or lengths do not agree or k is less than one.
    """
    if k < 1:
        raise ValueError(f"k: expected 1 or more, got {k}")
    scores = [x.detach().cpu() for x in (emissions, start, transitions, end)]
    batch = make_batch(scores[0], lengths, *scores[1:])
    log_z = batch.by_sequence(Sums(batch).total).tolist()
    rows, *rest = (x.double().numpy() for x in scores)
    chain = rest[0], rest[1], rest[2]
    results: list[list[ScoredPath]] = []
    width = max(1, CANDIDATES // (k * transitions.numel()))
    for begin, part in _groups(batch.packing.lengths, width):
        found = _best_of_group(rows[begin : begin + part.sum()], part, *chain, k=k)
        for paths in found:
            normaliser = log_z[len(results)]
            results.append(
                [ScoredPath(tags, score, min(score - normaliser, 0.0)) for tags, score in paths]
            )
    return results


def _groups(lengths: np.ndarray, size: int) -> Iterator[tuple[int, np.ndarray]]:
    """Split a batch into groups of so many sequences: first flat row and lengths of each."""
    firsts = first_rows(lengths)
    for begin in range(0, len(lengths), size):
        yield int(firsts[begin]), lengths[begin : begin + size]


def _best_of_group(
    rows: np.ndarray,
    lengths: np.ndarray,
    start: np.ndarray,
    transitions: np.ndarray,
    end: np.ndarray,
    *,
    k: int,
) -> list[list[tuple[np.ndarray, float]]]:
    packing = make_packing(lengths)
    best, origin = _survivors(rows[packing.index], packing.offsets.tolist(), start, transitions, k)
    n_alive, n_states = packing.first.stop, len(start) * k
    # shape: (A, K * k), by rank; a state is a tag and a place among its survivors
    final = (best[packing.last] + end[:, None]).reshape(n_alive, n_states)
    order = np.argsort(-final, axis=1, kind="stable")[:, :k]
    scores = np.take_along_axis(final, order, axis=1)
    states = np.empty((len(rows), order.shape[1]), dtype=np.int64)
    after = states[:0]
    for begin, stop in zip(packing.offsets[-2::-1], packing.offsets[:0:-1], strict=True):
        here = states[begin:stop]
        going_on = len(after)
        here[going_on:] = order[going_on : stop - begin]
        # the origins stand with the later row: same rank, one step on
        here[:going_on] = np.take_along_axis(
            origin[stop : stop + going_on].reshape(going_on, n_states), after, axis=1
        )
        after = here
    flat = np.empty_like(states)
    flat[packing.index] = states // k
    results: list[list[tuple[np.ndarray, float]]] = []
    rank = np.empty_like(packing.order)
    rank[packing.order] = np.arange(len(lengths))
    for first, length, place in zip(first_rows(lengths), lengths, rank, strict=True):
        if length == 0:
            results.append([(np.empty(0, dtype=np.int64), 0.0)])
            continue
        possible = np.flatnonzero(scores[place] > -np.inf)
        tags = flat[first : first + length]
        results.append([(tags[:, i].copy(), float(scores[place, i])) for i in possible])
    return results


def _survivors(
    rows: np.ndarray, offsets: list[int], start: np.ndarray, transitions: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k best ways to each row and tag, and the state of the row before on each.

    rows (ndarray): Packed emissions [N, K].
    RETURNS (Tuple[ndarray, ndarray]): Scores, best first, and states, packed [N, K, k].
    """
    n_tags = len(start)
    best = np.full((*rows.shape, k), -np.inf)
    origin = np.zeros((*rows.shape, k), dtype=np.int32)
    before = best[:0]
    for step, (begin, stop) in enumerate(zip(offsets[:-1], offsets[1:], strict=True)):
        here = best[begin:stop]
        if step == 0:
            here[:, :, 0] = start + rows[begin:stop]
        else:
            width = stop - begin
            # shape: (width, K from * k, K to)
            candidates = before[:width, :, :, None] + transitions[:, None, :]
            candidates = candidates.reshape(width, n_tags * k, n_tags)
            for place in range(k):
                # shape: (width, 1, K to)
                chosen = candidates.argmax(axis=1)[:, None]
                here[:, :, place] = np.take_along_axis(candidates, chosen, axis=1)[:, 0]
                origin[begin:stop, :, place] = chosen[:, 0]
                np.put_along_axis(candidates, chosen, -np.inf, axis=1)
            here += rows[begin:stop, :, None]
        before = here
    return best, origin
