"""Forward-backward on probabilities instead of logs, one small matrix product per time step.

    alpha_t = (alpha_{t-1} W) * E_t     W = exp(A - max A), E_t = exp(e_t - max e_t)
    beta_t  = W (E_{t+1} * beta_{t+1})

Every few steps a row is divided by its sum (Rabiner 1989, section V.A); float64 reaches far enough
in between. Where scores lie hundreds of nats apart it does not, and `Underflow` is raised.
"""

import math
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from .batch import PackedBatch

# Smallest entry that a message may have where a path exists. Terms that were lost to underflow
# (below 1e-308) are then smaller by tens of orders of magnitude than what was kept.
SMALLEST_ENTRY = 1e-200
SMALLEST_SUM = 1e-90
# Nats by which a row may shrink before it is rescaled.
SHRINK = 200.0
# Multiplications up to which NumPy's OpenBLAS stays on one thread.
SMALL_PRODUCT = 2**17


class Underflow(ArithmeticError):
    """Weights that may matter were lost, because float64 does not reach that far."""


class ScaledMessages:
    """The messages of a batch on the CPU, with the methods of `LogMessages`.

    RAISES: Underflow, as `counts` and `logs` may do later.
    """

    def __init__(self, batch: PackedBatch) -> None:
        self.batch = batch
        self._run_forward()

    def counts(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        # P(y_t = j) = alpha_t(j) beta_t(j) / mass_t, and
        # P(y_{t-1} = i, y_t = j) is proportional to alpha_{t-1}(i) W(i, j) E_t(j) beta_t(j).
        packing = self.batch.packing
        beta, weighted_beta, mass = self._backward
        # shape: (N,), zero for a sequence without a path
        share = weights[self.batch.row_ranks] / mass
        share.masked_fill_(mass == 0.0, 0.0)
        tags = (self._alpha * beta).mul_(share[:, None])
        # alpha_{t-1} W * E_t is alpha_t before it was divided by its sum.
        pair_share = (share / self._row_sums)[packing.after]
        earlier = self._alpha[packing.before] * pair_share[:, None]
        pairs = earlier.T @ weighted_beta[packing.after]
        return tags, pairs * self._transitions

    def log_alpha(self, rows: Tensor) -> Tensor:
        return self._alpha[rows].log()

    def logs(self, rows: Tensor | slice) -> tuple[Tensor, Tensor]:
        # An entry of beta that was lost does no harm to counts, which multiply it by an alpha as
        # small, but to what is conditioned on it.
        beta = self._backward[0]
        if _smallest(beta) < SMALLEST_ENTRY:
            low = beta < SMALLEST_ENTRY
            if (low & leads_on(self.batch, beta > 0.0)).any():
                raise Underflow
        return self._alpha[rows].log(), beta[rows].log()

    def _run_forward(self) -> None:
        batch = self.batch
        packing = batch.packing
        # shape: (N, 1)
        top = finite(batch.emissions.amax(dim=1, keepdim=True))
        shifted = batch.emissions - top
        # NumPy's exponential of float64 takes less than half the time of torch's.
        self._emissions = torch.from_numpy(np.exp(shifted.numpy()))
        self._transitions, top_transition = _weights(batch.transitions, None)
        # shape of the maxima: (1,) or, in a section, (A, 1)
        start, top_start = _weights(batch.start)
        self._end, top_end = _weights(batch.end)
        # Time steps from one rescaling to the next.
        spread = math.log(shifted.shape[1]) - _smallest_finite(shifted)
        spread -= _smallest_finite(batch.transitions - top_transition.item())
        self._every = max(1, int(SHRINK / max(spread, 1.0)))
        self._step_forward(start.numpy())
        if _smallest(self._row_sums) < SMALLEST_SUM:
            raise Underflow
        if _smallest(self._alpha) < SMALLEST_ENTRY:
            low = self._alpha < SMALLEST_ENTRY
            if (low & reachable(batch, self._alpha > 0.0)).any():
                raise Underflow
        final = self._alpha[batch.last]
        # shape: (A,)
        total = torch.linalg.vecdot(final, self._end)
        if _smallest(total) < SMALLEST_ENTRY:
            low = total < SMALLEST_ENTRY
            if (low[:, None] & (final > 0.0) & torch.isfinite(batch.end)).any():
                raise Underflow
        # What was divided out, by rank: every row's sum and maximum, and the maxima of the rest.
        shift = self._row_sums.log().add_(top[:, 0])
        self.log_z = total.log().index_add_(0, batch.row_ranks, shift)
        self.log_z += torch.from_numpy((top_start + top_end)[..., 0])
        steps = packing.lengths[packing.alive] - 1
        self.log_z += torch.from_numpy(steps * top_transition.item())

    def _step_forward(self, start: np.ndarray) -> None:
        # NumPy steps through time: a call of it costs a fraction of one of torch.
        weights, step_weights = self._emissions.numpy(), self._transitions.numpy()
        alpha = np.empty_like(weights)
        row_sums = np.ones(len(alpha))
        here = alpha[:0]
        for step, (begin, stop) in enumerate(pairwise(self.batch.packing.offsets.tolist())):
            before, here = here, alpha[begin:stop]
            if step:
                _multiply(before[: stop - begin], step_weights, here)
            else:
                here[:] = start
            here *= weights[begin:stop]
            if step % self._every == 0:
                row_sums[begin:stop] = _divide_by_sums(here)
        self._alpha, self._row_sums = torch.from_numpy(alpha), torch.from_numpy(row_sums)

    @cached_property
    def _backward(self) -> tuple[Tensor, Tensor, Tensor]:
        """beta and E * beta [N, K], each row up to a factor, and alpha · beta of each row [N]."""
        weights, end = self._emissions.numpy(), self._end.numpy()
        from_next = np.ascontiguousarray(self._transitions.numpy().T)
        beta, weighted_beta = np.empty_like(weights), np.empty_like(weights)
        after = weighted_beta[:0]
        offsets = self.batch.packing.offsets.tolist()
        for step in range(len(offsets) - 2, -1, -1):
            begin, stop = offsets[step], offsets[step + 1]
            here = beta[begin:stop]
            going_on = len(after)
            if going_on < len(here):
                here[going_on:] = end if end.ndim == 1 else end[going_on : len(here)]
            if going_on:
                _multiply(after, from_next, here[:going_on])
            if step % self._every == 0:
                _divide_by_sums(here)
            after = weighted_beta[begin:stop]
            np.multiply(here, weights[begin:stop], out=after)
        mass = torch.linalg.vecdot(self._alpha, torch.from_numpy(beta))
        if _smallest(mass) < SMALLEST_ENTRY:
            alive = torch.isfinite(self.log_z)[self.batch.row_ranks]
            if (alive & (mass < SMALLEST_ENTRY)).any():
                raise Underflow
            mass = torch.where(alive, mass, 0.0)
        return torch.from_numpy(beta), torch.from_numpy(weighted_beta), mass


def _multiply(left: np.ndarray, right: np.ndarray, out: np.ndarray) -> None:
    """Multiply matrices. Large ones are left to torch, which heeds its number of threads."""
    if len(left) * right.size < SMALL_PRODUCT:
        np.dot(left, right, out=out)
    else:
        torch.mm(torch.from_numpy(left), torch.from_numpy(right), out=torch.from_numpy(out))


def _divide_by_sums(rows: np.ndarray) -> np.ndarray:
    """Divide rows [n, K] by their sums in place, and give the sums [n]; 1 where one would be 0."""
    sums = rows.sum(axis=1)
    sums[sums == 0.0] = 1.0
    rows /= sums[:, None]
    return sums


def _weights(scores: Tensor, axis: int | None = -1) -> tuple[Tensor, np.ndarray]:
    """Exponentiate scores less their maxima along an axis, or less that of all; also give those."""
    values = scores.numpy()
    top = values.max(axis=axis, keepdims=True)
    top[top == -math.inf] = 0.0
    return torch.from_numpy(np.exp(values - top)), top


def finite(top: Tensor) -> Tensor:
    """Replace -inf, the maximum of scores that forbid everything."""
    return top.clamp(min=torch.finfo(top.dtype).min)


def _smallest(values: Tensor) -> float:
    return float(values.min()) if len(values) else math.inf


def _smallest_finite(scores: Tensor) -> float:
    smallest = _smallest(scores)
    if smallest == -math.inf:
        smallest = _smallest(scores.masked_fill(scores == -math.inf, 0.0))
    return min(smallest, 0.0)


def reachable(batch: PackedBatch, reached: Tensor) -> Tensor:
    """Find the tags to which some path leads, given those reached in the row before; bool [N, K].

    If `reached` is equal to the result, then, by induction, it is right for every row.
    """
    packing = batch.packing
    open_transitions = (batch.transitions > -math.inf).float()
    possible = batch.emissions > -math.inf
    possible[packing.first] &= batch.start > -math.inf
    possible[packing.after] &= reached[packing.before].float() @ open_transitions > 0
    return possible


def leads_on(batch: PackedBatch, reached: Tensor) -> Tensor:
    """Find the tags from which some path leads to the end, as `reachable` does from the start.

    A row's own emission is not part of it.
    """
    packing = batch.packing
    open_transitions = (batch.transitions > -math.inf).float()
    # `before` and `last` together are all rows.
    possible = torch.empty_like(reached)
    possible[batch.last] = batch.end > -math.inf
    after = (reached & (batch.emissions > -math.inf))[packing.after]
    possible[packing.before] = after.float() @ open_transitions.T > 0
    return possible
