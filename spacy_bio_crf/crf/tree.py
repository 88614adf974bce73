"""Forward-backward and Viterbi by trees, for GPUs: log T launches for T time steps, instead of T.

A leaf is a row that has a row before it. It holds what leads from each tag of that row to each of
its own [K, K]: the weight `W * E` of `scaled` for sums, the score `A + e` for Viterbi. Neighbors
are combined, so all sequences shrink by half a level until one node is left of each:

    level 2        0-4          the values of nodes go up, then messages come down:
    level 1     0-2    2-4      what enters a node from its left, or leaves it to its right;
    level 0    0-1 1-2 2-3 3-4  an odd node moves up alone

(Blelloch 1990, "Prefix sums and their applications"; for chains Hassan, Särkkä and García-Fernández
2021, "Temporal parallelization of inference in hidden Markov models".)

The nodes of a level lie so that their children are taken by slices: first all left ones, then their
right ones in the same order, then those that are alone.
"""

from collections.abc import Callable
from functools import cached_property
from itertools import count
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from . import scaled
from .batch import PackedBatch, first_rows
from .logs import blocks
from .scaled import ScaledMessages, Underflow

# Levels from one division to the next: what lies some nats apart in a leaf lies four times as far
# apart two levels up.
EVERY = 2
# Divides instead of 0; the most that an entry may lose.
NOTHING = 1e-280
# Relative error of an entry of a message. Products of positive numbers do not let it grow, so T
# rows have T times as much at the most; rounding takes a hundredth of it.
TOLERANCE = 1e-11

Combine = Callable[[Tensor, Tensor], Tensor]


class Level(NamedTuple):
    """The way from one level of nodes to the one above, of which `n_pairs` have two children.

    order (Tensor | None): From the children's order, pairs first, to that of the nodes above,
        int64 [n]; None where the two are the same. `back` is the other way round.
    """

    n_pairs: int
    order: Tensor | None
    back: Tensor | None


class Tree:
    """The trees of a batch.

    position (Tensor): Packed rows of the leaves, as these lie, int64 [n].
    before (Tensor): The packed rows before those, int64 [n].
    n_roots (int): Sequences that have leaves, the first by rank; so are the roots.
    """

    def __init__(self, batch: PackedBatch) -> None:
        packing = batch.packing
        counts = packing.lengths[packing.alive] - 1
        counts = counts[counts > 0]
        self.n_roots = len(counts)
        leaves, self._levels = _plan_levels(counts, batch.device)
        time = 1 + np.arange(counts.sum()) - np.repeat(first_rows(counts), counts)
        rank = np.repeat(np.arange(len(counts)), counts)
        both = np.stack([packing.offsets[time] + rank, packing.offsets[time - 1] + rank])
        self.position, self.before = torch.from_numpy(both[:, leaves]).to(batch.device)

    def go_up(self, leaves: Tensor, combine: Combine) -> list[Tensor]:
        """Combine values of neighbors [n, ...] level by level; give each level's, leaves first.

        combine (Callable): Makes of left and right nodes [p, ...] their parents [p, ...].
        """
        nodes = [leaves]
        for level in self._levels:
            below, n = nodes[-1], level.n_pairs
            here = _join(combine(below[:n], below[n : 2 * n]), below[2 * n :])
            nodes.append(here if level.order is None else here[level.order])
        return nodes

    def come_down(
        self, nodes: list[Tensor], messages: Tensor, step: Combine, *, back: bool = False
    ) -> Tensor:
        """Bring messages from the roots to the leaves, through the nodes from `go_up`.

        messages (Tensor): What enters each root from its left or, with `back`, has to leave it to
            its right [n_roots, ...]; the result is that of each leaf [n, ...].
        step (Callable): Takes messages [p, ...] through nodes [p, ...].
        """
        for below, level in zip(reversed(nodes[:-1]), reversed(self._levels), strict=True):
            n = level.n_pairs
            if level.back is not None:
                messages = messages[level.back]
            own, alone = messages[:n], messages[n:]
            if back:
                messages = _join(step(own, below[n : 2 * n]), own, alone)
            else:
                messages = _join(own, step(own, below[:n]), alone)
        return messages


