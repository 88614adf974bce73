"""Checks of the labels of single tokens, which a `bio_tagger` learns."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from spacy.tokens import Doc

from ..tags.spans import annotated_labels
from ..tags.targets import read_labels
from .entities import document_figures
from .findings import Occurrence, Recorder, excerpt, place_of


def check_token_labels(docs: Sequence[Doc], target: str, recorder: Recorder) -> dict[str, Any]:
    """Find tokens without a label, and count documents, tokens and labels.

    docs (Sequence[Doc]): The reference Docs.
    target (str): The attribute with the labels, as `check_target` knows it.
    recorder (Recorder): Gets the findings.
    RETURNS (dict[str, Any]): The counts.
    RAISES: ValueError for a label that is no string.
    """
    labels: Counter[str] = Counter()
    annotated: set[str] | None = set()  # None for all
    for doc in docs:
        if not len(doc):
            recorder.document("empty_documents", doc)
            continue
        own = annotated_labels(doc)
        if own is not None:
            recorder.document("partly_annotated", doc, note=", ".join(sorted(own)))
        annotated = None if own is None or annotated is None else annotated | own
        # White space is never labelled by the component.
        solid = [token.i for token in doc if not token.is_space]
        found = read_labels(doc, target)
        missing = [i for i in solid if not found[i]]
        if missing and len(missing) == len(solid):
            recorder.document("no_annotation", doc)
        elif missing:
            first = missing[0]
            place = Occurrence(place_of(doc), excerpt(doc[first].text), first, first + 1)
            recorder.add("missing_tokens", place, count=len(missing))
        labels.update(label for i in solid if (label := found[i]))
    if docs and not labels:
        recorder.add("no_labels", count=len(docs))
    return {
        **document_figures(docs),
        "labelled_tokens": sum(labels.values()),
        "labels": dict(sorted(labels.items())),
        "labels_annotated": None if annotated is None else sorted(annotated),
    }
