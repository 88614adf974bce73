"""Where the rows of a ragged batch lie.

A batch arrives flat: the rows of all sequences one after the other. A recurrence in time wants the
rows of one time step side by side, so the sequences are sorted by length, longest first, and
their rows are regrouped by time step. Step `t` then touches exactly the sequences that are still
running, and no mask is needed anywhere:

    flat    a0 a1 | b0 b1 b2 | c0          lengths 2, 3, 1
    packed  b0 a0 c0 | b1 a1 | b2          widths  3, 2, 1
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

Lengths = torch.Tensor | np.ndarray | Sequence[int]


@dataclass(frozen=True)
class Packing:
    """The rows of a ragged batch, regrouped by time step.

    order (ndarray): int64 [B]. Sequence ids, longest first; equally long ones keep their order.
        A sequence's place in it is its rank.
    lengths (ndarray): int64 [B]. Rows per sequence, in the caller's order.
    index (ndarray): int64 [N]. The flat row that stands at each packed position.
    widths (ndarray): int64 [T]. Sequences still running at each time step; never increases.
    offsets (ndarray): int64 [T + 1]. Packed position of each time step's first row; at the end N.
    """

    order: np.ndarray
    lengths: np.ndarray
    index: np.ndarray
    widths: np.ndarray
    offsets: np.ndarray

    @property
    def alive(self) -> np.ndarray:
        """Ids of the sequences that have rows, by rank, int64 [A]."""
        return self.order[: self.first.stop]

    @property
    def first(self) -> slice:
        """Packed positions of all first rows, by rank."""
        return slice(0, int(self.widths[0]) if len(self.widths) else 0)

    @property
    def is_flat(self) -> bool:
        """Whether packed rows are in flat order, as those of a single sequence are."""
        return self.first.stop <= 1

    @cached_property
    def last(self) -> np.ndarray:
        """Packed positions of all last rows, by rank, int64 [A]."""
        return self.offsets[self.lengths[self.alive] - 1] + np.arange(self.first.stop)

    @cached_property
    def rank(self) -> np.ndarray:
        """The rank of each packed row's sequence, int64 [N]."""
        return np.arange(len(self.index)) - np.repeat(self.offsets[:-1], self.widths)

    @property
    def after(self) -> slice:
        """Packed positions of all rows that have a row before them."""
        return slice(self.first.stop, len(self.index))

    @cached_property
    def before(self) -> np.ndarray | slice:
        """Packed positions of the rows before the rows of `after`; a slice where that suffices."""
        if len(self.widths) == 0 or self.widths[-1] == self.widths[0]:
            return slice(0, len(self.index) - self.first.stop)
        # the row before stands one step's width earlier
        return np.arange(self.after.start, len(self.index)) - np.repeat(
            self.widths[:-1], self.widths[1:]
        )


def as_lengths(lengths: Lengths, n_rows: int) -> np.ndarray:
    """Check the lengths of a flat batch.

    lengths (Tensor, ndarray or list): Rows of each sequence [B]; zeros are allowed.
    n_rows (int): N, the rows that the batch has.
    RETURNS (ndarray): int64 [B].
    RAISES: ValueError, if a length is negative or they do not add up to N.
    """
    if isinstance(lengths, torch.Tensor):
        lengths = lengths.detach().cpu().numpy()
    checked = np.asarray(lengths, dtype=np.int64)
    if checked.ndim != 1:
        raise ValueError(f"lengths must be flat, one a sequence, got shape {checked.shape}")
    if checked.size and checked.min() < 0:
        raise ValueError(f"lengths must not be negative, got {checked.min()}")
    if checked.sum() != n_rows:
        raise ValueError(
            f"lengths must add up to the rows of emissions, got {checked.sum()} and {n_rows}"
        )
    return checked


def first_rows(lengths: np.ndarray) -> np.ndarray:
    """Find each sequence's first flat row, int64 [B]; for an empty one, where it would be."""
    return np.cumsum(lengths) - lengths


def pack(lengths: np.ndarray) -> Packing:
    """Regroup the rows of a batch by time step.

    lengths (ndarray): int64 [B].
    RETURNS (Packing): Where each row goes.
    """
    n_rows = int(lengths.sum())
    order = np.argsort(-lengths, kind="stable")
    longest = int(lengths.max(initial=0))
    # the sequences that have a row t are all less those that end at or before t
    ended = np.bincount(lengths, minlength=longest + 1)[:longest].cumsum()
    widths = len(lengths) - ended
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(widths)])
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    # time, position: [N], in the order of the flat rows
    time = np.arange(n_rows)
    time -= np.repeat(first_rows(lengths), lengths)
    position = offsets[time]
    position += np.repeat(rank, lengths)
    index = np.empty(n_rows, dtype=np.int64)
    index[position] = np.arange(n_rows)
    return Packing(order=order, lengths=lengths, index=index, widths=widths, offsets=offsets)


def from_padded(emissions: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Gather the rows that a mask selects from a padded batch.

    A masked row is left out wherever it stands: at the end, in the middle or first. Rows that are
    left out may hold anything, NaN included, and get a gradient of zero.

    emissions (Tensor): [B, T, K].
    mask (Tensor): bool [B, T], True where there is a row.
    RETURNS (Tuple[Tensor, Tensor]): The rows [N, K], and how many each sequence has, int64 [B] on
        the CPU.
    RAISES: ValueError, if the shapes do not match.
    """
    if emissions.ndim != 3 or emissions.shape[:2] != mask.shape:
        raise ValueError(
            "emissions [B, T, K] and mask [B, T] must match, got shapes "
            f"{tuple(emissions.shape)} and {tuple(mask.shape)}"
        )
    mask = mask.bool()
    return emissions[mask], mask.sum(dim=1).cpu()
