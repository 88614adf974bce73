"""Mistakes of a pipeline, one by one with their kinds, and as a confusion of labels."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..tags.schemes import OUTSIDE
from ..tags.spans import Span
from .documents import Document, labels_of
from .matching import match_document

# From a kind to its meaning, in the order of the report.
KINDS = {
    "missed": "gold entities that no prediction overlaps",
    "spurious": "predictions that overlap no gold entity",
    "label": "right boundaries, wrong label",
    "boundary": "right label, wrong boundaries",
    "both": "wrong label and wrong boundaries, but an overlap",
}


@dataclass(frozen=True)
class Mistake:
    """A gold entity and a prediction that differ, or one without the other."""

    kind: str  # a key of `KINDS`
    document: int  # its index
    gold: Span | None  # None if the prediction is spurious
    predicted: Span | None  # None if the gold entity is missed
    confidence: float | None = None  # of the prediction

    @property
    def spans(self) -> list[Span]:
        """RETURNS (list[Span]): The gold and the predicted span, as far as they exist."""
        return [span for span in (self.gold, self.predicted) if span is not None]


def find_mistakes(documents: Sequence[Document]) -> list[Mistake]:
    """RETURNS (list[Mistake]): All mistakes, in the order of the documents and of the text."""
    mistakes: list[Mistake] = []
    for number, doc in enumerate(documents):
        pairs = match_document(doc, prefer="label")
        answers = {p: g for g, p in pairs}
        answered = set(answers.values())
        found = [
            Mistake("missed", number, span, None)
            for i, span in enumerate(doc.gold)
            if i not in answered
        ]
        for p, (span, score) in enumerate(zip(doc.predicted, doc.confidence, strict=True)):
            gold = doc.gold[answers[p]] if p in answers else None
            if gold != span:
                found.append(Mistake(kind_of(gold, span), number, gold, span, score))
        mistakes += sorted(found, key=_place)
    return mistakes


def confusion(documents: Sequence[Document]) -> dict[str, Any]:
    """Count gold labels against predicted ones.

    documents (Sequence[Document]): Gold and predictions.
    RETURNS (dict): `names` of rows and columns: the labels, and `outside_name` at the end.
        `entities`: pairs of overlapping entities by gold (row) and predicted (column) label; missed
        entities in the last column, spurious ones in the last row. `tokens`: annotated tokens,
        prefixes ignored, once for each group of labels. Both are lists of L + 1 rows of L + 1
        counts.
    """
    labels = labels_of(documents)
    names = [*labels, outside_name(labels)]
    ids = {name: i for i, name in enumerate(names[:-1])}
    entities = np.zeros((len(names), len(names)), dtype=np.int64)
    tokens = np.zeros_like(entities)
    for doc in documents:
        gold, predicted = ([ids[span[2]] for span in side] for side in (doc.gold, doc.predicted))
        pairs = match_document(doc, prefer="label")
        for g, p in pairs:
            entities[gold[g], predicted[p]] += 1
        for g in set(range(len(gold))) - {g for g, _ in pairs}:
            entities[gold[g], -1] += 1
        for p in set(range(len(predicted))) - {p for _, p in pairs}:
            entities[-1, predicted[p]] += 1
        for group in doc.group_names:
            painted = [
                _paint(side, ids, len(doc.words))[doc.known_to(group)]
                for side in (doc.of_group(doc.gold, group), doc.of_group(doc.predicted, group))
            ]
            np.add.at(tokens, tuple(painted), 1)
    return {"names": names, "entities": entities.tolist(), "tokens": tokens.tolist()}


def outside_name(labels: Collection[str]) -> str:
    """RETURNS (str): The name of no entity beside labels: "O", or "(O)" if one of them is called
    so."""
    name = OUTSIDE
    while name in labels:
        name = f"({name})"
    return name


def _paint(spans: Sequence[Span], ids: dict[str, int], n: int) -> np.ndarray:
    """The label id of each token, that of O outside; int64 [n]."""
    painted = np.full(n, len(ids), dtype=np.int64)
    for start, end, label in spans:
        painted[start:end] = ids[label]
    return painted


def kind_of(gold: Span | None, predicted: Span) -> str:
    """RETURNS (str): The kind of mistake, a key of `KINDS`, that a prediction is."""
    if gold is None:
        return "spurious"
    if gold[:2] == predicted[:2]:
        return "label"
    return "boundary" if gold[2] == predicted[2] else "both"


def _place(mistake: Mistake) -> tuple[int, int]:
    return min(span[0] for span in mistake.spans), max(span[1] for span in mistake.spans)
