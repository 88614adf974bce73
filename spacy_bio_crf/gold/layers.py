"""Gold annotation of groups of labels, whose entities may overlap: a layer for each group.

The entities come from `doc.ents`, or from a group of `doc.spans`, the gold group:

    doc.spans["gold_spans"]          [University of [Porto] LOC] ORG
    doc.spans["gold_spans_missing"]  spans without annotation: of the label's group or, without a
                                     label, of all

A Doc without the gold group is not annotated; one whose gold group is empty has no entity.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from spacy.tokens import Doc
from spacy.tokens import Span as SpacySpan
from spacy.training import Example
from spacy.util import filter_spans

from ..errors import BioError, describe
from ..tags.spans import (
    LABELS_ANNOTATED,
    MISSING_SUFFIX,
    EntIob,
    Span,
    annotated_labels,
    entities_in,
)
from .annotation import Annotation, check_wrong, have_same_tokens, read_example
from .misfits import carry_alternatives, carry_over, carry_spans
from .soft import SoftAnnotation, read_probabilities, read_weight


@dataclass(frozen=True)
class LayeredAnnotation(Annotation):
    """The annotation of groups of labels. Its fields hold those of all layers together.

    layers (tuple[Annotation, ...]): The annotation of each group.
    labels (tuple[Collection[str], ...]): The labels of each group.
    """

    layers: tuple[Annotation, ...] = ()
    labels: tuple[Collection[str], ...] = ()

    def knows(self, span: Span) -> bool:
        """RETURNS (bool): All tokens of a span are annotated, in the layer of its label."""
        return any(
            layer.knows(span)
            for layer, own in zip(self.layers, self.labels, strict=True)
            if span[2] in own
        )


def read_layers(
    example: Example,
    labels: Sequence[Collection[str]],
    *,
    gold_key: str | None = None,
    soft: bool = False,
    wrong_key: str | None = None,
    misaligned: str = "missing",
) -> LayeredAnnotation:
    """Read the gold annotation of groups of labels, on the tokens of the predicted Doc.

    Of two entities of one group that share tokens the longer one stays, of equals the first. The
    tokens that only the other one has are unknown, in this group alone.

    example (Example): Predicted and reference Doc.
    labels (Sequence[Collection[str]]): The labels of each group; others are left out.
    gold_key (str | None): The gold group in `reference.spans`; None reads `doc.ents`.
    soft (bool): Read the probabilities of the spans in the gold group, all of which count; those of
        one group of labels that share tokens exclude each other.
    wrong_key, misaligned: As for `read_example`.
    RETURNS (LayeredAnnotation): A layer for each group.
    RAISES: ValueError as `read_example`.
    """
    if gold_key is None:
        whole = read_example(example, wrong_key=wrong_key, misaligned=misaligned)
        layers = [_of_labels(whole, own) for own in labels]
        return LayeredAnnotation(**vars(whole), layers=tuple(layers), labels=tuple(labels))
    predicted, reference = example.predicted, example.reference
    try:
        read = _read_soft_layer if soft else _read_layer
        found = [read(example, own, gold_key, misaligned) for own in labels]
        wrong = _wrong_spans(example, wrong_key)
    except ValueError as error:
        raise BioError(f"document {reference.text[:40]!r}: {error}") from error
    layers = []
    for own, layer in zip(labels, found, strict=True):
        check_wrong(predicted, layer.spans, wrong, wrong_key)
        layers.append(replace(layer, wrong=[span for span in wrong if span[2] in own]))
    known = np.zeros(len(predicted), dtype=bool)
    for layer in layers:
        known |= layer.known
    return LayeredAnnotation(
        spans=sorted(span for layer in layers for span in layer.spans),
        known=known,
        wrong=wrong,
        misfits=[span for layer in layers for span in layer.misfits],
        overlaps=[span for layer in layers for span in layer.overlaps],
        given=len(entities_in(reference, gold_key)),
        annotated=annotated_labels(reference),
        layers=tuple(layers),
        labels=tuple(labels),
    )


def weigh(annotation: Annotation, reference: Doc) -> Annotation:
    """RETURNS (Annotation): The annotation with the weight of its document. RAISES: ValueError as
    `read_weight`."""
    weight = read_weight(reference)
    if weight == 1.0:
        return annotation
    if isinstance(annotation, LayeredAnnotation):
        layers = tuple(replace(layer, weight=weight) for layer in annotation.layers)
        return replace(annotation, weight=weight, layers=layers)
    return replace(annotation, weight=weight)


def _of_labels(whole: Annotation, labels: Collection[str]) -> Annotation:
    spans, wrong, misfits = (
        [span for span in spans if span[2] in labels]
        for spans in (whole.spans, whole.wrong, whole.misfits)
    )
    return Annotation(spans, whole.known, wrong, misfits, annotated=whole.annotated)


def _wrong_spans(example: Example, key: str | None) -> list[Span]:
    predicted, reference = example.predicted, example.reference
    group = () if key is None else reference.spans.get(key, ())
    if have_same_tokens(predicted, reference):
        return [(span.start, span.end, span.label_) for span in group]
    chars = [(span.start_char, span.end_char, span.label_) for span in group]
    return carry_spans(reference, predicted, chars)


def _read_layer(example: Example, labels: Collection[str], key: str, misaligned: str) -> Annotation:
    predicted, reference = example.predicted, example.reference
    own = [span for span in entities_in(reference, key) if span.label_ in labels]
    empty = [_plain(span) for span in own if not len(span)]
    kept = filter_spans([span for span in own if len(span)])
    overlapping = [span for span in own if len(span) and span not in kept]
    iob = _unannotated(reference, labels, key)
    for span in overlapping:
        iob[span.start : span.end] = EntIob.MISSING
    for span in kept:
        iob[span.start : span.end] = EntIob.INSIDE
    spans = list(map(_plain, kept))
    misfits = empty
    if have_same_tokens(predicted, reference):
        known = iob != EntIob.MISSING
    else:
        spans, known, unfit = carry_over(
            reference, predicted, policy=misaligned, layer=(spans, iob)
        )
        misfits = [*empty, *(_plain(kept[i]) for i in unfit)]
    overlaps = list(map(_plain, overlapping))
    annotated = annotated_labels(reference)
    return Annotation(spans, known, [], misfits, overlaps, annotated=annotated)


def _read_soft_layer(
    example: Example, labels: Collection[str], key: str, misaligned: str
) -> SoftAnnotation:
    predicted, reference = example.predicted, example.reference
    annotated = annotated_labels(reference)
    if annotated is not None and not annotated.issuperset(labels):
        expected = (
            f"all of {sorted(labels)} with `soft_gold`, where a token outside has none of them"
        )
        raise BioError(describe(LABELS_ANNOTATED, expected=expected, got=sorted(annotated)))
    given = {
        span: p
        for span, p in read_probabilities(reference, key).items()
        if span[2] in labels and p > 0.0
    }
    empty = [span for span in given if span[0] == span[1]]
    spans = sorted(given.keys() - {*empty})
    iob = _unannotated(reference, labels, key)
    for start, end, _ in spans:
        iob[start:end] = EntIob.INSIDE
    misfits = empty
    origins = list(range(len(spans)))
    known = iob != EntIob.MISSING
    kept = spans
    if not have_same_tokens(predicted, reference):
        kept, origins, known, unfit = carry_alternatives(
            reference, predicted, (spans, iob), policy=misaligned
        )
        misfits = [*empty, *(spans[i] for i in unfit)]
    probabilities = tuple(given[spans[i]] for i in origins)
    return SoftAnnotation(kept, known, [], misfits, probabilities=probabilities)


def _unannotated(reference: Doc, labels: Collection[str], key: str) -> np.ndarray:
    """The value of `EntIob` for each token, before there are entities; int64 [n_tokens]."""
    iob = np.full(len(reference), EntIob.OUTSIDE if key in reference.spans else EntIob.MISSING)
    for span in reference.spans.get(key + MISSING_SUFFIX, ()):
        if not span.label or span.label_ in labels:
            iob[span.start : span.end] = EntIob.MISSING
    return iob.astype(np.int64)


def _plain(span: SpacySpan) -> Span:
    return span.start, span.end, span.label_
