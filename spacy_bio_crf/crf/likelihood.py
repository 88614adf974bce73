"""The log-partition, the score of a path, and the loss made of both, with exact gradients."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .batch import (
    Lengths,
    PackedBatch,
    check_lengths,
    check_shape,
    first_rows,
    make_batch,
    result_dtype,
)
from .sums import Sums


class _Total(torch.autograd.Function):
    """log Z, or the score of a path, or the first less the second; float64 [B].

    The gradients are counts of tags and of pairs of tags, so the recurrence needs no graph. One
    function does all three, because autograd's own subtraction takes a tenth of a small batch's
    time.
    """

    @staticmethod
    def forward(
        ctx: Any, all_paths: bool, tags: Tensor | None, lengths: Lengths, *scores: Tensor
    ) -> Tensor:
        # The batch may share memory with the scores: torch notices if they change in between.
        ctx.save_for_backward(*scores)
        ctx.batch = batch = make_batch(scores[0], lengths, *scores[1:])
        ctx.sums = ctx.path = ctx.barred = None
        if all_paths:
            ctx.sums = Sums(batch)
            log_z = batch.by_sequence(ctx.sums.log_z)
        if tags is None:
            return log_z
        score = score_paths(tags, scores[0], batch.packing.lengths, *scores[1:]).to(batch.device)
        ctx.path = tags.to(batch.device, torch.int64).index_select(0, batch.index)
        if not all_paths:
            return score
        ctx.barred = score == -math.inf
        return _difference(log_z, score)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        scores, batch = ctx.saved_tensors, ctx.batch
        if ctx.barred is not None:
            grad = grad.masked_fill(ctx.barred, 0.0)
        weights = batch.by_rank(grad)
        if ctx.sums is None:
            tags = torch.zeros_like(batch.given, dtype=torch.float64)
            pairs = torch.zeros_like(batch.transitions)
        else:
            tags, pairs = ctx.sums.counts(weights)
            weights = -weights
        if ctx.path is not None:
            _count_path(ctx.path, batch, weights, tags, pairs)
        rows = batch.unpack(tags.to(scores[0].dtype))
        first, last = batch.packing.first, batch.last
        counts = rows, tags[first].sum(dim=0), pairs, tags[last].sum(dim=0)
        gradients = (x.to(y.device, y.dtype) for x, y in zip(counts, scores, strict=True))
        return None, None, None, *gradients


def _count_path(
    path: Tensor, batch: PackedBatch, weights: Tensor, tags: Tensor, pairs: Tensor
) -> None:
    """Add what paths, packed tags [N], use to counts [N, K] and [K, K], weighted by rank [A]."""
    before, after = batch.packing.before, batch.packing.after
    by_row = weights[batch.row_ranks]
    tags.scatter_add_(1, path[:, None], by_row[:, None])
    moves = path[before] * len(pairs) + path[after]
    pairs.view(-1).index_add_(0, moves, by_row[after])


def score_paths(tags: Tensor, emissions: Tensor, lengths: np.ndarray, *chain: Tensor) -> Tensor:
    """Add up the scores along one path of each sequence, float64 [B], on the CPU."""
    check_shape("tags", tags, (len(emissions),))
    tags = tags.to(emissions.device, torch.int64)
    chosen = emissions.gather(1, tags[:, None])[:, 0]
    # NumPy adds up: a call of it costs a fraction of one of torch.
    rows = chosen.detach().cpu().double().numpy()
    first_scores, moves, last_scores = (_as_array(x) for x in chain)
    path = tags.cpu().numpy()
    alive = lengths[lengths > 0]
    first = first_rows(alive)
    last = first + alive - 1
    # The score that leads to each row: of a transition or, for a first row, of the start.
    into = np.empty_like(rows)
    into[1:] = moves[path[:-1], path[1:]]
    into[first] = first_scores[path[first]]
    rows += into
    rows[last] += last_scores[path[last]]
    sequence = np.repeat(np.arange(len(lengths)), lengths)
    totals = np.bincount(sequence, weights=rows, minlength=len(lengths))
    return torch.from_numpy(totals.astype(np.float64, copy=False))


def _as_array(scores: Tensor) -> np.ndarray:
    """Scores as they are: float64 is for those that are chosen. NumPy has no bfloat16."""
    scores = scores.detach().cpu()
    return (scores.double() if scores.dtype == torch.bfloat16 else scores).numpy()


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
    """
    log_z = _Total.apply(True, None, lengths, emissions, start, transitions, end)
    return log_z.to(emissions.device, result_dtype(emissions, start, transitions, end))


def path_score(
    emissions: Tensor,
    tags: Tensor,
    lengths: Lengths,
    start: Tensor,
    transitions: Tensor,
    end: Tensor,
) -> Tensor:
    """Score one tag sequence each. Differentiable in all four tensors.

    tags (Tensor): The tag of each row, int64 [N].
    RETURNS (Tensor): [B], in nats; 0.0 for an empty sequence.
    """
    score = _Total.apply(False, tags, lengths, emissions, start, transitions, end)
    return score.to(emissions.device, result_dtype(emissions, start, transitions, end))


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
    RAISES: ValueError, if not exactly one of `tags` and `allowed` is given.
    """
    chain = start, transitions, end
    if tags is not None and allowed is None:
        loss = _Total.apply(True, tags, lengths, emissions, *chain)
    elif allowed is not None and tags is None:
        check_shape("allowed", allowed, tuple(emissions.shape))
        checked = check_lengths(lengths, len(emissions))
        closed = emissions.masked_fill(~allowed.to(emissions.device), -math.inf)
        # Both sums in one run, as if the batch were twice as large.
        rows = torch.cat([emissions, closed])
        both = _Total.apply(True, None, np.tile(checked, 2), rows, *chain)
        loss = _difference(both[: len(checked)], both[len(checked) :])
    else:
        got = "neither" if tags is None else "both"
        raise ValueError(f"tags, allowed: expected one of the two, got {got}")
    return loss.to(emissions.device, result_dtype(emissions, *chain))
