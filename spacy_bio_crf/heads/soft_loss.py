"""Losses of a lattice, given entities with probabilities.

The annotation is a distribution p over analyses (`gold.soft`), and the loss of a document is the
mean, under p, of the loss that each analysis has as gold. For a chain with scores s this is

    E_p[-log q(tags)] = log Z - E_p[s(tags)],

and the expected score needs the chances of tags and of pairs of tags under p, no more. If rows are
without annotation, their tags are summed over: each gap between annotated rows adds

    -Σ_ab p(a before it, b behind it) log Σ_tags exp s(a, tags, b)

in place of scores; a and b are independent under p.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import crf
from ..errors import Plain, describe
from ..gold.annotation import Annotation
from ..gold.soft import Gap, SoftAnnotation, TagChances
from ..tags.tagset import TagSet
from .emitter import Head
from .lattice import NEVER, Lattice, constrain
from .loss import (
    as_tensor,
    barred_losses,
    barred_spans,
    batch_loss,
    cross_entropy,
    document_weights,
    gradient_of,
    tag_weights,
    weighted_sum,
)


def gold_loss(
    annotations: Sequence[Annotation],
    lattice: Lattice,
    *,
    head: Head,
    tagset: TagSet,
    continued: bool,
    size: int,
) -> tuple[float, Lattice]:
    """Compute the loss of documents with or without probabilities; see `batch_loss`.

    RETURNS (tuple[float, Lattice]): The loss, and a lattice that holds its gradient.
    """
    settings: dict[str, Any] = {
        "head": head,
        "tagset": tagset,
        "continued": continued,
        "size": size,
    }
    soft = [annotation for annotation in annotations if isinstance(annotation, SoftAnnotation)]
    if soft:
        return soft_loss(soft, lattice, **settings)
    return batch_loss(annotations, lattice, **settings)


def check_soft(head: Head) -> None:
    """RAISES: ValueError for a head whose loss has no mean over analyses in closed form."""
    if head.class_weights and (head.crf or head.constrained_loss):
        expected = "null with `soft_gold`, but for a softmax without `constrained_loss`"
        got = Plain(dict(head.class_weights))
        raise ValueError(describe("class_weights", expected=expected, got=got))


def soft_loss(
    annotations: Sequence[SoftAnnotation],
    lattice: Lattice,
    *,
    head: Head,
    tagset: TagSet,
    continued: bool,
    size: int,
) -> tuple[float, Lattice]:
    """Compute the expected loss of entities with probabilities, and its gradient.

    The arguments are those of `batch_loss`.

    RETURNS (tuple[float, Lattice]): The loss, and a lattice that holds its gradient.
    RAISES: ValueError as `check_soft`.
    """
    check_soft(head)
    weights = document_weights(annotations)
    factors = np.ones(len(annotations)) if weights is None else weights
    chances = [
        annotation.chances(tagset, np.unique(tokens))
        for annotation, tokens in zip(annotations, lattice.tokens, strict=True)
    ]
    leaves = [scores.detach().requires_grad_() for scores in lattice.scores]
    emissions, *chain = leaves
    if head.constrained_loss:
        chain = list(constrain(tagset, *chain))
    first, lengths = lattice.first_rows()
    words = emissions[torch.from_numpy(first).to(emissions.device)]
    # shape: [n, K]
    tags = np.concatenate([f * own.tags for f, own in zip(factors, chances, strict=True)])
    on_chain = head.crf or head.constrained_loss
    if not on_chain:
        tags = tags * tag_weights(head, tagset)
    posterior = _posterior(tags, chances, factors, lattice)
    total = 0.0 * emissions.sum() + cross_entropy(head, words, lengths, chain, posterior, weights)
    # shape: [n]
    shut = np.concatenate([f * _shut_rows(own) for f, own in zip(factors, chances, strict=True)])
    if on_chain:
        starts = np.cumsum(lengths) - lengths
        bridges = [
            (int(start), f, gap)
            for start, f, own in zip(starts, factors, chances, strict=True)
            for gap in own.gaps
        ]
        if bridges:
            total = total - _bridge(tagset, words, chain, bridges)
    else:
        total = total + _shut_loss(tagset, words, shut)
    if not first.all():
        rows = emissions[torch.from_numpy(~first).to(emissions.device)]
        # The word of each later sub-word.
        owners = (np.cumsum(first) - 1)[~first]
        later = tags[owners]
        if continued:
            # In BIO, I- follows B- of the same label.
            later = np.where(tagset.begins, 0.0, later)
            later[:, 1:] += np.where(tagset.begins, tags[owners], 0.0)[:, :-1]
        else:
            total = total + _shut_loss(tagset, rows, shut[owners])
        total = total - (as_tensor(later, rows) * rows.log_softmax(dim=1)).sum()
    if barred := barred_spans(annotations, lattice):
        losses = barred_losses(tagset, words, lengths, chain, barred)
        total = total + weighted_sum(losses, factors[[i for i, *_ in barred]])
    total = total / size
    return float(total.detach()), gradient_of(total, leaves, lattice.tokens)


def _posterior(
    tags: np.ndarray, chances: Sequence[TagChances], factors: np.ndarray, lattice: Lattice
) -> Lattice:
    counts = [np.zeros(scores.shape) for scores in lattice.scores[1:]]
    for factor, own in zip(factors, chances, strict=True):
        for total, part in zip(counts, (own.start, own.pairs, own.end), strict=True):
            total += factor * part
    emissions, start, pairs, end = (as_tensor(own, lattice.emissions) for own in (tags, *counts))
    return Lattice(emissions, start, pairs, end, lattice.tokens)


def _shut_rows(chances: TagChances) -> np.ndarray:
    """The chance that each row can't continue an entity, for an annotated one has ended in front of
    it, or an annotated token without a row lies there; float64 [n]."""
    shut = np.zeros(len(chances.tags))
    for gap in chances.gaps:
        shut[gap.start : gap.end][gap.parted] = 1.0
        if gap.before is not None and not gap.parted[0]:
            shut[gap.start] = gap.before[1:].sum()
    return shut


def _shut_loss(tagset: TagSet, rows: Tensor, chances: np.ndarray) -> Tensor:
    closed = torch.from_numpy(~tagset.legal_start).to(rows.device)
    log_open = rows.log_softmax(dim=1).masked_fill(closed, NEVER).logsumexp(dim=1)
    return -(as_tensor(chances, rows) * log_open).sum()


def _bridge(
    tagset: TagSet,
    words: Tensor,
    chain: Sequence[Tensor],
    gaps: Sequence[tuple[int, float, Gap]],
) -> Tensor:
    """Sum the expected scores of gaps: all tags between those of the annotated rows around them.

    gaps (Sequence): The first row of the document, its weight, and the gap.
    """
    start, transitions, end = chain
    closed = torch.from_numpy(~tagset.legal_start).to(words.device)
    pieces, chances = [], []
    for base, factor, gap in gaps:
        rows = words[base + gap.start : base + gap.end]
        for a in [None] if gap.before is None else np.flatnonzero(gap.before).tolist():
            for b in [None] if gap.after is None else np.flatnonzero(gap.after).tolist():
                shut = gap.parted.copy()
                shut[0] |= bool(a)
                places = torch.from_numpy(shut).to(words.device)[:, None] & closed
                piece = rows.masked_fill(places, NEVER)
                # What leads into the gap, and out of it, is added to its first and its last row.
                into = start if a is None else transitions[a]
                out = end if b is None else transitions[:, b]
                piece = torch.cat([piece[:1] + into, piece[1:]])
                pieces.append(torch.cat([piece[:-1], piece[-1:] + out]))
                before = 1.0 if a is None or gap.before is None else gap.before[a]
                after = 1.0 if b is None or gap.after is None else gap.after[b]
                chances.append(factor * before * after)
    nothing = torch.zeros_like(start)
    lengths = [len(piece) for piece in pieces]
    sums = crf.log_partition(torch.cat(pieces), lengths, nothing, transitions, nothing)
    return weighted_sum(sums, np.array(chances))
