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

The nodes of a level lie so that no index is needed to take the children from it: first all left
ones, then their right ones in the same order, then those that are alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from .batch import first_rows

Combine = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Level:
    """How the nodes of a level follow from those below.

    n_pairs (int): How many of them have two children; the others have one.
    order (Tensor | None): From the children's order, pairs first, to that in which the nodes lie
        here, int64 [n]; None where the two are the same.
    back (Tensor | None): The other way round.
    """

    n_pairs: int
    order: torch.Tensor | None
    back: torch.Tensor | None


@dataclass(frozen=True)
class Tree:
    """The trees of a batch.

    leaves (ndarray): The leaf, counted from the first sequence's first one, that lies at each
        place, int64 [n].
    levels (list[Level]): From the leaves' parents up to the roots, which are in the sequences'
        order.
    """

    leaves: np.ndarray
    levels: list[Level]


def build_tree(counts: np.ndarray, device: torch.device) -> Tree:
    """Plan the trees of a batch, with one copy to the device.

    counts (ndarray): Leaves of each sequence, one or more, int64 [S].
    device (torch.device): Where the indices are wanted.
    RETURNS (Tree): The plan.
    """
    below = [counts]
    while below[-1].max(initial=0) > 1:
        below.append((below[-1] + 1) // 2)
    # the nodes of a level in the order in which they lie, from the roots down to the leaves
    nodes = np.arange(len(counts))
    plan: list[tuple[int, np.ndarray | None, np.ndarray | None]] = []
    for children, parents in zip(below[-2::-1], below[:0:-1], strict=True):
        place = np.arange(parents.sum()) - np.repeat(first_rows(parents), parents)
        left = np.repeat(first_rows(children), parents) + 2 * place
        has_two = (2 * place + 1 < np.repeat(children, parents))[nodes]
        # pairs first; otherwise as they lie here
        back = np.argsort(~has_two, kind="stable")
        n_pairs = int(has_two.sum())
        same = bool((back[1:] > back[:-1]).all())
        plan.append((n_pairs, None if same else np.argsort(back), None if same else back))
        left = left[nodes[back]]
        nodes = np.concatenate([left[:n_pairs], left[:n_pairs] + 1, left[n_pairs:]])
    moved = iter(_to_device([x for _, *both in plan for x in both if x is not None], device))
    levels = [
        Level(n_pairs, *(None if x is None else next(moved) for x in (order, back)))
        for n_pairs, order, back in plan
    ]
    return Tree(nodes, levels[::-1])


def _to_device(arrays: list[np.ndarray], device: torch.device) -> tuple[torch.Tensor, ...]:
    if not arrays:
        return ()
    return torch.from_numpy(np.concatenate(arrays)).to(device).split([len(x) for x in arrays])


def go_up(leaves: torch.Tensor, levels: list[Level], combine: Combine) -> list[torch.Tensor]:
    """Combine neighbours level by level.

    leaves (Tensor): What the leaves hold [n, ...], as they lie.
    levels (list[Level]): The plan.
    combine (Callable): Makes of left and right nodes [p, ...] their parents [p, ...].
    RETURNS (list[Tensor]): What the nodes of each level hold, leaves first.
    """
    nodes = [leaves]
    for level in levels:
        below, n = nodes[-1], level.n_pairs
        here = _join(combine(below[:n], below[n : 2 * n]), below[2 * n :])
        nodes.append(here if level.order is None else here[level.order])
    return nodes


def come_down(
    nodes: list[torch.Tensor], levels: list[Level], entering: torch.Tensor, advance: Combine
) -> torch.Tensor:
    """Find what enters each leaf from its left.

    nodes (list[Tensor]): What the nodes hold, from `go_up`.
    levels (list[Level]): The plan.
    entering (Tensor): What enters each sequence [S, ...].
    advance (Callable): Takes what enters nodes and the nodes, gives what leaves them.
    RETURNS (Tensor): [n, ...], as the leaves lie.
    """
    for below, level in zip(reversed(nodes[:-1]), reversed(levels), strict=True):
        n = level.n_pairs
        if level.back is not None:
            entering = entering[level.back]
        entering = _join(entering[:n], advance(entering[:n], below[:n]), entering[n:])
    return entering


def come_back(
    nodes: list[torch.Tensor], levels: list[Level], leaving: torch.Tensor, retreat: Combine
) -> torch.Tensor:
    """Find what leaves each leaf to its right.

    nodes (list[Tensor]): What the nodes hold, from `go_up`.
    levels (list[Level]): The plan.
    leaving (Tensor): What leaves each sequence [S, ...].
    retreat (Callable): Takes nodes and what leaves them, gives what has to enter them.
    RETURNS (Tensor): [n, ...], as the leaves lie.
    """
    for below, level in zip(reversed(nodes[:-1]), reversed(levels), strict=True):
        n = level.n_pairs
        if level.back is not None:
            leaving = leaving[level.back]
        leaving = _join(retreat(below[n : 2 * n], leaving[:n]), leaving[:n], leaving[n:])
    return leaving


def _join(*parts: torch.Tensor) -> torch.Tensor:
    """Concatenate what is not empty."""
    some = [part for part in parts if len(part)]
    return some[0] if len(some) == 1 else torch.cat(some or list(parts))
