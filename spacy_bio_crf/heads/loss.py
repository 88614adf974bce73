"""Losses of a lattice, given the tags that each row may have, and their gradients."""

import math
from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch import Tensor

from .. import crf
from ..errors import Plain, describe
from ..gold.annotation import Annotation
from ..tags.schemes import OUTSIDE
from ..tags.spans import rows_of_spans
from ..tags.tagset import TagSet
from .emitter import Head
from .lattice import NEVER, Lattice, constrain

# Document, then start, exclusive end and label of a span; counted in tokens that have a row.
BarredSpan = tuple[int, int, int, str]


def annotated_tokens(annotations: Sequence[Annotation], labels: Collection[str]) -> int:
    """Count the annotated tokens of a batch, the divisor of its loss; at least 1.

    labels (Collection[str]): The labels of the component.
    """
    return max(1, sum(annotation.count_taught(labels) for annotation in annotations))


def batch_loss(
    annotations: Sequence[Annotation],
    lattice: Lattice,
    *,
    head: Head,
    tagset: TagSet,
    continued: bool,
    size: int,
) -> tuple[float, Lattice]:
    """Compute the loss of some documents, or of a part of a batch, given the gold of each.

    The loss of a document is multiplied by its weight.

    continued (bool): Whether a word's later sub-words continue its entity.
    size (int): The divisor of the loss: `annotated_tokens` of the whole batch, so that the gradient
        does not depend on how the batch is cut.
    RETURNS (tuple[float, Lattice]): The loss, and a lattice that holds its gradient.
    """
    documents = list(zip(annotations, lattice.tokens, strict=True))
    allowed = np.concatenate(
        [a.allowed(tagset, tokens, continued=continued) for a, tokens in documents]
    )
    return lattice_loss(
        head,
        tagset,
        lattice,
        allowed,
        size=size,
        barred=barred_spans(annotations, lattice),
        document_weights=document_weights(annotations),
    )


def barred_spans(annotations: Sequence[Annotation], lattice: Lattice) -> list[BarredSpan]:
    """RETURNS (list[BarredSpan]): The spans that are known to be wrong, in tokens with a row."""
    return [
        (i, *span)
        for i, (annotation, tokens) in enumerate(zip(annotations, lattice.tokens, strict=True))
        for span in rows_of_spans(annotation.wrong, np.unique(tokens))
    ]


def document_weights(annotations: Sequence[Annotation]) -> np.ndarray | None:
    """RETURNS (np.ndarray | None): The weight of each document, float64 [A]; None if all are 1."""
    weights = np.array([annotation.weight for annotation in annotations], dtype=np.float64)
    return None if (weights == 1.0).all() else weights


def lattice_loss(
    head: Head,
    tagset: TagSet,
    lattice: Lattice,
    allowed: np.ndarray,
    *,
    size: int,
    barred: Sequence[BarredSpan] = (),
    document_weights: np.ndarray | None = None,
) -> tuple[float, Lattice]:
    """Compute the negative log-likelihood of the allowed tags, and its gradient.

    Softmax: the sum of `-log Σ_allowed p` over the rows, each times the weight of its gold label.
    CRF: `log Z - log Z(allowed)`, which is the usual negative log-likelihood if each row allows one
    tag (Tsuboi et al. 2008, section 3). A label's weight w is a cost of log w on every wrong tag in
    Z (softmax-margin, Gimpel & Smith 2010, "Softmax-Margin CRFs", section 2); w = 1 is the plain
    likelihood. Each span known to be wrong adds `-log (1 - P(span))`.

    The chain runs from token to token, as in decoding. If a token trains several rows, those after
    the first count as in the softmax: emissions learn, and transitions stay scores between tokens.

    allowed (np.ndarray): The tags that each row may have; bool [N, K].
    size (int): The divisor of the sum, the same for all parts of a batch.
    barred (Sequence[BarredSpan]): Spans that are known to be no entity of their label.
    document_weights (np.ndarray | None): The factor on the loss of each document, [A]; None is 1.
    RETURNS (tuple[float, Lattice]): The loss, and a lattice that holds its gradient.
    RAISES: ValueError if a row allows no tag.
    """
    if not allowed.any(axis=1).all():
        row = int(np.flatnonzero(~allowed.any(axis=1))[0])
        expected = f"at least one of the tags {tagset.tags} in each row"
        got = Plain(f"none in row {row} of {len(allowed)}")
        raise ValueError(describe("allowed", expected=expected, got=got))
    leaves = [scores.detach().requires_grad_() for scores in lattice.scores]
    emissions, *chain = leaves
    if head.constrained_loss:
        chain = list(constrain(tagset, *chain))
    first, lengths = lattice.first_rows()
    weights = _row_weights(head, tagset, allowed)
    on_chain = first if head.crf or head.constrained_loss else np.zeros_like(first)
    # Connected to the leaves, so that documents without a row have a gradient.
    total = 0.0 * emissions.sum()
    if on_chain.any():
        losses = _chain_losses(
            *_rows(emissions, allowed, weights, on_chain), lengths, chain, bool(head.class_weights)
        )
        total = total + weighted_sum(losses, document_weights)
    if not on_chain.all():
        if document_weights is not None:
            by_row = np.repeat(document_weights, lattice.lengths)
            weights = (weights * by_row).astype(weights.dtype)
        total = total + _softmax_loss(*_rows(emissions, allowed, weights, ~on_chain))
    if barred:
        words = emissions[torch.from_numpy(first).to(emissions.device)]
        losses = barred_losses(tagset, words, lengths, chain, barred)
        by_span = None if document_weights is None else document_weights[[i for i, *_ in barred]]
        total = total + weighted_sum(losses, by_span)
    total = total / size
    return float(total.detach()), gradient_of(total, leaves, lattice.tokens)


