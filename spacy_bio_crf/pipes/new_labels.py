"""The component of every task, as its labels grow."""

import math
from collections.abc import Iterable, Sequence

from spacy.errors import Errors
from spacy.training import Example

from ..averaging import members_of
from ..errors import BioError, Plain, describe
from ..model import widen
from ..tags.schemes import OUTSIDE
from ..tags.tagset import NO_SCHEME
from .predictor import Predictor

# Nats by which a new tag of a trained component begins below the tags that its tokens had.
NEW_TAG_MARGIN = math.log(100.0)


class LabelledPipe(Predictor):
    """Sequence labelling with labels that can be added, before training and after it."""

    # The annotated tokens, and all, of a batch that several processes train on; None counts those
    # of the documents that this one is given.
    divisors: tuple[int, int] | None = None
    # Set by `nlp.resume_training`: `update` adds labels that are new in a batch.
    is_resumed: bool

    def add_label(self, label: str) -> int:
        """Add a label. A trained component grows by its tags, and finds none before an update.

        label (str): The label, without a prefix.
        RETURNS (int): 1, or 0 for a label that the component has.
        RAISES: ValueError for a label that it can't have.
        """
        if not isinstance(label, str):
            raise ValueError(Errors.E187)
        if label in self.labels:
            return 0
        tags = self.tags_of((*self.labels, label))
        if self.model.has_dim("nO"):
            self._add_tags(tags[self.model.get_dim("nO") :])
            self.cfg["added"] = [*self.cfg["added"], label]
            self.cfg["untrained"] = [*self.untrained, label]
        self.cfg["labels"].append(label)
        self.vocab.strings.add(label)
        return 1

    def _add_tags(self, tags: Sequence[str]) -> None:
        if len(members_of(self.model)) > 1:
            remedy = "add it to the pipelines that the ensemble is made of"
            got = Plain("an ensemble")
            raise BioError(describe("label", expected="a single model", got=got, remedy=remedy))
        # The tokens of new labels have been outside so far; without a scheme they had any label.
        present = self.tags_of(self.labels)
        outside = [
            i for i, tag in enumerate(present) if tag == OUTSIDE and self.scheme != NO_SCHEME
        ]
        less = [0.0 if tag == OUTSIDE and outside else NEW_TAG_MARGIN for tag in tags]
        widen(self.model, less, like=outside or range(len(present)))

    def add_labels_of(self, examples: Iterable[Example]) -> list[str]:
        """Add the labels of annotated documents that the component lacks.

        examples (Iterable[Example]): The documents.
        RETURNS (list[str]): The new labels, sorted.
        RAISES: ValueError for a label that it can't have.
        """
        found = {label for eg in examples for label in self.task.labels_of(eg.reference)}
        return [label for label in sorted(found - set(self.labels)) if self.add_label(label)]

    def meet(self, examples: Iterable[Example]) -> None:
        """Add new labels of documents to train on, in a pipeline whose training is resumed."""
        if self.is_resumed:
            self.add_labels_of(examples)

    def count_annotated(self, examples: Iterable[Example]) -> int:
        """RETURNS (int): The annotated tokens of some documents."""
        labels = self.labels
        return sum(self.task.gold(eg, labels).count_taught(labels) for eg in examples)
