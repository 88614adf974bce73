"""Batches of sequences: checked scores, with their rows packed by time step.

A batch arrives flat: the rows of all sequences one after the other. A recurrence in time needs the
rows of one time step side by side. Sequences are therefore sorted by length, longest first, and
their rows are packed by time step, as in torch's `PackedSequence`. Step `t` then touches exactly
the sequences that are still running, so no mask is needed:

    flat    a0 a1 | b0 b1 b2 | c0          lengths 2, 3, 1
    packed  b0 a0 c0 | b1 a1 | b2          widths  3, 2, 1

A sequence's place in this order is its rank. N is the number of rows, K of tags, B of sequences, A
of sequences that have rows, and T of time steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
import torch
from torch import Tensor

Lengths = Tensor | np.ndarray | Sequence[int]


@dataclass
class Tuning:
    """The choice between algorithms. It decides about time and memory, never about results.

    tree (bool | None): Whether to combine rows in a tree; None for a GPU alone.
    tree_bytes (int): Most memory for a tree, which keeps about two float64 [K, K] matrices a row.
        A larger batch is computed on the CPU, where a row needs [K].
    section_rows (int): Rows of a section, and most rows of a batch that stays whole.
    section_steps (int): Fewest time steps of a section.
    """

    tree: bool | None = None
    tree_bytes: int = 4 * 2**30
    section_rows: int = 2**15
    section_steps: int = 64


TUNING = Tuning()


@dataclass(frozen=True)
class Packing:
    """The rows of a batch, packed by time step.

    order (ndarray): int64 [B]. Sequence ids by rank; equally long ones keep their order.
    lengths (ndarray): int64 [B]. Rows of each sequence, in the caller's order.
    index (ndarray): int64 [N]. The flat row at each packed position.
    widths (ndarray): int64 [T]. Sequences still running at each time step; never increases.
    offsets (ndarray): int64 [T + 1]. Packed position of each time step's first row; N at the end.
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
    def ranks(self) -> np.ndarray:
        """The rank of each sequence, int64 [B]."""
        return inverse(self.order)

    @cached_property
    def last(self) -> np.ndarray:
        """Packed positions of all last rows, by rank, int64 [A]."""
        return self.offsets[self.lengths[self.alive] - 1] + np.arange(self.first.stop)

    @cached_property
    def row_ranks(self) -> np.ndarray:
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
        # The row before is one step's width earlier.
        return np.arange(self.after.start, len(self.index)) - np.repeat(
            self.widths[:-1], self.widths[1:]
        )


@dataclass(frozen=True)
class PackedBatch:
    """The scores of a batch, detached, on the device that computes.

    packing (Packing): How the rows lie.
    given (Tensor): Packed emissions [N, K] in the dtype of the caller.
    start (Tensor): float64 [K]; in a section of longer sequences one for each, by rank [A, K].
    transitions (Tensor): float64 [K, K], from and to.
    end (Tensor): float64 [K] or, like `start`, [A, K].
    """

    packing: Packing
    given: Tensor
    start: Tensor
    transitions: Tensor
    end: Tensor

    @property
    def device(self) -> torch.device:
        return self.given.device

    @cached_property
    def emissions(self) -> Tensor:
        """Packed emissions, float64 [N, K]."""
        return self.given.double()

    @cached_property
    def index(self) -> Tensor:
        """`packing.index` on the device, int64 [N]."""
        return self._to_device(self.packing.index)

    @cached_property
    def last(self) -> Tensor:
        """`packing.last` on the device, int64 [A]."""
        return self._to_device(self.packing.last)

    @cached_property
    def row_ranks(self) -> Tensor:
        """`packing.row_ranks` on the device, int64 [N]."""
        return self._to_device(self.packing.row_ranks)

    def unpack(self, packed: Tensor) -> Tensor:
        """Bring packed rows [N, ...] back into flat order."""
        if self.packing.is_flat:
            return packed
        return torch.empty_like(packed).index_copy_(0, self.index, packed)

    def by_sequence(self, values: Tensor) -> Tensor:
        """Bring values by rank [A] into the order of the batch [B]; 0 for an empty sequence."""
        result = values.new_zeros(len(self.packing.lengths))
        return result.index_copy_(0, self._to_device(self.packing.alive), values)

    def by_rank(self, values: Tensor) -> Tensor:
        """Bring values in the order of the batch [B] to the device, by rank [A]."""
        alive = self._to_device(self.packing.alive)
        return values.to(self.device).index_select(0, alive)

    def _to_device(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def make_batch(
    emissions: Tensor, lengths: Lengths, start: Tensor, transitions: Tensor, end: Tensor
) -> PackedBatch:
    """Check and pack the scores of a batch."""
    packing = make_packing(check_batch(emissions, lengths, start, transitions, end))
    device = computing_device(emissions)
    rows = emissions.detach().to(device)
    if not packing.is_flat:
        rows = rows.index_select(0, torch.from_numpy(packing.index).to(device))
    chain = (x.detach().to(device, torch.float64) for x in (start, transitions, end))
    return PackedBatch(packing, rows, *chain)


def make_packing(lengths: np.ndarray) -> Packing:
    """Pack the rows of sequences, int64 [B], by time step."""
    n_rows = int(lengths.sum())
    order = np.argsort(-lengths, kind="stable")
    longest = int(lengths.max(initial=0))
    # A row t exists in all sequences but those that end at or before t.
    ended = np.bincount(lengths, minlength=longest + 1)[:longest].cumsum()
    widths = len(lengths) - ended
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(widths)])
    # time, position: [N], in the order of the flat rows
    time = np.arange(n_rows)
    time -= np.repeat(first_rows(lengths), lengths)
    position = offsets[time]
    position += np.repeat(inverse(order), lengths)
    return Packing(order, lengths, inverse(position), widths, offsets)


