"""The component of every task, as it predicts: labels, analyses, and streams of documents."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, overload

import numpy as np
from spacy.errors import Errors
from spacy.tokens import Doc

from ..errors import describe
from ..gold.annotation import Annotation
from ..heads.decode import Alternative, Reading, check_finite
from ..heads.emitter import Head
from ..heads.grouped import all_tag_marginals
from ..heads.lattice import Lattice
from ..model import chain_scores, emitter_shim
from ..tags.groups import TagGroups
from ..tags.tagset import TagSet
from .disk import check_temperature
from .origin import Origin
from .stream import StreamedPipe
from .task import Task

_NAMED = 6  # labels in `repr`


_Given = Doc | str


class Predictor(StreamedPipe):
    """Sequence labelling with an encoder and a head, once it is trained.

    task (Task): Reads and writes labels.
    origin (Origin): Its pipeline, which makes Docs of texts.
    """

    task: Task
    origin: Origin

    def __repr__(self) -> str:
        head = "CRF" if self.head.crf else "softmax"
        names = [repr(label) for label in self.labels[:_NAMED]]
        more = ["…"] if len(self.labels) > _NAMED else []
        labels = f"{len(self.labels)} labels ({', '.join([*names, *more])})"
        return f"<{type(self).__name__} {self.name!r}: {labels}, {self.kind}, {head}>"

    @property
    def kind(self) -> str:
        """The scheme or whatever else tells most of the labels, for `repr`."""
        return self.scheme

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of their tags."""
        return tuple(self.cfg["labels"])

    @property
    def label_data(self) -> list[str]:
        """The output of `spacy init labels`, for `initialize`."""
        return list(self.labels)

    @property
    def scheme(self) -> str:
        """The scheme of the tags, which can't change."""
        return self.cfg["scheme"]

    @property
    def tagset(self) -> TagSet:
        """The tags of the labels in the component's scheme."""
        return _make_tagset(self.labels, self.scheme)

    @property
    def tag_groups(self) -> TagGroups | None:
        """The tags of groups of labels that are tagged apart; None without groups."""
        return None

    @property
    def untrained(self) -> tuple[str, ...]:
        """The labels that were added to a trained component, until the next update: it finds none
        of them."""
        return tuple(self.cfg["untrained"])

    def chains_of(self, labels: Sequence[str]) -> list[tuple[TagSet, slice]]:
        """RETURNS (list[tuple[TagSet, slice]]): The tags that the component has with these labels,
        of each group apart, and their columns.

        RAISES: ValueError for labels that it can't have.
        """
        tagset = TagSet(tuple(labels), self.scheme)
        return [(tagset, slice(0, len(tagset.tags)))]

    def tags_of(self, labels: Sequence[str]) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): All tags, K, that the component has with these labels.

        RAISES: ValueError for labels that it can't have.
        """
        return tuple(tag for tagset, _ in self.chains_of(labels) for tag in tagset.tags)

    @property
    def head(self) -> Head:
        """The settings of the head."""
        return emitter_shim(self.model.get_ref("emitter")).head

    def predict(self, docs: Iterable[Doc]) -> list[Any]:
        """Find the best analysis of each document, without writing to it.

        RETURNS (list[Any]): The task's analyses; for `bio_ner` `Entities`, found and preset.
        RAISES: ValueError before initialization, and for scores that are not finite.
        """
        docs = list(docs)
        return self.task.find(self.lattice(docs), self.presets(docs), self.reading())

    def _docs_of(self, given: _Given | Iterable[_Given]) -> list[Doc]:
        nlp = self.origin.nlp
        docs: list[Doc] = []
        for one in [given] if isinstance(given, str | Doc) else given:
            if isinstance(one, Doc):
                docs.append(one)
            elif not isinstance(one, str):
                raise ValueError(describe("docs", expected="Docs or texts", got=one))
            elif nlp is None:
                expected = f"Docs, for {self.name!r} does not know its pipeline"
                remedy = "make one with nlp.make_doc(text)"
                raise ValueError(describe("docs", expected=expected, got=one, remedy=remedy))
            else:
                docs.append(nlp.make_doc(one))
        return docs

    # A text is an iterable of texts, too: the first signature that fits counts.
    @overload
    def kbest(  # type: ignore[overload-overlap]
        self, docs: _Given, k: int
    ) -> list[Alternative]: ...

    @overload
    def kbest(self, docs: Iterable[_Given], k: int) -> list[list[Alternative]]: ...

    def kbest(self, docs: _Given | Iterable[_Given], k: int) -> list[Any]:
        """Find the k most probable analyses of each document, with their probabilities.

        docs (Doc | str | Iterable[Doc | str]): Documents, or texts to tokenize; nothing is written
            to them.
        k (int): The number of analyses; a short document may have fewer.
        RETURNS (list[list[Alternative]]): For each document, the most probable first; for a single
            Doc or text its own list.
        RAISES: ValueError for k that is no whole number above 0, for anything else than Docs and
            texts, and as `predict`.
        """
        own = self._docs_of(docs)
        lattice = self.lattice(own)
        found = self.task.find_alternatives(lattice, self.presets(own), self.reading(), k=k)
        found = [[replace(a, doc=doc) for a in of] for of, doc in zip(found, own, strict=True)]
        return found[0] if isinstance(docs, str | Doc) else found

    @overload
    def marginals(self, docs: _Given) -> np.ndarray: ...  # type: ignore[overload-overlap]

    @overload
    def marginals(self, docs: Iterable[_Given]) -> list[np.ndarray]: ...

    def marginals(self, docs: _Given | Iterable[_Given]) -> np.ndarray | list[np.ndarray]:
        """Compute the probability of each tag at each token.

        docs (Doc | str | Iterable[Doc | str]): Documents, or texts to tokenize; nothing is written
            to them.
        RETURNS (list[np.ndarray]): For each document float32 [n_tokens, K], in the order of
            `tagset.tags` or, with groups, `tag_groups.tags`; NaN for tokens without a sub-word and
            white space. For a single Doc or text its own array.
        RAISES: ValueError for anything else than Docs and texts, and as `predict`.
        """
        own = self._docs_of(docs)
        sizes = [len(doc) for doc in own]
        found = all_tag_marginals(self.lattice(own), self.presets(own), self.reading(), sizes=sizes)
        return found[0] if isinstance(docs, str | Doc) else found

    def lattice(self, docs: Sequence[Doc]) -> Lattice:
        """Compute the scores of all tag paths, before any constraint.

        RETURNS (Lattice): One row for each token that has a sub-word.
        RAISES: ValueError before initialization, and for scores that are not finite.
        """
        if not self.labels or not self.model.has_dim("nO"):
            raise ValueError(Errors.E109.format(name=self.name))
        lattice = self.model.predict(list(docs))
        check_finite(self.name, docs, lattice)
        return lattice

    def presets(self, docs: Iterable[Doc]) -> list[Annotation | None]:
        """Read the annotation of earlier components; None where this one keeps nothing of it."""
        return [self.task.presets(doc) for doc in docs]

    def reading(self, *, temperature: float | None = None) -> Reading:
        """Get the settings of decoding, which are made anew when a setting changes.

        temperature (float | None): The divisor of scores for probabilities; None takes the
            component's own.
        RETURNS (Reading): The settings.
        """
        own = self.temperature if temperature is None else temperature
        return _make_reading(self.tagset, self.head, own, untrained=self.untrained)

    @property
    def temperature(self) -> float:
        """The divisor of scores for probabilities: 1.0, until the component is calibrated.

        RAISES: ValueError when set to a number that is not above 0 and finite.
        """
        return self.cfg["temperature"]

    @temperature.setter
    def temperature(self, value: float) -> None:
        check_temperature(value)
        self.cfg["temperature"] = float(value)

    @property
    def precision(self) -> str:
        """The precision of the encoder: "fp32", "bf16", "fp16" or, in prediction only, "int8".

        RAISES: ValueError for an unknown precision, or an encoder without its own transformer.
        """
        return self.encoder.precision

    @precision.setter
    def precision(self, precision: str) -> None:
        self.encoder.precision = precision

    def transition_scores(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Copy the trained scores of the chain.

        RETURNS (tuple): Start [K], transition [K, K] (from, to) and end [K] scores; float32, in
            nats. Those from one group's tags to another's have no meaning.
        RAISES: ValueError before initialization.
        """
        start, transitions, end = (scores.cpu().numpy() for scores in chain_scores(self.model))
        return start, transitions, end

    def chain_of(self, group: str | None) -> tuple[TagSet, tuple[np.ndarray, ...]]:
        """Copy the trained scores of the chain of one group.

        group (str | None): Its name; None without groups.
        RETURNS (tuple): Its tags, and start [K], transition [K, K] and end [K] scores of them.
        RAISES: ValueError for a name that is none of a group, or none where there are groups.
        """
        start, transitions, end = self.transition_scores()
        groups = self.tag_groups
        if groups is None:
            if group is not None:
                expected = f"no group, for {self.name!r} has none"
                raise ValueError(describe("group", expected=expected, got=group))
            return self.tagset, (start, transitions, end)
        place = groups.place(group or "")
        own = groups.columns[place]
        return groups.tagsets[place], (start[own], transitions[own, own], end[own])

    def set_annotations(self, docs: Iterable[Doc], scores: Sequence[Any]) -> None:
        """Write analyses to their documents.

        scores (Sequence[Any]): The result of `predict` for them.
        """
        for doc, found in zip(docs, scores, strict=True):
            self.task.write(doc, found)


# Equal settings share one object, and with it the arrays that a tag set derives from its tags.
_make_tagset = lru_cache(maxsize=64)(TagSet)
_make_reading = lru_cache(maxsize=64)(Reading)
