"""Rehearsal: the loss that keeps a lattice close to that of an earlier network."""

from collections.abc import Iterable
from dataclasses import replace

import torch

from ..tags.tagset import TagSet
from .emitter import Head
from .lattice import Lattice, constrain
from .loss import expected_counts, posterior_loss


def rehearsal_loss(
    lattice: Lattice,
    taught: Lattice,
    chains: Iterable[tuple[TagSet, slice]],
    *,
    head: Head,
    size: float,
) -> tuple[float, Lattice]:
    """Compute the cross-entropy of the tags that an earlier network knows, and its gradient.

    Both distributions are those of sequences of these tags alone: the probability of newer tags is
    left to the annotation.

    lattice (Lattice): The scores of the network that learns.
    taught (Lattice): Those of the earlier one, with a row for each token.
    chains (Iterable[tuple[TagSet, slice]]): The tags that it knows, and their columns in both.
    size (float): The divisor of the loss.
    RETURNS (tuple[float, Lattice]): The loss, and a lattice that holds its gradient.
    """
    emissions, start, transitions, end = map(torch.zeros_like, lattice.scores)
    gradient = Lattice(emissions, start, transitions, end, lattice.tokens)
    total = 0.0
    for tagset, columns in chains:
        theirs = taught.part(columns)
        if head.constrained_loss:
            first, between, last = constrain(tagset, *theirs.scores[1:])
            theirs = replace(theirs, start=first, transitions=between, end=last)
        loss, part = posterior_loss(
            head, tagset, lattice.part(columns), expected_counts(theirs), size=size
        )
        total += loss
        for whole, own in zip(gradient.part(columns).scores, part.scores, strict=True):
            whole.copy_(own)
    return total, gradient
