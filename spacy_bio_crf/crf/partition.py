"""The log-partition, the score of a path and the loss made of both, with exact gradients."""

import math
from typing import Any

import numpy as np
import torch

from .batch import (
    Lengths,
    PackedBatch,
    check_lengths,
    make_batch,
    result_dtype,
)
from .paths import add_used_counts, make_paths, score_paths
from .sections import expected_counts, sum_paths


class _LogPartition(torch.autograd.Function):
    """log Z. Its gradients are expected counts, so the recurrence needs no graph."""

    @staticmethod
    def forward(ctx, lengths, emissions, start, transitions, end):
        ctx.save_for_backward(emissions, start, transitions, end)
        batch = make_batch(emissions, lengths, start, transitions, end)
        ctx.sums = sum_paths(batch)
        ctx.dtypes = [x.dtype for x in (emissions, start, transitions, end)]
        return batch.by_sequence(ctx.sums.log_z).to(emissions.device)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        _check_unchanged(ctx)
        batch = ctx.sums.batch
        counts = expected_counts(ctx.sums, batch.by_rank(grad))
        return None, *_gradients(*counts, batch, grad.device, ctx.dtypes)


class _PathScore(torch.autograd.Function):
    """The score of given paths. Its gradients are the counts of what the paths used."""

    @staticmethod
    def forward(ctx, tags, lengths, emissions, start, transitions, end):
        ctx.save_for_backward(emissions, start, transitions, end)
        ctx.batch = make_batch(emissions, lengths, start, transitions, end)
        ctx.paths = make_paths(tags, ctx.batch)
        ctx.dtypes = [x.dtype for x in (emissions, start, transitions, end)]
        scores = score_paths(ctx.paths, ctx.batch)
        return ctx.batch.by_sequence(scores).to(emissions.device)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        _check_unchanged(ctx)
        batch = ctx.batch
        tags = torch.zeros_like(batch.given, dtype=torch.float64)
        counts = tags, torch.zeros_like(batch.transitions)
        add_used_counts(ctx.paths, batch, batch.by_rank(grad), *counts)
        return None, None, *_gradients(*counts, batch, grad.device, ctx.dtypes)


class _Loss(torch.autograd.Function):
    """log Z less the score of given paths. Its gradients are expected less used counts."""

    @staticmethod
    def forward(ctx, tags, lengths, emissions, start, transitions, end):
        ctx.save_for_backward(emissions, start, transitions, end)
        batch = make_batch(emissions, lengths, start, transitions, end)
        ctx.paths = make_paths(tags, batch)
        ctx.sums = sum_paths(batch)
        ctx.dtypes = [x.dtype for x in (emissions, start, transitions, end)]
        scores = score_paths(ctx.paths, batch)
        ctx.possible = scores > -math.inf
        loss = batch.by_sequence(_difference(ctx.sums.log_z, scores))
        return loss.to(emissions.device, result_dtype(emissions, start, transitions, end))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        _check_unchanged(ctx)
        batch = ctx.sums.batch
        weights = torch.where(ctx.possible, batch.by_rank(grad.double()), 0.0)
        counts = expected_counts(ctx.sums, weights)
        add_used_counts(ctx.paths, batch, -weights, *counts)
        return None, None, *_gradients(*counts, batch, grad.device, ctx.dtypes)


def _check_unchanged(ctx: Any) -> None:
    """Raise torch's own error if scores have been written to since: a batch may share memory with
    them."""
    ctx.saved_tensors  # noqa: B018


def _gradients(
    tags: torch.Tensor,
    pairs: torch.Tensor,
    batch: PackedBatch,
    device: torch.device,
    dtypes: list[torch.dtype],
) -> list[torch.Tensor]:
    """Turn counts of tags [N, K] and of pairs [K, K] into gradients of emissions, start,
    transitions and end."""
    packing = batch.packing
    rows = batch.unpack(tags.to(dtypes[0]))
    counts = rows, tags[packing.first].sum(dim=0), pairs, tags[batch.last].sum(dim=0)
    return [x.to(device, dtype) for x, dtype in zip(counts, dtypes, strict=True)]


