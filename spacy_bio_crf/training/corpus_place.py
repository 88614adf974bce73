"""Place in a training corpus: batches drawn so far, and how to draw them again."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from spacy.attrs import (
    DEP,
    ENT_ID,
    ENT_IOB,
    ENT_KB_ID,
    ENT_TYPE,
    HEAD,
    LEMMA,
    MORPH,
    ORTH,
    POS,
    SENT_START,
    SPACY,
    TAG,
)
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from ..gold.soft import WEIGHT
from ..tags.spans import SCORES, annotated_labels
from .random_states import States, read_cpu_states, set_random_states

ATTRIBUTES = [
    *(ORTH, SPACY, TAG, POS, MORPH, LEMMA, DEP, HEAD, SENT_START),
    *(ENT_IOB, ENT_TYPE, ENT_KB_ID, ENT_ID),
]

ExampleReader = Callable[[Language], Iterable[Example]]


class Digest:
    """A digest of the examples that a reader of a corpus gives: texts, tokens and annotation.

    It has two parts, with "-" between them. The second one is of what spaCy has no place for, and
    checkpoints of earlier versions lack it.

    reader (ExampleReader): The reader.
    """

    def __init__(self, reader: ExampleReader):
        self._reader = reader
        self._hash, self._more = hashlib.sha256(), hashlib.sha256()

    def __call__(self, nlp: Language) -> Iterator[Example]:
        """Read the corpus. Each reading of a corpus from its beginning has the same digest."""
        self._hash, self._more = hashlib.sha256(), hashlib.sha256()
        for example in self._reader(nlp):
            self._add(example.reference)
            self._hash.update(example.predicted.to_array([ORTH, SPACY]).tobytes())
            yield example

    @property
    def value(self) -> str:
        """The digest of what has been read since the last beginning."""
        return f"{self._hash.hexdigest()}-{self._more.hexdigest()}"

    def _add(self, doc: Doc) -> None:
        values: np.ndarray = doc.to_array(ATTRIBUTES)
        self._hash.update(values.tobytes())
        spans = {
            key: [(s.start, s.end, s.label_, s.kb_id_) for s in group]
            for key, group in doc.spans.items()
        }
        self._hash.update(repr((sorted(doc.cats.items()), sorted(spans.items()))).encode())
        scores = {
            key: np.asarray(group.attrs.get(SCORES), dtype=object).tolist()
            for key, group in doc.spans.items()
        }
        annotated = annotated_labels(doc)
        stored: dict[Any, Any] = doc.user_data
        # The labels of targets are strings. Other objects may look different in each process.
        labels = [
            (repr(key), value)
            for key, value in stored.items()
            if isinstance(key, tuple)
            and key[:1] == ("._.",)
            and isinstance(value, str | int | float)
        ]
        own = (
            sorted(scores.items()),
            stored.get(WEIGHT),
            None if annotated is None else sorted(annotated),
            sorted(labels, key=lambda entry: entry[0]),
        )
        self._more.update(repr(own).encode("utf-8", "surrogatepass"))


class CorpusPlace:
    """Batches of a training, with their number and what a second drawing needs.

    Reading, shuffling and batching are generators that can't be stored. Drawing as many batches
    anew leads to the same place, if random states are those of the first drawing. They are kept for
    draws that used a source of random numbers which training had moved on in the meantime: the
    beginning, and at most the first draw of each epoch if the corpus is read but once.

    batches (Iterator): Pairs of an epoch and a batch, from `spacy.training.loop`.
    """

    def __init__(self, batches: Iterator[tuple[int, list[Example]]]):
        self._batches = batches
        self.drawn = 0
        self.states: dict[int, States] = {}  # by the number of a draw
        self._replayed: States = {}

    def __iter__(self) -> Iterator[tuple[int, list[Example]]]:
        return self

    def __next__(self) -> tuple[int, list[Example]]:
        before = read_cpu_states()
        drawn = next(self._batches)
        for source, after in read_cpu_states().items():
            if after != before[source]:
                if before[source] != self._replayed.get(source):
                    self.states.setdefault(self.drawn, {})[source] = before[source]
                self._replayed[source] = after
        self.drawn += 1
        return drawn

    def draw_again(self, drawn: int, states: dict[int, States]) -> int:
        """Go to the place of another training on the same corpus.

        The cost is that of reading and batching: nothing is trained.

        drawn (int): Batches that it had drawn.
        states (dict[int, States]): Its random states.
        RETURNS (int): Batches that there were: fewer than `drawn` if the corpus has changed.
        """
        while self.drawn < drawn:
            if self.drawn in states:
                set_random_states(states[self.drawn])
            try:
                next(self)
            except StopIteration:
                break
        self.states = dict(states)
        return self.drawn