def inverse(order: np.ndarray) -> np.ndarray:
    """Invert a permutation, int64 [n]: find the place of each number."""
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return place


def first_rows(lengths: np.ndarray) -> np.ndarray:
    """Find each sequence's first flat row, int64 [B]; for an empty one, where it would be."""
    return np.cumsum(lengths) - lengths


def prefers_tree(device: torch.device) -> bool:
    """Tell whether few large operations suit a device better than many small ones."""
    return device.type == "cuda" if TUNING.tree is None else TUNING.tree


def computing_device(emissions: Tensor) -> torch.device:
    """Choose the device that computes: that of emissions [N, K], or the CPU."""
    n_rows, n_tags = emissions.shape
    if prefers_tree(emissions.device) and 16 * n_rows * n_tags**2 <= TUNING.tree_bytes:
        return emissions.device
    # The CPU steps through time, and not every accelerator has float64.
    return torch.device("cpu")


def result_dtype(*scores: Tensor) -> torch.dtype:
    """Choose the dtype of results: what those of the scores promote to, float32 at least."""
    return reduce(torch.promote_types, (x.dtype for x in scores), torch.float32)


def check_batch(
    emissions: Tensor, lengths: Lengths, start: Tensor, transitions: Tensor, end: Tensor
) -> np.ndarray:
    """Check that scores agree with one another, and with the lengths; give these, int64 [B]."""
    if emissions.ndim != 2 or emissions.shape[1] < 1:
        shape = tuple(emissions.shape)
        raise ValueError(f"emissions: expected shape [N, K] with K >= 1, got {shape}")
    n_tags = emissions.shape[1]
    check_shape("start", start, (n_tags,))
    check_shape("transitions", transitions, (n_tags, n_tags))
    check_shape("end", end, (n_tags,))
    return check_lengths(lengths, len(emissions))


def check_shape(name: str, values: Tensor, expected: tuple[int, ...]) -> None:
    """Raise an error if an argument has another shape than expected."""
    if tuple(values.shape) != expected:
        raise ValueError(f"{name}: expected shape {expected}, got {tuple(values.shape)}")


def check_lengths(lengths: Lengths, n_rows: int) -> np.ndarray:
    """Check the lengths of sequences that have `n_rows` rows together; give them, int64 [B]."""
    if isinstance(lengths, Tensor):
        lengths = lengths.detach().cpu().numpy()
    checked = np.asarray(lengths, dtype=np.int64)
    if checked.ndim != 1:
        raise ValueError(f"lengths: expected shape [B], got {checked.shape}")
    if checked.size and checked.min() < 0:
        raise ValueError(f"lengths: expected 0 or more rows, got {checked.min()}")
    if checked.sum() != n_rows:
        raise ValueError(
            f"lengths: expected a sum of {n_rows}, the rows of emissions, got {checked.sum()}"
        )
    return checked
