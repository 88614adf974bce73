"""Forward-backward in log space, step by step: exact for any scores, but not the fastest.

    alpha_t(j) = log Σ_i exp(alpha_{t-1}(i) + A(i, j)) + e_t(j)        alpha_0 = start + e_0
    beta_t(i)  = log Σ_j exp(A(i, j) + e_{t+1}(j) + beta_{t+1}(j))     beta_last = end

(Rabiner 1989, "A tutorial on hidden Markov models", section III.A; for random fields Lafferty et
al. 2001, "Conditional random fields", section 3.)
"""

import math
from collections.abc import Iterator

import torch

from .batch import PackedBatch

# Entries of the largest temporary tensor.
BLOCK_ENTRIES = 2**22


def forward_messages(batch: PackedBatch) -> torch.Tensor:
    """Run forwards.

    batch (PackedBatch): The scores.
    RETURNS (Tensor): Packed log messages alpha [N, K]; a row's own emission is part of it.
    """
    alpha = torch.empty_like(batch.emissions)
    here = alpha[:0]
    packing = batch.packing
    for step, width in enumerate(packing.widths.tolist()):
        rows = slice(int(packing.offsets[step]), int(packing.offsets[step + 1]))
        if step:
            reached = torch.logsumexp(here[:width, :, None] + batch.transitions, dim=1)
        else:
            reached = batch.start
        here = alpha[rows]
        torch.add(reached, batch.emissions[rows], out=here)
    return alpha


def backward_messages(batch: PackedBatch) -> torch.Tensor:
    """Run backwards.

    batch (PackedBatch): The scores.
    RETURNS (Tensor): Packed log messages beta [N, K]; a row's own emission is not part of it.
    """
    beta = torch.empty_like(batch.emissions)
    after = beta[:0]
    packing = batch.packing
    for step in range(len(packing.widths) - 1, -1, -1):
        rows = slice(int(packing.offsets[step]), int(packing.offsets[step + 1]))
        here = beta[rows]
        going_on = len(after)
        ending = slice(going_on, len(here))
        here[ending] = batch.end if batch.end.ndim == 1 else batch.end[ending]
        here[:going_on] = torch.logsumexp(batch.transitions + after[:, None, :], dim=2)
        # shape: (width, K to)
        after = here + batch.emissions[rows]
    return beta


def log_partitions(batch: PackedBatch, alpha: torch.Tensor) -> torch.Tensor:
    """Close the forward messages with the end scores; by rank [A]."""
    return torch.logsumexp(alpha[batch.last] + batch.end, dim=1)


def expected_counts(
    batch: PackedBatch,
    alpha: torch.Tensor,
    beta: torch.Tensor,
    log_z: torch.Tensor,
    sequence_weights: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Count how often tags and pairs of tags are expected, weighted by sequence.

    batch (PackedBatch): The scores.
    alpha (Tensor): Packed log messages [N, K].
    beta (Tensor): Packed log messages [N, K].
    log_z (Tensor): Log-partitions by rank [A].
    sequence_weights (Tensor): By rank [A].
    RETURNS (Tuple[Tensor, Tensor]): Of tags, packed rows [N, K], and of pairs [K, K].
    """
    packing = batch.packing
    rank = batch.rank
    # exp(-inf - -inf) is NaN, exp(-inf - 0) the zero that is meant
    log_z = log_z.masked_fill(log_z == -math.inf, 0.0)[rank, None]
    # shape: (N, 1)
    weights = sequence_weights[rank, None]
    tags = torch.exp(alpha + beta - log_z) * weights
    earlier = alpha[packing.before] - log_z[packing.after]
    later = (batch.emissions + beta)[packing.after]
    later_weights = weights[packing.after, :, None]
    pairs = torch.zeros_like(batch.transitions)
    for block in blocks(len(earlier), pairs.numel()):
        # shape: (block, K from, K to)
        joint = earlier[block, :, None] + batch.transitions + later[block, None, :]
        pairs += (joint.exp_() * later_weights[block]).sum(dim=0)
    return tags, pairs


def blocks(n_rows: int, entries_per_row: int) -> Iterator[slice]:
    """Cut rows into slices, so that a temporary tensor of so many entries a row stays small."""
    size = max(1, BLOCK_ENTRIES // entries_per_row)
    for begin in range(0, n_rows, size):
        yield slice(begin, begin + size)
