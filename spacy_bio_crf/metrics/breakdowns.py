"""Strict figures by length of the entity, by length of the document, and by surface in training.

A right or missed entity has the sort of the gold entity, a spurious one that of the prediction.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from spacy.tokens import Doc

from ..tags.spans import Span
from .averages import FN, FP, TP, row_of
from .documents import Document
from .matching import strict_match

LONG = 5  # entities of this many tokens and more are one sort
SEEN, OTHER_LABEL, UNSEEN = SURFACE_SORTS = ("seen", "seen, other label", "unseen")

# From the surface of an entity in training to the labels it has there.
Surfaces = Mapping[str, set[str]]
# From an entity and its document to its sort.
Sort = Callable[[Span, Document], Any]


def by_sort(documents: Sequence[Document], sort: Sort) -> dict[Any, np.ndarray]:
    """Count right and wrong entities of each sort.

    documents (Sequence[Document]): Gold and predictions.
    sort (Callable[[Span, Document], Any]): The sort of an entity.
    RETURNS (dict[Any, np.ndarray]): TP, FP and FN of each sort that occurs; int64 [3].
    """
    counts: dict[Any, np.ndarray] = {}

    def count(span: Span, doc: Document, what: int, n: int = 1) -> None:
        counts.setdefault(sort(span, doc), np.zeros(3, dtype=np.int64))[what] += n

    for doc in documents:
        for span, right in zip(doc.predicted, strict_match(doc.gold, doc.predicted), strict=True):
            count(span, doc, TP if right else FP)
            if right:
                count(span, doc, FN, -1)
        for span in doc.gold:
            count(span, doc, FN)
    return counts


def entity_lengths(documents: Sequence[Document]) -> list[dict[str, Any]]:
    """Strict figures by the number of tokens of the entity.

    documents (Sequence[Document]): Gold and predictions.
    RETURNS (list[dict]): A row for each sort that occurs, with its name under `sort`.
    """
    counts = by_sort(documents, lambda span, _: min(span[1] - span[0], LONG))
    names = {n: f"{n} token" if n == 1 else f"{n} tokens" for n in range(1, LONG)}
    names[LONG] = f"{LONG} tokens or more"
    return _rows(counts, names)


def document_lengths(documents: Sequence[Document]) -> list[dict[str, Any]]:
    """Strict figures by the number of tokens of the document, in doubling steps from 16.

    documents (Sequence[Document]): Gold and predictions.
    RETURNS (list[dict]): A row for each sort that occurs, with its name under `sort`.
    """
    counts = by_sort(documents, lambda _, doc: _doubling(len(doc.words)))
    names = {top: f"{top // 2 + 1} to {top} tokens" for top in counts}
    names[16] = "1 to 16 tokens"
    return _rows(counts, {top: names[top] for top in sorted(names)})


def surfaces(documents: Sequence[Document], known: Surfaces) -> list[dict[str, Any]]:
    """Strict figures by surface: seen in training with this label, with another one, or unseen.

    documents (Sequence[Document]): Gold and predictions.
    known (Surfaces): From `read_surfaces`.
    RETURNS (list[dict]): A row for each sort that occurs, with its name under `sort`.
    """

    def sort(span: Span, doc: Document) -> str:
        labels = known.get(surface("".join(doc.words[span[0] : span[1]])), set())
        return SEEN if span[2] in labels else OTHER_LABEL if labels else UNSEEN

    return _rows(by_sort(documents, sort), {name: name for name in SURFACE_SORTS})


def read_surfaces(docs: Iterable[Doc]) -> dict[str, set[str]]:
    """Collect the entities of annotated documents, such as the training data.

    docs (Iterable[Doc]): The documents.
    RETURNS (dict[str, set[str]]): Each surface with its labels.
    """
    known: dict[str, set[str]] = {}
    for doc in docs:
        for ent in doc.ents:
            known.setdefault(surface(ent.text), set()).add(ent.label_)
    return known


def surface(text: str) -> str:
    """Normalize case and white space: "New\\n YORK" becomes "new york".

    text (str): The text of an entity.
    RETURNS (str): The surface.
    """
    return re.sub(r"\s+", " ", text).strip().casefold()


def _doubling(n: int) -> int:
    return max(16, 1 << (n - 1).bit_length()) if n else 16


def _rows(counts: dict[Any, np.ndarray], names: dict[Any, str]) -> list[dict[str, Any]]:
    return [
        {"sort": name, **row_of(counts[sort])} for sort, name in names.items() if sort in counts
    ]
