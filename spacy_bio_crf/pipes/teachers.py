"""Trained pipelines as teachers: the scores that a `bio_ner` is to learn, for any documents."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.vocab import Vocab
from torch import Tensor

from ..errors import Plain, SettingsError, describe
from ..gold.annotation import Annotation, have_same_tokens
from ..heads.decode import temper
from ..heads.grouped import close_all_paths
from ..heads.lattice import NEVER, Lattice
from ..tags.spans import Span
from .bio_ner import BioNer

_SHOWN = 40  # characters of a text in a message


class DistillationTeacher(Protocol):
    """A pipeline to learn from."""

    def read(self, docs: Sequence[Doc]) -> list[Any]:
        """RETURNS (list[Any]): What the teacher knows of each document, to keep and for `lattice`.
        Nothing is written to the documents."""

    def lattice(
        self, known: Sequence[Any], tokens: Sequence[np.ndarray], device: torch.device
    ) -> Lattice:
        """Compute the scores of all tag paths as the student has them.

        known (Sequence[Any]): What `read` gave.
        tokens (Sequence[np.ndarray]): For each document the tokens that the student has a row for.
        RETURNS (Lattice): A row for each of those, and a column for each tag of the student; paths
            that the teacher does not take have a score of -inf.
        """


class LatticeTeacher:
    """A pipeline with a `bio_ner`: its scores, under its constraints and at its temperature.

    A token for which only the student has a sub-word has no score of its own, and one for which
    only the teacher has one is left out of the chain.

    nlp (Language): The pipeline. Components before its `bio_ner` run, too.
    name (str), pipe (BioNer): The component.
    student (BioNer): The one that learns.
    RAISES: SettingsError for other labels, another scheme or other groups.
    """

    def __init__(self, nlp: Language, name: str, pipe: BioNer, student: BioNer):
        wanted, own = student.tag_facts(), pipe.tag_facts()
        for what, value in own.items():
            if value != wanted[what]:
                got = Plain(f"{value}, not {wanted[what]}")
                raise SettingsError(
                    describe(f"teacher, {what}", expected="the same as in the student", got=got)
                )
        self.nlp = nlp
        self.pipe = pipe
        names = [known for known, _ in nlp.pipeline]
        self._before = [other for _, other in nlp.pipeline[: names.index(name)]]
        self._order = [pipe.tag_names.index(tag) for tag in student.tag_names]
        self._chain: tuple[Tensor, ...] = ()

    def read(self, docs: Sequence[Doc]) -> list[tuple[np.ndarray, Tensor]]:
        """The token of each row, int64 [n], and its closed emissions [n, K].

        RAISES: SettingsError for a document whose tokens an earlier component has changed.
        """
        own = [copy_tokens(doc, self.nlp.vocab) for doc in docs]
        for component in self._before:
            own = [component(doc) for doc in own]
        for doc, changed in zip(docs, own, strict=True):
            if not have_same_tokens(doc, changed):
                expected = f"the tokens of {doc.text[:_SHOWN]!r}"
                got = Plain(f"others, of a component before {self.pipe.name!r}")
                raise SettingsError(describe("teacher", expected=expected, got=got))
        reading = self.pipe.reading()
        lattice = close_all_paths(self.pipe.lattice(own), self.pipe.presets(own), reading)
        lattice = temper(lattice, reading.temperature)
        order = torch.tensor(self._order, device=lattice.emissions.device)
        start, transitions, end = lattice.scores[1:]
        self._chain = (start[order], transitions[order][:, order], end[order])
        # A copy: parts of a batch would keep all of it.
        parts = torch.split(lattice.emissions[:, order], lattice.lengths)
        return [(t, part.clone()) for t, part in zip(lattice.tokens, parts, strict=True)]

    def lattice(
        self, known: Sequence[Any], tokens: Sequence[np.ndarray], device: torch.device
    ) -> Lattice:
        """The scores; see `DistillationTeacher`."""
        parts = [_rows_for(own, *found) for found, own in zip(known, tokens, strict=True)]
        start, transitions, end = (scores.to(device) for scores in self._chain)
        return Lattice(torch.cat(parts).to(device), start, transitions, end, tokens)


class EntityTeacher:
    """Any pipeline that writes `doc.ents`: its entities, with certainty.

    An entity of a label that the student lacks counts as none.

    nlp (Language): The pipeline.
    student (BioNer): The one that learns.
    """

    def __init__(self, nlp: Language, student: BioNer):
        self.nlp = nlp
        self.student = student

    def read(self, docs: Sequence[Doc]) -> list[tuple[int, list[Span]]]:
        """The number of tokens, and the entities."""
        own = self.nlp.pipe([copy_tokens(doc, self.nlp.vocab) for doc in docs])
        return [(len(doc), _entities_on(doc, found)) for doc, found in zip(docs, own, strict=True)]

    def lattice(
        self, known: Sequence[Any], tokens: Sequence[np.ndarray], device: torch.device
    ) -> Lattice:
        """The scores; see `DistillationTeacher`."""
        groups = self.student.tag_groups
        tagsets = [self.student.tagset] if groups is None else groups.tagsets
        allowed = []
        for (size, spans), own in zip(known, tokens, strict=True):
            annotation = Annotation(spans, np.ones(size, dtype=bool))
            allowed.append(
                np.hstack([annotation.allowed(t, own, continued=False) for t in tagsets])
            )
        open_rows = torch.from_numpy(np.concatenate(allowed)).to(device)
        emissions = torch.zeros(open_rows.shape, device=device).masked_fill(~open_rows, NEVER)
        zeros = emissions.new_zeros(emissions.shape[1])
        return Lattice(emissions, zeros, zeros.new_zeros(len(zeros), len(zeros)), zeros, tokens)


def copy_tokens(doc: Doc, vocab: Vocab) -> Doc:
    """RETURNS (Doc): The tokens of a document with another vocabulary, without annotation."""
    words, spaces = [token.text for token in doc], [bool(token.whitespace_) for token in doc]
    return Doc(vocab, words=words, spaces=spaces)


def _entities_on(doc: Doc, found: Doc) -> list[Span]:
    """The entities of another document of the same text, whose tokens may have been merged."""
    # Without the label, which the vocabulary of the student need not know.
    spans = [(doc.char_span(e.start_char, e.end_char), e.label_) for e in found.ents]
    return [(span.start, span.end, label) for span, label in spans if span is not None]


def _rows_for(tokens: np.ndarray, rows: np.ndarray, emissions: Tensor) -> Tensor:
    """Rows of emissions for tokens; zeros for a token that has none."""
    if np.array_equal(tokens, rows):
        return emissions
    result = emissions.new_zeros((len(tokens), emissions.shape[1]))
    _, into, out_of = np.intersect1d(tokens, rows, return_indices=True)
    result[into] = emissions[out_of]
    return result
