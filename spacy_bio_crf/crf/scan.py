"""Forward-backward and Viterbi as tree scans: a number of launches that grows with log T, not T.

A leaf is a row that has a row before it, and holds what leads from each tag of that row to each of
its own [K, K]: for Viterbi the score `A + e`, for sums the weight `W * E` of `scaled`, whose
messages come out. Every few levels nodes and messages are divided by their sums. What enters a leaf
by the tree is also what leaves the row before it: where the two differ, float64 did not reach far
enough, and `forward` and `backward` return None.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from .batch import PackedBatch
from .log_space import blocks
from .scaled import SMALLEST_ENTRY, SMALLEST_SUM, Backward, Forward, finite, reachable
from .tree import Level, build_tree, come_back, come_down, go_up

# Levels from one division to the next: what lies some nats apart in a leaf lies four times as far
# apart two levels up.
EVERY = 2
# What is divided by instead of 0, and lost in an entry at the most.
NOTHING = 1e-280
# Relative error of an entry of a message. Products of positive numbers do not let it grow, so that
# T rows have T times as much at the most; rounding takes a hundredth of it.
TOLERANCE = 1e-11


@dataclass(frozen=True)
class Leaves:
    """The leaves of a batch, as they lie in their trees.

    position (Tensor): Their packed rows, int64 [n].
    before (Tensor): The packed rows before those, int64 [n].
    levels (list[Level]): The trees.
    n_roots (int): Sequences that have leaves; these are the first so many by rank.
    """

    position: torch.Tensor
    before: torch.Tensor
    levels: list[Level]
    n_roots: int


@dataclass(frozen=True)
class Scan:
    """What the way forwards leaves for the way back.

    forward (Forward): The messages.
    leaves (Leaves): The leaves.
    nodes (list[Tensor]): The weights of each level's nodes [n, K, K].
    """

    forward: Forward
    leaves: Leaves
    nodes: list[torch.Tensor]


def plan_leaves(batch: PackedBatch) -> Leaves:
    """Find the leaves of a batch."""
    packing = batch.packing
    counts = packing.lengths[packing.alive] - 1
    counts = counts[counts > 0]
    time = 1 + np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    rank = np.repeat(np.arange(len(counts)), counts)
    tree = build_tree(counts, batch.device)
    both = np.stack([packing.offsets[time] + rank, packing.offsets[time - 1] + rank])
    position, before = torch.from_numpy(both[:, tree.leaves]).to(batch.device)
    return Leaves(position, before, tree.levels, len(counts))


def forward(batch: PackedBatch) -> Scan | None:
    """Run forwards.

    batch (PackedBatch): The scores, on any device.
    RETURNS (Scan): Messages and log-partitions, or None where float64 does not reach.
    """
    packing, leaves, up, down = batch.packing, plan_leaves(batch), _Scaler(), _Scaler()
    # shape: (N, 1)
    top = finite(batch.emissions.amax(dim=1, keepdim=True))
    emission_weights = (batch.emissions - top).exp_()
    tops = [finite(x.amax()) for x in (batch.start, batch.transitions, batch.end)]
    chain = (batch.start, batch.transitions, batch.end)
    start, transitions, end = ((x - most).exp_() for x, most in zip(chain, tops, strict=True))

    def combine(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return up(left @ right)

    def advance(entering: torch.Tensor, nodes: torch.Tensor) -> torch.Tensor:
        return down((entering[:, None] @ nodes)[:, 0])

    rows = emission_weights[leaves.position]
    nodes = go_up(transitions * rows[:, None], leaves.levels, combine)
    alpha = emission_weights * start
    entering = _normalise(come_down(nodes, leaves.levels, alpha[: leaves.n_roots], advance))
    alpha[leaves.position] = (entering @ transitions) * rows
    row_sums = alpha.sum(dim=1)
    small = (row_sums < SMALLEST_SUM) & (row_sums > 0.0)
    row_sums.clamp_(min=NOTHING)
    alpha /= row_sums[:, None]
    final = alpha[batch.last]
    # shape: (A,)
    total = torch.linalg.vecdot(final, end)
    if _any(
        small,
        _differ(entering, alpha[leaves.before]),
        (alpha < SMALLEST_ENTRY) & reachable(batch, alpha > 0.0),
        (total < SMALLEST_ENTRY)[:, None] & (final > 0.0) & (batch.end > -math.inf),
    ):
        return None
    log_z = total.log().index_add_(0, batch.rank, row_sums.log().add_(top[:, 0]))
    steps = torch.from_numpy(packing.lengths[packing.alive] - 1).to(batch.device)
    log_z += steps * tops[1] + (tops[0] + tops[2])
    messages = Forward(
        batch=batch,
        emission_weights=emission_weights,
        transition_weights=transitions,
        end_weights=end,
        alpha=alpha,
        row_sums=row_sums,
        log_z=log_z,
    )
    return Scan(messages, leaves, nodes)


def backward(scan: Scan) -> Backward | None:
    """Run backwards.

    scan (Scan): What the way forwards left.
    RETURNS (Backward): Messages, or None where float64 does not reach.
    """
    messages, leaves, back = scan.forward, scan.leaves, _Scaler()
    weights = messages.emission_weights

    def retreat(nodes: torch.Tensor, leaving: torch.Tensor) -> torch.Tensor:
        return back((nodes @ leaving[:, :, None])[:, :, 0])

    beta = messages.end_weights.repeat(len(weights), 1)
    leaving = _normalise(come_back(scan.nodes, leaves.levels, beta[: leaves.n_roots], retreat))
    onward = leaving * weights[leaves.position]
    beta[leaves.before] = onward @ messages.transition_weights.T
    sums = beta.sum(dim=1)
    beta /= sums[:, None].clamp(min=NOTHING)
    mass = torch.linalg.vecdot(messages.alpha, beta)
    alive = (messages.log_z > -math.inf)[messages.batch.rank]
    if _any(
        (sums < SMALLEST_SUM) & (sums > 0.0),
        _differ(leaving, beta[leaves.position]),
        alive & (mass < SMALLEST_ENTRY),
    ):
        return None
    mass = torch.where(alive, mass, 0.0)
    return Backward(beta=beta, weighted_beta=weights * beta, mass=mass)


class _Scaler:
    """Divides what each level of a sweep holds [n, ...] by its sums, in place, every few levels."""

    def __init__(self) -> None:
        self._levels = 0

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        self._levels += 1
        if self._levels % EVERY == 0:
            sums = values.sum(dim=tuple(range(1, values.ndim)), keepdim=True)
            values /= sums.clamp_(min=NOTHING)
        return values


def _normalise(rows: torch.Tensor) -> torch.Tensor:
    """Divide rows [n, K] by their sums; what has no path adds up to nothing, and stays that."""
    return rows / rows.sum(dim=1, keepdim=True).clamp_(min=NOTHING)


def _differ(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Where one message differs from what should be the same one, by more than rounding."""
    return (one - other).abs_() > other * TOLERANCE + NOTHING


