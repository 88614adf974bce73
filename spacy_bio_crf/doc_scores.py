"""Scores of entities as they are stored on a Doc: in span groups, in the form of `spancat`."""

from spacy.tokens import Doc

from .tags.spans import Span

SCORES = "scores"  # where a span group keeps them, in `attrs`: one float a span


def read_scores(doc: Doc) -> dict[Span, float]:
    """The scores of all span groups that have some.

    doc (Doc): A document that `bio_ner` or `spancat` has written to.
    RETURNS (dict[Span, float]): From a span in tokens to its probability. Where two groups score a
        span, the first one counts.
    """
    scores: dict[Span, float] = {}
    for group in doc.spans.values():
        for span, score in zip(group, group.attrs.get(SCORES, ()), strict=False):
            scores.setdefault((span.start, span.end, span.label_), float(score))
    return scores
