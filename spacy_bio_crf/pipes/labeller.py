"""The component of every task, as it learns: labels, updates and scores."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from spacy import util
from spacy.errors import Errors
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer, set_dropout_rate

from ..cores import fit_threads
from ..errors import Plain, SettingsError, check_choice, describe
from ..gold.annotation import Annotation
from ..gold.layers import LayeredAnnotation, weigh
from ..gold.notices import GoldTally, Notices
from ..heads.decode import check_finite
from ..heads.grouped import loss_of_groups
from ..heads.lattice import Lattice
from ..heads.loss import annotated_tokens
from ..heads.soft_loss import gold_loss
from ..model import free_tags, torch_shims
from ..training.torch_shim import clip_global_norm
from ..training.watch import StepWatch
from .forks import install_fork_guards
from .origin import Origin
from .rehearsing import RehearsingPipe
from .task import Task

if TYPE_CHECKING:
    from .distillation import Distillation

Labeller = TypeVar("Labeller", bound="SequenceLabeller")


class SequenceLabeller(RehearsingPipe):
    """Sequence labelling with an encoder and a head; the task gives labels their meaning.

    vocab (Vocab): The pipeline's vocabulary.
    model (Model[list[Doc], Lattice]): The network, `spacy-bio-crf.BioTagger.v1`.
    name (str): The component's name.
    task (Task): Reads and writes labels.
    scheme, buffer_tokens, scorer: Options of `make_bio_ner`.
    RAISES: ValueError for an option out of range.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[list[Doc], Lattice],
        name: str,
        *,
        task: Task,
        scheme: str,
        buffer_tokens: int | None = None,
        scorer: Callable | None = None,
    ):
        check_choice("scheme", scheme, self.schemes)
        self.vocab = vocab
        self.model = model
        self.name = name
        self.task = task
        self.origin = Origin()
        self.buffer_tokens = buffer_tokens
        self.scorer = scorer
        self.cfg = {"labels": [], "scheme": scheme, "temperature": 1.0}
        self.cfg.update(untrained=[], added=[])
        self._teacher = None
        self.is_resumed = False
        self._rehearsal = 0.0
        self.distillation: Distillation | None = None
        self._warned_of: set[tuple[str, ...]] = set()
        self._notices = Notices(name, task.noun)
        self._watch = StepWatch(name)
        install_fork_guards()
        fit_threads()

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        """Find the labels, fetch the encoder and make the head.

        A trained component begins anew: of its labels those stay that `add_label` gave it. If
        labels are read from the data, a warning tells of data that training can't use.

        get_examples (Callable[[], Iterable[Example]]): Gives the training data.
        nlp (Language | None): The pipeline.
        labels (Sequence[str] | None): The labels, for example from `spacy init labels`; None reads
            them from the data.
        RAISES: ValueError if there are no examples or no label and, if `misaligned` is "strict",
            for gold that does not fit the tokens.
        """
        validate_get_examples(get_examples, f"{type(self).__name__}.initialize")
        if isinstance(labels, str):
            raise ValueError(describe("labels", expected="a list of labels", got=labels))
        whole = labels is None
        if labels is None:
            labels = sorted({x for eg in get_examples() for x in self.task.labels_of(eg.reference)})
        if not self.model.has_dim("nO"):
            self.cfg["added"] = list(self.labels)
        known = tuple(dict.fromkeys([*self.cfg["added"], *labels]))
        if not known:
            expected = "labels in the data, by add_label or in [initialize.components]"
            got = Plain(f"none in {sum(1 for _ in get_examples())} training documents")
            raise ValueError(describe(repr(self.name), expected=expected, got=got))
        tags = self.tags_of(known)
        self.check_labels(known, tags)
        sample = [eg.predicted for eg, _ in zip(get_examples(), range(10), strict=False)]
        before: Any = self.model.maybe_get_dim("nO")
        if before is not None:
            self.encoder.begin_anew()
        self.model.set_dim("nO", len(tags), force=True)
        try:
            self.model.initialize(X=sample)
        except BaseException:
            # Most often there is no way to the encoder: the component stays what it was.
            self.model.set_dim("nO", before, force=True)
            raise
        for label in known:
            self.vocab.strings.add(label)
        self.cfg.update(labels=list(known), temperature=1.0, untrained=[])
        self._teacher, self.is_resumed = None, False
        self._warned_of = set()
        self._notices = Notices(self.name, self.task.noun)
        self._watch = StepWatch(self.name)
        if whole:
            tally = self._survey(get_examples())
            self._notices.tell(tally, "training documents", self.task.misaligned)

    def check_labels(self, labels: Sequence[str], tags: Sequence[str]) -> None:
        """Raise a ValueError if an option names a label that is none of these."""
        self.head.check_labels(labels, tags)

    def _survey(self, examples: Iterable[Example]) -> GoldTally:
        # Without a tokenizer of its own, an encoder shows tokens without a sub-word only when it
        # runs: the first batch that has some warns of them.
        tally = GoldTally()
        for batch in util.minibatch(examples, size=256):
            subwords = self.encoder.cut([eg.predicted for eg in batch])
            rows = None if subwords is None else [np.flatnonzero(s.lengths) for s in subwords]
            tally.add(batch, [self._gold(eg) for eg in batch], rows)
        return tally

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch of examples.

        A batch that exceeds the encoder's budget is worked on in parts, and the gradient does not
        depend on them.

        drop (float): Dropout on the vectors that enter the head.
        sgd (Optimizer | None): Takes a step at once, if given.
        losses (dict[str, float] | None): Losses by component, updated with this one's.
        RETURNS (dict[str, float]): The losses.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, f"{type(self).__name__}.update")
        if not any(len(eg.predicted) for eg in examples):
            return losses
        self.meet(examples)
        set_dropout_rate(self.model, drop)
        gold = [self._gold(eg) for eg in examples]
        docs = [eg.predicted for eg in examples]
        taught = self.distillation  # its teacher knows all tokens
        annotated, tokens = self.divisors or (
            annotated_tokens(gold, self.labels),
            sum(map(len, docs)),
        )
        size = annotated if taught is None else tokens
        with self.encoder.remembering(docs):
            for part in self.encoder.split(docs):
                part_docs = [docs[i] for i in part]
                lattice, backprop = self.model.begin_update(part_docs)
                check_finite(self.name, part_docs, lattice)
                own = [gold[i] for i in part]
                loss, d_lattice = found = self._loss(own, lattice, size)
                if taught is not None:
                    loss, d_lattice = taught.mix(self, part_docs, lattice, found, size=size)
                tally = GoldTally()
                tally.add([examples[i] for i in part], own, lattice.tokens)
                self._notices.tell(tally, "documents of a batch", self.task.misaligned)
                backprop(d_lattice)
                losses[self.name] += loss
        self.cfg["untrained"] = []
        if self.rehearsal and self._teacher is not None:
            self.rehearse(examples, drop=drop, losses=losses, weight=self.rehearsal)
        if sgd not in (None, False):
            self.finish_update(sgd)
        return losses

    def get_loss(self, examples: Iterable[Example], scores: Lattice) -> tuple[float, Lattice]:
        """Compute the negative log-likelihood of the annotation, per annotated token.

        scores (Lattice): The scores of the model for the batch.
        RETURNS (tuple[float, Lattice]): The loss and its gradient.
        RAISES: ValueError for a label that the component lacks.
        """
        examples = list(examples)
        validate_examples(examples, f"{type(self).__name__}.get_loss")
        check_finite(self.name, [eg.predicted for eg in examples], scores)
        gold = [self._gold(eg) for eg in examples]
        return self._loss(gold, scores, annotated_tokens(gold, self.labels))

    def _loss(
        self, gold: Sequence[Annotation], lattice: Lattice, size: int
    ) -> tuple[float, Lattice]:
        # No tag continues after L- or U-, and a softmax has no sequence: there the later sub-words
        # of a word repeat its tag.
        every = self.model.attrs["subword_labels"] == "all"
        continued = self.head.crf and every and self.scheme == "BIO"
        settings: dict[str, Any] = {"head": self.head, "continued": continued, "size": size}
        if self.tag_groups is not None:
            layered = cast(Sequence[LayeredAnnotation], gold)
            return loss_of_groups(layered, lattice, groups=self.tag_groups, **settings)
        return gold_loss(gold, lattice, tagset=self.tagset, **settings)

    def _gold(self, example: Example) -> Annotation:
        if not self.model.has_dim("nO"):
            raise ValueError(Errors.E109.format(name=self.name))
        return weigh(self.task.gold(example, self.labels), example.reference)

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """Score predictions. Each set of labels that can't be predicted causes one warning."""
        examples = list(examples)
        found = {label for eg in examples for label in self.task.labels_of(eg.reference)}
        unknown = tuple(sorted(found - set(self.labels)))
        if unknown and unknown not in self._warned_of:
            self._warned_of.add(unknown)
            warnings.warn(
                f"The documents to score have labels that {self.name!r} was not trained with:"
                f" {list(unknown)}; expected labels of {list(self.labels)}. They count as missed"
                " unless another component finds them.",
                stacklevel=2,
            )
        return super().score(examples, **kwargs)

    @property
    def _former_cfg(self) -> dict[str, Any]:
        return {"untrained": []}

    def _prepare_model(self) -> None:
        free_tags(self.model)

    def _check_cfg(self, place: str, exclude: Iterable[str]) -> None:
        super()._check_cfg(place, exclude)
        if (teacher := self._teacher) is not None:
            first = self.labels[: len(teacher.labels)]
            if first != teacher.labels or self.tags_of(first) != teacher.tags:
                # Its tags are others than those that the component has read.
                self._teacher = None

    def finish_update(self, sgd: Optimizer) -> None:
        """Take a step with the gathered gradients, clipped by their common norm."""
        shims = torch_shims(self.model)
        for shim in shims:
            shim.default_rate = self.encoder.default_rate
        self._watch.check_rate(self.encoder.transformer_rate(sgd))
        self._watch.check_norm(clip_global_norm(shims, sgd.grad_clip))
        self.model.finish_update(sgd)


