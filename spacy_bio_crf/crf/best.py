"""The best path and the k best paths of each sequence."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from .batch import (
    Lengths,
    PackedBatch,
    check_batch,
    computing_device,
    make_batch,
    prefers_tree,
    result_dtype,
)
from .likelihood import score_paths
from .logs import blocks
from .pieces import decode_in_pieces
from .sums import Sums
from .tree import decode_by_tree


def viterbi(
    emissions: Tensor, lengths: Lengths, start: Tensor, transitions: Tensor, end: Tensor
) -> tuple[Tensor, Tensor]:
    """Find the best tag sequence of each sequence (Viterbi 1967; Rabiner 1989, section III.B).

    Of equally good paths the one with the lowest last tag is taken, then with the lowest tag before
    that, and so on. A sequence's tags do not depend on what else is in the batch.

    RETURNS (tuple[Tensor, Tensor]): Tag ids int64 [N], and scores [B] (0.0 for an empty sequence).
        Where no path is allowed the score is -inf and the tags mean nothing.
    """
    checked = check_batch(emissions, lengths, start, transitions, end)
    dtype = result_dtype(emissions, start, transitions, end)
    device = computing_device(emissions)
    scores = [x.detach() for x in (emissions, start, transitions, end)]
    if prefers_tree(device):
        batch = make_batch(scores[0], checked, *scores[1:])
        tags = batch.unpack(decode_by_tree(batch))
    else:
        arrays = (x.to(device, dtype).numpy() for x in scores)
        tags = torch.from_numpy(decode_in_pieces(*arrays, lengths=checked))
    totals = score_paths(tags, scores[0], checked, *scores[1:])
    return tags.to(emissions.device), totals.to(emissions.device, dtype)


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
    emissions: Tensor,
    lengths: Lengths,
    start: Tensor,
    transitions: Tensor,
    end: Tensor,
    *,
    k: int,
) -> list[list[ScoredPath]]:
    """Find the k best paths of each sequence.

    Viterbi with k survivors for each tag (Seshadri and Sundberg 1994, "List Viterbi decoding
    algorithms with applications"). Computed on the CPU, in float64.

    k (int): How many paths, one or more.
    RETURNS (list[list[ScoredPath]]): For each sequence its paths, best first. There are fewer than
        k where fewer are allowed, none where none is, and one of no tags for an empty sequence.
    RAISES: ValueError, if k is less than one.
    """
    if k < 1:
        raise ValueError(f"k: expected 1 or more, got {k}")
    on_cpu = [x.detach().cpu() for x in (emissions, start, transitions, end)]
    batch = make_batch(on_cpu[0], lengths, *on_cpu[1:])
    packing = batch.packing
    log_z = batch.by_sequence(Sums(batch).log_z).tolist()
    states, scores = _best_states(batch, k)
    tags = np.empty_like(states)
    tags[packing.index] = states // k
    results: list[list[ScoredPath]] = []
    by_sequence = np.split(tags, np.cumsum(packing.lengths))[:-1]
    for own, rank, normalizer in zip(by_sequence, packing.ranks, log_z, strict=True):
        # An empty sequence has one path, which has no tags.
        found = scores[rank].tolist() if len(own) else [0.0]
        paths = [
            ScoredPath(own[:, place].copy(), score, min(score - normalizer, 0.0))
            for place, score in enumerate(found)
            if score > -math.inf
        ]
        results.append(paths)
    return results


def _best_states(batch: PackedBatch, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Trace the k best paths back: states, packed, int64 [N, k], and scores, by rank [A, k].

    A state is a tag, times k, plus a place among its survivors.
    """
    packing = batch.packing
    best, origin = _survivors(batch, k)
    # shape: (A, K * k)
    final = (best[packing.last] + batch.end.numpy()[:, None]).reshape(-1, k * len(batch.end))
    order = np.argsort(-final, axis=1, kind="stable")[:, :k]
    states = np.empty((len(best), k), dtype=np.int64)
    after = states[:0]
    for begin, stop in zip(packing.offsets[-2::-1], packing.offsets[:0:-1], strict=True):
        here = states[begin:stop]
        going_on = len(after)
        here[going_on:] = order[going_on : stop - begin]
        # The origins belong to the later row: same rank, one step on.
        later = origin[stop : stop + going_on].reshape(going_on, final.shape[1])
        here[:going_on] = np.take_along_axis(later, after, axis=1)
        after = here
    return states, np.take_along_axis(final, order, axis=1)


def _survivors(batch: PackedBatch, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the k best ways to each row and tag: scores, best first, and states before [N, K, k]."""
    packing, rows, transitions = batch.packing, batch.emissions.numpy(), batch.transitions.numpy()
    n_tags = len(transitions)
    best = np.full((*rows.shape, k), -np.inf)
    origin = np.zeros((*rows.shape, k), dtype=np.int32)
    best[packing.first, :, 0] = batch.start.numpy() + rows[packing.first]
    before = best[packing.first]
    for begin, stop in pairwise(packing.offsets[1:].tolist()):
        here = best[begin:stop]
        for block in blocks(stop - begin, k * transitions.size):
            # shape: (width, K from * k, K to)
            candidates = before[: stop - begin][block, :, :, None] + transitions[:, None, :]
            candidates = candidates.reshape(-1, n_tags * k, n_tags)
            for place in range(k):
                # shape: (width, 1, K to)
                chosen = candidates.argmax(axis=1)[:, None]
                here[block, :, place] = np.take_along_axis(candidates, chosen, axis=1)[:, 0]
                origin[begin:stop][block, :, place] = chosen[:, 0]
                np.put_along_axis(candidates, chosen, -np.inf, axis=1)
        here += rows[begin:stop, :, None]
        before = here
    return best, origin
