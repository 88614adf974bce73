"""Mistakes of a pipeline, one by one, with their kinds."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..tags.spans import Span
from .documents import Document
from .matching import match

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
    """A gold entity and a prediction that differ, or one without the other.

    kind (str): A key of `KINDS`.
    document (int): Index of the document.
    gold (Span | None): Start, exclusive end and label; None if the prediction is spurious.
    predicted (Span | None): The same of the prediction; None if the gold entity is missed.
    confidence (float | None): The prediction's probability.
    """

    kind: str
    document: int
    gold: Span | None
    predicted: Span | None
    confidence: float | None = None

    @property
    def spans(self) -> list[Span]:
        """RETURNS (list[Span]): The gold and the predicted span, as far as they exist."""
        return [span for span in (self.gold, self.predicted) if span is not None]


def find_mistakes(documents: Sequence[Document]) -> list[Mistake]:
    """All mistakes, in the order of the documents and of the text.

    documents (Sequence[Document]): Gold and predictions.
    RETURNS (list[Mistake]): The mistakes.
    """
    mistakes: list[Mistake] = []
    for number, doc in enumerate(documents):
        pairs = match(doc.gold, doc.predicted, prefer="label")
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
                found.append(Mistake(_kind(gold, span), number, gold, span, score))
        mistakes += sorted(found, key=_place)
    return mistakes


def _kind(gold: Span | None, predicted: Span) -> str:
    if gold is None:
        return "spurious"
    if gold[:2] == predicted[:2]:
        return "label"
    return "boundary" if gold[2] == predicted[2] else "both"


def _place(mistake: Mistake) -> tuple[int, int]:
    return min(span[0] for span in mistake.spans), max(span[1] for span in mistake.spans)
