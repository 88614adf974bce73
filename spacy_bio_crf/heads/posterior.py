"""How probable an entity is: the posterior of exactly this span and label, `ent._.confidence`."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from spacy.tokens import Doc, SpanGroup
from spacy.tokens import Span as SpacySpan

from .. import crf as linear_chain
from ..tags.spans import Span
from ..tags.tagset import TagSet
from .emitter import Lattice

SCORES = "scores"  # the attribute spaCy's spancat uses, one float per span of the group


def temper(lattice: Lattice, temperature: float) -> Lattice:
    """Divide all scores by a temperature: probabilities move, the best path does not.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2, with paths for
    classes.

    lattice (Lattice): What the network said.
    temperature (float): Above 1 makes it less sure, below 1 surer.
    RETURNS (Lattice): The same paths with other probabilities.
    """
    if temperature == 1.0:
        return lattice
    emissions, start, transitions, end = (scores / temperature for scores in lattice.scores)
    return replace(lattice, emissions=emissions, start=start, transitions=transitions, end=end)


def entity_probabilities(
    tagset: TagSet, lattice: Lattice, tags: np.ndarray, spans: Sequence[Sequence[Span]]
) -> list[np.ndarray]:
    """The posterior probability of each entity in the decoded sequences.

    The sum over all paths that have exactly these tags on the entity's rows and do not go on with
    its label after them, over the sum over all paths: by forward-backward (Rabiner 1989, section
    III.A; Culotta & McCallum 2004, "Confidence Estimation for Information Extraction", section 3).

    tagset (TagSet): The tags.
    lattice (Lattice): Restricted to the paths that decoding may take.
    tags (np.ndarray): The decoded tag ids; int64 [N].
    spans (Sequence[Sequence[Span]]): For each document its entities, in rows.
    RETURNS (list[np.ndarray]): For each document one probability per entity; float64 [n].
    """
    starts, ends, labels = [], [], []
    base = 0
    for length, document in zip(lattice.lengths, spans, strict=True):
        for start, end, label in document:
            starts.append(base + start)
            ends.append(base + end)
            labels.append(tagset.labels.index(label))
        base += length
    if not starts:
        return [np.zeros(0) for _ in spans]
    goes_on = ~tagset.legal_start & (tagset.label_of == np.array(labels)[:, None])
    log_p = linear_chain.segment_log_posteriors(
        lattice.emissions,
        lattice.lengths,
        lattice.start,
        lattice.transitions,
        lattice.end,
        starts=torch.tensor(starts),
        ends=torch.tensor(ends),
        tags=torch.from_numpy(
            np.concatenate([tags[s:e] for s, e in zip(starts, ends, strict=True)])
        ),
        followers=torch.from_numpy(~goes_on),
    )
    # Rounding may carry a certain entity a little over 1.
    probabilities = np.minimum(log_p.double().exp().cpu().numpy(), 1.0)
    return np.split(
        probabilities, np.cumsum([len(document) for document in spans], dtype=np.int64)
    )[:-1]


def write_scores(doc: Doc, key: str, spans: Sequence[Span], scores: Sequence[float]) -> None:
    """Write entities with their confidence as a span group, in the form of spaCy's `spancat`.

    What is there under this key stays as far as it still is an entity: two components may share it.

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
    # A plain list of floats: it goes through msgpack wherever the Doc goes.
    group.attrs[SCORES] = [rated[span] for span in ordered]
    doc.spans[key] = group


def read_confidence(span: SpacySpan) -> float | None:
    """The getter of `ent._.confidence`: looks the span up in the groups that have scores.

    span (SpacySpan): Any span, usually one of `doc.ents`.
    RETURNS (float | None): The probability, or None if no group with scores has this span and
        label.
    """
    for group in span.doc.spans.values():
        scores = group.attrs.get(SCORES)
        if scores is None:
            continue
        for other, score in zip(group, scores, strict=False):
            if (other.start, other.end, other.label) == (span.start, span.end, span.label):
                return float(score)
    return None


def install_extension() -> None:
    """Register `Span._.confidence`, unless something of that name is there."""
    if not SpacySpan.has_extension("confidence"):
        SpacySpan.set_extension("confidence", getter=read_confidence)
