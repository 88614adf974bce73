"""Named-entity recognition as a task of sequence labelling."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import ClassVar

from spacy.tokens import Doc
from spacy.tokens import Span as SpacySpan
from spacy.training import Example

from ..errors import check_choice, describe, is_number
from ..gold.annotation import Annotation, Preset, read_example, read_presets
from ..gold.layers import read_layers
from ..gold.misfits import POLICIES
from ..gold.notices import ENTITY_NOUN
from ..heads.decode import Alternative, Entities, Presets, Reading
from ..heads.grouped import find_all_alternatives, find_all_entities
from ..heads.lattice import Lattice
from ..tags.groups import (
    MOST_PROBABLE,
    Groups,
    TagGroups,
    check_flat_rule,
    check_groups,
    choose_flat,
    make_groups,
)
from ..tags.schemes import REPAIRS
from ..tags.spans import Span, entities_in
from ..tags.tagset import SCHEMES
from .confidence import write_scores


@dataclass(frozen=True)
class EntityTask:
    """Named entities as labels: the `Task` of `bio_ner`.

    repair, overwrite, misaligned, incorrect_spans_key, spans_key, threshold, groups,
        gold_spans_key, soft_gold, ents: Options of `make_bio_ner`.
    RAISES: ValueError for an option out of range.
    """

    repair: str = "begin"
    overwrite: bool = False
    misaligned: str = "missing"
    incorrect_spans_key: str | None = None
    spans_key: str | None = "bio_ner"
    threshold: float = 0.0
    groups: Groups = None
    gold_spans_key: str | None = None
    soft_gold: bool = False
    ents: str | None = None
    noun: ClassVar[str] = ENTITY_NOUN

    def __post_init__(self) -> None:
        check_choice("repair", self.repair, REPAIRS)
        check_choice("misaligned", self.misaligned, POLICIES)
        if not is_number(self.threshold) or not 0.0 <= self.threshold <= 1.0:
            expected = "a probability, 0 to 1"
            raise ValueError(describe("threshold", expected=expected, got=self.threshold))
        for name in ("overwrite", "soft_gold"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(describe(name, expected="true or false", got=getattr(self, name)))
        for name in ("incorrect_spans_key", "gold_spans_key", "spans_key"):
            key = getattr(self, name)
            if key is not None and (not isinstance(key, str) or not key):
                raise ValueError(describe(name, expected="a name of a group or none", got=key))
        if self.soft_gold and self.gold_spans_key is None:
            expected = "a name of a group in doc.spans, whose probabilities `soft_gold` reads"
            raise ValueError(describe("gold_spans_key", expected=expected, got=None))
        check_groups(self.groups)
        if self.groups is not None and self.spans_key is None:
            expected = "a name of a group in doc.spans, where entities of `groups` may overlap"
            raise ValueError(describe("spans_key", expected=expected, got=None))
        if self.ents is not None:
            if self.groups is None:
                raise ValueError(describe("ents", expected="null without `groups`", got=self.ents))
            check_flat_rule(self.ents, self.groups)

    def labels_of(self, doc: Doc) -> list[str]:
        """The label of each entity."""
        return [span.label_ for span in entities_in(doc, self.gold_spans_key)]

    def gold(self, example: Example, labels: Sequence[str]) -> Annotation:
        """Read the gold entities of an example, and the spans known to be wrong; see `Task.gold`.

        RAISES: ValueError for another label and, under "strict", for an entity that does not fit.
        """
        if self.gold_spans_key is not None:
            for span in entities_in(example.reference, self.gold_spans_key):
                if span.label_ not in labels:
                    raise _unknown_label(span.text, span.label_, labels)
        annotation = self.read(example, labels)
        for start, end, label in annotation.spans:
            if label not in labels:
                raise _unknown_label(example.predicted[start:end].text, label, labels)
        # No entity of a label that the component lacks is ever found: there is nothing to unlearn.
        return replace(annotation, wrong=[span for span in annotation.wrong if span[2] in labels])

    def read(self, example: Example, labels: Sequence[str]) -> Annotation:
        """Read the gold entities as `gold` does, whatever their labels."""
        wrong, policy = self.incorrect_spans_key, self.misaligned
        if self.groups is None and self.gold_spans_key is None:
            return read_example(example, wrong_key=wrong, misaligned=policy)
        own: list[Sequence[str]] = [labels]
        if self.groups is not None:
            tagsets = make_groups(self.groups, labels, SCHEMES[0]).tagsets
            own = [tagset.labels for tagset in tagsets]
        annotation = read_layers(
            example,
            own,
            gold_key=self.gold_spans_key,
            soft=self.soft_gold,
            wrong_key=wrong,
            misaligned=policy,
        )
        if self.groups is not None:
            return annotation
        return replace(annotation.layers[0], given=annotation.given)

    def presets(self, doc: Doc) -> Preset | None:
        """Entities and blocked tokens of earlier components, or None."""
        return None if self.overwrite else read_presets(doc)

    def find(self, lattice: Lattice, presets: Presets, reading: Reading) -> list[Entities]:
        """The entities of each document, scored if anyone asks."""
        return find_all_entities(
            lattice,
            presets,
            reading,
            scored=self.spans_key is not None or self.threshold > 0.0,
            repair=self.repair,
            threshold=self.threshold,
        )

    def find_alternatives(
        self, lattice: Lattice, presets: Presets, reading: Reading, *, k: int
    ) -> list[list[Alternative]]:
        """The k best analyses of each document."""
        return find_all_alternatives(lattice, presets, reading, k=k, repair=self.repair)

    def rate(
        self,
        examples: Sequence[Example],
        labels: Sequence[str],
        lattice: Lattice,
        presets: Presets,
        reading: Reading,
    ) -> list[tuple[float, bool]]:
        """Confidence and correctness of the entities that touch no token without annotation."""
        found = find_all_entities(lattice, presets, reading, scored=True, repair=self.repair)
        # Neither spans known to be wrong nor the policy of training count here.
        task = replace(self, incorrect_spans_key=None, misaligned="missing", soft_gold=False)
        rated = []
        for example, entities in zip(examples, found, strict=True):
            annotation = task.read(example, labels)
            gold = set(annotation.spans)
            scored = zip(entities.found, entities.scores or (), strict=True)
            rated += [(score, span in gold) for span, score in scored if annotation.knows(span)]
        return rated

    def write(self, doc: Doc, found: Entities) -> None:
        """Write entities to `doc.ents`. Tokens without annotation become outside."""
        preset = found.preset if isinstance(found.preset, Preset) else None
        if self.overwrite:
            # set_ents leaves the links and ids of former entities on their tokens.
            for token in chain.from_iterable(doc.ents):
                token.ent_kb_id = token.ent_id = 0
        chosen = found.found if found.groups is None else self._flat(found, found.groups)
        ents = [SpacySpan(doc, s, e, label=label) for s, e, label in chosen]
        if preset is None:
            doc.set_ents(ents, default="outside")
        else:
            # Preset entities are written back as the objects that they were, with their links.
            blocked = [doc[s:e] for s, e in preset.blocked]
            doc.set_ents([*preset.ents, *ents], blocked=blocked, default="outside")
        if self.spans_key is not None and found.scores is not None:
            labels = () if found.groups is None else found.groups.labels
            write_scores(doc, self.spans_key, found.found, found.scores, labels=labels)

    def _flat(self, found: Entities, groups: TagGroups) -> list[Span]:
        """The entities of groups that go to `doc.ents`, beside those preset."""
        free = [
            (span, score)
            for span, score in zip(found.found, found.scores or (), strict=True)
            if found.preset is None or not found.preset.known[span[0] : span[1]].any()
        ]
        return choose_flat(
            [span for span, _ in free],
            [score for _, score in free],
            rule=self.ents or MOST_PROBABLE,
            name_of=groups.name_of,
        )


def _unknown_label(text: str, label: str, labels: Sequence[str]) -> ValueError:
    expected = f"a label of {list(labels)}"
    return ValueError(describe(f"entity {text!r}", expected=expected, got=label))