def _plan_levels(counts: np.ndarray, device: torch.device) -> tuple[np.ndarray, list[Level]]:
    """Plan trees of so many leaves each, one or more, int64 [S], with one copy to the device.

    Gives the leaf, in flat order, at each place, int64 [n]; and the levels, lowest first.
    """
    below = [counts]
    while below[-1].max(initial=0) > 1:
        below.append((below[-1] + 1) // 2)
    # The nodes of a level in the order in which they lie, from the roots down to the leaves.
    nodes = np.arange(len(counts))
    plan: list[tuple[int, np.ndarray | None, np.ndarray | None]] = []
    for children, parents in zip(below[-2::-1], below[:0:-1], strict=True):
        place = np.arange(parents.sum()) - np.repeat(first_rows(parents), parents)
        left = np.repeat(first_rows(children), parents) + 2 * place
        has_two = (2 * place + 1 < np.repeat(children, parents))[nodes]
        # Pairs first; otherwise as they lie here.
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
    return nodes, levels[::-1]


def _to_device(arrays: list[np.ndarray], device: torch.device) -> tuple[Tensor, ...]:
    if not arrays:
        return ()
    return torch.from_numpy(np.concatenate(arrays)).to(device).split([len(x) for x in arrays])


def _join(*parts: Tensor) -> Tensor:
    """Concatenate the parts that are not empty."""
    some = [part for part in parts if len(part)]
    return some[0] if len(some) == 1 else torch.cat(some or list(parts))


class TreeMessages(ScaledMessages):
    """The messages of a batch on any device, in the form of `ScaledMessages`.

    Every few levels nodes and messages are divided by their sums. The message that the tree
    delivers to a leaf must equal the message of the row before. If they differ, float64 has
    underflowed.
    """

    def _run_forward(self) -> None:
        batch, packing = self.batch, self.batch.packing
        self._tree = tree = Tree(batch)
        # shape: (N, 1)
        top = scaled.finite(batch.emissions.amax(dim=1, keepdim=True))
        self._emissions = (batch.emissions - top).exp_()
        chain = (batch.start, batch.transitions, batch.end)
        tops = [scaled.finite(x.amax()) for x in chain]
        start, transitions, end = ((x - y).exp_() for x, y in zip(chain, tops, strict=True))
        self._transitions, self._end = transitions, end

        rows = self._emissions[tree.position]
        self._nodes = tree.go_up(transitions * rows[:, None], _rescaled(torch.matmul))
        alpha = self._emissions * start
        entering = tree.come_down(self._nodes, alpha[: tree.n_roots], _rescaled(_advance))
        entering = _normalize(entering)
        alpha[tree.position] = (entering @ transitions) * rows
        row_sums = alpha.sum(dim=1)
        small = (row_sums < scaled.SMALLEST_SUM) & (row_sums > 0.0)
        row_sums.clamp_(min=NOTHING)
        alpha /= row_sums[:, None]
        final = alpha[batch.last]
        # shape: (A,)
        total = torch.linalg.vecdot(final, end)
        _raise_for(
            small,
            _differ(entering, alpha[tree.before]),
            (alpha < scaled.SMALLEST_ENTRY) & scaled.reachable(batch, alpha > 0.0),
            (total < scaled.SMALLEST_ENTRY)[:, None] & (final > 0.0) & (batch.end > -torch.inf),
        )
        self._alpha, self._row_sums = alpha, row_sums
        self.log_z = total.log().index_add_(0, batch.row_ranks, row_sums.log().add_(top[:, 0]))
        steps = torch.from_numpy(packing.lengths[packing.alive] - 1).to(batch.device)
        self.log_z += steps * tops[1] + (tops[0] + tops[2])

    @cached_property
    def _backward(self) -> tuple[Tensor, Tensor, Tensor]:
        tree, weights = self._tree, self._emissions
        beta = self._end.repeat(len(weights), 1)
        roots = beta[: tree.n_roots]
        leaving = tree.come_down(self._nodes, roots, _rescaled(_retreat), back=True)
        leaving = _normalize(leaving)
        beta[tree.before] = (leaving * weights[tree.position]) @ self._transitions.T
        sums = beta.sum(dim=1)
        beta /= sums[:, None].clamp(min=NOTHING)
        mass = torch.linalg.vecdot(self._alpha, beta)
        alive = (self.log_z > -torch.inf)[self.batch.row_ranks]
        _raise_for(
            (sums < scaled.SMALLEST_SUM) & (sums > 0.0),
            _differ(leaving, beta[tree.position]),
            alive & (mass < scaled.SMALLEST_ENTRY),
        )
        return beta, weights * beta, torch.where(alive, mass, 0.0)


def _advance(entering: Tensor, nodes: Tensor) -> Tensor:
    return (entering[:, None] @ nodes)[:, 0]


def _retreat(leaving: Tensor, nodes: Tensor) -> Tensor:
    return (nodes @ leaving[:, :, None])[:, :, 0]


def _rescaled(step: Combine) -> Combine:
    """Have values of every second level divided by their sums."""
    levels = count(1)

    def rescaled(left: Tensor, right: Tensor) -> Tensor:
        values = step(left, right)
        if next(levels) % EVERY == 0:
            sums = values.sum(dim=tuple(range(1, values.ndim)), keepdim=True)
            values /= sums.clamp_(min=NOTHING)
        return values

    return rescaled


def _normalize(rows: Tensor) -> Tensor:
    """Divide rows [n, K] by their sums; a row without a path stays zero."""
    return rows / rows.sum(dim=1, keepdim=True).clamp_(min=NOTHING)


def _differ(one: Tensor, other: Tensor) -> Tensor:
    """Where two messages that should be equal differ by more than rounding."""
    return (one - other).abs_() > other * TOLERANCE + NOTHING


def _raise_for(*signs: Tensor) -> None:
    """Raise `Underflow` if anything is True. Waits for the device, once."""
    if torch.cat([sign.view(-1) for sign in signs]).any():
        raise Underflow


def decode_by_tree(batch: PackedBatch) -> Tensor:
    """Find the best path of each sequence: packed tags, int64 [N]. Ties go as in `viterbi`."""
    tree = Tree(batch)
    rows = batch.emissions[tree.position]
    nodes = tree.go_up(batch.transitions + rows[:, None], _max_product)
    best = batch.emissions + batch.start
    entering = tree.come_down(nodes, best[: tree.n_roots], _max_advance)
    # For each leaf and each tag of its row, the best tag of the row before [n, K].
    origin = torch.empty_like(entering, dtype=torch.int64)
    for block in blocks(len(entering), batch.transitions.numel()):
        reached, origin[block] = (entering[block, :, None] + batch.transitions).max(dim=1)
        best[tree.position[block]] = reached + rows[block]
    # shape: (A,)
    final = (best[batch.last] + batch.end).argmax(dim=1)
    maps = tree.go_up(origin, lambda left, right: left.gather(1, right))
    leaving = tree.come_down(maps, final[: tree.n_roots], _origin_of, back=True)
    tags = torch.empty(len(best), dtype=torch.int64, device=batch.device)
    tags[batch.last] = final
    tags[tree.before] = _origin_of(leaving, origin)
    return tags


def _origin_of(tags: Tensor, maps: Tensor) -> Tensor:
    return maps.gather(1, tags[:, None])[:, 0]


def _max_product(left: Tensor, right: Tensor) -> Tensor:
    product = torch.empty_like(left)
    for block in blocks(len(left), left.shape[1] ** 3):
        # shape: (block, K from, K middle, K to)
        torch.amax(left[block, :, :, None] + right[block, None], dim=2, out=product[block])
    return product


def _max_advance(entering: Tensor, matrices: Tensor) -> Tensor:
    return (entering[:, :, None] + matrices).amax(dim=1)
