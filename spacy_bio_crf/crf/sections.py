"""The sum over all paths of a batch; section by section where sequences are long.

All rows' messages of a document of a million tokens would take a gigabyte. Time is therefore cut
into sections, each of which is a batch by itself: what can have come before it enters as a start
score of each tag, what may follow as an end score.

    start'(j) = log Σ_i exp(alpha_before(i) + A(i, j))
    end'(i)   = log Σ_j exp(A(i, j) + e_after(j) + beta_after(j))

Forwards only the messages between sections are kept; backwards each section is computed again
(checkpoints in time, as Griewank 1992, "Achieving logarithmic growth of temporal and spatial
complexity in reverse automatic differentiation", section 2, has them on one level).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from . import messages
from .batch import TUNING, PackedBatch, Packing, prefers_tree
from .log_space import blocks
from .messages import Sums


@dataclass(frozen=True)
class SectionedSums:
    """The sums over all paths of a batch, and what was kept on the way to them.

    batch (PackedBatch): The scores.
    log_z (Tensor): Log-partitions in float64, by rank [A].
    bounds (list[int]): Time steps at which sections begin; at the end that of the last one's end.
    before (list[Tensor | None]): For each section log alpha of the rows before it, which add up to
        one a row, by rank [width, K]; None for the first.
    last (Sums): The last section's.
    """

    batch: PackedBatch
    log_z: torch.Tensor
    bounds: list[int]
    before: list[torch.Tensor | None]
    last: Sums


AnySums = Sums | SectionedSums


def sum_paths(batch: PackedBatch) -> AnySums:
    """Sum over all paths of each sequence.

    batch (PackedBatch): The scores.
    RETURNS (Sums | SectionedSums): The sums.
    """
    if prefers_tree(batch.device):
        return messages.sum_paths(batch)
    bounds = choose_bounds(batch.packing)
    if len(bounds) < 3:
        return messages.sum_paths(batch)
    log_z = torch.full((batch.packing.first.stop,), -math.inf, dtype=torch.float64)
    # what the rows before a section add to the sum, by rank
    so_far = torch.zeros_like(log_z)
    before: list[torch.Tensor | None] = [None]
    for begin, stop in zip(bounds[:-2], bounds[1:-1], strict=True):
        # whatever may follow, the sum of the rows so far is wanted
        going_on = int(batch.packing.widths[stop])
        leaving = torch.zeros((going_on, batch.given.shape[1]), dtype=torch.float64)
        sums = messages.sum_paths(_section(batch, begin, stop, before[-1], leaving))
        so_far = so_far[: len(sums.log_z)] + sums.log_z
        log_z[going_on : len(so_far)] = so_far[going_on:]
        so_far = so_far[:going_on]
        lasts = torch.from_numpy(sums.batch.packing.last[:going_on])
        before.append(_normalise(messages.log_alpha(sums, lasts)))
    last = messages.sum_paths(_section(batch, bounds[-2], bounds[-1], before[-1], None))
    log_z[: len(last.log_z)] = so_far + last.log_z
    return SectionedSums(batch, log_z, bounds, before, last)


def expected_counts(
    sums: AnySums, sequence_weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Count how often tags and pairs of tags are expected, weighted by sequence.

    sums (Sums | SectionedSums): The sums over all paths.
    sequence_weights (Tensor): float64, by rank [A].
    RETURNS (Tuple[Tensor, Tensor]): Of tags, packed rows [N, K], and of pairs, from and to [K, K].
        A sequence that has no path counts nothing.
    """
    if isinstance(sums, Sums):
        return messages.expected_counts(sums, sequence_weights)
    batch = sums.batch
    tags = torch.empty(batch.given.shape, dtype=torch.float64)
    pairs = torch.zeros_like(batch.transitions)
    for rows, before, section in _backwards(sums):
        width = len(section.log_z)
        tags[rows], inside = messages.expected_counts(section, sequence_weights[:width])
        pairs += inside
        if before is not None:
            pairs += _pairs_between(before, batch.transitions, tags[rows][:width])
    return tags, pairs


def log_messages(sums: AnySums) -> tuple[torch.Tensor, torch.Tensor]:
    """Give both messages in logs, packed [N, K], each row up to a constant. A row's own emission is
    part of alpha."""
    if isinstance(sums, Sums):
        return messages.log_messages(sums)
    log_alpha = torch.empty(sums.batch.given.shape, dtype=torch.float64)
    log_beta = torch.empty_like(log_alpha)
    for rows, _, section in _backwards(sums):
        log_alpha[rows], log_beta[rows] = messages.log_messages(section)
    return log_alpha, log_beta


