"""The component of every task, as it rehearses what an earlier state of it knows."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from spacy.tokens import Doc
from spacy.training import Example, validate_examples
from thinc.api import Model, Optimizer, set_dropout_rate

from ..encoders.shared import reads_elsewhere
from ..errors import Plain, describe, is_number
from ..heads.decode import check_finite
from ..heads.lattice import Lattice
from ..heads.rehearsal import rehearsal_loss
from .new_labels import LabelledPipe


@dataclass(frozen=True)
class Teacher:
    """A trained model to learn from, the labels that it knows, the first ones, and their tags."""

    model: Model[list[Doc], Lattice]
    labels: tuple[str, ...]
    tags: tuple[str, ...]


class RehearsingPipe(LabelledPipe):
    """Sequence labelling that is trained on without forgetting."""

    _teacher: Teacher | None
    _rehearsal: float

    @property
    def rehearsal(self) -> float:
        """The weight of the loss that `update` adds by `rehearse`, once training is resumed; it is
        not saved.

        RAISES: ValueError when set to a number below 0, or above 0 for an encoder that others use.
        """
        return self._rehearsal

    @rehearsal.setter
    def rehearsal(self, weight: float) -> None:
        if not is_number(weight) or weight < 0:
            raise ValueError(describe("rehearsal", expected="0 or more", got=weight))
        if weight:
            self._check_encoder("rehearsal")
        self._rehearsal = float(weight)

    def rehearse(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Any = None,
        losses: dict[str, float] | None = None,
        weight: float = 1.0,
    ) -> dict[str, float]:
        """Learn to predict as before: as the model did at `nlp.resume_training`.

        The loss is the cross-entropy with the tag sequences of that model; see `rehearsal_loss`.
        Annotation is not read. Without `nlp.resume_training` nothing is learned.

        drop (float): Dropout on the vectors that enter the head.
        sgd (Any): Takes a step at once, if given. If it is no `Optimizer`, as in `nlp.rehearse`,
            the optimizer of the pipeline does.
        losses (dict[str, float] | None): Losses by component, updated with this one's.
        weight (float): Factor on the loss.
        RETURNS (dict[str, float]): The losses.
        RAISES: ValueError for an encoder that other components use, too, and if the optimizer of
            the pipeline is not known.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, f"{type(self).__name__}.rehearse")
        self._check_encoder("rehearse")
        if not is_number(weight) or weight <= 0:
            raise ValueError(describe("weight", expected="a number above 0", got=weight))
        docs = [eg.predicted for eg in examples]
        if self._teacher is None or not any(map(len, docs)):
            return losses
        optimizer = self._optimizer_of(sgd)
        set_dropout_rate(self.model, drop)
        chains = self.chains_of(self._teacher.labels)
        size = (self.divisors[1] if self.divisors else sum(map(len, docs))) / weight
        with self.encoder.remembering(docs):
            for part in self.encoder.split(docs):
                own = [docs[i] for i in part]
                taught = self._teacher.model.predict(own)
                lattice, backprop = self.model.begin_update(own)
                check_finite(self.name, own, lattice)
                loss, d_lattice = rehearsal_loss(lattice, taught, chains, head=self.head, size=size)
                backprop(d_lattice)
                losses[self.name] += loss
        if optimizer is not None:
            self.finish_update(optimizer)
        return losses

    def _check_encoder(self, place: str) -> None:
        if reads_elsewhere(self.model):
            expected = "an encoder of its own, which can be copied"
            raise ValueError(describe(place, expected=expected, got=Plain("a shared one")))

    def _optimizer_of(self, sgd: Any) -> Optimizer | None:
        if sgd is None or sgd is False or isinstance(sgd, Optimizer):
            return sgd or None
        optimizer = getattr(self.origin.nlp, "_optimizer", None)
        if optimizer is None:
            expected = f"an optimizer, for {self.name!r} does not know that of its pipeline"
            remedy = f"call nlp.get_pipe({self.name!r}).rehearse(examples, sgd=optimizer)"
            raise ValueError(describe("sgd", expected=expected, got=Plain("none"), remedy=remedy))
        return optimizer

    @property
    def _rehearsal_model(self) -> Model[list[Doc], Lattice] | None:
        # The name by which `nlp.resume_training` looks for components that can rehearse. Without
        # need of the old model, None frees its memory.
        if reads_elsewhere(self.model):
            raise AttributeError("_rehearsal_model")
        return None if self._teacher is None else self._teacher.model

    @_rehearsal_model.setter
    def _rehearsal_model(self, model: Model[list[Doc], Lattice] | None) -> None:
        trained = tuple(takewhile(lambda label: label not in self.untrained, self.labels))
        tags = self.tags_of(trained)
        self._teacher = None if model is None else Teacher(model, trained, tags)
