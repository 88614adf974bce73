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
from .layered import Layers, depth
from .matching import strict_match

LONG = 5  # entities of this many tokens and more are one sort
SEEN, OTHER_LABEL, UNSEEN = SURFACE_SORTS = ("seen", "seen, other label", "unseen")

# From the surface of an entity in training to the labels it has there.
Surfaces = Mapping[str, set[str]]
# From an entity and its document to its sort.
Sort = Callable[[Span, Document], Any]


def breakdowns(
    documents: Sequence[Document], known: Surfaces | None
) -> dict[str, list[dict[str, Any]] | None]:
    """Strict figures by each kind of sort.

    documents (Sequence[Document]): Gold and predictions.
    known (Surfaces | None): From `read_surfaces`.
    RETURNS (dict): `entity_length` in tokens, `document_length` in doubling steps from 16 tokens,
        and `surface`: seen in training with this label, with another one, or unseen; None without
        `known`. Where entities may overlap also `group`, of labels, and `nesting`, the number of
        longer entities around the entity. Each has a row for each sort that occurs, with its name
        under `sort`.
    """
    lengths = {n: f"{n} token" if n == 1 else f"{n} tokens" for n in range(1, LONG)}
    lengths[LONG] = f"{LONG} tokens or more"
    by_document = _by_sort(documents, lambda _, doc: _doubling(len(doc.words)))
    steps = {top: f"{top // 2 + 1} to {top} tokens" for top in sorted(by_document)}
    if 16 in steps:
        steps[16] = "1 to 16 tokens"

    def seen(span: Span, doc: Document) -> str:
        text = "".join(doc.words[span[0] : span[1]])
        labels = (known or {}).get(surface_of(text), set())
        return SEEN if span[2] in labels else OTHER_LABEL if labels else UNSEEN

    by_entity = _by_sort(documents, lambda span, _: min(span[1] - span[0], LONG))
    by_surface = None if known is None else _by_sort(documents, seen)
    names = {name: name for name in SURFACE_SORTS}
    layered = {}
    if any(doc.layers is not None for doc in documents):
        by_group = _by_sort(documents, lambda span, doc: doc.group_of(span[2]))
        by_depth = _by_sort(documents, lambda span, doc: depth(span, doc.side_of(span)))
        layered = {
            "group": _rows(by_group, {name: name for name in sorted(by_group)}),
            "nesting": _rows(by_depth, {n: _nesting(n) for n in sorted(by_depth)}),
        }
    return {
        "entity_length": _rows(by_entity, lengths),
        "document_length": _rows(by_document, steps),
        "surface": None if by_surface is None else _rows(by_surface, names),
        **layered,
    }


def _nesting(n: int) -> str:
    return f"inside {n} {'other' if n == 1 else 'others'}" if n else "outermost"


def read_surfaces(docs: Iterable[Doc], layers: Layers | None = None) -> dict[str, set[str]]:
    """RETURNS (dict[str, set[str]]): The surfaces of the gold entities, and their labels."""
    known: dict[str, set[str]] = {}
    for doc in docs:
        for ent in doc.ents if layers is None else layers.gold(doc):
            known.setdefault(surface_of(ent.text), set()).add(ent.label_)
    return known


def surface_of(text: str) -> str:
    """Normalize case and white space of an entity's text: "New\\n YORK" becomes "new york"."""
    return re.sub(r"\s+", " ", text).strip().casefold()


def _by_sort(documents: Sequence[Document], sort: Sort) -> dict[Any, np.ndarray]:
    """TP, FP and FN of each sort of entities that occurs; int64 [3]."""
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


def _doubling(n: int) -> int:
    return max(16, 1 << (n - 1).bit_length()) if n else 16


def _rows(counts: dict[Any, np.ndarray], names: dict[Any, str]) -> list[dict[str, Any]]:
    return [
        {"sort": name, **row_of(counts[sort])} for sort, name in names.items() if sort in counts
    ]
