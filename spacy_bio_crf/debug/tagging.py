"""Checks of the labels of single tokens, which a `bio_tagger` learns."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from spacy.tokens import Doc

from ..tags.targets import read_labels
from .coverage import check_coverage, check_documents, document_figures
from .findings import Recorder


def check_token_labels(docs: Sequence[Doc], target: str, recorder: Recorder) -> dict[str, Any]:
    """Find tokens without a label, and count documents, tokens and labels.

    docs (Sequence[Doc]): The reference Docs.
    target (str): The attribute with the labels, as `check_target` knows it.
    recorder (Recorder): Gets the findings.
    RETURNS (dict[str, Any]): The counts.
    RAISES: ValueError for a label that is no string.
    """
    labels: Counter[str] = Counter()
    full, annotated = check_documents(docs, recorder)
    for doc in full:
        # The component labels no white space.
        solid = [token.i for token in doc if not token.is_space]
        found = read_labels(doc, target)
        check_coverage(doc, [i for i in solid if not found[i]], len(solid), recorder)
        labels.update(label for i in solid if (label := found[i]))
    if docs and not labels:
        recorder.add("no_labels", count=len(docs))
    return {
        **document_figures(docs),
        "labelled_tokens": sum(labels.values()),
        "labels": dict(sorted(labels.items())),
        "labels_annotated": None if annotated is None else sorted(annotated),
    }
