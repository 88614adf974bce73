"""The distribution over paths: marginals, entropy, posteriors of spans."""

import math

import numpy as np
import torch
from torch import Tensor

from .batch import Lengths, PackedBatch, check_shape, first_rows, inverse, make_batch, result_dtype
from .logs import blocks
from .sums import Sums


def marginals(
    emissions: Tensor, lengths: Lengths, start: Tensor, transitions: Tensor, end: Tensor
) -> Tensor:
    """Compute each row's distribution over tags, P(y_t = k | x).

    RETURNS (Tensor): [N, K]. Rows add up to 1, or are all zeros where the sequence has no path.
    """
    batch = make_batch(emissions, lengths, start, transitions, end)
    sums = Sums(batch)
    tags, _ = sums.counts(torch.ones_like(sums.log_z))
    dtype = result_dtype(emissions, start, transitions, end)
    return batch.unpack(tags.to(dtype)).to(emissions.device)


def entropy(
    emissions: Tensor, lengths: Lengths, start: Tensor, transitions: Tensor, end: Tensor
) -> Tensor:
    """Compute the entropy of each sequence's distribution over paths.

    H(y) = H(y_1) + Σ_t Σ_i P(y_t = i) H(y_{t+1} | y_t = i): the chain rule for a Markov chain, of
    terms none of which is negative (Mann and McCallum 2007, "Efficient computation of entropy
    gradient for semi-supervised conditional random fields").

    RETURNS (Tensor): [B], in nats; 0.0 for an empty sequence, NaN for one that has no path.
    """
    batch = make_batch(emissions, lengths, start, transitions, end)
    packing = batch.packing
    alpha = torch.empty_like(batch.emissions)
    beta = torch.empty_like(batch.emissions)
    for places, log_alpha, log_beta in Sums(batch).logs_at(np.arange(len(alpha))):
        alpha[places], beta[places] = log_alpha, log_beta
    # shape: (N, K)
    marginal = torch.softmax(alpha + beta, dim=1)
    onward = batch.emissions + beta
    # shape: (N,), the entropy that a row adds: a first row its own, others given the one before
    rows = torch.special.entr(marginal).sum(dim=1)
    before, after = marginal[packing.before], onward[packing.after]
    added = rows[packing.after]
    for block in blocks(len(after), batch.transitions.numel()):
        # shape: (block, K from, K to)
        share = torch.softmax(batch.transitions + after[block, None, :], dim=2)
        # A tag from which no path leads on has a probability of zero.
        given = torch.special.entr(share).sum(dim=2).nan_to_num(0.0)
        added[block] = (before[block] * given).sum(dim=1)
    total = rows.new_zeros(packing.first.stop).index_add_(0, batch.row_ranks, rows)
    dtype = result_dtype(emissions, start, transitions, end)
    return batch.by_sequence(total).to(emissions.device, dtype)


def segment_log_posteriors(
    emissions: Tensor,
    lengths: Lengths,
    start: Tensor,
    transitions: Tensor,
    end: Tensor,
    *,
    starts: Tensor,
    ends: Tensor,
    tags: Tensor,
    followers: Tensor,
) -> Tensor:
    """Compute how probable it is that spans of rows have certain tags and certain followers.

    With the tags of an entity, and as followers all tags that do not continue it, this is the
    probability of exactly this entity (Culotta and McCallum 2004, "Confidence estimation for
    information extraction", section 3). It is a product of conditional probabilities, none of which
    can lose precision in a long sequence: P(y_s), then P(y_{t+1} | y_t), then P(follower | y_e).

    starts (Tensor): First flat row of each span, int64 [S].
    ends (Tensor): The flat row after its last, int64 [S].
    tags (Tensor): The tags of all rows of the first span, then of the second, and so on, int64.
    followers (Tensor): For each span the tags that may come next, bool [S, K]. Ignored where a span
        ends its sequence.
    RETURNS (Tensor): [S], in nats; -inf for what is not possible.
    RAISES: ValueError, if a span has no rows or does not lie within one sequence.
    """
    batch = make_batch(emissions, lengths, start, transitions, end)
    rows, owners, origins, targets = _list_factors(batch, starts, ends, tags, followers)
    followers = followers.to(batch.device, torch.bool)
    log_p = torch.zeros(len(followers), dtype=torch.float64, device=batch.device)
    every_tag = torch.arange(len(batch.transitions), device=batch.device)
    for places, log_alpha, log_beta in Sums(batch).logs_at(rows):
        own = torch.from_numpy(places).to(batch.device)
        owner, origin, target = owners[own], origins[own, None], targets[own, None]
        emission = batch.given[torch.from_numpy(rows[places]).to(batch.device)]
        # shape: (f, K), the log weight of each tag of a row, given that of the row before
        given_tag = batch.transitions[origin[:, 0]] + emission
        weights = torch.where(origin < 0, log_alpha, given_tag) + log_beta
        wanted = torch.where(target < 0, followers[owner], every_tag == target)
        part = torch.logsumexp(weights.masked_fill(~wanted, -math.inf), dim=1)
        # Nothing out of nothing is nothing.
        share = torch.where(part > -math.inf, part - torch.logsumexp(weights, dim=1), -math.inf)
        log_p.index_add_(0, owner, share)
    return log_p.to(emissions.device, result_dtype(emissions, start, transitions, end))


def _list_factors(
    batch: PackedBatch, starts: Tensor, ends: Tensor, tags: Tensor, followers: Tensor
) -> tuple[np.ndarray, Tensor, Tensor, Tensor]:
    """List the F factors of the probabilities of spans: one for each row, and for the row after.

    Gives for each the packed row, the span, the tag of the row before (-1 for a first row, where
    any will do) and the tag of the row (-1 for any of the span's followers), int64 [F].
    """
    lengths, device = batch.packing.lengths, batch.device
    begins, stops = (x.detach().cpu().numpy().astype(np.int64) for x in (starts, ends))
    sequence = np.repeat(np.arange(len(lengths)), lengths)
    check_spans(begins, stops, sequence)
    sizes = stops - begins
    check_shape("tags", tags, (int(sizes.sum()),))
    check_shape("followers", followers, (len(sizes), len(batch.transitions)))
    # A span that does not end its sequence has a factor for the row after it.
    counts = sizes + (np.append(sequence, -1)[stops] == sequence[begins])
    owner = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(owner)) - np.repeat(first_rows(counts), counts)
    # Places of tags; the last one, -1, holds -1.
    target = first_rows(sizes)[owner] + within
    origin = np.where(within > 0, target - 1, -1)
    target[within == sizes[owner]] = -1
    tags = torch.cat([tags.to(device, torch.int64), torch.full((1,), -1, device=device)])
    owners, origins, targets = torch.from_numpy(np.stack([owner, origin, target])).to(device)
    rows = inverse(batch.packing.index)[begins[owner] + within]
    return rows, owners, tags[origins], tags[targets]


def check_spans(begins: np.ndarray, stops: np.ndarray, sequence: np.ndarray) -> None:
    """Check that spans have rows, all of one sequence; `sequence` is that of a row, int64 [N]."""
    if begins.shape != stops.shape or begins.ndim != 1:
        got = f"{begins.shape} and {stops.shape}"
        raise ValueError(f"starts, ends: expected two shapes [S], got {got}")
    right = (begins >= 0) & (begins < stops) & (stops <= len(sequence))
    right[right] = sequence[begins[right]] == sequence[stops[right] - 1]
    for begin, stop in zip(begins[~right], stops[~right], strict=True):
        raise ValueError(
            f"starts, ends: expected spans with rows, each of one sequence, got {begin} to {stop}"
        )
