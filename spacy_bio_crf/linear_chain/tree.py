"""A balanced tree over each sequence of a ragged batch, for devices that want few large operations.

What a row does to the row before it, as a matrix or a map, can be combined with its neighbour's, so
all sequences shrink by half a level until one node is left of each:

    level 2        0-4          node values go up (`go_up`), then what enters a node from
    level 1     0-2    2-4      its left, or leaves it to its right, comes down (`come_down`,
    level 0    0-1 1-2 2-3 3-4  `come_back`); an odd node moves up alone

With T rows that takes log T levels of a handful of operations each, instead of T steps (Blelloch
1990, "Prefix sums and their applications"; for chains Hassan, Särkkä and García-Fernández 2021,
"Temporal parallelization of inference in hidden Markov models"). Nothing here depends on what a
node holds.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from .layout import first_rows

Combine = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Level:
    """How the nodes of a level are made of those below. All int64.

    left (Tensor): The left child of each node, or its only one [n].
    paired (Tensor): The nodes that have two children [p].
    right (Tensor): Their right children [p].
    """

    left: torch.Tensor
    paired: torch.Tensor
    right: torch.Tensor


def build_levels(counts: np.ndarray, device: torch.device) -> list[Level]:
    """Plan the trees of a batch, with one copy to the device.

    counts (ndarray): Leaves of each sequence, one or more, int64 [S].
    device (torch.device): Where the indices are wanted.
    RETURNS (List[Level]): From the leaves' parents up to the roots.
    """
    plan: list[np.ndarray] = []
    while counts.max(initial=0) > 1:
        parents = (counts + 1) // 2
        place = np.arange(parents.sum()) - np.repeat(first_rows(parents), parents)
        left = np.repeat(first_rows(counts), parents) + 2 * place
        paired = np.flatnonzero(2 * place + 1 < np.repeat(counts, parents))
        plan += [left, paired, left[paired] + 1]
        counts = parents
    if not plan:
        return []
    parts = torch.from_numpy(np.concatenate(plan)).to(device).split([len(part) for part in plan])
    return [Level(*parts[i : i + 3]) for i in range(0, len(parts), 3)]


def go_up(leaves: torch.Tensor, levels: list[Level], combine: Combine) -> list[torch.Tensor]:
    """Combine neighbours level by level.

    leaves (Tensor): What the leaves hold [n, ...], sequence after sequence.
    levels (List[Level]): The plan.
    combine (Callable): Makes of left and right nodes [p, ...] their parents [p, ...].
    RETURNS (List[Tensor]): What the nodes of each level hold, leaves first.
    """
    nodes = [leaves]
    for level in levels:
        below = nodes[-1]
        here = below[level.left]
        here[level.paired] = combine(here[level.paired], below[level.right])
        nodes.append(here)
    return nodes


def come_down(
    nodes: list[torch.Tensor], levels: list[Level], entering: torch.Tensor, advance: Combine
) -> torch.Tensor:
    """Find what enters each leaf from its left.

    nodes (List[Tensor]): What the nodes hold, from `go_up`.
    levels (List[Level]): The plan.
    entering (Tensor): What enters each sequence [S, ...].
    advance (Callable): Takes what enters nodes and the nodes, gives what leaves them.
    RETURNS (Tensor): [n, ...].
    """
    for below, level in zip(reversed(nodes[:-1]), reversed(levels), strict=True):
        lower = entering.new_empty((len(below), *entering.shape[1:]))
        lower[level.left] = entering
        lower[level.right] = advance(entering[level.paired], below[level.left[level.paired]])
        entering = lower
    return entering


def come_back(
    nodes: list[torch.Tensor], levels: list[Level], leaving: torch.Tensor, retreat: Combine
) -> torch.Tensor:
    """Find what leaves each leaf to its right.

    nodes (List[Tensor]): What the nodes hold, from `go_up`.
    levels (List[Level]): The plan.
    leaving (Tensor): What leaves each sequence [S, ...].
    retreat (Callable): Takes nodes and what leaves them, gives what has to enter them.
    RETURNS (Tensor): [n, ...].
    """
    for below, level in zip(reversed(nodes[:-1]), reversed(levels), strict=True):
        lower = leaving.new_empty((len(below), *leaving.shape[1:]))
        lower[level.left] = leaving
        lower[level.right] = leaving[level.paired]
        lower[level.left[level.paired]] = retreat(below[level.right], leaving[level.paired])
        leaving = lower
    return leaving