def weighted_sum(losses: Tensor, weights: np.ndarray | None) -> Tensor:
    """RETURNS (Tensor): The sum of losses [n], each times its weight [n] if there are weights."""
    return losses.sum() if weights is None else (losses * as_tensor(weights, losses)).sum()


def as_tensor(array: np.ndarray, like: Tensor) -> Tensor:
    """RETURNS (Tensor): An array with the type and on the device of a tensor."""
    return torch.from_numpy(array).to(like)


def expected_counts(lattice: Lattice) -> Lattice:
    """Compute how often tags and pairs of tags are expected, by forward-backward.

    They are the gradient of log Z (Wainwright & Jordan 2008, section 3.6).

    lattice (Lattice): The scores; restricted and tempered, if the distribution is to be.
    RETURNS (Lattice): The probability of each tag at each row [N, K], and over all documents the
        expected number of starts [K], of pairs of neighbors [K, K] and of ends [K].
    """
    leaves = [scores.detach().requires_grad_() for scores in lattice.scores]
    emissions, *chain = leaves
    log_z = crf.log_partition(emissions, lattice.lengths, *chain).sum()
    return gradient_of(log_z, leaves, lattice.tokens)


def posterior_loss(
    head: Head, tagset: TagSet, lattice: Lattice, posterior: Lattice, *, size: float
) -> tuple[float, Lattice]:
    """Compute the cross-entropy of a lattice with a given distribution, and its gradient.

    Distillation (Hinton et al. 2015) of a distribution p over tag sequences that is a chain, too:
    `H(p, q) = log Z - E_p[score]`, and the expected score needs no more of p than its posteriors.
    So this is exact, and its gradient is the difference of the expected counts of q and of p. For
    a softmax it is the cross-entropy of each row.

    posterior (Lattice): Posteriors of p as `expected_counts` gives them, with one row for each
        token that has a row in the lattice. With `constrained_loss`, of legal sequences alone.
    size (float): The divisor of the sum, the same for all parts of a batch.
    RETURNS (tuple[float, Lattice]): The loss in nats, never below the entropy of p, and a lattice
        that holds its gradient.
    RAISES: ValueError for posteriors of another number of rows or tags.
    """
    first, lengths = lattice.first_rows()
    expected = (sum(lengths), lattice.emissions.shape[1])
    if tuple(posterior.emissions.shape) != expected:
        got = tuple(posterior.emissions.shape)
        raise ValueError(describe("posterior", expected=f"probabilities {expected}", got=got))
    leaves = [scores.detach().requires_grad_() for scores in lattice.scores]
    emissions, *chain = leaves
    words = emissions[torch.from_numpy(first).to(emissions.device)]
    if head.constrained_loss:
        chain = list(constrain(tagset, *chain))
    # Connected to the leaves, so that documents without a row have a gradient.
    total = 0.0 * emissions.sum() + cross_entropy(head, words, lengths, chain, posterior)
    total = total / size
    return float(total.detach()), gradient_of(total, leaves, lattice.tokens)


def cross_entropy(
    head: Head,
    words: Tensor,
    lengths: Sequence[int],
    chain: Sequence[Tensor],
    posterior: Lattice,
    weights: np.ndarray | None = None,
) -> Tensor:
    """Compute what `posterior_loss` does, as a sum that torch can differentiate.

    words (Tensor): A row of emissions for each token; [n, K].
    lengths (Sequence[int]): Rows of each document.
    chain (Sequence[Tensor]): Start, transition and end scores.
    weights (np.ndarray | None): The factor on log Z of each document, [A]; those on its expected
        score are in the posteriors.
    """
    if not (head.crf or head.constrained_loss):
        return -(posterior.emissions * words.log_softmax(dim=1)).sum()
    total = weighted_sum(crf.log_partition(words, lengths, *chain), weights)
    for scores, counts in zip((words, *chain), posterior.scores, strict=True):
        # What is closed has a score of -inf and never happens.
        total = total - torch.where(counts > 0, counts * scores, 0.0).sum()
    return total