def log_messages_at(
    sums: AnySums, rows: np.ndarray
) -> Iterator[tuple[np.ndarray, torch.Tensor, torch.Tensor]]:
    """Give both messages of some rows in logs, those of a section at a time.

    sums (Sums | SectionedSums): The sums over all paths.
    rows (ndarray): Which packed rows are wanted, int64 [R].
    YIELDS (Tuple[ndarray, Tensor, Tensor]): Places in `rows`, in rising order, int64 [r], with log
        alpha and log beta [r, K], each row up to a constant.
    """
    if isinstance(sums, Sums):
        wanted = torch.from_numpy(rows).to(sums.batch.device)
        yield np.arange(len(rows)), *messages.log_messages(sums, wanted)
        return
    for own, _, section in _backwards(sums):
        inside = np.flatnonzero((rows >= own.start) & (rows < own.stop))
        wanted = torch.from_numpy(rows[inside] - own.start)
        yield inside, *messages.log_messages(section, wanted)


def choose_bounds(packing: Packing) -> list[int]:
    """Choose the time steps at which sections begin, and at the end that of the last one's end.

    packing (Packing): The layout of a batch.
    RETURNS (list[int]): Two for a batch that stays whole; none for one without rows.
    """
    n_steps = len(packing.widths)
    if len(packing.index) <= TUNING.section_rows:
        return [0, n_steps] if n_steps else []
    bounds = [0]
    while bounds[-1] < n_steps:
        most = packing.offsets[bounds[-1]] + TUNING.section_rows
        stop = int(np.searchsorted(packing.offsets, most, side="right")) - 1
        bounds.append(min(n_steps, max(stop, bounds[-1] + TUNING.section_steps)))
    return bounds


def _backwards(sums: SectionedSums) -> Iterator[tuple[slice, torch.Tensor | None, Sums]]:
    """Go through the sections, last one first: packed rows, what came before, and their sums."""
    batch, offsets = sums.batch, sums.batch.packing.offsets
    section, leaving = sums.last, None
    for begin, stop, before in zip(
        sums.bounds[-2::-1], sums.bounds[:0:-1], sums.before[::-1], strict=True
    ):
        if leaving is not None:
            section = messages.sum_paths(_section(batch, begin, stop, before, leaving))
        yield slice(int(offsets[begin]), int(offsets[stop])), before, section
        if begin == 0:
            return
        first = section.batch.packing.first
        _, log_beta = messages.log_messages(section, first)
        onward = section.batch.given[first] + log_beta
        leaving = _normalise(_move(onward, batch.transitions.T))


def _section(
    batch: PackedBatch,
    begin: int,
    stop: int,
    before: torch.Tensor | None,
    leaving: torch.Tensor | None,
) -> PackedBatch:
    """Cut out time steps; log messages of the rows before and scores of what follows, by rank."""
    packing = batch.packing
    offsets = packing.offsets[begin : stop + 1] - packing.offsets[begin]
    width = int(packing.widths[begin])
    lengths = np.minimum(packing.lengths[packing.order[:width]], stop) - begin
    index = np.arange(offsets[-1])
    start, end = batch.start, batch.end
    if before is not None:
        start = _move(before, batch.transitions)
    if leaving is not None:
        end = torch.cat([leaving, batch.end.expand(width - len(leaving), -1)])
    return PackedBatch(
        Packing(
            order=np.arange(width),
            lengths=lengths,
            index=index,
            widths=packing.widths[begin:stop],
            offsets=offsets,
        ),
        batch.given[int(packing.offsets[begin]) : int(packing.offsets[stop])],
        start,
        batch.transitions,
        end,
    )


def _normalise(logs: torch.Tensor) -> torch.Tensor:
    """Let the weights of each row add up to one; a row of -inf stays."""
    total = torch.logsumexp(logs, dim=1, keepdim=True)
    return logs - total.masked_fill(total == -math.inf, 0.0)


def _move(logs: torch.Tensor, transitions: torch.Tensor) -> torch.Tensor:
    """Log weights [A, K] after a transition, from and to [K, K]."""
    result = torch.empty_like(logs)
    for block in blocks(len(logs), transitions.numel()):
        result[block] = torch.logsumexp(logs[block, :, None] + transitions, dim=1)
    return result


def _pairs_between(
    before: torch.Tensor, transitions: torch.Tensor, tags: torch.Tensor
) -> torch.Tensor:
    """Count pairs [K, K] of tags before [A, K] and first tags of a section: of each sequence
    P(y_t = j) P(y_{t-1} = i | y_t = j), the first weighted."""
    pairs = torch.zeros_like(transitions)
    for block in blocks(len(before), transitions.numel()):
        # shape: (block, K from, K to)
        share = torch.softmax(before[block, :, None] + transitions, dim=1).nan_to_num_(0.0)
        pairs += (share * tags[block, None, :]).sum(dim=0)
    return pairs
