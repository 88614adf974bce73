"""Coverage of documents by annotation, and their lengths."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from spacy.tokens import Doc

from ..tags.spans import annotated_labels
from .findings import Occurrence, Recorder, excerpt, place_of

DOCUMENT_LENGTHS = (128, 256, 400, 512)  # in tokens; the figures count longer documents


def check_documents(docs: Sequence[Doc], recorder: Recorder) -> tuple[list[Doc], set[str] | None]:
    """Record a lack of documents, empty ones, and those in which some labels alone are annotated.

    RETURNS (tuple): The documents that have tokens, and the labels that they annotate; None for
        all.
    """
    annotated: set[str] | None = set()
    if not docs:
        recorder.add("no_documents")
    for doc in docs:
        if not len(doc):
            recorder.document("empty_documents", doc)
            continue
        own = annotated_labels(doc)
        if own is not None:
            recorder.document("partly_annotated", doc, note=", ".join(sorted(own)))
        annotated = None if own is None or annotated is None else annotated | own
    return [doc for doc in docs if len(doc)], annotated


def check_coverage(
    doc: Doc, missing: Sequence[int] | np.ndarray, n_tokens: int, recorder: Recorder
) -> None:
    """Record the tokens of a document that are not annotated, or the document if none is.

    missing (Sequence[int] | np.ndarray): Their indices.
    n_tokens (int): The tokens that could be annotated.
    """
    if not len(missing):
        return
    if len(missing) == n_tokens:
        recorder.document("no_annotation", doc)
        return
    first = int(missing[0])
    found = Occurrence(place_of(doc), excerpt(doc[first].text), first, first + 1)
    recorder.add("missing_tokens", found, count=len(missing))


def document_figures(docs: Sequence[Doc]) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): Counts of documents and tokens, and of long documents."""
    sizes = np.array([len(doc) for doc in docs] or [0], dtype=np.int64)
    return {
        "documents": len(docs),
        "tokens": int(sizes.sum()),
        "longest_document": int(sizes.max()),
        "documents_over": {str(n): int((sizes > n).sum()) for n in DOCUMENT_LENGTHS},
    }
