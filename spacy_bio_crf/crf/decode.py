"""The best path of each sequence."""

import numpy as np
import torch

from .batch import (
    Lengths,
    check_lengths,
    check_shapes,
    computing_device,
    first_rows,
    make_batch,
    prefers_tree,
    result_dtype,
)
from .likelihood import OnePath
from .pieces import choose_piece_length, cut
from .pieces_back import trace_back
from .pieces_forward import score_forward
from .tree import decode_by_tree


def viterbi(
    emissions: torch.Tensor,
    lengths: Lengths,
    start: torch.Tensor,
    transitions: torch.Tensor,
    end: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the best tag sequence of each sequence (Viterbi 1967; Rabiner 1989, section III.B).

    Of equally good paths the one with the lowest last tag is taken, then with the lowest tag before
    that, and so on. A sequence's tags do not depend on what else is in the batch.

    emissions (Tensor): [N, K].
    lengths (Tensor, ndarray or list): [B].
    start (Tensor): [K].
    transitions (Tensor): [K, K].
    end (Tensor): [K].
    RETURNS (Tuple[Tensor, Tensor]): Tag ids int64 [N], and scores [B] (0.0 for an empty sequence).
        Where no path is allowed the score is -inf and the tags mean nothing.
    RAISES: ValueError, if shapes or lengths do not agree.
    """
    check_shapes(emissions, start, transitions, end)
    checked = check_lengths(lengths, len(emissions))
    dtype = result_dtype(emissions, start, transitions, end)
    device = computing_device(emissions)
    if prefers_tree(device):
        packed = make_batch(emissions, checked, start, transitions, end)
        tags = packed.unpack(decode_by_tree(packed))
        totals = packed.by_sequence(OnePath(tags, packed).total)
    else:
        scores = [x.detach().to(device, dtype) for x in (emissions, start, transitions, end)]
        tags = best_tags(*scores, lengths=checked)
        totals = _add_up(tags.numpy(), *(x.numpy() for x in scores), lengths=checked)
    return tags.to(emissions.device), totals.to(emissions.device, dtype)


def best_tags(
    emissions: torch.Tensor,
    start: torch.Tensor,
    transitions: torch.Tensor,
    end: torch.Tensor,
    *,
    lengths: np.ndarray,
    piece_length: int | None = None,
) -> torch.Tensor:
    """Find the best path of each sequence on a CPU, in pieces.

    emissions (Tensor): Flat rows [N, K] on the CPU.
    start (Tensor): [K], of the same dtype.
    transitions (Tensor): [K, K], of the same dtype.
    end (Tensor): [K], of the same dtype.
    lengths (ndarray): int64 [B].
    piece_length (int): Rows of a piece, a multiple of `pieces.STRIDE`; by default what is fastest.
        The result does not depend on it.
    RETURNS (Tensor): Tag ids in flat order, int64 [N].
    """
    if not len(emissions):
        return torch.empty(0, dtype=torch.int64)
    pieces = cut(lengths, piece_length or choose_piece_length(lengths, emissions.shape[1]))
    index = torch.from_numpy(pieces.packing.index)
    packed = emissions.index_select(0, index).numpy()
    best = score_forward(packed, pieces, start.numpy(), transitions.numpy())
    packed_tags = trace_back(best, pieces, transitions.numpy(), end.numpy())
    return torch.empty_like(index).index_copy_(0, index, torch.from_numpy(packed_tags))


def _add_up(
    tags: np.ndarray,
    emissions: np.ndarray,
    start: np.ndarray,
    transitions: np.ndarray,
    end: np.ndarray,
    *,
    lengths: np.ndarray,
) -> torch.Tensor:
    """Score a path of each sequence, in float64 and in the order of its rows [B]."""
    alive = lengths[lengths > 0]
    first = first_rows(alive)
    last = first + alive - 1
    rows = emissions[np.arange(len(tags)), tags].astype(np.float64)
    # what leads to each row: a transition or, for a first row, the start
    into = np.empty_like(rows)
    into[1:] = transitions[tags[:-1], tags[1:]]
    into[first] = start[tags[first]]
    rows += into
    rows[last] += end[tags[last]]
    sequence = np.repeat(np.arange(len(lengths)), lengths)
    totals = np.bincount(sequence, weights=rows, minlength=len(lengths))
    return torch.from_numpy(totals.astype(np.float64, copy=False))
