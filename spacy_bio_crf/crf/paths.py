"""A given path of each sequence: its score, and how often it uses what, which is the gradient."""

from dataclasses import dataclass

import torch

from .batch import PackedBatch


@dataclass(frozen=True)
class Paths:
    """A path through each sequence of a batch. Packed as its rows are; A sequences have rows.

    tags (Tensor): The tag of each row, int64 [N].
    moves (Tensor): `from * K + to` into each row but first ones, int64 [N - A].
    rank (Tensor): The rank of each row's sequence, int64 [N].
    """

    tags: torch.Tensor
    moves: torch.Tensor
    rank: torch.Tensor


def make_paths(tags: torch.Tensor, batch: PackedBatch) -> Paths:
    """Prepare paths.

    tags (Tensor): Tag ids of the flat rows [N].
    batch (PackedBatch): What they lead through.
    RETURNS (Paths): The paths.
    RAISES: ValueError, if there is not one tag a row.
    """
    packing = batch.packing
    if tags.shape != packing.index.shape:
        raise ValueError(
            "tags must match the rows of emissions, "
            f"got {tuple(tags.shape)} and {len(packing.index)}"
        )
    device = batch.device
    packed = tags.to(device, torch.int64).index_select(0, batch.index)
    return Paths(
        tags=packed,
        moves=packed[packing.before] * len(batch.start) + packed[packing.after],
        rank=batch.rank,
    )


def score_paths(paths: Paths, batch: PackedBatch) -> torch.Tensor:
    """Add up the scores along each path.

    paths (Paths): The paths.
    batch (PackedBatch): The scores.
    RETURNS (Tensor): float64, by rank [A].
    """
    packing = batch.packing
    last = paths.tags[batch.last]
    scores = batch.start[paths.tags[packing.first]] + batch.end[last]
    rows = batch.given.gather(1, paths.tags[:, None])[:, 0].double()
    moves = batch.transitions.view(-1)[paths.moves]
    scores.index_add_(0, paths.rank, rows)
    return scores.index_add_(0, paths.rank[packing.after], moves)


def add_used_counts(
    paths: Paths,
    batch: PackedBatch,
    sequence_weights: torch.Tensor,
    tags: torch.Tensor,
    pairs: torch.Tensor,
) -> None:
    """Count how often the paths use tags and pairs of tags, and add that, weighted by sequence.

    paths (Paths): The paths.
    batch (PackedBatch): What they lead through.
    sequence_weights (Tensor): float64, by rank [A].
    tags (Tensor): Counts, packed, float64 [N, K]; changed in place.
    pairs (Tensor): Counts, from and to, float64 [K, K]; changed in place.
    """
    weights = sequence_weights[paths.rank]
    tags.scatter_add_(1, paths.tags[:, None], weights[:, None])
    pairs.view(-1).index_add_(0, paths.moves, weights[batch.packing.after])
