"""What follows from the distribution over paths: of tags, of segments, its entropy."""

import math

import numpy as np
import torch

from .decode import viterbi
from .lattice import Lattice, make_lattice, positions, result_dtype, unpack
from .layout import Lengths, first_rows
from .log_space import blocks
from .messages import expected_counts, log_messages, sum_paths


def marginals(
    emissions: torch.Tensor,
    lengths: Lengths,
    start: torch.Tensor,
    transitions: torch.Tensor,
    end: torch.Tensor,
) -> torch.Tensor:
    """Compute each row's distribution over tags, P(y_t = k | x).

    emissions (Tensor): [N, K].
    lengths (Tensor, ndarray or list): [B].
    start (Tensor): [K].
    transitions (Tensor): [K, K].
    end (Tensor): [K].
    RETURNS (Tensor): [N, K]. Rows add up to 1, or are all zeros where the sequence has no path.
    RAISES: ValueError, if shapes or lengths do not agree.
    """
    dtype = result_dtype(emissions.dtype, start.dtype, transitions.dtype, end.dtype)
    lattice = make_lattice(emissions, lengths, start, transitions, end)
    sums = sum_paths(lattice)
    tags, _ = expected_counts(sums, torch.ones_like(sums.log_z))
    return unpack(tags.to(dtype), lattice).to(emissions.device)


