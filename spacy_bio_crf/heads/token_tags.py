"""Decoding of lattices without a scheme: a label for each token, the k best sequences."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from spacy.tokens import Doc

from .. import crf
from ..errors import check_count
from ..gold.annotation import Annotation
from ..gold.token_labels import TokenLabels
from .decode import Presets, Reading, close_paths, decode_tags, temper
from .emitter import Head
from .lattice import Lattice


@dataclass(frozen=True)
class FoundLabels:
    """The labels of one document, by rows of the lattice.

    preset (Annotation | None): Labels that an earlier component has set, which are kept.
    tokens (np.ndarray): The token of each row; int64 [n].
    labels (list[str]): Its label.
    scores (list[float] | None): The label's probability; None if not asked for.
    """

    preset: Annotation | None
    tokens: np.ndarray
    labels: list[str]
    scores: list[float] | None = None


@dataclass(frozen=True)
class LabelSequence:
    """One of the k best label sequences of a document.

    found (dict[int, str]): The label of each token that has one, preset ones among them.
    probability (float): The probability of the sequence among all possible ones.
    doc (Doc | None): The document.
    """

    found: dict[int, str]
    probability: float
    doc: Doc | None = field(default=None, compare=False)

    @property
    def labels(self) -> list[str | None]:
        """The label of each token of the document; None for one without a label."""
        n_tokens = len(self.doc) if self.doc is not None else max(self.found, default=-1) + 1
        return [self.found.get(i) for i in range(n_tokens)]

    def __str__(self) -> str:
        words = range(len(self.labels)) if self.doc is None else [t.text for t in self.doc]
        pairs = [f"{w}/{x}" for w, x in zip(words, self.labels, strict=True) if x is not None]
        return f"{self.probability:.4f}: {' '.join(pairs) or 'no label'}"

    def __repr__(self) -> str:
        return f"LabelSequence({self})"


def find_labels(
    lattice: Lattice, presets: Presets, reading: Reading, *, scored: bool
) -> list[FoundLabels]:
    """Find the best label sequence of each document.

    lattice (Lattice): The scores of the network.
    presets (Presets): The labels to keep; those of the tag set also tell a CRF of their neighbors.
    reading (Reading): The settings; the tag set has no scheme.
    scored (bool): Compute the marginal probability of each label.
    RETURNS (list[FoundLabels]): One for each document.
    """
    lattice = close_paths(lattice, presets, reading)
    tags = _best_tags(reading.head, lattice)
    names = reading.tagset.tags
    scores: Sequence[np.ndarray | None] = [None] * len(lattice.tokens)
    if scored:
        chain = temper(lattice, reading.temperature)
        rows = np.arange(len(tags))
        # Rounding may carry a certain tag a little over 1.
        scores = lattice.split(np.minimum(_marginals(reading.head, chain)[rows, tags], 1.0))
    return [
        FoundLabels(preset, tokens, [names[i] for i in own], None if p is None else p.tolist())
        for preset, tokens, own, p in zip(
            presets, lattice.tokens, lattice.split(tags), scores, strict=True
        )
    ]


def find_label_sequences(
    lattice: Lattice, presets: Presets, reading: Reading, *, k: int
) -> list[list[LabelSequence]]:
    """Find the k most probable label sequences of each document.

    The arguments are those of `find_labels`.

    k (int): The number of sequences; a short document may have fewer.
    RETURNS (list[list[LabelSequence]]): For each document, the most probable first.
    RAISES: ValueError for k below 1.
    """
    check_count("k", k, least=1)
    chain = temper(close_paths(lattice, presets, reading), reading.temperature)
    names = reading.tagset.tags
    sequences = []
    for preset, tokens, paths in zip(
        presets, lattice.tokens, crf.kbest(*chain.arguments, k=k), strict=True
    ):
        kept = _kept_labels(preset)
        own = []
        for path in paths:
            found = {int(t): names[i] for t, i in zip(tokens, path.tags, strict=True)}
            own.append(LabelSequence({**found, **kept}, float(np.exp(path.log_probability))))
        sequences.append(own)
    return sequences


def _best_tags(head: Head, lattice: Lattice) -> np.ndarray:
    """The best tag of each row, int64 [N]. Without transitions that is the best of each token."""
    if not head.crf:
        return lattice.emissions.argmax(dim=1).cpu().numpy()
    return decode_tags(head, lattice)


def _marginals(head: Head, chain: Lattice) -> np.ndarray:
    """The probability of each tag at each row; float [N, K]."""
    if not head.crf:
        return chain.emissions.softmax(dim=1).cpu().numpy()
    return crf.marginals(*chain.arguments).cpu().numpy()


def _kept_labels(preset: Annotation | None) -> dict[int, str]:
    if not isinstance(preset, TokenLabels):
        return {}
    return {i: label for i, label in enumerate(preset.labels) if label is not None}
