"""Forward-backward on probabilities instead of logs, one small matrix product a time step.

    alpha_t = (alpha_{t-1} W) * E_t     W = exp(A - max A), E_t = exp(e_t - max e_t)
    beta_t  = W (E_{t+1} * beta_{t+1})

Every few steps a row is divided by its sum (Rabiner 1989, section V.A); float64 reaches far enough
in between. Where it does not, because scores lie hundreds of nats apart, `forward`, `backward` and
`log_messages` notice and return None, and the caller turns to `log_space`.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from .batch import ALL_ROWS, PackedBatch, Packing

# Smallest entry that a message may have where a path exists: terms that were lost to
# underflow (below 1e-308) are then smaller by tens of orders of magnitude than what was kept.
SMALLEST_ENTRY = 1e-200
SMALLEST_SUM = 1e-90
# Nats by which a row may shrink before it is rescaled.
SHRINK = 200.0
# Multiplications up to which NumPy's OpenBLAS stays on one thread.
SMALL_PRODUCT = 2**17


@dataclass(frozen=True)
class Forward:
    """What the way forwards leaves behind. N rows are packed; A sequences have rows.

    batch (PackedBatch): The scores.
    emission_weights (Tensor): E [N, K].
    transition_weights (Tensor): W [K, K].
    end_weights (Tensor): [K], or by rank [A, K].
    alpha (Tensor): [N, K], each row up to a factor.
    row_sums (Tensor): The sum by which each row was divided [N], or 1.
    log_z (Tensor): By rank [A]; -inf where no path exists.
    every (int): Time steps from one rescaling to the next, where it was done step by step.
    """

    batch: PackedBatch
    emission_weights: torch.Tensor
    transition_weights: torch.Tensor
    end_weights: torch.Tensor
    alpha: torch.Tensor
    row_sums: torch.Tensor
    log_z: torch.Tensor
    every: int = 1


@dataclass(frozen=True)
class Backward:
    """What the way backwards leaves behind. N rows are packed.

    beta (Tensor): [N, K], each row up to a factor.
    weighted_beta (Tensor): E * beta [N, K].
    mass (Tensor): alpha · beta of each row [N]; 0 where no path exists.
    """

    beta: torch.Tensor
    weighted_beta: torch.Tensor
    mass: torch.Tensor


def forward(batch: PackedBatch) -> Forward | None:
    """Run forwards.

    batch (PackedBatch): The scores, on the CPU.
    RETURNS (Forward): Messages and log-partitions, or None where float64 does not reach.
    """
    packing = batch.packing
    # shape: (N, 1)
    top = finite(batch.emissions.amax(dim=1, keepdim=True))
    shifted = batch.emissions - top
    # NumPy's exponential of float64 takes less than half the time of torch's
    emission_weights = torch.from_numpy(np.exp(shifted.numpy()))
    transition_weights, top_transition = _weights(batch.transitions, None)
    # shape of the maxima: (1,) or, in a section, (A, 1)
    start_weights, top_start = _weights(batch.start)
    end_weights, top_end = _weights(batch.end)
    spread = math.log(shifted.shape[1]) - _smallest_finite(shifted)
    spread -= _smallest_finite(batch.transitions - top_transition.item())
    every = max(1, int(SHRINK / max(spread, 1.0)))
    alpha, row_sums = _forward_steps(
        emission_weights, transition_weights, start_weights, packing, every
    )
    if _smallest(row_sums) < SMALLEST_SUM:
        return None
    if _smallest(alpha) < SMALLEST_ENTRY:
        low = alpha < SMALLEST_ENTRY
        if (low & reachable(batch, alpha > 0.0)).any():
            return None
    final = alpha[batch.last]
    # shape: (A,)
    total = torch.linalg.vecdot(final, end_weights)
    if _smallest(total) < SMALLEST_ENTRY:
        low = total < SMALLEST_ENTRY
        if (low[:, None] & (final > 0.0) & torch.isfinite(batch.end)).any():
            return None
    # what was divided out, by rank: every row's sum and maximum, and the maxima of the rest
    shift = row_sums.log().add_(top[:, 0])
    log_z = total.log().index_add_(0, batch.rank, shift)
    log_z += torch.from_numpy((top_start + top_end)[..., 0])
    log_z += torch.from_numpy((packing.lengths[packing.alive] - 1) * top_transition.item())
    return Forward(
        batch=batch,
        emission_weights=emission_weights,
        transition_weights=transition_weights,
        end_weights=end_weights,
        alpha=alpha,
        row_sums=row_sums,
        log_z=log_z,
        every=every,
    )


def _forward_steps(
    emission_weights: torch.Tensor,
    transition_weights: torch.Tensor,
    start_weights: torch.Tensor,
    packing: Packing,
    every: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    # NumPy steps through time: a call of it costs a fraction of one of torch
    weights, step_weights = emission_weights.numpy(), transition_weights.numpy()
    alpha = np.empty_like(weights)
    row_sums = np.ones(len(alpha))
    here = alpha[:0]
    offsets = packing.offsets.tolist()
    for step, (begin, stop) in enumerate(zip(offsets[:-1], offsets[1:], strict=True)):
        before, here = here, alpha[begin:stop]
        if step:
            _multiply(before[: stop - begin], step_weights, here)
        else:
            here[:] = start_weights.numpy()
        here *= weights[begin:stop]
        if step % every == 0:
            sums = here.sum(axis=1)
            sums[sums == 0.0] = 1.0
            row_sums[begin:stop] = sums
            here /= sums[:, None]
    return torch.from_numpy(alpha), torch.from_numpy(row_sums)


def backward(forward: Forward) -> Backward | None:
    """Run backwards.

    forward (Forward): What the way forwards left.
    RETURNS (Backward): Messages, or None where float64 does not reach.
    """
    beta, weighted = _backward_steps(forward)
    mass = torch.linalg.vecdot(forward.alpha, beta)
    if _smallest(mass) < SMALLEST_ENTRY:
        alive = torch.isfinite(forward.log_z)[forward.batch.rank]
        if (alive & (mass < SMALLEST_ENTRY)).any():
            return None
        mass = torch.where(alive, mass, 0.0)
    return Backward(beta=beta, weighted_beta=weighted, mass=mass)


def _backward_steps(forward: Forward) -> tuple[torch.Tensor, torch.Tensor]:
    weights, end_weights = forward.emission_weights.numpy(), forward.end_weights.numpy()
    from_next = np.ascontiguousarray(forward.transition_weights.numpy().T)
    beta, weighted = np.empty_like(weights), np.empty_like(weights)
    after = weighted[:0]
    offsets = forward.batch.packing.offsets.tolist()
    for step in range(len(offsets) - 2, -1, -1):
        begin, stop = offsets[step], offsets[step + 1]
        here = beta[begin:stop]
        going_on = len(after)
        if going_on < len(here):
            ending = slice(going_on, len(here))
            here[ending] = end_weights if end_weights.ndim == 1 else end_weights[ending]
        if going_on:
            _multiply(after, from_next, here[:going_on])
        if step % forward.every == 0:
            sums = here.sum(axis=1)
            sums[sums == 0.0] = 1.0
            here /= sums[:, None]
        after = weighted[begin:stop]
        np.multiply(here, weights[begin:stop], out=after)
    return torch.from_numpy(beta), torch.from_numpy(weighted)


def _multiply(left: np.ndarray, right: np.ndarray, out: np.ndarray) -> None:
    """Multiply matrices. Large ones are left to torch, which heeds its number of threads."""
    if len(left) * right.size < SMALL_PRODUCT:
        np.dot(left, right, out=out)
    else:
        torch.mm(torch.from_numpy(left), torch.from_numpy(right), out=torch.from_numpy(out))


def expected_counts(
    forward: Forward, backward: Backward, sequence_weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Count how often tags and pairs of tags are expected, weighted by sequence.

    These are the gradients of the log-partition (Lafferty et al. 2001, section 4):
    P(y_t = j) = alpha_t(j) beta_t(j) / mass_t, and
    P(y_{t-1} = i, y_t = j) proportional to alpha_{t-1}(i) W(i, j) E_t(j) beta_t(j).

    forward (Forward): The way forwards.
    backward (Backward): The way backwards.
    sequence_weights (Tensor): By rank [A].
    RETURNS (Tuple[Tensor, Tensor]): Of tags, packed rows [N, K], and of pairs [K, K].
    """
    packing = forward.batch.packing
    # shape: (N,); no path, no share
    share = sequence_weights[forward.batch.rank] / backward.mass
    share.masked_fill_(backward.mass == 0.0, 0.0)
    tags = (forward.alpha * backward.beta).mul_(share[:, None])
    # alpha_{t-1} W * E_t is alpha_t before it was divided by its sum
    pair_share = (share / forward.row_sums)[packing.after]
    earlier = forward.alpha[packing.before] * pair_share[:, None]
    pairs = earlier.T @ backward.weighted_beta[packing.after]
    return tags, pairs * forward.transition_weights