def _any(*signs: torch.Tensor) -> bool:
    """Whether anything is True. Waits for the device, once."""
    return bool(torch.cat([sign.view(-1) for sign in signs]).any())


def best_tags(batch: PackedBatch) -> torch.Tensor:
    """Find the best path of each sequence.

    batch (PackedBatch): The scores, on any device.
    RETURNS (Tensor): Tag ids in packed order, int64 [N]. Ties go as in `viterbi`.
    """
    leaves = plan_leaves(batch)
    rows = batch.emissions[leaves.position]
    nodes = go_up(batch.transitions + rows[:, None], leaves.levels, _max_product)
    best = batch.emissions + batch.start
    entering = come_down(nodes, leaves.levels, best[: leaves.n_roots], _max_advance)
    # for each leaf and each tag of its row, the best tag of the row before [n, K]
    origin = torch.empty_like(entering, dtype=torch.int64)
    for block in blocks(len(entering), batch.transitions.numel()):
        reached, origin[block] = (entering[block, :, None] + batch.transitions).max(dim=1)
        best[leaves.position[block]] = reached + rows[block]
    # shape: (A,)
    final = (best[batch.last] + batch.end).argmax(dim=1)
    maps = go_up(origin, leaves.levels, lambda left, right: left.gather(1, right))
    leaving = come_back(maps, leaves.levels, final[: leaves.n_roots], _origin_of)
    tags = torch.empty(len(best), dtype=torch.int64, device=batch.device)
    tags[batch.last] = final
    tags[leaves.before] = _origin_of(origin, leaving)
    return tags


def _origin_of(maps: torch.Tensor, tags: torch.Tensor) -> torch.Tensor:
    return maps.gather(1, tags[:, None])[:, 0]


def _max_product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    product = torch.empty_like(left)
    for block in blocks(len(left), left.shape[1] ** 3):
        # shape: (block, K from, K middle, K to)
        torch.amax(left[block, :, :, None] + right[block, None], dim=2, out=product[block])
    return product


def _max_advance(entering: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    return (entering[:, :, None] + matrices).amax(dim=1)
