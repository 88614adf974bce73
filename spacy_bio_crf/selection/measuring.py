"""Doubt and vectors of documents, measured by a `bio_ner` as it annotates."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc

from ..bulk.records import DIGITS, ROW_FIELDS
from ..encoders.shared import resolve_encoder
from ..heads.decode import Presets, Reading
from ..heads.doubt import Doubt, measure_doubt
from ..heads.lattice import Lattice
from ..pipes.bio_ner import BioNer, find_component
from ..pipes.entity_task import EntityTask

FIELD = "selection"  # of a row, with the doubt about its text


@dataclass(frozen=True)
class MeasuringTask:
    """The task of a `bio_ner` that adds its doubt to the row of each document.

    Entities and doubt come from one pass of the network.

    task (EntityTask): The component's own task, which answers all other questions.
    """

    task: EntityTask

    def __getattr__(self, name: str) -> Any:
        if name == "task":  # while a copy is made
            raise AttributeError(name)
        return getattr(self.task, name)

    def find(self, lattice: Lattice, presets: Presets, reading: Reading) -> list[Any]:
        """The entities of each document, and the doubt about it."""
        entities = self.task.find(lattice, presets, reading)
        return list(zip(entities, measure_doubt(lattice, presets, reading), strict=True))

    def write(self, doc: Doc, found: Any) -> None:
        """Write entities to a document, and its doubt for the row."""
        entities, doubt = found
        self.task.write(doc, entities)
        doc.user_data[ROW_FIELDS] = {FIELD: to_fields(doubt)}


def to_fields(doubt: Doubt) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): Doubt in JSON's types."""
    fields = asdict(doubt)
    for name in ("entropy", "best", "second"):
        fields[name] = None if fields[name] is None else round(fields[name], DIGITS)
    fields["expected"] = {label: round(n, DIGITS) for label, n in doubt.expected.items()}
    return fields


def measure_always(nlp: Language, component: str | None = None) -> BioNer:
    """Let a `bio_ner` measure its doubt whenever it annotates.

    nlp (Language): The pipeline.
    component (str | None): The component's name, needed if there are several.
    RETURNS (BioNer): The component.
    RAISES: SettingsError if there is no such component.
    """
    ner = find_component(nlp, component)[1]
    ner.task = cast(EntityTask, MeasuringTask(ner.task))
    return ner


@contextmanager
def measuring(nlp: Language, component: str | None = None) -> Iterator[BioNer]:
    """Let a `bio_ner` measure its doubt within a block; see `measure_always`.

    YIELDS (BioNer): The component.
    """
    ner = find_component(nlp, component)[1]
    before = ner.task
    try:
        yield measure_always(nlp, component)
    finally:
        ner.task = before


def load_measuring(load: Callable[[], Language], component: str | None) -> Language:
    """Load a pipeline whose `bio_ner` measures its doubt, in a worker."""
    nlp = load()
    measure_always(nlp, component)
    return nlp


def document_vectors(nlp: Language, ner: BioNer, texts: Sequence[str]) -> np.ndarray:
    """Compute the mean of the encoder's vectors of the tokens of each text.

    nlp (Language): The pipeline; components before `ner` run, as its encoder may need them.
    ner (BioNer): The component with the encoder.
    texts (Sequence[str]): The texts.
    RETURNS (np.ndarray): Float32 [n, d]; zeros for a text without sub-words.
    """
    names = nlp.pipe_names
    later = names[names.index(ner.name) :]
    # Not by the interface of a head on a shared encoder, which may hold its emissions already.
    encoder = resolve_encoder(ner.encoder)
    found: list[np.ndarray] = []
    for first in range(0, len(texts), nlp.batch_size):
        docs = list(nlp.pipe(texts[first : first + nlp.batch_size], disable=later))
        vectors, tokens, _ = encoder.emit(docs, lambda rows: rows, every=False, train=False)
        # shape: [rows of all documents, d]
        rows = vectors.float().cpu().numpy()
        ends = np.cumsum([len(own) for own in tokens])
        for own in np.split(rows, ends[:-1]):
            found.append(own.mean(axis=0) if len(own) else np.zeros(rows.shape[1], np.float32))
    return np.stack(found)