def log_messages(
    forward: Forward, backward: Backward, rows: torch.Tensor | slice = ALL_ROWS
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Take the logs of both messages.

    forward (Forward): The way forwards.
    backward (Backward): The way backwards.
    rows (Tensor | slice): Which packed rows are wanted; int64 [R].
    RETURNS (Tuple[Tensor, Tensor]): Those rows [R, K], each up to a constant; None where an entry
        of beta is lost to underflow. That does no harm to expected counts, for they multiply it by
        an alpha as small, but to what is conditioned on it.
    """
    if _smallest(backward.beta) < SMALLEST_ENTRY:
        low = backward.beta < SMALLEST_ENTRY
        if (low & leads_on(forward.batch, backward.beta > 0.0)).any():
            return None
    return forward.alpha[rows].log(), backward.beta[rows].log()


def _weights(scores: torch.Tensor, axis: int | None = -1) -> tuple[torch.Tensor, np.ndarray]:
    """Exponentiate scores less their maxima along an axis, or less that of all; also give those."""
    values = scores.numpy()
    top = values.max(axis=axis, keepdims=True)
    top[top == -math.inf] = 0.0
    return torch.from_numpy(np.exp(values - top)), top


def finite(top: torch.Tensor) -> torch.Tensor:
    """Replace -inf, the maximum of scores that forbid everything."""
    return top.clamp(min=torch.finfo(top.dtype).min)


def _smallest(values: torch.Tensor) -> float:
    return float(values.min()) if len(values) else math.inf


def _smallest_finite(scores: torch.Tensor) -> float:
    smallest = _smallest(scores)
    if smallest == -math.inf:
        smallest = _smallest(scores.masked_fill(scores == -math.inf, 0.0))
    return min(smallest, 0.0)


def reachable(batch: PackedBatch, reached: torch.Tensor) -> torch.Tensor:
    """Find the tags to which some path leads, row by row, given those reached in the row before.

    If `reached` is equal to the result, then, by induction, it is right for every row.

    batch (PackedBatch): The scores.
    reached (Tensor): bool, packed rows [N, K].
    RETURNS (Tensor): bool, packed rows [N, K].
    """
    packing = batch.packing
    open_transitions = (batch.transitions > -math.inf).float()
    possible = batch.emissions > -math.inf
    possible[packing.first] &= batch.start > -math.inf
    possible[packing.after] &= reached[packing.before].float() @ open_transitions > 0
    return possible


def leads_on(batch: PackedBatch, reached: torch.Tensor) -> torch.Tensor:
    """Find the tags from which some path leads to the end, as `reachable` does from the start.

    batch (PackedBatch): The scores.
    reached (Tensor): bool, packed rows [N, K].
    RETURNS (Tensor): bool, packed rows [N, K]; a row's own emission is not part of it.
    """
    packing = batch.packing
    open_transitions = (batch.transitions > -math.inf).float()
    # before and last together are all rows
    possible = torch.empty_like(reached)
    possible[batch.last] = batch.end > -math.inf
    after = (reached & (batch.emissions > -math.inf))[packing.after]
    possible[packing.before] = after.float() @ open_transitions.T > 0
    return possible
