"""Every error with its kind, to look at."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..tags.spans import Span
from .documents import Document
from .matching import match

# Kind: what it means. The order is that of the report.
KINDS = {
    "missed": "gold entities that no prediction overlaps",
    "spurious": "predictions that overlap no gold entity",
    "label": "right boundaries, wrong label",
    "boundary": "right label, wrong boundaries",
    "both": "wrong label and wrong boundaries, but an overlap",
}


@dataclass(frozen=True)
class Error:
    """A gold entity and its prediction that differ, or one without the other.

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


def find_errors(documents: Sequence[Document]) -> list[Error]:
    """All errors, in the order of the documents and of the text.

    documents (Sequence[Document]): Gold and predictions.
    RETURNS (list[Error]): The errors.
    """
    errors: list[Error] = []
    for number, doc in enumerate(documents):
        pairs = match(doc.gold, doc.predicted, prefer="label")
        answers = {p: g for g, p in pairs}
        answered = set(answers.values())
        found = [
            Error("missed", number, span, None)
            for i, span in enumerate(doc.gold)
            if i not in answered
        ]
        for p, (span, score) in enumerate(zip(doc.predicted, doc.confidence, strict=True)):
            gold = doc.gold[answers[p]] if p in answers else None
            if gold != span:
                found.append(Error(_kind(gold, span), number, gold, span, score))
        errors += sorted(found, key=_place)
    return errors


def _kind(gold: Span | None, predicted: Span) -> str:
    if gold is None:
        return "spurious"
    if gold[:2] == predicted[:2]:
        return "label"
    return "boundary" if gold[2] == predicted[2] else "both"


def _place(error: Error) -> tuple[int, int]:
    spans = [span for span in (error.gold, error.predicted) if span is not None]
    return min(span[0] for span in spans), max(span[1] for span in spans)
