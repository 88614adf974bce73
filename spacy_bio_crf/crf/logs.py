"""Forward-backward in log space: exact for any scores, one step of time after the other.

    alpha_t(j) = log Σ_i exp(alpha_{t-1}(i) + A(i, j)) + e_t(j)        alpha_0 = start + e_0
    beta_t(i)  = log Σ_j exp(A(i, j) + e_{t+1}(j) + beta_{t+1}(j))     beta_last = end

(Rabiner 1989, "A tutorial on hidden Markov models", section III.A; for random fields Lafferty et
al. 2001, "Conditional random fields", section 3.)
"""

import math
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from .batch import PackedBatch

# Entries of the largest temporary tensor.
BLOCK_ENTRIES = 2**22


class LogMessages:
    """The messages of a batch in log space. `ScaledMessages` has the same methods.

    batch (PackedBatch): The scores.
    log_z (Tensor): Log-partitions, float64, by rank [A]; -inf where no path exists.
    """

    def __init__(self, batch: PackedBatch) -> None:
        self.batch = batch
        self._alpha = self._run_forward()
        self.log_z = torch.logsumexp(self._alpha[batch.last] + batch.end, dim=1)

    def counts(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Count how often tags and pairs of tags are expected.

        These are the gradients of the log-partition (Lafferty et al. 2001, section 4).

        weights (Tensor): The weight of each sequence, float64, by rank [A].
        RETURNS (tuple[Tensor, Tensor]): Of tags, packed rows [N, K], and of pairs, from and to
            [K, K]. A sequence that has no path counts nothing.
        """
        batch, alpha, beta = self.batch, self._alpha, self._beta
        packing = batch.packing
        # exp(-inf - -inf) is NaN; exp(-inf - 0) is the zero that is meant.
        log_z = self.log_z.masked_fill(self.log_z == -math.inf, 0.0)[batch.row_ranks, None]
        # shape: (N, 1)
        by_row = weights[batch.row_ranks, None]
        tags = torch.exp(alpha + beta - log_z) * by_row
        earlier = alpha[packing.before] - log_z[packing.after]
        later = (batch.emissions + beta)[packing.after]
        later_weights = by_row[packing.after, :, None]
        pairs = torch.zeros_like(batch.transitions)
        for block in blocks(len(earlier), pairs.numel()):
            # shape: (block, K from, K to)
            joint = earlier[block, :, None] + batch.transitions + later[block, None, :]
            pairs += (joint.exp_() * later_weights[block]).sum(dim=0)
        return tags, pairs

    def log_alpha(self, rows: Tensor) -> Tensor:
        """Give log alpha of packed rows, int64 [R]; [R, K], each row up to a constant.

        A row's own emission is part of alpha.
        """
        return self._alpha[rows]

    def logs(self, rows: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Give log alpha and log beta of packed rows [R, K], each row up to a constant."""
        return self._alpha[rows], self._beta[rows]

    def _run_forward(self) -> Tensor:
        batch = self.batch
        alpha = torch.empty_like(batch.emissions)
        here = alpha[:0]
        for begin, stop in pairwise(batch.packing.offsets.tolist()):
            before, here = here[: stop - begin], alpha[begin:stop]
            reached = batch.start
            if begin:
                reached = torch.logsumexp(before[:, :, None] + batch.transitions, dim=1)
            torch.add(reached, batch.emissions[begin:stop], out=here)
        return alpha

    @cached_property
    def _beta(self) -> Tensor:
        batch = self.batch
        beta = torch.empty_like(batch.emissions)
        after = beta[:0]
        for begin, stop in reversed(list(pairwise(batch.packing.offsets.tolist()))):
            here = beta[begin:stop]
            going_on = len(after)
            here[going_on:] = batch.end if batch.end.ndim == 1 else batch.end[going_on : len(here)]
            here[:going_on] = torch.logsumexp(batch.transitions + after[:, None, :], dim=2)
            # shape: (width, K to)
            after = here + batch.emissions[begin:stop]
        return beta


def blocks(n_rows: int, entries_per_row: int) -> Iterator[slice]:
    """Cut rows into slices, so that a temporary tensor of so many entries a row stays small."""
    size = max(1, BLOCK_ENTRIES // entries_per_row)
    for begin in range(0, n_rows, size):
        yield slice(begin, begin + size)
