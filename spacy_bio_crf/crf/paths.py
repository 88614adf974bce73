"""A given path of each sequence: its score, and how often it uses what, which is the gradient."""

from dataclasses import dataclass

import torch

from .lattice import Lattice


@dataclass(frozen=True)
class Paths:
    """A path through each sequence of a lattice. Packed as its rows are; A sequences have rows.

    tags (Tensor): The tag of each row, int64 [N].
    moves (Tensor): `from * K + to` into each row but first ones, int64 [N - A].
    rank (Tensor): The rank of each row's sequence, int64 [N].
    """

    tags: torch.Tensor
    moves: torch.Tensor
    rank: torch.Tensor


def make_paths(tags: torch.Tensor, lattice: Lattice) -> Paths:
    """Prepare paths.

    tags (Tensor): Tag ids of the flat rows [N].
    lattice (Lattice): What they lead through.
    RETURNS (Paths): The paths.
    RAISES: ValueError, if there is not one tag a row.
    """
    packing = lattice.packing
    if tags.shape != packing.index.shape:
        raise ValueError(
            "tags must match the rows of emissions, "
            f"got {tuple(tags.shape)} and {len(packing.index)}"
        )
    device = lattice.device
    packed = tags.to(device, torch.int64).index_select(0, lattice.index)
    return Paths(
        tags=packed,
        moves=packed[packing.before] * len(lattice.start) + packed[packing.after],
        rank=lattice.rank,
    )


def score_paths(paths: Paths, lattice: Lattice) -> torch.Tensor:
    """Add up the scores along each path.

    paths (Paths): The paths.
    lattice (Lattice): The scores.
    RETURNS (Tensor): float64, by rank [A].
    """
    packing = lattice.packing
    last = paths.tags[lattice.last]
    scores = lattice.start[paths.tags[packing.first]] + lattice.end[last]
    rows = lattice.given.gather(1, paths.tags[:, None])[:, 0].double()
    moves = lattice.transitions.view(-1)[paths.moves]
    scores.index_add_(0, paths.rank, rows)
    return scores.index_add_(0, paths.rank[packing.after], moves)


def add_used_counts(
    paths: Paths,
    lattice: Lattice,
    sequence_weights: torch.Tensor,
    tags: torch.Tensor,
    pairs: torch.Tensor,
) -> None:
    """Count how often the paths use tags and pairs of tags, and add that, weighted by sequence.

    paths (Paths): The paths.
    lattice (Lattice): What they lead through.
    sequence_weights (Tensor): float64, by rank [A].
    tags (Tensor): Counts, packed, float64 [N, K]; changed in place.
    pairs (Tensor): Counts, from and to, float64 [K, K]; changed in place.
    """
    weights = sequence_weights[paths.rank]
    tags.scatter_add_(1, paths.tags[:, None], weights[:, None])
    pairs.view(-1).index_add_(0, paths.moves, weights[lattice.packing.after])