def find_labeller(
    nlp: Language,
    name: str | None = None,
    *,
    kind: type[Labeller],
    noun: str,
) -> tuple[str, Labeller]:
    """Find a component of a kind in a pipeline.

    nlp (Language): The pipeline.
    name (str | None): The component's name, needed if there are several.
    kind (type): Its class.
    noun (str): The name of its kind, for messages.
    RETURNS (tuple[str, SequenceLabeller]): Its name and the component.
    RAISES: SettingsError if there is no such component, or several and no name.
    """
    found = {n: pipe for n, pipe in nlp.pipeline if isinstance(pipe, kind)}
    others = [
        n for n, pipe in nlp.pipeline if isinstance(pipe, SequenceLabeller) and n not in found
    ]
    names = ", ".join(found) or "none"
    if name is None and len(found) != 1:
        remedy = "name one of them" if found else None
        if others and not found:
            remedy = f"this is for {noun} alone, and {', '.join(others)} is none"
        message = describe("component", expected=f"one {noun}", got=Plain(names), remedy=remedy)
        raise SettingsError(message)
    if name is not None and name not in found:
        raise SettingsError(describe("component", expected=f"a {noun} of {names}", got=name))
    name = next(iter(found)) if name is None else name
    return name, found[name]


def run_before(
    component: SequenceLabeller, nlp: Language, examples: Sequence[Example]
) -> Sequence[Example]:
    """Run the components before one over the predicted documents: they may preset entities.

    component (SequenceLabeller): A component of the pipeline.
    nlp (Language): The pipeline.
    examples (Sequence[Example]): Blank documents beside their references, changed in place.
    RETURNS (Sequence[Example]): The examples.
    """
    earlier = [pipe for _, pipe in takewhile(lambda named: named[1] is not component, nlp.pipeline)]
    for eg in examples:
        for process in earlier:
            eg.predicted = process(eg.predicted)
    return examples
