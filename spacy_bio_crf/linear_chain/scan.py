"""Forward-backward and Viterbi as tree scans: a number of launches that grows with log T, not T.

A leaf is a row that has a row before it, and holds `A + e` [K, K]: the score of going from each tag
of the row before to each tag of its own.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from .lattice import Lattice, leads_on, reachable
from .log_space import blocks, log_partitions
from .tree import Level, build_levels, come_back, come_down, go_up

# A product keeps of each row what lies within e^-745 of its largest entry; messages that stay
# this many nats below that are exact.
REACH = 600.0


@dataclass(frozen=True)
class Leaves:
    """The leaves of a batch, sequence after sequence, and their trees.

    position (Tensor): Their packed rows, int64 [n].
    before (Tensor): The packed rows before those, int64 [n].
    levels (List[Level]): The trees.
    n_roots (int): Sequences that have leaves; these are the first so many by rank.
    """

    position: torch.Tensor
    before: torch.Tensor
    levels: list[Level]
    n_roots: int


def plan_leaves(lattice: Lattice) -> Leaves:
    """Find the leaves of a batch."""
    packing = lattice.packing
    counts = packing.lengths[packing.alive] - 1
    counts = counts[counts > 0]
    time = 1 + np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    rank = np.repeat(np.arange(len(counts)), counts)
    device = lattice.device
    both = np.stack([packing.offsets[time] + rank, packing.offsets[time - 1] + rank])
    position, before = torch.from_numpy(both).to(device)
    return Leaves(position, before, build_levels(counts, device), len(counts))


def messages(lattice: Lattice) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
    """Run forwards and backwards.

    lattice (Lattice): The scores, on any device.
    RETURNS (Tuple[Tensor, Tensor, Tensor]): Packed log messages alpha and beta [N, K], and
        log-partitions by rank [A]; None where float64 does not reach.
    """
    leaves = plan_leaves(lattice)
    matrices = lattice.transitions + lattice.emissions[leaves.position, None, :]
    nodes = go_up(matrices, leaves.levels, _log_product)
    alpha = lattice.emissions + lattice.start
    entering = come_down(nodes, leaves.levels, alpha[: leaves.n_roots].clone(), _log_advance)
    alpha[leaves.position] = _log_advance(entering, matrices)
    beta = lattice.end.repeat(len(alpha), 1)
    leaving = come_back(nodes, leaves.levels, beta[: leaves.n_roots].clone(), _log_retreat)
    beta[leaves.before] = _log_retreat(matrices, leaving)
    if not (
        _complete(alpha, reachable(lattice, alpha > -math.inf))
        and _complete(beta, leads_on(lattice, beta > -math.inf))
    ):
        return None
    return alpha, beta, log_partitions(lattice, alpha)


def _complete(logs: torch.Tensor, possible: torch.Tensor) -> bool:
    """Check that nothing possible is close to underflow."""
    lost = possible & (logs < logs.amax(dim=1, keepdim=True) - REACH)
    return not bool(lost.any())


def best_tags(lattice: Lattice) -> torch.Tensor:
    """Find the best path of each sequence.

    lattice (Lattice): The scores, on any device.
    RETURNS (Tensor): Tag ids in packed order, int64 [N]. Ties go as in `viterbi`.
    """
    leaves = plan_leaves(lattice)
    matrices = lattice.transitions + lattice.emissions[leaves.position, None, :]
    nodes = go_up(matrices, leaves.levels, _max_product)
    best = lattice.emissions + lattice.start
    entering = come_down(nodes, leaves.levels, best[: leaves.n_roots].clone(), _max_advance)
    best[leaves.position] = _max_advance(entering, matrices)
    last = torch.from_numpy(lattice.packing.last).to(best.device)
    # shape: (A,)
    final = (best[last] + lattice.end).argmax(dim=1)
    # for each leaf and each tag of its row, the best tag of the row before [n, K]
    origin = torch.empty_like(entering, dtype=torch.int64)
    for block in blocks(len(entering), lattice.transitions.numel()):
        origin[block] = (entering[block, :, None] + lattice.transitions).argmax(dim=1)
    maps = go_up(origin, leaves.levels, lambda left, right: left.gather(1, right))
    leaving = come_back(maps, leaves.levels, final[: leaves.n_roots], _origin_of)
    tags = torch.empty(len(best), dtype=torch.int64, device=best.device)
    tags[last] = final
    tags[leaves.before] = _origin_of(origin, leaving)
    return tags


def _origin_of(maps: torch.Tensor, tags: torch.Tensor) -> torch.Tensor:
    return maps.gather(1, tags[:, None])[:, 0]


def _log_product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    # shape: (p, K middle, 1), the largest entry of each row on the right
    top_right = _finite(right.amax(dim=2, keepdim=True))
    # shape: (p, K from, K middle)
    left = left + top_right.transpose(1, 2)
    top_left = _finite(left.amax(dim=2, keepdim=True))
    product = torch.exp(left - top_left) @ torch.exp(right - top_right)
    return product.log_().add_(top_left)


def _finite(top: torch.Tensor) -> torch.Tensor:
    return top.masked_fill(top == -math.inf, 0.0)


def _log_advance(entering: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    return torch.logsumexp(entering[:, :, None] + matrices, dim=1)


def _log_retreat(matrices: torch.Tensor, leaving: torch.Tensor) -> torch.Tensor:
    return torch.logsumexp(matrices + leaving[:, None, :], dim=2)


def _max_product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    product = torch.empty_like(left)
    for block in blocks(len(left), left.shape[1] ** 3):
        # shape: (block, K from, K middle, K to)
        torch.amax(left[block, :, :, None] + right[block, None], dim=2, out=product[block])
    return product


def _max_advance(entering: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    return (entering[:, :, None] + matrices).amax(dim=1)
