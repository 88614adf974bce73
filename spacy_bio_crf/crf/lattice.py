"""A batch's scores, checked and packed by time step: what every algorithm reads."""

import math
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
import torch

from .layout import Lengths, Packing, as_lengths, pack

# The tree scan keeps about two float64 [K, K] matrices a row. Above this many bytes a batch is
# computed on the CPU, which needs [K] a row.
TREE_BYTES = 4 * 2**30
ALL_ROWS = slice(None)


@dataclass(frozen=True)
class Lattice:
    """The scores of a batch, detached, on the device that computes.

    packing (Packing): Where the rows lie.
    index (Tensor): `packing.index` on the device, int64 [N].
    given (Tensor): Packed rows [N, K] in the dtype they were given in.
    start (Tensor): float64 [K]; in a section of longer sequences one for each, by rank [A, K].
    transitions (Tensor): float64 [K, K], from and to.
    end (Tensor): float64 [K] or, like `start`, [A, K].
    """

    packing: Packing
    index: torch.Tensor
    given: torch.Tensor
    start: torch.Tensor
    transitions: torch.Tensor
    end: torch.Tensor

    @cached_property
    def emissions(self) -> torch.Tensor:
        """Packed rows, float64 [N, K]."""
        return self.given.double()

    @cached_property
    def last(self) -> torch.Tensor:
        """Packed positions of all last rows, by rank, on the device, int64 [A]."""
        return torch.from_numpy(self.packing.last).to(self.device)

    @cached_property
    def rank(self) -> torch.Tensor:
        """The rank of each packed row's sequence, on the device, int64 [N]."""
        return torch.from_numpy(self.packing.rank).to(self.device)

    @property
    def device(self) -> torch.device:
        return self.given.device

    @property
    def uses_tree(self) -> bool:
        return prefers_tree(self.device)


def prefers_tree(device: torch.device) -> bool:
    """Tell whether a device is better served by few large operations than by many small ones."""
    return device.type == "cuda"


def check_shapes(
    emissions: torch.Tensor, start: torch.Tensor, transitions: torch.Tensor, end: torch.Tensor
) -> None:
    """Check that four tensors agree on the number of tags.

    RAISES: ValueError, if they do not.
    """
    if emissions.ndim != 2 or emissions.shape[1] < 1:
        raise ValueError(f"emissions must be [N, K] with K >= 1, got {tuple(emissions.shape)}")
    n_tags = emissions.shape[1]
    for name, tensor, expected in (
        ("start", start, (n_tags,)),
        ("transitions", transitions, (n_tags, n_tags)),
        ("end", end, (n_tags,)),
    ):
        if tuple(tensor.shape) != expected:
            raise ValueError(
                f"{name} must match emissions {tuple(emissions.shape)} and be {expected}, "
                f"got {tuple(tensor.shape)}"
            )


def result_dtype(*dtypes: torch.dtype) -> torch.dtype:
    """Choose the dtype of results: what those of the inputs promote to, float32 at least."""
    return reduce(torch.promote_types, dtypes, torch.float32)


def make_lattice(
    emissions: torch.Tensor,
    lengths: Lengths,
    start: torch.Tensor,
    transitions: torch.Tensor,
    end: torch.Tensor,
) -> Lattice:
    """Check and pack the scores of a batch.

    emissions (Tensor): Flat rows [N, K].
    lengths (Tensor, ndarray or list): Rows of each sequence [B].
    start (Tensor): [K].
    transitions (Tensor): [K, K].
    end (Tensor): [K].
    RETURNS (Lattice): The packed scores.
    RAISES: ValueError, if shapes or lengths do not agree.
    """
    check_shapes(emissions, start, transitions, end)
    packing = pack(as_lengths(lengths, len(emissions)))
    device = computing_device(emissions)
    index = torch.from_numpy(packing.index).to(device)
    rows = emissions.detach().to(device)
    packed = rows if packing.is_flat else rows.index_select(0, index)
    rest = (x.detach().to(device, torch.float64) for x in (start, transitions, end))
    return Lattice(packing, index, packed, *rest)


def computing_device(emissions: torch.Tensor) -> torch.device:
    """Choose the device that computes: that of emissions [N, K], or the CPU."""
    n_rows, n_tags = emissions.shape
    if prefers_tree(emissions.device) and 16 * n_rows * n_tags**2 <= TREE_BYTES:
        return emissions.device
    # the CPU steps through time, and not every accelerator knows float64
    return torch.device("cpu")


def unpack(packed: torch.Tensor, lattice: Lattice) -> torch.Tensor:
    """Bring packed rows [N, ...] back into flat order."""
    if lattice.packing.is_flat:
        return packed
    return torch.empty_like(packed).index_copy_(0, lattice.index, packed)


def positions(rows: np.ndarray, lattice: Lattice) -> np.ndarray:
    """Find where flat rows, int64 [R], stand among the packed ones, int64 [R]."""
    place = np.empty_like(lattice.packing.index)
    place[lattice.packing.index] = np.arange(len(place))
    return place[rows]


def by_sequence(values: torch.Tensor, lattice: Lattice) -> torch.Tensor:
    """Bring values by rank [A] into the order of the batch [B]; an empty sequence gets 0."""
    result = values.new_zeros(len(lattice.packing.lengths))
    return result.index_copy_(0, _alive(lattice), values)


def by_rank(values: torch.Tensor, lattice: Lattice) -> torch.Tensor:
    """Bring values in the order of the batch [B] to the lattice's device, by rank [A]."""
    return values.to(lattice.device).index_select(0, _alive(lattice))


def _alive(lattice: Lattice) -> torch.Tensor:
    return torch.from_numpy(lattice.packing.alive).to(lattice.device)


def reachable(lattice: Lattice, reached: torch.Tensor) -> torch.Tensor:
    """Find the tags to which some path leads, row by row, given those reached in the row before.

    If `reached` is equal to the result, then, by induction, it is right for every row.

    lattice (Lattice): The scores.
    reached (Tensor): bool, packed rows [N, K].
    RETURNS (Tensor): bool, packed rows [N, K].
    """
    packing = lattice.packing
    open_transitions = (lattice.transitions > -math.inf).float()
    possible = lattice.emissions > -math.inf
    possible[packing.first] &= lattice.start > -math.inf
    possible[packing.after] &= reached[packing.before].float() @ open_transitions > 0
    return possible


def leads_on(lattice: Lattice, reached: torch.Tensor) -> torch.Tensor:
    """Find the tags from which some path leads to the end, as `reachable` does from the start.

    lattice (Lattice): The scores.
    reached (Tensor): bool, packed rows [N, K].
    RETURNS (Tensor): bool, packed rows [N, K]; a row's own emission is not part of it.
    """
    packing = lattice.packing
    open_transitions = (lattice.transitions > -math.inf).float()
    # before and last together are all rows
    possible = torch.empty_like(reached)
    possible[lattice.last] = lattice.end > -math.inf
    after = (reached & (lattice.emissions > -math.inf))[packing.after]
    possible[packing.before] = after.float() @ open_transitions.T > 0
    return possible
