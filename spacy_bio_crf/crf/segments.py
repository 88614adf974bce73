"""How probable it is that a few rows in a row have certain tags: the posterior of an entity."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from .batch import Lengths, PackedBatch, first_rows, make_batch, result_dtype
from .sections import log_messages_at, sum_paths


def segment_log_posteriors(
    emissions: torch.Tensor,
    lengths: Lengths,
    start: torch.Tensor,
    transitions: torch.Tensor,
    end: torch.Tensor,
    *,
    starts: torch.Tensor,
    ends: torch.Tensor,
    tags: torch.Tensor,
    followers: torch.Tensor,
) -> torch.Tensor:
    """Compute how probable it is that rows have certain tags, and what follows them is as wished.

    With the tags of an entity, and as followers all tags that do not go on with it, this is the
    probability of exactly this entity (Culotta and McCallum 2004, "Confidence estimation for
    information extraction", section 3). It is a product of conditional probabilities, none of which
    can lose precision in a long sequence: P(y_s), then P(y_{t+1} | y_t), then P(follower | y_e).

    emissions (Tensor): [N, K].
    lengths (Tensor, ndarray or list): [B].
    start (Tensor): [K].
    transitions (Tensor): [K, K].
    end (Tensor): [K].
    starts (Tensor): First flat row of each segment, int64 [S].
    ends (Tensor): The flat row after its last, int64 [S].
    tags (Tensor): The tags of all rows of the first segment, then of the second, and so on, int64.
    followers (Tensor): For each segment the tags that may come next, bool [S, K]. Without meaning
        where a segment ends its sequence.
    RETURNS (Tensor): [S], in nats; -inf for what is not possible.
    RAISES: ValueError, if shapes or lengths do not agree, or a segment has no rows or does not lie
        within one sequence.
    """
    dtype = result_dtype(emissions, start, transitions, end)
    batch = make_batch(emissions, lengths, start, transitions, end)
    moves = _moves(batch, starts, ends, tags, followers)
    n_segments = len(moves.first_tags)
    log_p = torch.zeros(n_segments, dtype=torch.float64, device=batch.device)
    # what is known of few rows is needed: of each segment's first, and of those moved to
    rows = np.concatenate([moves.first_rows, moves.rows])
    for places, log_alpha, log_beta in log_messages_at(sum_paths(batch), rows):
        n_firsts = int(np.searchsorted(places, n_segments))
        own, move = torch.from_numpy(places).to(batch.device).tensor_split([n_firsts])
        move = move - n_segments
        log_p[own] += _log_first(moves, own, log_alpha[:n_firsts] + log_beta[:n_firsts])
        log_p.index_add_(0, moves.owners[move], _log_move(batch, moves, move, log_beta[n_firsts:]))
    return log_p.to(emissions.device, dtype)


@dataclass(frozen=True)
class _Moves:
    """What segments ask for, tag by tag: that of the first row, and M moves to the next one.

    first_rows (ndarray): Packed row at which each segment begins, int64 [S].
    first_tags (Tensor): Its tag there, int64 [S].
    rows (ndarray): Packed row to which each move leads, int64 [M].
    owners (Tensor): The segment it belongs to, int64 [M].
    origins (Tensor): The tag from which it starts, int64 [M].
    targets (Tensor): The tag to which it leads; -1 for any of the segment's followers, int64 [M].
    followers (Tensor): bool [S, K].
    """

    first_rows: np.ndarray
    first_tags: torch.Tensor
    rows: np.ndarray
    owners: torch.Tensor
    origins: torch.Tensor
    targets: torch.Tensor
    followers: torch.Tensor


def _moves(
    batch: PackedBatch,
    starts: torch.Tensor,
    ends: torch.Tensor,
    tags: torch.Tensor,
    followers: torch.Tensor,
) -> _Moves:
    lengths, device = batch.packing.lengths, batch.device
    begins, stops = (x.detach().cpu().numpy().astype(np.int64) for x in (starts, ends))
    sequence = np.repeat(np.arange(len(lengths)), lengths)
    _check(begins, stops, tags, followers, sequence, batch.given.shape[1])
    sizes = stops - begins
    segment = np.repeat(np.arange(len(sizes)), sizes)
    # rows [R]: the flat rows of all segments, one after the other
    rows = np.arange(sizes.sum()) + np.repeat(begins - first_rows(sizes), sizes)
    is_last = rows == stops[segment] - 1
    goes_on = np.ones(len(rows), dtype=bool)
    goes_on[is_last] = np.append(sequence, -1)[stops] == sequence[begins]
    here = np.flatnonzero(goes_on)
    tags = tags.to(device, torch.int64)
    place, within = torch.from_numpy(here).to(device), torch.from_numpy(~is_last[here]).to(device)
    # the last of all rows has no next one, and no move within
    following = torch.cat([tags[1:], tags[:1]])
    return _Moves(
        first_rows=batch.positions(begins),
        first_tags=tags[torch.from_numpy(first_rows(sizes)).to(device)],
        rows=batch.positions(rows[here] + 1),
        owners=torch.from_numpy(segment[here]).to(device),
        origins=tags[place],
        targets=torch.where(within, following[place], -1),
        followers=followers.to(device, torch.bool),
    )


def _log_first(moves: _Moves, segments: torch.Tensor, both: torch.Tensor) -> torch.Tensor:
    """log P(y_s) of some segments [s], from log alpha + beta of their first rows [s, K]."""
    chosen = both.gather(1, moves.first_tags[segments, None])[:, 0]
    return _log_share(chosen, torch.logsumexp(both, dim=1))


def _log_move(
    batch: PackedBatch, moves: _Moves, some: torch.Tensor, log_beta: torch.Tensor
) -> torch.Tensor:
    """log P(y_{t+1} | y_t) or P(follower | y_e) of some moves [m], from log beta where they lead
    [m, K]."""
    rows = torch.from_numpy(moves.rows).to(batch.device)[some]
    # shape: (m, K), the log weight of each tag of the next row, given the tag of this one
    onward = batch.transitions[moves.origins[some]] + batch.given[rows] + log_beta
    target = moves.targets[some, None]
    tags = torch.arange(onward.shape[1], device=batch.device)
    wanted = torch.where(target < 0, moves.followers[moves.owners[some]], tags == target)
    chosen = torch.logsumexp(onward.masked_fill(~wanted, -math.inf), dim=1)
    return _log_share(chosen, torch.logsumexp(onward, dim=1))


def _log_share(part: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """Divide in logs; nothing out of nothing is nothing."""
    return torch.where(part > -math.inf, part - whole, -math.inf).clamp(max=0.0)


def _check(
    begins: np.ndarray,
    stops: np.ndarray,
    tags: torch.Tensor,
    followers: torch.Tensor,
    sequence: np.ndarray,
    n_tags: int,
) -> None:
    if begins.shape != stops.shape or begins.ndim != 1:
        raise ValueError(f"starts and ends must match, got shapes {begins.shape}, {stops.shape}")
    for begin, stop in zip(begins.tolist(), stops.tolist(), strict=True):
        if not 0 <= begin < stop <= len(sequence) or sequence[begin] != sequence[stop - 1]:
            raise ValueError(
                f"a segment must have rows, all of one sequence, got rows {begin} to {stop}"
            )
    if tags.shape != (int((stops - begins).sum()),):
        raise ValueError(
            "tags must match the rows of all segments, got shapes "
            f"{tuple(tags.shape)} and {(int((stops - begins).sum()),)}"
        )
    if tuple(followers.shape) != (len(begins), n_tags):
        raise ValueError(f"followers must be {(len(begins), n_tags)}, got {tuple(followers.shape)}")
