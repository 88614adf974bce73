"""The loss of a lattice, given the tags that each row may have, and its gradient."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .. import crf as linear_chain
from ..tags.schemes import OUTSIDE
from ..tags.tagset import TagSet
from .emitter import NEVER, Head, Lattice, constrain

# Document, then start, exclusive end and label of a span; counted in tokens that have a row.
BarredSpan = tuple[int, int, int, str]


def loss(
    head: Head,
    tagset: TagSet,
    lattice: Lattice,
    allowed: np.ndarray,
    *,
    size: int,
    barred: Sequence[BarredSpan] = (),
) -> tuple[float, Lattice]:
    """Negative log-likelihood of the allowed tags, and its gradient.

    Softmax: the sum of `-log Σ_allowed p` over the rows, each times the weight of its gold label.
    CRF: `log Z - log Z(allowed)`, which is the usual negative log-likelihood where one tag is
    allowed per row (Tsuboi et al. 2008, section 3). A label's weight w is a cost of log w on every
    wrong tag in Z (softmax-margin, Gimpel & Smith 2010, "Softmax-Margin CRFs", section 2), so that
    w = 1 is the plain likelihood. Spans known to be wrong add `-log (1 - P(span))` each.

    The chain runs from token to token, as in decoding. Where tokens train several rows, those after
    the first count as in the softmax: their emissions learn, and transitions stay what they are,
    scores between tokens.

    head (Head): Which of the two.
    tagset (TagSet): The tags, for `constrained_loss`.
    lattice (Lattice): What the network said.
    allowed (np.ndarray): The tags each row may have; bool [N, K].
    size (int): What the sum is divided by, the same for all parts of a batch.
    barred (Sequence[BarredSpan]): Spans that are known to be no such entity.
    RETURNS (tuple[float, Lattice]): The loss, and a lattice that holds its gradient.
    RAISES: ValueError if a row allows no tag.
    """
    if not allowed.any(axis=1).all():
        row = int(np.flatnonzero(~allowed.any(axis=1))[0])
        raise ValueError(f"Row {row} of {len(allowed)} allows none of the tags {tagset.tags}.")
    leaves = [scores.detach().requires_grad_() for scores in lattice.scores]
    emissions, *chain = leaves
    if head.constrained_loss:
        chain = list(constrain(tagset, *chain))
    first, lengths = lattice.first_rows()
    weights = _row_weights(head, tagset, allowed)
    on_chain = first if head.crf or head.constrained_loss else np.zeros_like(first)
    # Connected to the leaves, so that documents without a row have a gradient too.
    total = 0.0 * emissions.sum()
    if on_chain.any():
        total = total + _chain_loss(
            *_rows(emissions, allowed, weights, on_chain), lengths, chain, bool(head.class_weights)
        )
    if not on_chain.all():
        total = total + _softmax_loss(*_rows(emissions, allowed, weights, ~on_chain))
    if barred:
        words = emissions[torch.from_numpy(first).to(emissions.device)]
        total = total + _barred_loss(tagset, words, lengths, chain, barred)
    total = total / size
    gradients = torch.autograd.grad(total, leaves, allow_unused=True)
    d_emissions, d_start, d_transitions, d_end = (
        torch.zeros_like(leaf) if gradient is None else gradient
        for leaf, gradient in zip(leaves, gradients, strict=True)
    )
    d_lattice = Lattice(d_emissions, d_start, d_transitions, d_end, lattice.tokens)
    return float(total.detach()), d_lattice


def _rows(
    emissions: Tensor, allowed: np.ndarray, weights: np.ndarray, chosen: np.ndarray
) -> tuple[Tensor, Tensor, Tensor]:
    """Some rows of emissions [n, K], allowed tags [n, K] and weights [n], as tensors."""
    device = emissions.device
    if not chosen.all():
        emissions = emissions[torch.from_numpy(chosen).to(device)]
        allowed, weights = allowed[chosen], weights[chosen]
    return emissions, torch.from_numpy(allowed).to(device), torch.from_numpy(weights).to(device)


def _softmax_loss(emissions: Tensor, allowed: Tensor, weights: Tensor) -> Tensor:
    log_allowed = emissions.log_softmax(dim=1).masked_fill(~allowed, NEVER).logsumexp(dim=1)
    return -(weights * log_allowed).sum()


def _chain_loss(
    emissions: Tensor,
    allowed: Tensor,
    weights: Tensor,
    lengths: Sequence[int],
    chain: Sequence[Tensor],
    weighted: bool,
) -> Tensor:
    if not weighted:
        known = bool((allowed.sum(dim=1) == 1).all())
        gold = {"tags": allowed.byte().argmax(dim=1)} if known else {"allowed": allowed}
        nll = linear_chain.negative_log_likelihood(emissions, lengths, *chain, **gold)
        return nll.sum()
    costs = weights.log()[:, None].masked_fill(allowed, 0.0)
    log_z = linear_chain.log_partition(emissions + costs, lengths, *chain)
    open_emissions = emissions.masked_fill(~allowed, NEVER)
    return (log_z - linear_chain.log_partition(open_emissions, lengths, *chain)).sum()


def _row_weights(head: Head, tagset: TagSet, allowed: np.ndarray) -> np.ndarray:
    """The weight of each row's gold label; 1 where more than one tag is allowed. float32 [N]."""
    by_label = dict(head.class_weights)
    names = (OUTSIDE, *tagset.labels)
    by_tag = np.array([by_label.get(names[i + 1], 1.0) for i in tagset.label_of], np.float32)
    return np.where(allowed.sum(axis=1) == 1, by_tag[allowed.argmax(axis=1)], np.float32(1.0))


def _barred_loss(
    tagset: TagSet,
    emissions: Tensor,
    lengths: Sequence[int],
    chain: Sequence[Tensor],
    barred: Sequence[BarredSpan],
) -> Tensor:
    """The sum of `-log (1 - P(span))`, with P(span) as a quotient of two partition functions."""
    ends = np.cumsum(lengths)
    whole, clamped, rows = [], [], []
    for document, start, end, label in barred:
        first, last = int(ends[document]) - lengths[document], int(ends[document])
        scores = emissions[first:last]
        shut = np.zeros((last - first, len(tagset.tags)), dtype=bool)
        tags = tagset.encode([(start, end, label)], last - first)
        shut[start:end] = True
        shut[np.arange(start, end), tags[start:end]] = False
        if end < last - first:
            shut[end] = ~tagset.legal_start & (tagset.label_of == tagset.labels.index(label))
        whole.append(scores)
        clamped.append(scores.masked_fill(torch.from_numpy(shut).to(scores.device), NEVER))
        rows.append(last - first)
    log_z = linear_chain.log_partition(torch.cat(whole), rows, *chain)
    # Probabilities of 1 would make the loss infinite; float32 can't tell 1 from 1 - 3e-8.
    log_p = (linear_chain.log_partition(torch.cat(clamped), rows, *chain) - log_z).clamp(max=-1e-6)
    return -_log1mexp(log_p).sum()


def _log1mexp(x: Tensor) -> Tensor:
    """log (1 - exp x) for x < 0, exact at both ends (Mächler 2012, "Accurately Computing...")."""
    near = x > -math.log(2)
    # Each branch sees harmless numbers where the other counts, so that gradients stay finite.
    by_expm1 = torch.log(-torch.expm1(torch.where(near, x, -1.0)))
    by_log1p = torch.log1p(-torch.exp(torch.where(near, -1.0, x)))
    return torch.where(near, by_expm1, by_log1p)