def gradient_of(total: Tensor, leaves: Sequence[Tensor], tokens: Sequence[np.ndarray]) -> Lattice:
    """RETURNS (Lattice): The gradient of a loss with respect to the four tensors of a lattice."""
    gradients = torch.autograd.grad(total, leaves, allow_unused=True)
    d_emissions, d_start, d_transitions, d_end = (
        torch.zeros_like(leaf) if gradient is None else gradient
        for leaf, gradient in zip(leaves, gradients, strict=True)
    )
    return Lattice(d_emissions, d_start, d_transitions, d_end, tokens)


def _rows(
    emissions: Tensor, allowed: np.ndarray, weights: np.ndarray, chosen: np.ndarray
) -> tuple[Tensor, Tensor, Tensor]:
    """Select rows of emissions [n, K], allowed tags [n, K] and weights [n], as tensors."""
    device = emissions.device
    if not chosen.all():
        emissions = emissions[torch.from_numpy(chosen).to(device)]
        allowed, weights = allowed[chosen], weights[chosen]
    return emissions, torch.from_numpy(allowed).to(device), torch.from_numpy(weights).to(device)


def _softmax_loss(emissions: Tensor, allowed: Tensor, weights: Tensor) -> Tensor:
    log_allowed = emissions.log_softmax(dim=1).masked_fill(~allowed, NEVER).logsumexp(dim=1)
    return -(weights * log_allowed).sum()


def _chain_losses(
    emissions: Tensor,
    allowed: Tensor,
    weights: Tensor,
    lengths: Sequence[int],
    chain: Sequence[Tensor],
    weighted: bool,
) -> Tensor:
    """The loss of each document, [A]."""
    if not weighted:
        known = bool((allowed.sum(dim=1) == 1).all())
        gold = {"tags": allowed.byte().argmax(dim=1)} if known else {"allowed": allowed}
        return crf.negative_log_likelihood(emissions, lengths, *chain, **gold)
    costs = weights.log()[:, None].masked_fill(allowed, 0.0)
    log_z = crf.log_partition(emissions + costs, lengths, *chain)
    open_emissions = emissions.masked_fill(~allowed, NEVER)
    return log_z - crf.log_partition(open_emissions, lengths, *chain)


def _row_weights(head: Head, tagset: TagSet, allowed: np.ndarray) -> np.ndarray:
    """The weight of each row's gold label; 1 if several tags are allowed. float32 [N]."""
    by_tag = tag_weights(head, tagset)
    return np.where(allowed.sum(axis=1) == 1, by_tag[allowed.argmax(axis=1)], np.float32(1.0))


def tag_weights(head: Head, tagset: TagSet) -> np.ndarray:
    """RETURNS (np.ndarray): The weight of each tag's label; float32 [K]."""
    by_label = dict(head.class_weights)
    names = (OUTSIDE, *tagset.labels)
    return np.array([by_label.get(names[i + 1], 1.0) for i in tagset.label_of], np.float32)


def barred_losses(
    tagset: TagSet,
    emissions: Tensor,
    lengths: Sequence[int],
    chain: Sequence[Tensor],
    barred: Sequence[BarredSpan],
) -> Tensor:
    """Compute `-log (1 - P(span))` of each span, [n]; P(span) is a quotient of two partition
    functions."""
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
    log_z = crf.log_partition(torch.cat(whole), rows, *chain)
    # Probabilities of 1 would make the loss infinite; float32 can't tell 1 from 1 - 3e-8.
    log_p = (crf.log_partition(torch.cat(clamped), rows, *chain) - log_z).clamp(max=-1e-6)
    return -_log1mexp(log_p)


def _log1mexp(x: Tensor) -> Tensor:
    """Compute log(1 - exp(x)), x < 0; Mächler 2012, "Accurately Computing log(1 - exp(-|a|))"."""
    near = x > -math.log(2)
    # Each branch gets a harmless number where the other counts, so that gradients stay finite.
    by_expm1 = torch.log(-torch.expm1(torch.where(near, x, -1.0)))
    by_log1p = torch.log1p(-torch.exp(torch.where(near, -1.0, x)))
    return torch.where(near, by_expm1, by_log1p)
