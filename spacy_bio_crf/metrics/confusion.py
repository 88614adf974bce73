"""Confusion of labels, by entity and by token."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..tags.schemes import OUTSIDE
from ..tags.spans import Span
from .documents import Document, labels_of
from .matching import match


@dataclass(frozen=True, eq=False)
class Confusion:
    """StrictCounts of gold against predicted.

    names (list[str]): Names of rows and columns: the labels, and "O" at the end.
    entities (np.ndarray): Pairs of overlapping entities by gold (row) and predicted (column) label;
        missed entities in the column O, spurious ones in the row O; int64 [L + 1, L + 1].
    tokens (np.ndarray): Annotated tokens by gold and predicted label, prefixes ignored;
        int64 [L + 1, L + 1].
    """

    names: list[str]
    entities: np.ndarray
    tokens: np.ndarray


def confusion(documents: Sequence[Document]) -> Confusion:
    """Count gold labels against predicted ones.

    documents (Sequence[Document]): Gold and predictions.
    RETURNS (Confusion): The counts.
    """
    names = [*labels_of(documents), OUTSIDE]
    ids = {name: i for i, name in enumerate(names[:-1])}
    outside = len(ids)
    entities = np.zeros((len(names), len(names)), dtype=np.int64)
    tokens = np.zeros_like(entities)
    for doc in documents:
        pairs = match(doc.gold, doc.predicted, prefer="label")
        for g, p in pairs:
            entities[ids[doc.gold[g][2]], ids[doc.predicted[p][2]]] += 1
        for i in set(range(len(doc.gold))) - {g for g, _ in pairs}:
            entities[ids[doc.gold[i][2]], outside] += 1
        for i in set(range(len(doc.predicted))) - {p for _, p in pairs}:
            entities[outside, ids[doc.predicted[i][2]]] += 1
        sides = [_paint(s, ids, len(doc.words))[doc.known] for s in (doc.gold, doc.predicted)]
        np.add.at(tokens, tuple(sides), 1)
    return Confusion(names, entities, tokens)


def _paint(spans: Sequence[Span], ids: dict[str, int], n: int) -> np.ndarray:
    """The label id of each token, that of O outside; int64 [n]."""
    painted = np.full(n, len(ids), dtype=np.int64)
    for start, end, label in spans:
        painted[start:end] = ids[label]
    return painted
