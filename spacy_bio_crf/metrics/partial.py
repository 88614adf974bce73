"""Partial credit as defined by SemEval-2013 task 9.1 (DDIExtraction).

Gold entities and predictions that overlap are paired (`matching`). Each pair is judged by four
schemas:

    schema     correct                        else
    strict     same boundaries, same label    incorrect
    exact      same boundaries                incorrect
    partial    same boundaries                partial, which counts one half
    type       same label                     incorrect

Gold entities without a partner are missed, predictions without one are spurious. With POS = correct
+ incorrect + partial + missed (all gold) and ACT = correct + incorrect + partial + spurious (all
predicted), precision is (correct + partial / 2) / ACT and recall (correct + partial / 2) / POS.

Segura-Bedmar, Martínez & Herrero-Zazo 2013, "SemEval-2013 Task 9: Extraction of Drug-Drug
Interactions from Biomedical Texts", after Chinchor & Sundheim 1993, "MUC-5 Evaluation Metrics".
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..tags.spans import Span
from .averages import divide
from .documents import Document
from .matching import match_document

CORRECT, INCORRECT, PARTIAL, MISSED, SPURIOUS = VERDICTS = (
    "correct",
    "incorrect",
    "partial",
    "missed",
    "spurious",
)
CREDIT = {CORRECT: 1.0, PARTIAL: 0.5}


# The preference of `match` that gives the schema the highest score, and the verdict on a pair with
# or without the same boundaries and the same label.
SCHEMAS: dict[str, tuple[str, Callable[[bool, bool], str]]] = {
    "strict": ("pairs", lambda span, label: CORRECT if span and label else INCORRECT),
    "exact": ("pairs", lambda span, label: CORRECT if span else INCORRECT),
    "partial": ("pairs", lambda span, label: CORRECT if span else PARTIAL),
    "type": ("label", lambda span, label: CORRECT if label else INCORRECT),
}


def semeval_table(documents: Sequence[Document]) -> dict[str, Any]:
    """Judge all documents by each schema.

    documents (Sequence[Document]): Gold and predictions.
    RETURNS (dict): By schema: the number of each verdict, `p`, `r`, `f` (None where nothing was
        counted) and `per_type`, with the same three for each label: precision of the predictions
        with it, recall of the gold entities with it.
    """
    return {name: _judge(documents, *schema) for name, schema in SCHEMAS.items()}


def _judge(
    documents: Sequence[Document], prefer: str, judge: Callable[[bool, bool], str]
) -> dict[str, Any]:
    verdicts: Counter[str] = Counter(dict.fromkeys(VERDICTS, 0))
    # For each label, credit and number of its predictions (row 0) and of its gold entities (row 1).
    by_label: dict[str, np.ndarray] = {}

    def count(span: Span, side: int, credit: float) -> None:
        by_label.setdefault(span[2], np.zeros((2, 2)))[side] += (credit, 1)

    for doc in documents:
        pairs = match_document(doc, prefer=prefer)
        for g, p in pairs:
            gold, predicted = doc.gold[g], doc.predicted[p]
            verdict = judge(gold[:2] == predicted[:2], gold[2] == predicted[2])
            verdicts[verdict] += 1
            count(predicted, 0, CREDIT.get(verdict, 0.0))
            count(gold, 1, CREDIT.get(verdict, 0.0))
        for span in _others(doc.predicted, {p for _, p in pairs}):
            verdicts[SPURIOUS] += 1
            count(span, 0, 0.0)
        for span in _others(doc.gold, {g for g, _ in pairs}):
            verdicts[MISSED] += 1
            count(span, 1, 0.0)
    total = sum(by_label.values(), np.zeros((2, 2)))
    return {
        **verdicts,
        **_scores(total),
        "per_type": {label: _scores(by_label[label]) for label in sorted(by_label)},
    }


def _others(spans: Sequence[Span], paired: set[int]) -> list[Span]:
    return [span for i, span in enumerate(spans) if i not in paired]


def _scores(credit: np.ndarray) -> dict[str, float | None]:
    """P, R and F1 from credit and number (columns) of predictions and gold (rows) [2, 2]."""
    if not credit[:, 1].any():
        return dict.fromkeys("prf")
    precision, recall = divide(credit[:, 0], credit[:, 1]).tolist()
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {"p": precision, "r": recall, "f": f1}
