"""What follows from the distribution over paths: that of tags, and its entropy."""

import math

import numpy as np
import torch

from .batch import Lengths, PackedBatch, first_rows, make_batch, result_dtype
from .decode import viterbi
from .log_space import blocks
from .sections import expected_counts, log_messages, sum_paths


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
    dtype = result_dtype(emissions, start, transitions, end)
    batch = make_batch(emissions, lengths, start, transitions, end)
    sums = sum_paths(batch)
    tags, _ = expected_counts(sums, torch.ones_like(sums.log_z))
    return batch.unpack(tags.to(dtype)).to(emissions.device)


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
    dtype = result_dtype(emissions, start, transitions, end)
    batch = make_batch(emissions, lengths, start, transitions, end)
    sequence_lengths = batch.packing.lengths
    both, into = _flat_messages(batch)
    marginal = torch.softmax(both, dim=1)
    # shape: (N,), what a row adds to the entropy: a first row its own, others given the one before
    rows = torch.special.entr(marginal).sum(dim=1)
    is_first = np.zeros(len(rows) + 1, dtype=bool)
    is_first[first_rows(sequence_lengths)] = True
    later = torch.from_numpy(np.flatnonzero(~is_first[:-1])).to(rows.device)
    for block in blocks(len(later), batch.transitions.numel()):
        row = later[block]
        # shape: (block, K from, K to)
        onward = torch.softmax(batch.transitions + into[row, None, :], dim=2)
        # a tag from which no path leads on has a probability of zero
        given = torch.special.entr(onward).sum(dim=2).nan_to_num(0.0)
        rows[row] = (marginal[row - 1] * given).sum(dim=1)
    sequence = np.repeat(np.arange(len(sequence_lengths)), sequence_lengths)
    result = rows.new_zeros(len(sequence_lengths))
    result.index_add_(0, torch.from_numpy(sequence).to(rows.device), rows)
    return result.to(emissions.device, dtype)


def _flat_messages(batch: PackedBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute alpha + beta and e + beta in logs and flat order [N, K], rows up to a constant."""
    alpha, beta = log_messages(sum_paths(batch))
    return batch.unpack(alpha + beta), batch.unpack(batch.emissions + beta)
