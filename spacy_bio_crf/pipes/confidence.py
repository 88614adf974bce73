"""Confidence of entities on Docs: span groups with scores, and `Span._.confidence`."""

from collections.abc import Sequence

from spacy.tokens import Doc, SpanGroup
from spacy.tokens import Span as SpacySpan

from ..doc_scores import SCORES, read_scores
from ..tags.spans import Span


def write_scores(doc: Doc, key: str, spans: Sequence[Span], scores: Sequence[float]) -> None:
    """Write entities with their confidence as a span group, in the form of spaCy's `spancat`.

    Two components may share a key: earlier spans of the group stay if they still are entities.

    doc (Doc): The document, with its entities.
    key (str): Name of the group in `doc.spans`.
    spans (Sequence[Span]): Start token, exclusive end token and label.
    scores (Sequence[float]): A probability for each.
    """
    rated = dict(zip(spans, map(float, scores), strict=True))
    if key in doc.spans:
        ents = {(e.start, e.end, e.label_) for e in doc.ents}
        group = doc.spans[key]
        for span, score in zip(group, group.attrs.get(SCORES, ()), strict=False):
            name = (span.start, span.end, span.label_)
            if name in ents:
                rated.setdefault(name, score)
    ordered = sorted(rated)
    group = SpanGroup(doc, name=key, spans=[SpacySpan(doc, s, e, label=x) for s, e, x in ordered])
    # A plain list of floats: msgpack carries it wherever the Doc goes.
    group.attrs[SCORES] = [rated[span] for span in ordered]
    doc.spans[key] = group


def read_confidence(span: SpacySpan) -> float | None:
    """Get `span._.confidence`: the score of the span in the groups that have scores.

    span (SpacySpan): Any span, usually one of `doc.ents`.
    RETURNS (float | None): The probability, or None if no group has a score for this span and
        label.
    """
    return read_scores(span.doc).get((span.start, span.end, span.label_))


def install_extension() -> None:
    """Register `Span._.confidence`, unless an extension of that name is registered."""
    if not SpacySpan.has_extension("confidence"):
        SpacySpan.set_extension("confidence", getter=read_confidence)
