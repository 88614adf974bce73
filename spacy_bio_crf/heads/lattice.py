"""Scores of all tag paths through the rows of several documents, some of them closed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ..tags.tagset import TagSet
from .emitter import Head

NEVER = float("-inf")


@dataclass(frozen=True)
class Lattice:
    """Scores of all tag paths through the rows of several documents.

    emissions (Tensor): A score for each row and tag; float32 [N, K].
    start (Tensor): Score of the first tag of a document; float32 [K].
    transitions (Tensor): Score of one tag after another; float32 [K, K], (from, to).
    end (Tensor): Score of the last tag of a document; float32 [K].
    tokens (Sequence[np.ndarray]): For each document, the token of each row, in order; int64. A
        token without a sub-word has no row; one that trains all its sub-words has several.
    """

    emissions: Tensor
    start: Tensor
    transitions: Tensor
    end: Tensor
    tokens: Sequence[np.ndarray]

    @property
    def lengths(self) -> list[int]:
        """Rows of each document; they sum to N."""
        return [len(t) for t in self.tokens]

    @property
    def scores(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The four tensors that a gradient belongs to."""
        return self.emissions, self.start, self.transitions, self.end

    @property
    def arguments(self) -> tuple[Tensor, list[int], Tensor, Tensor, Tensor]:
        """The arguments of every function of the CRF engine."""
        return self.emissions, self.lengths, self.start, self.transitions, self.end

    def part(self, columns: slice) -> "Lattice":
        """Take the columns of some tags, as a lattice of their own; no copy."""
        emissions, start, transitions, end = self.scores
        return Lattice(
            emissions[:, columns],
            start[columns],
            transitions[columns, columns],
            end[columns],
            self.tokens,
        )

    def first_rows(self) -> tuple[np.ndarray, list[int]]:
        """Find the rows that are the first of their token, bool [N], and count them by document."""
        firsts = [np.diff(tokens, prepend=-1) != 0 for tokens in self.tokens]
        empty = np.zeros(0, dtype=bool)
        return np.concatenate([empty, *firsts]), [int(first.sum()) for first in firsts]

    def split(self, rows: np.ndarray) -> list[np.ndarray]:
        """Split an array [N, ...] by document."""
        return np.split(rows, np.cumsum(self.lengths, dtype=np.int64))[:-1]


def restrict(
    head: Head, tagset: TagSet, lattice: Lattice, allowed: np.ndarray | None = None
) -> Lattice:
    """Close the paths that decoding must not take, with scores of -inf.

    head (Head): Whether sequences have to be legal.
    tagset (TagSet): The legal sequences.
    lattice (Lattice): The scores of the network.
    allowed (np.ndarray | None): Tags that each row may have; bool [N, K].
    """
    if allowed is not None:
        shut = torch.from_numpy(~allowed).to(lattice.emissions.device)
        lattice = replace(lattice, emissions=lattice.emissions.masked_fill(shut, NEVER))
    if head.constrained:
        start, transitions, end = constrain(tagset, lattice.start, lattice.transitions, lattice.end)
        lattice = replace(lattice, start=start, transitions=transitions, end=end)
    return lattice


def constrain(
    tagset: TagSet, start: Tensor, transitions: Tensor, end: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Close starts, transitions and ends that the scheme forbids, [K], [K, K] and [K].

    No trained weight can open them again.
    """
    shut_start, shut, shut_end = _illegal(tagset, start.device)
    return (
        start.masked_fill(shut_start, NEVER),
        transitions.masked_fill(shut, NEVER),
        end.masked_fill(shut_end, NEVER),
    )


def mean_lattice(lattices: Sequence[Lattice]) -> Lattice:
    """Average the scores of several lattices of the same documents and tags.

    A row that is missing in some of them, because another tokenizer made no sub-word of its token,
    is the mean of the others' rows.

    lattices (Sequence[Lattice]): One row for each token that has a sub-word.
    RETURNS (Lattice): The mean.
    """
    first = lattices[0]
    start, transitions, end = (
        torch.stack(own).mean(dim=0) for own in zip(*(x.scores[1:] for x in lattices), strict=True)
    )
    by_doc = list(zip(*(lattice.tokens for lattice in lattices), strict=True))
    if all(np.array_equal(own, of_doc[0]) for of_doc in by_doc for own in of_doc[1:]):
        emissions = torch.stack([lattice.emissions for lattice in lattices]).mean(dim=0)
        return Lattice(emissions, start, transitions, end, first.tokens)
    tokens = [np.unique(np.concatenate(of_doc)) for of_doc in by_doc]
    bases = np.cumsum([0, *map(len, tokens)])
    total = first.emissions.new_zeros((int(bases[-1]), len(start)))
    count = total.new_zeros((len(total), 1))
    for lattice in lattices:
        rows = [
            base + np.searchsorted(of_doc, own)
            for base, of_doc, own in zip(bases, tokens, lattice.tokens, strict=False)
        ]
        index = torch.from_numpy(np.concatenate(rows)).to(total.device)
        total[index] += lattice.emissions
        count[index] += 1.0
    return Lattice(total / count, start, transitions, end, tokens)


@lru_cache(maxsize=64)
def _illegal(tagset: TagSet, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    start, between, end = (
        torch.tensor(~mask, device=device)
        for mask in (tagset.legal_start, tagset.legal, tagset.legal_end)
    )
    return start, between, end
