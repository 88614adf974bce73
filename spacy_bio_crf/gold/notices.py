"""Counts of the gold that training can't use, and one warning for each kind of loss."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from spacy.tokens import Doc
from spacy.training import Example

from .annotation import Annotation

ENTITY_NOUN = "entities"
_SHOWN = 40  # characters of a document in a message


@dataclass
class GoldTally:
    """Counts over some documents.

    documents (int): The documents.
    entities (int): Their annotated entities, or what else has a label.
    misfits (int): Those of them that do not fit the tokens.
    overlaps (int): The entities left out because another one of their group has their tokens.
    tokens (int): The documents' tokens, without white space.
    bare (int): The tokens without a sub-word.
    bare_entities (int): The entities without a token that has a sub-word.
    first_misfit (str), first_overlap (str), first_bare (str): The first of each, for a message.
    """

    documents: int = 0
    entities: int = 0
    misfits: int = 0
    overlaps: int = 0
    tokens: int = 0
    bare: int = 0
    bare_entities: int = 0
    first_misfit: str = ""
    first_overlap: str = ""
    first_bare: str = ""

    def add(
        self,
        examples: Sequence[Example],
        annotations: Sequence[Annotation],
        rows: Sequence[np.ndarray] | None,
    ) -> None:
        """Count some documents.

        examples (Sequence[Example]): Predicted and reference Docs.
        annotations (Sequence[Annotation]): Their gold, on the predicted tokens.
        rows (Sequence[np.ndarray] | None): For each document, the tokens that have a sub-word;
            int64 [n], may repeat. None if the encoder can't tell.
        """
        for i, (example, annotation) in enumerate(zip(examples, annotations, strict=True)):
            self._add(example, annotation, None if rows is None else rows[i])

    def _add(self, example: Example, annotation: Annotation, rows: np.ndarray | None) -> None:
        doc, reference = example.predicted, example.reference
        self.documents += 1
        self.entities += annotation.count_given(reference)
        self.misfits += len(annotation.misfits)
        self.overlaps += len(annotation.overlaps)
        if annotation.misfits and not self.first_misfit:
            self.first_misfit = _shown(reference, *annotation.misfits[0])
        if annotation.overlaps and not self.first_overlap:
            self.first_overlap = _shown(reference, *annotation.overlaps[0])
        if rows is None:
            return
        solid = np.array([not token.text.isspace() for token in doc], dtype=bool)
        covered = np.zeros(len(doc), dtype=bool)
        covered[rows] = True
        # shape: [number of tokens without a sub-word]
        bare = np.flatnonzero(solid & ~covered)
        self.tokens += int(solid.sum())
        self.bare += len(bare)
        self.bare_entities += sum(not covered[s:e].any() for s, e, _ in annotation.spans)
        if len(bare) and not self.first_bare:
            self.first_bare = _shown(doc, int(bare[0]), int(bare[0]) + 1, "")


class Notices:
    """Warns of each kind of loss once in the course of one training.

    name (str): The component's name, for the messages.
    noun (str): The name of what has labels, in the plural.
    """

    def __init__(self, name: str, noun: str = ENTITY_NOUN):
        self.name = name
        self.noun = noun
        self._said: set[str] = set()

    def tell(self, tally: GoldTally, where: str, policy: str) -> None:
        """Warn of losses that have not been reported yet.

        tally (GoldTally): The counts.
        where (str): The documents they are of: "training documents".
        policy (str): The rule for entities that do not fit the tokens.
        """
        if tally.misfits:
            most = 2 * tally.misfits > tally.entities
            self._warn(
                "misfits",
                f"{_MOST if most else ''}{tally.misfits} of {tally.entities} {self.noun} in"
                f" {tally.documents} {where} do not fit the tokens that {self.name!r} is given:"
                f" {_OUTCOMES[policy]}{self._option(policy)}. The first is {tally.first_misfit}.",
            )
        if tally.overlaps:
            self._warn(
                "overlaps",
                f"{tally.overlaps} of {tally.entities} entities in {tally.documents} {where} share"
                f" tokens with a longer one of their group, which {self.name!r} learns instead:"
                " their other tokens count as unannotated there. The first is"
                f" {tally.first_overlap}.",
            )
        if tally.bare:
            self._warn(
                "bare",
                f"{tally.bare} of {tally.tokens} tokens in {tally.documents} {where} have no"
                f" sub-word in the encoder of {self.name!r}: they are neither trained nor tagged"
                f"{self._alone(tally)}. The first is {tally.first_bare}.",
            )

    def _option(self, policy: str) -> str:
        return f' (misaligned = "{policy}")' if self.noun == ENTITY_NOUN else ""

    def _alone(self, tally: GoldTally) -> str:
        if self.noun != ENTITY_NOUN:
            return ""
        return f", and {tally.bare_entities} entities consist of such tokens alone"

    def _warn(self, kind: str, message: str) -> None:
        if kind not in self._said:
            self._said.add(kind)
            more = (
                " `python -m spacy bio-ner debug` lists them." if self.noun == ENTITY_NOUN else ""
            )
            warnings.warn(message + more, stacklevel=4)


_MOST = (
    "MOST OF THE GOLD IS LOST: set nlp.lang and nlp.tokenizer so that tokens end where entities"
    " do. "
)
_OUTCOMES = {
    "missing": "their tokens count as unannotated",
    "expand": "they take in every token they touch",
    "contract": "they keep the tokens that lie inside",
}


def _shown(doc: Doc, start: int, end: int, label: str) -> str:
    name = f" ({label})" if label else ""
    return f"{doc[start:end].text!r}{name}, token {start} of {doc.text[:_SHOWN]!r}"