def max_marginal_decode(
    emissions: torch.Tensor,
    lengths: Lengths,
    start: torch.Tensor,
    transitions: torch.Tensor,
    end: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the allowed path that has most tags right on average.

    Where nothing is forbidden, that is the most probable tag of each row by itself. Where scores
    are -inf those might not follow one another, so the path with the greatest sum of marginals
    among the allowed ones is taken (Käll et al. 2005, "An HMM posterior decoder for
    sequence feature prediction").

    emissions (Tensor): [N, K].
    lengths (Tensor, ndarray or list): [B].
    start (Tensor): [K].
    transitions (Tensor): [K, K].
    end (Tensor): [K].
    RETURNS (Tuple[Tensor, Tensor]): Tag ids int64 [N], and the probability of each [N]. Ties go as
        in `viterbi`.
    RAISES: ValueError, if shapes or lengths do not agree.
    """
    probabilities = marginals(emissions, lengths, start, transitions, end)
    gates = (
        torch.where(scores.detach() == -math.inf, -math.inf, 0.0).to(probabilities.dtype)
        for scores in (start, transitions, end)
    )
    open_rows = probabilities.masked_fill(emissions.detach() == -math.inf, -math.inf)
    tags, _ = viterbi(open_rows, lengths, *gates)
    return tags, probabilities.gather(1, tags[:, None])[:, 0]


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
    dtype = result_dtype(emissions.dtype, start.dtype, transitions.dtype, end.dtype)
    lattice = make_lattice(emissions, lengths, start, transitions, end)
    begins, stops = (x.detach().cpu().numpy().astype(np.int64) for x in (starts, ends))
    sequence = np.repeat(np.arange(len(lattice.packing.lengths)), lattice.packing.lengths)
    _check_segments(begins, stops, tags, followers, sequence, emissions.shape[1])
    sizes = stops - begins
    segment = np.repeat(np.arange(len(sizes)), sizes)
    # rows [R]: the flat rows of all segments, one after the other
    rows = np.arange(sizes.sum()) + np.repeat(begins - first_rows(sizes), sizes)
    is_last = rows == stops[segment] - 1
    goes_on = np.ones(len(rows), dtype=bool)
    goes_on[is_last] = np.append(sequence, -1)[stops] == sequence[begins]

    device = lattice.emissions.device
    tags = tags.to(device, torch.int64)
    places = np.flatnonzero(goes_on)
    # what is known of few rows only is needed in logs: each segment's first, and all that follow
    wanted_rows = positions(np.concatenate([begins, rows[places] + 1]), lattice)
    log_alpha, log_beta = log_messages(sum_paths(lattice), wanted_rows)
    n_segments = len(begins)
    both = (log_alpha + log_beta)[:n_segments]
    into = (lattice.emissions[wanted_rows] + log_beta)[n_segments:]
    first = torch.from_numpy(np.flatnonzero(rows == begins[segment])).to(device)
    log_p = _log_share(both.gather(1, tags[first, None])[:, 0], torch.logsumexp(both, dim=1))

    place, owner = (torch.from_numpy(x).to(device) for x in (places, segment[places]))
    # shape: (places, K), the log weight of each tag of the next row, given the tag of this one
    onward = lattice.transitions[tags[place]] + into
    wanted = followers.to(device, torch.bool)[owner]
    inner = torch.from_numpy(~is_last[places]).to(device)
    wanted[inner] = False
    wanted[inner, tags[place[inner] + 1]] = True
    chosen = torch.logsumexp(onward.masked_fill(~wanted, -math.inf), dim=1)
    log_p = log_p.index_add(0, owner, _log_share(chosen, torch.logsumexp(onward, dim=1)))
    return log_p.to(emissions.device, dtype)


def entropy(
    emissions: torch.Tensor,
    lengths: Lengths,
    start: torch.Tensor,
    transitions: torch.Tensor,
    end: torch.Tensor,
) -> torch.Tensor:
    """Compute the entropy of each sequence's distribution over paths.

    H(y) = H(y_1) + Σ_t Σ_i P(y_t = i) H(y_{t+1} | y_t = i): the chain rule for a Markov chain, of
    terms none of which is negative (Mann and McCallum 2007, "Efficient computation of entropy
    gradient for semi-supervised conditional random fields").

    emissions (Tensor): [N, K].
    lengths (Tensor, ndarray or list): [B].
    start (Tensor): [K].
    transitions (Tensor): [K, K].
    end (Tensor): [K].
    RETURNS (Tensor): [B], in nats; 0.0 for an empty sequence, NaN for one that has no path.
    RAISES: ValueError, if shapes or lengths do not agree.
    """
    dtype = result_dtype(emissions.dtype, start.dtype, transitions.dtype, end.dtype)
    lattice = make_lattice(emissions, lengths, start, transitions, end)
    sequence_lengths = lattice.packing.lengths
    both, into = _flat_messages(lattice)
    marginal = torch.softmax(both, dim=1)
    # shape: (N,), what a row adds to the entropy: a first row its own, others given the one before
    rows = torch.special.entr(marginal).sum(dim=1)
    is_first = np.zeros(len(rows) + 1, dtype=bool)
    is_first[first_rows(sequence_lengths)] = True
    later = torch.from_numpy(np.flatnonzero(~is_first[:-1])).to(rows.device)
    for block in blocks(len(later), lattice.transitions.numel()):
        row = later[block]
        # shape: (block, K from, K to)
        onward = torch.softmax(lattice.transitions + into[row, None, :], dim=2)
        # a tag from which no path leads on has a probability of zero
        given = torch.special.entr(onward).sum(dim=2).nan_to_num(0.0)
        rows[row] = (marginal[row - 1] * given).sum(dim=1)
    sequence = np.repeat(np.arange(len(sequence_lengths)), sequence_lengths)
    result = rows.new_zeros(len(sequence_lengths))
    result.index_add_(0, torch.from_numpy(sequence).to(rows.device), rows)
    return result.to(emissions.device, dtype)


def _flat_messages(lattice: Lattice) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute alpha + beta and e + beta in logs and flat order [N, K], rows up to a constant."""
    alpha, beta = log_messages(sum_paths(lattice))
    return unpack(alpha + beta, lattice), unpack(lattice.emissions + beta, lattice)


def _log_share(part: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """Divide in logs; nothing out of nothing is nothing."""
    return torch.where(part > -math.inf, part - whole, -math.inf).clamp(max=0.0)


def _check_segments(
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
