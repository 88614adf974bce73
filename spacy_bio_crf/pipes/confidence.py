"""Confidence of entities on Docs: span groups with scores, and `Span._.confidence`."""

import warnings
from collections.abc import Collection, Sequence

from spacy.tokens import Doc
from spacy.tokens import Span as SpacySpan

from ..doc_scores import ScoredGroup, read_score, read_scores
from ..tags.spans import SCORES, Span

EXTENSION = "confidence"


def write_scores(
    doc: Doc,
    key: str,
    spans: Sequence[Span],
    scores: Sequence[float],
    *,
    labels: Collection[str] = (),
) -> None:
    """Write entities with their confidence as a span group, in the form of spaCy's `spancat`.

    Two components may share a key: earlier spans of the group stay if they still are entities.

    doc (Doc): The document, with its entities.
    key (str): Name of the group in `doc.spans`.
    spans (Sequence[Span]): Entities.
    scores (Sequence[float]): A probability for each.
    labels (Collection[str]): Of a component whose entities overlap, and are not all in `doc.ents`:
        earlier spans of other labels stay as well.
    """
    rated = dict(zip(spans, map(float, scores), strict=True))
    if key in doc.spans:
        ents = {(e.start, e.end, e.label_) for e in doc.ents}
        earlier = read_scores(doc, key).items()
        rated = {
            span: score
            for span, score in earlier
            if span in ents or (labels and span[2] not in labels)
        } | rated
    ordered = sorted(rated)
    group = ScoredGroup(doc, name=key, spans=[SpacySpan(doc, s, e, label=x) for s, e, x in ordered])
    # A plain list of floats: msgpack carries it wherever the Doc goes.
    group.attrs[SCORES] = [rated[span] for span in ordered]
    doc.spans[key] = group


def install_extension() -> None:
    """Register `Span._.confidence`, the score of a span in the groups that have scores."""
    if not SpacySpan.has_extension(EXTENSION):
        SpacySpan.set_extension(EXTENSION, getter=read_score)


def check_extension() -> None:
    """Warn if `Span._.confidence` is an extension of somebody else."""
    if SpacySpan.get_extension(EXTENSION)[2] is not read_score:
        warnings.warn(
            f"Span._.{EXTENSION}: expected no other extension of that name, got one; it stays, and"
            " the confidence of entities is in the scores of their group in doc.spans",
            stacklevel=4,
        )


# At import, because a pickled pipeline reaches another process without its constructor.
install_extension()
