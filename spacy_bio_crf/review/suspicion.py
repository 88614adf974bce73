"""Suspects: annotation that a model finds improbable, and the analysis it finds in its place."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from spacy import util
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from ..corpora.corrections import correction_data
from ..errors import Plain, SettingsError, describe
from ..gold.annotation import Annotation, have_same_tokens
from ..heads.grouped import find_all_entities
from ..heads.posterior import Claim, Judgment, judge_claims
from ..metrics.documents import make_examples
from ..metrics.matching import match
from ..metrics.mistakes import KINDS, kind_of
from ..pipes.bio_ner import BioNer, find_component
from ..pipes.entity_task import EntityTask
from ..pipes.labeller import run_before
from ..tags.spans import Span
from .surfaces import Surface, Usage, surface_in

_BATCH = 128  # documents at once
EVIDENCE_WEIGHT = 0.1  # of equal texts elsewhere, in nats, beside probabilities
_MISSED, _SPURIOUS = list(KINDS)[:2]


@dataclass(frozen=True)
class Suspect:
    """A gold entity, or a place without one where a model finds some.

    kind (str): A key of `mistakes.KINDS`, as if the alternative were a prediction.
    document (int): Its index.
    gold (Span | None): The annotated entity, in tokens of the reference; None without one.
    alternative (list[Span]): The entities of the most probable other analysis; maybe none.
    log_posterior (float): Log of the probability of the annotation, in nats.
    alternative_log_posterior (float): The same of the alternative.
    contradiction (float): By how much another tag is more probable, -1 to 1; see `Judgment`.
    remove (list[Span]): Gold entities that the alternative has not.
    add (list[Span]): Entities of the alternative that are no gold.
    """

    kind: str
    document: int
    gold: Span | None
    alternative: list[Span]
    log_posterior: float
    alternative_log_posterior: float
    contradiction: float
    remove: list[Span]
    add: list[Span]

    @property
    def error(self) -> float:
        """RETURNS (float): The probability that the annotation is wrong."""
        return -math.expm1(self.log_posterior)

    @property
    def alternative_posterior(self) -> float:
        """RETURNS (float): The probability of the alternative."""
        return math.exp(self.alternative_log_posterior)

    @property
    def span(self) -> Span:
        """RETURNS (Span): The gold entity or, without one, the first of the alternative."""
        return self.alternative[0] if self.gold is None else self.gold


@dataclass(frozen=True)
class Review:
    """The suspects of some documents.

    suspects (list[Suspect]): All gold entities and all entities found without gold.
    unknown (int): Gold entities whose label the model does not have, or that fit no token with a
        sub-word; they are not judged.
    """

    suspects: list[Suspect]
    unknown: int


def review_documents(component: BioNer, examples: Sequence[Example]) -> Review:
    """Judge the annotation of documents by a model that was not trained on them.

    component (BioNer): The trained component.
    examples (Sequence[Example]): The documents, run through the components before it.
    RETURNS (Review): Its suspects in the order of the documents and of the text.
    RAISES: SettingsError for a component whose entities may overlap.
    """
    if component.groups is not None or component.task.gold_spans_key is not None:
        expected, got = "entities of doc.ents alone", Plain("`groups` or `gold_spans_key`")
        raise SettingsError(describe(repr(component.name), expected=expected, got=got))
    # Neither spans known to be wrong nor the policy of training count here.
    task = replace(component.task, incorrect_spans_key=None, misaligned="missing")
    suspects: list[Suspect] = []
    first = unknown = 0
    for batch in util.minibatch(examples, _BATCH):
        own, left_out = _review_batch(component, task, batch, first)
        suspects += own
        unknown += left_out
        first += len(batch)
    return Review(suspects, unknown)


def review_by(
    nlp: Language, docs: Sequence[Doc], held_out: Sequence[int], *, name: str | None = None
) -> Review:
    """Judge the annotation of documents by a pipeline; see `review_documents`.

    nlp (Language): The trained pipeline.
    docs (Sequence[Doc]): All documents, none of them empty, with any vocabulary.
    held_out (Sequence[int]): The indices of those to judge.
    name (str | None): The name of the component, where there are several.
    RETURNS (Review): Its suspects, with these indices.
    """
    component = find_component(nlp, name)[1]
    examples = make_examples(nlp, [docs[i] for i in held_out])
    review = review_documents(component, run_before(component, nlp, examples))
    found = [replace(suspect, document=held_out[suspect.document]) for suspect in review.suspects]
    return replace(review, suspects=found)


def rank(
    suspects: Sequence[Suspect], docs: Sequence[Doc], usage: Mapping[Surface, Usage]
) -> list[Suspect]:
    """Order suspects by the clearest contradiction at a token, and by equal texts elsewhere.

    suspects (Sequence[Suspect]): Suspects in any order.
    docs (Sequence[Doc]): All documents.
    usage (Mapping[Surface, Usage]): The annotation of the texts in `surfaces_of`.
    RETURNS (list[Suspect]): The most doubtful first.
    """

    def doubt(suspect: Suspect) -> float:
        return suspect.contradiction + EVIDENCE_WEIGHT * evidence(
            suspect, docs[suspect.document], usage
        )

    return sorted(suspects, key=lambda s: (-doubt(s), s.log_posterior))


def surfaces_of(suspects: Sequence[Suspect], docs: Sequence[Doc]) -> set[Surface]:
    """RETURNS (set[Surface]): The texts of the annotated and of the suggested entities."""
    return {
        surface_in(docs[s.document], span) for s in suspects for span in (s.span, *s.alternative)
    }


def evidence(suspect: Suspect, doc: Doc, usage: Mapping[Surface, Usage]) -> float:
    """Compare how equal texts are annotated elsewhere.

    RETURNS (float): The log of how often the suggested entities' texts are annotated as suggested,
        less that of how often the suspect's text is annotated as it is here; in nats.
    """

    def elsewhere(span: Span, label: str | None, here: int) -> float:
        own = usage[surface_in(doc, span)]
        alike = (own.outside if label is None else own.labels[label]) - here
        others = max(0, own.labels.total() + own.partly + own.outside - 1)
        return math.log((max(0, alike) + 0.5) / (others + 1.0))

    suggested = suspect.alternative
    better = sum(elsewhere(span, span[2], 0) for span in suggested)
    if suspect.gold is None:
        return better - sum(elsewhere(span, None, 1) for span in suggested)
    if not suggested:
        better = elsewhere(suspect.gold, None, 0)
    return better - elsewhere(suspect.gold, suspect.gold[2], 1)


def suspect_data(suspect: Suspect, doc: Doc, usage: Mapping[Surface, Usage]) -> dict[str, Any]:
    """Describe a suspect, with the correction that its alternative is, for a line of a file.

    suspect (Suspect): The suspect.
    doc (Doc): Its document.
    usage (Mapping[Surface, Usage]): The annotation of its text, from `count_usage`.
    RETURNS (dict[str, Any]): Types that JSON has. Spans are first token, exclusive end and label.
    """
    own = usage[surface_in(doc, suspect.span)]
    return {
        "kind": suspect.kind,
        "contradiction": suspect.contradiction,
        "evidence": evidence(suspect, doc, usage),
        "error": suspect.error,
        "log_posterior": suspect.log_posterior,
        "alternative_posterior": suspect.alternative_posterior,
        "text": doc[suspect.span[0] : suspect.span[1]].text,
        "gold": suspect.gold,
        "alternative": suspect.alternative,
        "source": doc.user_data.get("source"),
        "same_text": {**vars(own), "labels": dict(own.labels)},
        **correction_data(suspect.document, doc, suspect.remove, suspect.add),
    }


def _review_batch(
    component: BioNer, task: EntityTask, examples: Sequence[Example], first: int
) -> tuple[list[Suspect], int]:
    docs = [example.predicted for example in examples]
    lattice, presets = component.lattice(docs), component.presets(docs)
    reading = component.reading()
    found = find_all_entities(lattice, presets, reading, scored=False, repair=task.repair)
    annotations = [task.read(example, component.labels) for example in examples]
    claims = [
        _claims(annotation, entities.found, component.labels)
        for annotation, entities in zip(annotations, found, strict=True)
    ]
    judged = judge_claims(lattice, presets, reading, claims)
    suspects: list[Suspect] = []
    n_judged = 0
    for i, (example, annotation, own) in enumerate(zip(examples, annotations, judged, strict=True)):
        n_judged += sum(j.claim[2] is not None for j in own)
        suspects += _suspects(example, annotation, own, first + i)
    return suspects, sum(len(eg.reference.ents) for eg in examples) - n_judged


def _claims(annotation: Annotation, found: Sequence[Span], labels: Sequence[str]) -> list[Claim]:
    """Claim each gold entity and, where the model alone finds one, that there is none."""
    claims: list[Claim] = [span for span in annotation.spans if span[2] in labels]
    gold = np.zeros(len(annotation.known), dtype=bool)
    for start, end, _ in annotation.spans:
        gold[start:end] = True
    alone = [
        (start, end, None)
        for start, end, label in found
        if annotation.knows((start, end, label)) and not gold[start:end].any()
    ]
    return sorted([*claims, *alone], key=lambda claim: claim[0])


def _suspects(
    example: Example, annotation: Annotation, judged: Sequence[Judgment], document: int
) -> Iterator[Suspect]:
    same = have_same_tokens(example.predicted, example.reference)
    # spaCy compares all tokens each time the alignment is asked for.
    to_reference = None if same else example.alignment.x2y

    def carried(span: Span) -> Span:
        if to_reference is None:
            return span
        tokens = to_reference[span[0] : span[1]]
        return int(tokens[0]), int(tokens[-1]) + 1, span[2]

    for j in judged:
        if j.spans is None or not all(map(annotation.knows, j.spans)):
            # There is no other analysis, or it needs tokens without annotation.
            continue
        start, end, label = j.claim
        gold = None if label is None else (start, end, label)
        kind = _SPURIOUS
        if gold is not None:
            pairs = match([gold], j.spans, prefer="label")
            kind = kind_of(gold, j.spans[pairs[0][1]]) if pairs else _MISSED
        replaced = [
            span
            for span in annotation.spans
            if span not in j.spans
            and (span == gold or any(span[0] < e and span[1] > s for s, e, _ in j.spans))
        ]
        added = [span for span in j.spans if span not in annotation.spans]
        yield Suspect(
            kind,
            document,
            None if gold is None else carried(gold),
            list(map(carried, j.spans)),
            j.log_posterior,
            j.alternative_log_posterior,
            j.contradiction,
            list(map(carried, replaced)),
            list(map(carried, added)),
        )
