"""The distribution over paths: marginals, posteriors of spans, entropy, samples."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .batch import Lengths, PackedBatch, check_shape, first_rows, make_batch, result_dtype
from .logs import blocks
from .sums import Sums


def marginals(
    emissions: Tensor, lengths: Lengths, start: Tensor, transitions: Tensor, end: Tensor
) -> Tensor:
    """Compute each row's distribution over tags, P(y_t = k | x).

    RETURNS (Tensor): [N, K]. Rows add up to 1, or are all zeros where the sequence has no path.
    RAISES: ValueError, if shapes or lengths do not agree.
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
    RAISES: ValueError, if shapes or lengths do not agree.
    """
    batch = make_batch(emissions, lengths, start, transitions, end)
    packing = batch.packing
    alpha, beta = Sums(batch).logs()
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
    total = rows.new_zeros(packing.first.stop).index_add_(0, batch.rank, rows)
    dtype = result_dtype(emissions, start, transitions, end)
    return batch.by_sequence(total).to(emissions.device, dtype)


def sample(
    emissions: Tensor,
    lengths: Lengths,
    start: Tensor,
    transitions: Tensor,
    end: Tensor,
    *,
    num_samples: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw tag sequences from P(y | x), each independently of the others.

    Given the messages from the end, a path is drawn from its first tag to its last; Scott 2002,
    "Bayesian methods for hidden Markov models", does it in the other direction.

    num_samples (int): How many samples to draw of the whole batch.
    generator (torch.Generator): Source of random numbers, on the CPU; torch's global one if None.
    RETURNS (Tensor): Tag ids, int64 [num_samples, N].
    RAISES: ValueError, if shapes or lengths do not agree, or a sequence has no path.
    """
    on_cpu = [x.detach().cpu() for x in (emissions, start, transitions, end)]
    batch = make_batch(on_cpu[0], lengths, *on_cpu[1:])
    packing = batch.packing
    sums = Sums(batch)
    barred = packing.alive[(sums.log_z == -math.inf).numpy()]
    if len(barred):
        raise ValueError(f"sequence {barred.min()}: expected a path to draw, got none")
    _, beta = sums.logs()
    # shape: (N, K), the weight of a tag and all that may come after it
    ahead = (batch.emissions + beta).numpy()
    shape = (num_samples, len(ahead))
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64).numpy()
    uniform = uniform[:, packing.index]
    tags = np.empty(shape, dtype=np.int64)
    into = batch.start.numpy()
    for begin, stop in zip(packing.offsets[:-1], packing.offsets[1:], strict=True):
        # shape: (samples, width, K)
        weights = into[:, : stop - begin] if begin else into
        tags[:, begin:stop] = _draw(weights + ahead[begin:stop], uniform[:, begin:stop])
        into = batch.transitions.numpy()[tags[:, begin:stop]]
    flat = np.empty_like(tags)
    flat[:, packing.index] = tags
    return torch.from_numpy(flat).to(emissions.device)


def _draw(log_weights: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Draw tags for log weights [..., K] with numbers from [0, 1) [...]."""
    weights = np.exp(log_weights - log_weights.max(axis=-1, keepdims=True))
    total = np.cumsum(weights, axis=-1)
    # The last quotient is exactly 1, so a tag without weight at the end is never drawn.
    total /= total[..., -1:]
    return (total <= uniform[..., None]).sum(axis=-1)


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
    RAISES: ValueError, if shapes or lengths do not agree, or a span has no rows or does not lie
        within one sequence.
    """
    batch = make_batch(emissions, lengths, start, transitions, end)
    factors = _list_factors(batch, starts, ends, tags, followers)
    log_p = torch.zeros(len(followers), dtype=torch.float64, device=batch.device)
    every_tag = torch.arange(len(batch.transitions), device=batch.device)
    for places, log_alpha, log_beta in Sums(batch).logs_at(factors.rows):
        own = torch.from_numpy(places).to(batch.device)
        owner, origin, target = factors.owners[own], factors.origins[own], factors.targets[own]
        emission = batch.given[torch.from_numpy(factors.rows[places]).to(batch.device)]
        # shape: (r, K), the log weight of each tag of a row, given that of the row before
        weights = log_beta + torch.where(
            origin[:, None] < 0, log_alpha, batch.transitions[origin] + emission
        )
        wanted = torch.where(
            target[:, None] < 0, factors.followers[owner], every_tag == target[:, None]
        )
        part = torch.logsumexp(weights.masked_fill(~wanted, -math.inf), dim=1)
        # Nothing out of nothing is nothing.
        share = torch.where(part > -math.inf, part - torch.logsumexp(weights, dim=1), -math.inf)
        log_p.index_add_(0, owner, share.clamp(max=0.0))
    return log_p.to(emissions.device, result_dtype(emissions, start, transitions, end))


@dataclass(frozen=True)
class _Factors:
    """The F factors of the probabilities of S spans: of each row's tag, and of the row after.

    rows (ndarray): The packed row of each, int64 [F].
    owners (Tensor): Its span, int64 [F].
    origins (Tensor): The tag of the row before; -1 for a first row, where any will do, int64 [F].
    targets (Tensor): The tag of the row; -1 for any of the span's followers, int64 [F].
    followers (Tensor): bool [S, K].
    """

    rows: np.ndarray
    owners: Tensor
    origins: Tensor
    targets: Tensor
    followers: Tensor


def _list_factors(
    batch: PackedBatch, starts: Tensor, ends: Tensor, tags: Tensor, followers: Tensor
) -> _Factors:
    lengths, device = batch.packing.lengths, batch.device
    begins, stops = (x.detach().cpu().numpy().astype(np.int64) for x in (starts, ends))
    sequence = np.repeat(np.arange(len(lengths)), lengths)
    _check_spans(begins, stops, sequence)
    sizes = stops - begins
    check_shape("tags", tags, (int(sizes.sum()),))
    check_shape("followers", followers, (len(sizes), len(batch.transitions)))
    # A span that does not end its sequence has a factor for the row after it.
    counts = sizes + (np.append(sequence, -1)[stops] == sequence[begins])
    owner = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(owner)) - np.repeat(first_rows(counts), counts)
    # Places of tags; -1 is added at the end.
    target = first_rows(sizes)[owner] + within
    origin = np.where(within > 0, target - 1, -1)
    target[within == sizes[owner]] = -1
    tags = torch.cat([tags.to(device, torch.int64), torch.full((1,), -1, device=device)])
    owners, origins, targets = torch.from_numpy(np.stack([owner, origin, target])).to(device)
    return _Factors(
        rows=batch.positions(begins[owner] + within),
        owners=owners,
        origins=tags[origins],
        targets=tags[targets],
        followers=followers.to(device, torch.bool),
    )


def _check_spans(begins: np.ndarray, stops: np.ndarray, sequence: np.ndarray) -> None:
    """Check that spans have rows, all of one sequence; of which sequence each row is, int64 [N]."""
    if begins.shape != stops.shape or begins.ndim != 1:
        raise ValueError(
            f"starts, ends: expected two shapes [S], got {begins.shape} and {stops.shape}"
        )
    right = (begins >= 0) & (begins < stops) & (stops <= len(sequence))
    right[right] = sequence[begins[right]] == sequence[stops[right] - 1]
    if not right.all():
        wrong = np.flatnonzero(~right)[0]
        raise ValueError(
            "starts, ends: expected spans with rows, each of one sequence, "
            f"got {begins[wrong]} to {stops[wrong]}"
        )
