"""The log-partition, the score of a path, and the loss made of both, with exact gradients."""

import math
from collections.abc import Callable
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from .batch import Lengths, PackedBatch, check_lengths, check_shape, make_batch, result_dtype
from .sums import Sums


class Total(Protocol):
    """A number for each sequence whose derivatives by the scores are counts.

    batch (PackedBatch): The scores.
    total (Tensor): float64, by rank [A].
    """

    batch: PackedBatch
    total: Tensor

    def counts(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Count tags, packed rows [N, K], and pairs of tags [K, K], weighted by rank [A]."""


class OnePath:
    """The score of a path of each sequence, and how often the path uses tags.

    tags (Tensor): The tag of each flat row, int64 [N].
    batch (PackedBatch): The scores.
    RAISES: ValueError, if there is not one tag a row.
    """

    def __init__(self, tags: Tensor, batch: PackedBatch) -> None:
        check_shape("tags", tags, (len(batch.given),))
        packing = batch.packing
        self.batch = batch
        self.tags = tags.to(batch.device, torch.int64).index_select(0, batch.index)
        # shape: (N - A,), `from * K + to` into each row that has a row before it
        n_tags = len(batch.transitions)
        self.moves = self.tags[packing.before] * n_tags + self.tags[packing.after]
        last = self.tags[batch.last]
        rows = batch.given.gather(1, self.tags[:, None])[:, 0].double()
        moves = batch.transitions.view(-1)[self.moves]
        self.total = batch.start[self.tags[packing.first]] + batch.end[last]
        self.total.index_add_(0, batch.rank, rows)
        self.total.index_add_(0, batch.rank[packing.after], moves)

    def counts(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        tags = torch.zeros_like(self.batch.given, dtype=torch.float64)
        pairs = torch.zeros_like(self.batch.transitions)
        self.add_counts(weights, tags, pairs)
        return tags, pairs

    def add_counts(self, weights: Tensor, tags: Tensor, pairs: Tensor) -> None:
        """Add the path's counts to those of tags [N, K] and pairs [K, K], in place."""
        by_row = weights[self.batch.rank]
        tags.scatter_add_(1, self.tags[:, None], by_row[:, None])
        pairs.view(-1).index_add_(0, self.moves, by_row[self.batch.packing.after])


class Loss:
    """The log-partition less the score of a path, and expected less used tags."""

    def __init__(self, tags: Tensor, batch: PackedBatch) -> None:
        self.batch = batch
        self.path = OnePath(tags, batch)
        self.all = Sums(batch)
        self.total = _difference(self.all.total, self.path.total)

    def counts(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        weights = torch.where(self.path.total > -math.inf, weights, 0.0)
        tags, pairs = self.all.counts(weights)
        self.path.add_counts(-weights, tags, pairs)
        return tags, pairs


class _ByCounts(torch.autograd.Function):
    """A `Total` by sequence, float64 [B]; counts are its gradients, so it needs no graph."""

    @staticmethod
    def forward(ctx, make, lengths, emissions, start, transitions, end):
        # The batch may share memory with the scores: torch notices if they change in between.
        ctx.save_for_backward(emissions, start, transitions, end)
        batch = make_batch(emissions, lengths, start, transitions, end)
        ctx.total = make(batch)
        return batch.by_sequence(ctx.total.total).to(emissions.device)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        scores, batch = ctx.saved_tensors, ctx.total.batch
        tags, pairs = ctx.total.counts(batch.by_rank(grad))
        rows = batch.unpack(tags.to(scores[0].dtype))
        first, last = batch.packing.first, batch.last
        counts = rows, tags[first].sum(dim=0), pairs, tags[last].sum(dim=0)
        gradients = (x.to(grad.device, y.dtype) for x, y in zip(counts, scores, strict=True))
        return None, None, *gradients


def _by_counts(make: Callable[[PackedBatch], Total], lengths: Lengths, *scores: Tensor) -> Tensor:
    return _ByCounts.apply(make, lengths, *scores).to(result_dtype(*scores))


def _difference(log_z: Tensor, part: Tensor) -> Tensor:
    """Subtract a part of all paths from all; never negative, and +inf where that part is none."""
    return torch.where(part > -math.inf, log_z - part, math.inf).clamp(min=0.0)


def log_partition(
    emissions: Tensor, lengths: Lengths, start: Tensor, transitions: Tensor, end: Tensor
) -> Tensor:
    """Sum the weights of all tag sequences, in logs. Differentiable in all four tensors, once.

    The sum over allowed tags only is that of `emissions.masked_fill(~allowed, -inf)`.

    RETURNS (Tensor): [B], in nats. 0.0 for an empty sequence; -inf, with a gradient of zero, for
        one that has no allowed path.
    RAISES: ValueError, if shapes or lengths do not agree.
    """
    return _by_counts(Sums, lengths, emissions, start, transitions, end)


def path_score(
    emissions: Tensor,
    tags: Tensor,
    lengths: Lengths,
    start: Tensor,
    transitions: Tensor,
    end: Tensor,
) -> Tensor:
    """Score one tag sequence each. Differentiable in all four tensors, once.

    tags (Tensor): The tag of each row, int64 [N].
    RETURNS (Tensor): [B], in nats; 0.0 for an empty sequence.
    RAISES: ValueError, if shapes or lengths do not agree.
    """
    return _by_counts(partial(OnePath, tags), lengths, emissions, start, transitions, end)


def negative_log_likelihood(
    emissions: Tensor,
    lengths: Lengths,
    start: Tensor,
    transitions: Tensor,
    end: Tensor,
    *,
    tags: Tensor | None = None,
    allowed: Tensor | None = None,
) -> Tensor:
    """Compute -log P of a tag sequence, or of all sequences of allowed tags together.

    The difference is taken in float64 and is never negative. With `allowed` this is the marginal
    likelihood of a partially annotated sequence, log Z - log Z(allowed) (Tsuboi et al. 2008,
    "Training conditional random fields using incomplete annotations").

    tags (Tensor): The tag of each row, int64 [N]; or instead
    allowed (Tensor): The tags that each row may have, bool [N, K].
    RETURNS (Tensor): [B], in nats. +inf, with a gradient of zero, where no path is left.
    RAISES: ValueError, if shapes or lengths do not agree, or not exactly one of `tags` and
        `allowed` is given.
    """
    chain = start, transitions, end
    if tags is not None and allowed is None:
        return _by_counts(partial(Loss, tags), lengths, emissions, *chain)
    if allowed is None or tags is not None:
        got = "neither" if tags is None else "both"
        raise ValueError(f"tags, allowed: expected one of the two, got {got}")
    check_shape("allowed", allowed, tuple(emissions.shape))
    checked = check_lengths(lengths, len(emissions))
    closed = emissions.masked_fill(~allowed.to(emissions.device), -math.inf)
    # Both sums in one run, as if the batch were twice as large.
    rows = torch.cat([emissions, closed])
    both = _ByCounts.apply(Sums, np.tile(checked, 2), rows, *chain)
    loss = _difference(both[: len(checked)], both[len(checked) :])
    return loss.to(result_dtype(emissions, *chain))
