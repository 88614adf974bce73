"""Spans of tokens: spaCy's values of `token.ent_iob`, and conversion between tokens and rows."""

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
from spacy.tokens import Doc
from spacy.tokens import Span as SpacySpan

from ..errors import BioError, describe

Span = tuple[int, int, str]  # first token, end (exclusive), label
# In `doc.user_data`: the number of gold entities that fit no tokens, and that no score counts.
LEFT_ASIDE = "entities_left_aside"
# In `doc.user_data`: the labels that are annotated, a list. Without it all are.
LABELS_ANNOTATED = "labels_annotated"
# Behind the name of a gold group in `doc.spans`: the group of spans without annotation.
MISSING_SUFFIX = "_missing"
SCORES = "scores"  # where a span group keeps them, in `attrs`: one float a span


class EntIob(IntEnum):
    """spaCy's values of `token.ent_iob`. A token that begins an entity of no type is blocked."""

    MISSING = 0
    INSIDE = 1
    OUTSIDE = 2
    BEGIN = 3


def entities_in(doc: Doc, key: str | None) -> list[SpacySpan]:
    """RETURNS (list[SpacySpan]): The entities of a Doc, each once: those of a group in `doc.spans`,
    empty ones too, or of `doc.ents` if `key` is None."""
    if key is None:
        return list(doc.ents)
    found = {(span.start, span.end, span.label): span for span in doc.spans.get(key, ())}
    return list(found.values())


def annotated_labels(doc: Doc) -> frozenset[str] | None:
    """Read `doc.user_data["labels_annotated"]`: a token outside of entities has none of them.

    RETURNS (frozenset[str] | None): The labels; None if all are annotated.
    RAISES: ValueError for anything but a list of labels.
    """
    labels = doc.user_data.get(LABELS_ANNOTATED)
    if labels is None:
        return None
    if isinstance(labels, str) or not all(isinstance(label, str) for label in labels):
        place = f"{LABELS_ANNOTATED} of document {doc.text[:40]!r}"
        raise BioError(describe(place, expected="a list of labels", got=labels))
    return frozenset(labels)


def rows_of_spans(spans: Sequence[Span], tokens: np.ndarray) -> list[Span]:
    """Convert spans of tokens to spans of rows; those without a row are left out.

    spans (Sequence[Span]): Start, exclusive end and label, in tokens.
    tokens (np.ndarray): The token of each row, in order; int64 [n].
    RETURNS (list[Span]): Start, exclusive end and label, in rows.
    """
    edges = np.searchsorted(tokens, [span[:2] for span in spans]).reshape(-1, 2)
    return [
        (int(start), int(end), label)
        for (start, end), (_, _, label) in zip(edges, spans, strict=True)
        if start < end
    ]


def spans_of_rows(spans: Sequence[Span], tokens: np.ndarray) -> list[Span]:
    """Convert spans of rows to spans of tokens.

    spans (Sequence[Span]): Start, exclusive end and label, in rows; each token has one row at most.
    tokens (np.ndarray): The token of each row; int64 [n].
    RETURNS (list[Span]): From the token of the first row to that of the last: an entity includes
        tokens without a row, and never begins or ends on one.
    """
    return [(int(tokens[start]), int(tokens[end - 1]) + 1, label) for start, end, label in spans]
