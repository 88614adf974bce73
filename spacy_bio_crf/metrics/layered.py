"""Entities of several groups of labels, which may overlap: where they are, and their depth."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from spacy.tokens import Doc
from spacy.tokens import Span as SpacySpan

from ..tags.spans import MISSING_SUFFIX, EntIob, Span, entities_in

ONE_GROUP = "all"  # the name of the only group


@dataclass(frozen=True)
class Layers:
    """Where overlapping entities are found.

    spans_key (str | None): Group in the predicted `doc.spans`; None takes `doc.ents`. With `groups`
        entities of `doc.ents` count beside it: those of earlier components are there alone.
    gold_key (str | None): Group in the gold `doc.spans`; None takes `doc.ents`.
    groups (Mapping[str, str] | None): From a label to its group; other labels are groups of their
        own. None: all labels are in one group.
    labels (Collection[str] | None): Labels of the entities that count in `doc.ents`; None: all.
    """

    spans_key: str | None
    gold_key: str | None
    groups: Mapping[str, str] | None = None
    labels: Collection[str] | None = None

    def predicted(self, doc: Doc) -> list[SpacySpan]:
        """RETURNS (list[SpacySpan]): The predicted entities of a document."""
        spans = entities_in(doc, self.spans_key)
        if self.groups is not None:
            found = {(span.start, span.end, span.label) for span in spans}
            spans += [
                ent
                for ent in doc.ents
                if (ent.start, ent.end, ent.label) not in found
                and (self.labels is None or ent.label_ in self.labels)
            ]
            spans.sort(key=lambda span: (span.start, span.end))
        return [span for span in spans if len(span)]

    def gold(self, doc: Doc) -> list[SpacySpan]:
        """RETURNS (list[SpacySpan]): The gold entities of a reference."""
        return [span for span in entities_in(doc, self.gold_key) if len(span)]

    def unknown(self, doc: Doc) -> dict[str, np.ndarray]:
        """Find the tokens of a reference that are not annotated.

        RETURNS (dict[str, np.ndarray]): For each group that has some of its own, bool [n_tokens],
            and under "" for all others.
        """
        if self.gold_key is None:
            return {"": np.array([t.ent_iob == EntIob.MISSING for t in doc], dtype=bool)}
        everywhere = np.full(len(doc), self.gold_key not in doc.spans)
        own: dict[str, np.ndarray] = {}
        missing = list(doc.spans.get(self.gold_key + MISSING_SUFFIX, ()))
        for span in missing:
            if not span.label:
                everywhere[span.start : span.end] = True
        gold = [(span.start, span.end, self.group_of(span.label_)) for span in self.gold(doc)]
        marked = {self.group_of(span.label_) for span in missing if span.label}
        for group in marked | {group for s, e, group in gold if everywhere[s:e].any()}:
            own[group] = everywhere.copy()
            for span in missing:
                if span.label and self.group_of(span.label_) == group:
                    own[group][span.start : span.end] = True
            for start, end, other in gold:
                # An entity stands in a stretch without annotation, for its own group.
                if other == group:
                    own[group][start:end] = False
        return {"": everywhere, **own}

    def group_of(self, label: str) -> str:
        """RETURNS (str): The group of a label."""
        return ONE_GROUP if self.groups is None else self.groups.get(label, label)


def make_layers(
    groups: Mapping[str, Sequence[str]] | str | None,
    *,
    spans_key: str | None,
    gold_spans_key: str | None,
) -> Layers | None:
    """Make `Layers` of a component's options `groups`, `spans_key` and `gold_spans_key`.

    RETURNS (Layers | None): None if entities are in `doc.ents` alone.
    """
    if groups is None and gold_spans_key is None:
        return None
    if groups is None:
        return Layers(None, gold_spans_key)
    members = groups.items() if isinstance(groups, Mapping) else ()
    of_label = {label: name for name, labels in members for label in labels}
    return Layers(spans_key, gold_spans_key, of_label)


def depth(span: Span, others: Sequence[Span]) -> int:
    """RETURNS (int): Number of spans that contain a span and are longer; 0 for an outermost one."""
    start, end, _ = span
    return sum(s <= start and end <= e and e - s > end - start for s, e in {o[:2] for o in others})
