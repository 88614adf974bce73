"""The sum over all paths, by whichever algorithm suits the device and the scores."""

from dataclasses import dataclass
from functools import cached_property

import torch

from . import log_space, scaled, scan
from .batch import ALL_ROWS, PackedBatch, prefers_tree


@dataclass(frozen=True)
class Sums:
    """The sums over all paths of a batch, and what was computed on the way to them.

    batch (PackedBatch): The scores.
    log_z (Tensor): Log-partitions in float64, by rank [A].
    forward (scaled.Forward): The scaled messages, or None where logs were needed.
    tree (scan.Scan): What `forward` comes from, where that is a tree.
    log_alpha (Tensor): Packed log messages [N, K], where there are no scaled ones.
    """

    batch: PackedBatch
    log_z: torch.Tensor
    forward: scaled.Forward | None = None
    tree: scan.Scan | None = None
    log_alpha: torch.Tensor | None = None

    @cached_property
    def backward(self) -> scaled.Backward | None:
        """The scaled messages of the way back; None where float64 does not reach."""
        if self.tree is not None:
            return scan.backward(self.tree)
        return None if self.forward is None else scaled.backward(self.forward)

    @cached_property
    def logs(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Packed log messages alpha and beta [N, K], by the recurrence in logs."""
        log_alpha = self.log_alpha
        if log_alpha is None:
            log_alpha = log_space.forward_messages(self.batch)
        return log_alpha, log_space.backward_messages(self.batch)


def sum_paths(batch: PackedBatch) -> Sums:
    """Sum over all paths of each sequence."""
    if prefers_tree(batch.device):
        scanned = scan.forward(batch)
        if scanned is not None:
            return Sums(batch, scanned.forward.log_z, forward=scanned.forward, tree=scanned)
    else:
        forward = scaled.forward(batch)
        if forward is not None:
            return Sums(batch, forward.log_z, forward=forward)
    return _sum_in_logs(batch)


def _sum_in_logs(batch: PackedBatch) -> Sums:
    log_alpha = log_space.forward_messages(batch)
    return Sums(batch, log_space.log_partitions(batch, log_alpha), log_alpha=log_alpha)


def expected_counts(
    sums: Sums, sequence_weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Count how often tags and pairs of tags are expected, weighted by sequence.

    sums (Sums): The sums over all paths.
    sequence_weights (Tensor): float64, by rank [A].
    RETURNS (Tuple[Tensor, Tensor]): Of tags, packed rows [N, K], and of pairs, from and to [K, K].
        A sequence that has no path counts nothing.
    """
    if sums.forward is not None and sums.backward is not None:
        return scaled.expected_counts(sums.forward, sums.backward, sequence_weights)
    return log_space.expected_counts(sums.batch, *sums.logs, sums.log_z, sequence_weights)


def log_alpha(sums: Sums, rows: torch.Tensor) -> torch.Tensor:
    """Give the messages of the way forwards in logs.

    sums (Sums): The sums over all paths.
    rows (Tensor): Which packed rows are wanted; int64 [R].
    RETURNS (Tensor): Log alpha of those rows [R, K], each row up to a constant.
    """
    if sums.forward is not None:
        return sums.forward.alpha[rows].log()
    assert sums.log_alpha is not None
    return sums.log_alpha[rows]


def log_messages(
    sums: Sums, rows: torch.Tensor | slice = ALL_ROWS
) -> tuple[torch.Tensor, torch.Tensor]:
    """Give both messages in logs.

    sums (Sums): The sums over all paths.
    rows (Tensor | slice): Which packed rows are wanted; int64 [R].
    RETURNS (Tuple[Tensor, Tensor]): Log alpha and log beta of those rows [R, K], each row up to a
        constant. A row's own emission is part of alpha.
    """
    if sums.forward is not None and sums.backward is not None:
        logs = scaled.log_messages(sums.forward, sums.backward, rows)
        if logs is not None:
            return logs
    log_alpha, log_beta = sums.logs
    return log_alpha[rows], log_beta[rows]