def _difference(log_z: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
    """Take a part of all paths from all; never negative, and +inf where that part is none."""
    return torch.where(part > -math.inf, log_z - part, math.inf).clamp(min=0.0)


def log_partition(
    emissions: torch.Tensor,
    lengths: Lengths,
    start: torch.Tensor,
    transitions: torch.Tensor,
    end: torch.Tensor,
) -> torch.Tensor:
    """Sum the weights of all tag sequences, in logs. Differentiable in all four tensors, once.

    A score of -inf forbids; so the sum over allowed tags only is that of
    `emissions.masked_fill(~allowed, -inf)`.

    emissions (Tensor): The rows of all sequences, one after the other [N, K].
    lengths (Tensor, ndarray or list): Rows of each sequence [B]; they add up to N.
    start (Tensor): Scores of a first tag [K].
    transitions (Tensor): Scores from a tag to the next [K, K].
    end (Tensor): Scores of a last tag [K].
    RETURNS (Tensor): [B], in nats. 0.0 for an empty sequence; -inf, with a gradient of zero, for
        one that has no allowed path.
    RAISES: ValueError, if shapes or lengths do not agree.
    """
    dtype = result_dtype(emissions, start, transitions, end)
    return _LogPartition.apply(lengths, emissions, start, transitions, end).to(dtype)


def path_score(
    emissions: torch.Tensor,
    tags: torch.Tensor,
    lengths: Lengths,
    start: torch.Tensor,
    transitions: torch.Tensor,
    end: torch.Tensor,
) -> torch.Tensor:
    """Score one tag sequence each. Differentiable in all scores.

    emissions (Tensor): [N, K].
    tags (Tensor): Tag ids, int64 [N].
    lengths (Tensor, ndarray or list): [B].
    start (Tensor): [K].
    transitions (Tensor): [K, K].
    end (Tensor): [K].
    RETURNS (Tensor): [B], in nats; 0.0 for an empty sequence.
    RAISES: ValueError, if shapes or lengths do not agree.
    """
    dtype = result_dtype(emissions, start, transitions, end)
    return _PathScore.apply(tags, lengths, emissions, start, transitions, end).to(dtype)


def negative_log_likelihood(
    emissions: torch.Tensor,
    lengths: Lengths,
    start: torch.Tensor,
    transitions: torch.Tensor,
    end: torch.Tensor,
    *,
    tags: torch.Tensor | None = None,
    allowed: torch.Tensor | None = None,
) -> torch.Tensor:
    """Compute -log P of a tag sequence, or of all sequences of allowed tags, from each other apart.

    The difference is taken in float64 and is never negative. With `allowed` this is the marginal
    likelihood of a partially annotated sequence, log Z - log Z(allowed) (Tsuboi et al. 2008,
    "Training conditional random fields using incomplete annotations").

    emissions (Tensor): [N, K].
    lengths (Tensor, ndarray or list): [B].
    start (Tensor): [K].
    transitions (Tensor): [K, K].
    end (Tensor): [K].
    tags (Tensor): The tag of each row, int64 [N]; or instead
    allowed (Tensor): The tags that each row may have, bool [N, K].
    RETURNS (Tensor): [B], in nats. +inf, with a gradient of zero, where no path is left.
    RAISES: ValueError, if shapes or lengths do not agree, or not just one of `tags` and `allowed`
        is given.
    """
    if tags is not None and allowed is None:
        return _Loss.apply(tags, lengths, emissions, start, transitions, end)
    if allowed is None or tags is not None:
        given = [name for name, x in (("tags", tags), ("allowed", allowed)) if x is not None]
        raise ValueError(f"give either tags or allowed, got {given}")
    if allowed.shape != emissions.shape:
        raise ValueError(
            "allowed must match emissions, got shapes "
            f"{tuple(allowed.shape)} and {tuple(emissions.shape)}"
        )
    checked = check_lengths(lengths, len(emissions))
    # both sums in one run
    clamped = emissions.masked_fill(~allowed.to(emissions.device), -math.inf)
    both = _LogPartition.apply(
        np.tile(checked, 2), torch.cat([emissions, clamped]), start, transitions, end
    )
    dtype = result_dtype(emissions, start, transitions, end)
    return _difference(both[: len(checked)], both[len(checked) :]).to(dtype)
