"""Scores of all tag paths through the rows of several documents."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor


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
        """RETURNS (list[int]): Rows of each document; they sum to N."""
        return [len(t) for t in self.tokens]

    @property
    def scores(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """RETURNS (tuple): The four tensors that a gradient belongs to."""
        return self.emissions, self.start, self.transitions, self.end

    @property
    def arguments(self) -> tuple[Tensor, list[int], Tensor, Tensor, Tensor]:
        """RETURNS (tuple): The arguments of every function of the CRF engine."""
        return self.emissions, self.lengths, self.start, self.transitions, self.end

    def first_rows(self) -> tuple[np.ndarray, list[int]]:
        """RETURNS (tuple): Whether a row is the first of its token, bool [N], and how many are, for
        each document."""
        firsts = [np.diff(tokens, prepend=-1) != 0 for tokens in self.tokens]
        empty = np.zeros(0, dtype=bool)
        return np.concatenate([empty, *firsts]), [int(first.sum()) for first in firsts]

    def split(self, rows: np.ndarray) -> list[np.ndarray]:
        """Split an array by document.

        rows (np.ndarray): Any array [N, ...].
        RETURNS (list[np.ndarray]): The part of each document.
        """
        return np.split(rows, np.cumsum(self.lengths, dtype=np.int64))[:-1]
