"""The sum over all paths of a batch; section by section where sequences are long.

Together, the messages of all rows of a document of a million tokens would take a gigabyte. Time is
therefore cut into sections, each of which is a batch by itself: what can have come before enters as
a start score of each tag, what may follow as an end score.

    start'(j) = log Σ_i exp(alpha_before(i) + A(i, j))
    end'(i)   = log Σ_j exp(A(i, j) + e_after(j) + beta_after(j))

Forwards, only the messages between sections are kept; backwards, each section is computed again
(checkpoints in time, as Griewank 1992, "Achieving logarithmic growth of temporal and spatial
complexity in reverse automatic differentiation", section 2, has them on one level). A batch that
fits is one section.
"""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from .batch import TUNING, PackedBatch, Packing, prefers_tree
from .logs import LogMessages, blocks
from .scaled import ScaledMessages, Underflow
from .tree import TreeMessages

Messages = LogMessages | ScaledMessages
Answer = TypeVar("Answer")


class Section:
    """The messages of a section, in logs where float64 does not reach.

    The methods are those of `LogMessages`. Nothing but a section handles `Underflow`.
    """

    def __init__(self, batch: PackedBatch) -> None:
        self.batch = batch
        self._messages: Messages | None = None
        self.log_z = self._ask(lambda messages: messages.log_z)

    def counts(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        return self._ask(lambda messages: messages.counts(weights))

    def logs(self, rows: Tensor | slice) -> tuple[Tensor, Tensor]:
        return self._ask(lambda messages: messages.logs(rows))

    def log_alpha(self, rows: Tensor) -> Tensor:
        return self._ask(lambda messages: messages.log_alpha(rows))

    def _ask(self, question: Callable[[Messages], Answer]) -> Answer:
        try:
            if self._messages is None:
                fast = TreeMessages if prefers_tree(self.batch.device) else ScaledMessages
                self._messages = fast(self.batch)
            return question(self._messages)
        except Underflow:
            self._messages = LogMessages(self.batch)
            return question(self._messages)


class Sums:
    """The sum over all paths of each sequence.

    batch (PackedBatch): The scores.
    log_z (Tensor): Log-partitions in float64, by rank [A].
    """

    def __init__(self, batch: PackedBatch) -> None:
        self.batch = batch
        self._bounds = choose_bounds(batch.packing, batch.device)
        # Log alpha of the rows before each section, by rank [width, K]; None for the first one.
        self._before: list[Tensor | None] = [None]
        # The sums up to a section, of the sequences that end there and of those that go on.
        ended: list[Tensor] = []
        so_far = torch.zeros(batch.packing.first.stop, dtype=torch.float64)
        for begin, stop in pairwise(self._bounds[:-1]):
            going_on = int(batch.packing.widths[stop])
            # The sum of the rows so far is wanted, whatever may follow.
            leaving = torch.zeros((going_on, batch.given.shape[1]), dtype=torch.float64)
            section = Section(self._cut(begin, stop, self._before[-1], leaving))
            total = so_far[: len(section.log_z)] + section.log_z
            ended.append(total[going_on:])
            so_far = total[:going_on]
            lasts = torch.from_numpy(section.batch.packing.last[:going_on])
            self._before.append(_normalize_logs(section.log_alpha(lasts)))
        begin, stop = self._bounds[-2:]
        self._last = Section(self._cut(begin, stop, self._before[-1], None))
        self.log_z = self._last.log_z
        if ended:
            total = so_far[: len(self.log_z)] + self.log_z
            self.log_z = torch.cat([total, *reversed(ended)])

    def counts(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """As `LogMessages.counts`."""
        if self._last.batch is self.batch:
            return self._last.counts(weights)
        tags = torch.empty(self.batch.given.shape, dtype=torch.float64)
        pairs = torch.zeros_like(self.batch.transitions)
        for rows, before, section in self._backwards():
            own = weights[: len(section.log_z)]
            tags[rows], inside = section.counts(own)
            pairs += inside
            if before is not None:
                pairs += _pairs_between(before, self.batch.transitions, tags[rows][: len(own)])
        return tags, pairs

    def logs_at(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, Tensor, Tensor]]:
        """Give the messages of packed rows, int64 [R], those of a section at a time.

        YIELDS (tuple[ndarray, Tensor, Tensor]): Places in `rows`, in rising order, int64 [r], with
            log alpha and log beta [r, K], each row up to a constant.
        """
        for own, _, section in self._backwards():
            inside = np.flatnonzero((rows >= own.start) & (rows < own.stop))
            wanted = torch.from_numpy(rows[inside] - own.start).to(self.batch.device)
            yield inside, *section.logs(wanted)

    def _backwards(self) -> Iterator[tuple[slice, Tensor | None, Section]]:
        """Go through the sections, last one first: packed rows, what came before, and messages."""
        offsets = self.batch.packing.offsets
        section, leaving = self._last, None
        bounds = list(pairwise(self._bounds))
        for (begin, stop), before in zip(reversed(bounds), reversed(self._before), strict=True):
            if leaving is not None:
                section = Section(self._cut(begin, stop, before, leaving))
            yield slice(int(offsets[begin]), int(offsets[stop])), before, section
            if begin:
                first = section.batch.packing.first
                _, log_beta = section.logs(first)
                onward = section.batch.given[first] + log_beta
                leaving = _normalize_logs(_move(onward, self.batch.transitions.T))

    def _cut(
        self, begin: int, stop: int, before: Tensor | None, leaving: Tensor | None
    ) -> PackedBatch:
        """Cut out time steps; log messages of the rows before, scores of what follows, by rank."""
        batch, packing = self.batch, self.batch.packing
        if len(self._bounds) == 2:
            return batch
        offsets = packing.offsets[begin : stop + 1]
        width = int(packing.widths[begin])
        start, end = batch.start, batch.end
        if before is not None:
            start = _move(before, batch.transitions)
        if leaving is not None:
            end = torch.cat([leaving, batch.end.expand(width - len(leaving), -1)])
        own = Packing(
            order=np.arange(width),
            lengths=np.minimum(packing.lengths[packing.order[:width]], stop) - begin,
            index=np.arange(offsets[-1] - offsets[0]),
            widths=packing.widths[begin:stop],
            offsets=offsets - offsets[0],
        )
        rows = batch.given[int(offsets[0]) : int(offsets[-1])]
        return PackedBatch(own, rows, start, batch.transitions, end)


def choose_bounds(packing: Packing, device: torch.device) -> list[int]:
    """Choose the time steps at which sections begin, and the last one's end."""
    n_steps = len(packing.widths)
    if prefers_tree(device) or len(packing.index) <= TUNING.section_rows:
        return [0, n_steps]
    bounds = [0]
    while bounds[-1] < n_steps:
        most = packing.offsets[bounds[-1]] + TUNING.section_rows
        stop = int(np.searchsorted(packing.offsets, most, side="right")) - 1
        bounds.append(min(n_steps, max(stop, bounds[-1] + TUNING.section_steps)))
    return bounds


def _normalize_logs(logs: Tensor) -> Tensor:
    """Let the weights of each row add up to one; a row of -inf stays."""
    total = torch.logsumexp(logs, dim=1, keepdim=True)
    return logs - total.masked_fill(total == -math.inf, 0.0)


def _move(logs: Tensor, transitions: Tensor) -> Tensor:
    """Log weights [A, K] after a transition, from and to [K, K]."""
    result = torch.empty_like(logs)
    for block in blocks(len(logs), transitions.numel()):
        result[block] = torch.logsumexp(logs[block, :, None] + transitions, dim=1)
    return result


def _pairs_between(before: Tensor, transitions: Tensor, tags: Tensor) -> Tensor:
    """Count pairs [K, K] of tags before [A, K] and first tags of a section: of each sequence
    P(y_t = j) P(y_{t-1} = i | y_t = j), the first weighted."""
    pairs = torch.zeros_like(transitions)
    for block in blocks(len(before), transitions.numel()):
        # shape: (block, K from, K to)
        share = torch.softmax(before[block, :, None] + transitions, dim=1).nan_to_num_(0.0)
        pairs += (share * tags[block, None, :]).sum(dim=0)
    return pairs
