"""Distillation: a `bio_ner` learns from the predictions of a trained pipeline, beside the gold."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import minibatch
from thinc.api import Config

from ..bulk.inputs import Input
from ..corpora.readers.docbin import open_docbin
from ..errors import BioError, Plain, SettingsError, describe, is_number
from ..heads.decode import temper
from ..heads.lattice import Lattice
from ..heads.rehearsal import rehearsal_loss
from ..subwords.cache import content_of
from ..training.corpus_place import ExampleReader
from .bio_ner import BioNer, find_component
from .teachers import DistillationTeacher, EntityTeacher, LatticeTeacher, copy_tokens

DISTILLATION = "distillation"
READ_AT_ONCE = 64  # documents that the teacher reads at once


@dataclass(frozen=True)
class DistillationSettings:
    """The block [distillation] of a configuration.

    teacher (str): A trained pipeline, a folder or an installed package.
    texts (str | None): Texts without annotation to learn from as well: .txt with one on each line,
        .jsonl, .parquet, a folder of such files, or .spacy, whose annotation is not read.
    text_key (str): Key or column of the text.
    weight (float): The teacher's part of the loss, above 0 to 1; the gold has the rest.
    temperature (float): The divisor of all scores, the teacher's and the student's, before they are
        compared.
    component (str | None): Name of the teacher's `bio_ner`, where it has several.
    student (str | None): Name of the `bio_ner` that learns, where there are several.
    RAISES: SettingsError for a value out of range.
    """

    teacher: str
    texts: str | None = None
    text_key: str = "text"
    weight: float = 0.5
    temperature: float = 1.0
    component: str | None = None
    student: str | None = None

    def __post_init__(self) -> None:
        if not is_number(self.weight) or not 0 < self.weight <= 1:
            self._refuse("weight", "a number above 0, and 1 at the most")
        if not is_number(self.temperature) or self.temperature <= 0:
            self._refuse("temperature", "a number above 0")
        for name in ("teacher", "text_key"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                self._refuse(name, "a name")
        for name in ("texts", "component", "student"):
            if not isinstance(getattr(self, name), str | None):
                self._refuse(name, "a name or null")

    def _refuse(self, name: str, expected: str) -> None:
        place = f"{DISTILLATION}.{name}"
        raise SettingsError(describe(place, expected=expected, got=getattr(self, name)))


def read_distillation(block: Any) -> DistillationSettings:
    """Read the block [distillation]. RAISES: SettingsError for an unknown or unfit setting."""
    known = DistillationSettings.__dataclass_fields__
    if not isinstance(block, dict) or "teacher" not in block or set(block) - set(known):
        got = Plain(", ".join(block) if isinstance(block, dict) else repr(block))
        expected = f"teacher, and settings of {', '.join(list(known)[1:])}"
        raise SettingsError(describe(f"[{DISTILLATION}]", expected=expected, got=got))
    return DistillationSettings(**block)


def plan_distillation(
    config: Config, block: Any
) -> Callable[[Language], Callable[[ExampleReader], ExampleReader]]:
    """Read the block [distillation], and load the teacher.

    The student gets the labels of a teacher with a `bio_ner`, unless the configuration names some:
    its own gold may lack labels that the teacher knows.

    config (Config): The configuration of the training, which is changed.
    block (Any): The block, without variables.
    RETURNS (Callable): Takes the initialized pipeline, and begins; see `begin_distillation`.
    RAISES: SettingsError for an unknown or unfit setting, a teacher that can't be loaded, or texts
        that are not there.
    """
    settings = read_distillation(block)
    if settings.texts is not None:
        _open_texts(settings)
    try:
        teacher = spacy.load(settings.teacher)
    except (OSError, ValueError, ImportError) as error:
        raise SettingsError(f"{DISTILLATION}.teacher: expected a pipeline: {error}") from error
    if _has_lattice(teacher, settings):
        _, pipe = _find(teacher, settings, "component")
        _give_labels(config, pipe.labels, settings.student)
    return partial(begin_distillation, teacher=teacher, settings=settings)


def _find(nlp: Language, settings: DistillationSettings, which: str) -> tuple[str, BioNer]:
    """The `bio_ner` that a setting names, "component" or "student"."""
    try:
        return find_component(nlp, getattr(settings, which))
    except SettingsError as error:
        place = f"{DISTILLATION}.{which}"
        raise SettingsError(str(error).replace("component", place, 1)) from None


def _has_lattice(teacher: Language, settings: DistillationSettings) -> bool:
    found = [pipe for _, pipe in teacher.pipeline if isinstance(pipe, BioNer)]
    return bool(found) or settings.component is not None


def _give_labels(config: Config, labels: Sequence[str], student: str | None) -> None:
    blocks = config.get("components", {}).items()
    made = [name for name, block in blocks if block.get("factory") == "bio_ner"]
    for name in made if student is None and len(made) == 1 else {student} & set(made):
        initialize = config.setdefault("initialize", {}).setdefault("components", {})
        initialize.setdefault(name, {}).setdefault("labels", list(labels))


class Distillation:
    """What a `bio_ner` learns from, beside its gold: the predictions of a teacher.

    The loss of a batch is `(1 - weight) gold + weight T² H(teacher, student)`, each divided by the
    tokens of the batch. H is the cross-entropy of the distributions over all tag sequences for a
    CRF, and of those over the tags of each token for a softmax (Wang et al. 2020, "Structure-Level
    Knowledge Distillation For Multilingual Sequence Labeling"; 2021, "Structural Knowledge
    Distillation: Tractably Distilling Information for Structured Predictor", for the exact one).
    T² keeps gradients as large at any temperature (Hinton et al. 2015, section 2).

    teacher (DistillationTeacher): Knows the documents.
    weight, temperature (float): As in `DistillationSettings`.
    """

    def __init__(self, teacher: DistillationTeacher, *, weight: float, temperature: float):
        self.teacher = teacher
        self.weight = weight
        self.temperature = temperature
        self._known: dict[bytes, Any] = {}

    def prepare(self, docs: Sequence[Doc]) -> None:
        """Let the teacher read documents, and keep what it knows of them."""
        missing = {content_of(doc): doc for doc in docs}
        missing = {key: doc for key, doc in missing.items() if key not in self._known}
        found = self.teacher.read(list(missing.values())) if missing else []
        self._known.update(zip(missing, found, strict=True))

    def mix(
        self,
        pipe: Any,
        docs: Sequence[Doc],
        lattice: Lattice,
        gold: tuple[float, Lattice],
        *,
        size: int,
    ) -> tuple[float, Lattice]:
        """Add the loss of what the teacher knows to that of the gold.

        pipe (BioNer): The student.
        docs (Sequence[Doc]): The documents.
        lattice (Lattice): Its scores of them.
        gold (tuple[float, Lattice]): Loss and gradient of the gold.
        size (int): The divisor of the loss.
        RETURNS (tuple[float, Lattice]): Loss and gradient.
        """
        self.prepare(docs)
        first, _ = lattice.first_rows()
        tokens = [t[own] for t, own in zip(lattice.tokens, lattice.split(first), strict=True)]
        known = [self._known[content_of(doc)] for doc in docs]
        taught = self.teacher.lattice(known, tokens, lattice.emissions.device)
        heat = self.temperature
        loss, gradient = rehearsal_loss(
            temper(lattice, heat),
            temper(taught, heat),
            pipe.chains_of(pipe.labels),
            head=pipe.head,
            size=size,
        )
        own, by_teacher = 1.0 - self.weight, self.weight * heat
        # Of the second factor T² one T goes with the division of the student's scores.
        scores = [
            own * g + by_teacher * d for g, d in zip(gold[1].scores, gradient.scores, strict=True)
        ]
        emissions, start, transitions, end = scores
        total = own * gold[0] + by_teacher * heat * loss
        return total, Lattice(emissions, start, transitions, end, lattice.tokens)


def begin_distillation(
    nlp: Language, *, teacher: Language, settings: DistillationSettings
) -> Callable[[ExampleReader], ExampleReader]:
    """Let a `bio_ner` learn from a teacher from now on.

    nlp (Language): The initialized pipeline of the student.
    teacher (Language): The pipeline to learn from.
    RETURNS (Callable): Adds the texts to the reader of a corpus, all of which the teacher reads
        before training begins. So its scores do not depend on the batches of training.
    RAISES: SettingsError if the student's labels are others, or there is no such component.
    """
    _, student = _find(nlp, settings, "student")
    made: DistillationTeacher = EntityTeacher(teacher, student)
    if _has_lattice(teacher, settings):
        made = LatticeTeacher(teacher, *_find(teacher, settings, "component"), student)
    distillation = Distillation(made, weight=settings.weight, temperature=settings.temperature)
    student.distillation = distillation

    def add_texts(reader: ExampleReader) -> ExampleReader:
        def read(own: Language) -> Iterator[Example]:
            texts = read_unlabelled(own, settings) if settings.texts is not None else ()
            examples = list(chain(reader(own), texts))
            for batch in minibatch(examples, READ_AT_ONCE):
                distillation.prepare([eg.predicted for eg in batch])
            yield from examples

        return read

    return add_texts


def read_unlabelled(nlp: Language, settings: DistillationSettings) -> Iterator[Example]:
    """Read the texts without annotation, as examples.

    YIELDS (Example): Without any annotation.
    RAISES: SettingsError for files that can't be read.
    """
    texts = _open_texts(settings)
    try:
        if isinstance(texts, Path):
            found = open_docbin(texts).get_docs(nlp.vocab)
            docs: Iterator[Doc] = (copy_tokens(doc, nlp.vocab) for doc in found)
        else:
            docs = map(nlp.make_doc, texts.texts())
        yield from (Example(doc, doc.copy()) for doc in docs if len(doc))
    except (BioError, OSError) as error:
        raise SettingsError(f"{DISTILLATION}.texts: {error}") from error


def _open_texts(settings: DistillationSettings) -> Path | Input:
    """A `.spacy` file, or the input that reads the others.

    RAISES: SettingsError if there is no such file, or it is of no known format.
    """
    path = Path(settings.texts or "")
    if path.suffix == ".spacy" and path.is_file():
        return path
    try:
        return Input(path, "auto", settings.text_key, "", remedy=None)
    except (BioError, OSError) as error:
        raise SettingsError(f"{DISTILLATION}.texts: {error}") from error
