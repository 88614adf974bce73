"""From a lattice to entities: the best analysis with its confidence, the k best, tag marginals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from spacy.tokens import Doc

from .. import crf as linear_chain
from ..gold import annotation as gold
from ..gold.annotation import Annotation
from ..tags.spans import Span, spans_of_rows
from ..tags.tagset import TagSet
from . import emitter as heads
from .emitter import Head, Lattice
from .posterior import entity_probabilities, temper


@dataclass(frozen=True)
class Reading:
    """How lattices are read.

    tagset (TagSet): The tags.
    head (Head): Whether sequences have to be legal.
    repair (str): How a stray I- is read where they need not be: "begin" or "discard".
    overwrite (bool): Ignore what earlier components have set.
    temperature (float): What scores are divided by for probabilities.
    """

    tagset: TagSet
    head: Head
    repair: str
    overwrite: bool
    temperature: float


@dataclass(frozen=True)
class Entities:
    """The entities of one document, in tokens.

    preset (list[Span]): Those an earlier component has set, which are kept.
    found (list[Span]): Those the model has found.
    scores (list[float] | None): The probability of each one found; None if not asked for.
    """

    preset: list[Span]
    found: list[Span]
    scores: list[float] | None = None


@dataclass(frozen=True)
class Alternative:
    """One of the k best analyses of a document.

    spans (list[Span]): Its entities, in tokens, presets among them.
    probability (float): Of its tag sequence, among all that are possible.
    """

    spans: list[Span]
    probability: float


def find_entities(
    docs: Sequence[Doc], lattice: Lattice, reading: Reading, *, scored: bool, threshold: float = 0.0
) -> list[Entities]:
    """The best analysis of each document.

    docs (Sequence[Doc]): The documents.
    lattice (Lattice): What the network said of them.
    reading (Reading): How to read it.
    scored (bool): Compute probabilities.
    threshold (float): Least probability of an entity, if `scored`.
    RETURNS (list[Entities]): One for each document.
    """
    presets, lattice = _restrict(docs, lattice, reading)
    tags = heads.decode(reading.head, lattice)
    rows = [reading.tagset.decode(t, repair=reading.repair) for t in _split(tags, lattice)]
    if not scored:
        return [
            _entities(preset, spans_of_rows(spans, tokens), None, threshold)
            for preset, spans, tokens in zip(presets, rows, lattice.tokens, strict=True)
        ]
    tempered = temper(lattice, reading.temperature)
    scores = entity_probabilities(reading.tagset, tempered, tags, rows)
    return [
        _entities(preset, spans_of_rows(spans, tokens), p.tolist(), threshold)
        for preset, spans, tokens, p in zip(presets, rows, lattice.tokens, scores, strict=True)
    ]


def find_alternatives(
    docs: Sequence[Doc], lattice: Lattice, reading: Reading, *, k: int
) -> list[list[Alternative]]:
    """The k most probable tag sequences of each document, as entities.

    docs (Sequence[Doc]): The documents.
    lattice (Lattice): What the network said of them.
    reading (Reading): How to read it.
    k (int): How many; fewer come back where there are fewer.
    RETURNS (list[list[Alternative]]): For each document, the most probable first.
    """
    if k < 1:
        raise ValueError(f"The number of alternatives, k, is {k}; expected 1 or more.")
    presets, lattice = _restrict(docs, lattice, reading)
    chain = temper(lattice, reading.temperature)
    alternatives = []
    for preset, tokens, paths in zip(
        presets, lattice.tokens, linear_chain.kbest(*_arguments(chain), k=k), strict=True
    ):
        analyses = []
        for path in paths:
            rows = reading.tagset.decode(path.tags, repair=reading.repair)
            found = _entities(preset, spans_of_rows(rows, tokens), None, 0.0)
            spans = sorted([*found.preset, *found.found])
            analyses.append(Alternative(spans, float(np.exp(path.log_probability))))
        alternatives.append(analyses)
    return alternatives


def tag_marginals(docs: Sequence[Doc], lattice: Lattice, reading: Reading) -> list[np.ndarray]:
    """The probability of each tag at each token.

    docs (Sequence[Doc]): The documents.
    lattice (Lattice): What the network said of them.
    reading (Reading): How to read it.
    RETURNS (list[np.ndarray]): For each document float32 [n_tokens, K], in the order of the tag
        set; NaN for tokens without a sub-word and white space, of which the model says nothing.
    """
    _, lattice = _restrict(docs, lattice, reading)
    marginals = linear_chain.marginals(*_arguments(temper(lattice, reading.temperature)))
    results = []
    for doc, tokens, rows in zip(
        docs, lattice.tokens, _split(marginals.cpu().numpy(), lattice), strict=True
    ):
        result = np.full((len(doc), rows.shape[1]), np.nan, dtype=np.float32)
        result[tokens] = rows
        results.append(result)
    return results


def check_finite(name: str, docs: Sequence[Doc], lattice: Lattice) -> None:
    """See to it that no score is NaN or infinite, where no path could be told from another.

    name (str): The component's name, for the message.
    docs (Sequence[Doc]): The documents.
    lattice (Lattice): What the network said of them.
    RAISES: ValueError that names the document and the token.
    """
    if all(bool(torch.isfinite(scores).all()) for scores in lattice.scores):
        return
    finite = _split(torch.isfinite(lattice.emissions).all(dim=1).cpu().numpy(), lattice)
    for i, (doc, tokens, rows) in enumerate(zip(docs, lattice.tokens, finite, strict=True)):
        if not rows.all():
            token = doc[int(tokens[int(rows.argmin())])]
            raise ValueError(
                f"The scores {name!r} gives to document {i} of the batch ({doc.text[:40]!r}) are"
                f" not finite at token {token.i} ({token.text!r}): the model's weights have gone"
                " astray."
            )
    raise ValueError(
        f"The transition scores of {name!r} are not finite: the model's weights have gone astray."
    )


def _restrict(
    docs: Sequence[Doc], lattice: Lattice, reading: Reading
) -> tuple[list[Annotation | None], Lattice]:
    """Presets of the documents, and the lattice without the paths they and the scheme forbid."""
    presets = [None if reading.overwrite else gold.read_presets(doc) for doc in docs]
    allowed = None
    if any(presets):
        nothing = [Annotation([], np.zeros(len(doc), dtype=bool)) for doc in docs]
        allowed = np.concatenate(
            [
                gold.allowed_tags(preset or blank, reading.tagset, tokens, continued=False)
                for preset, blank, tokens in zip(presets, nothing, lattice.tokens, strict=True)
            ]
        )
    return presets, heads.restrict(reading.head, reading.tagset, lattice, allowed)


def _entities(
    preset: Annotation | None, spans: list[Span], scores: list[float] | None, threshold: float
) -> Entities:
    """Beside presets, only those stand that touch no preset and no blocked token."""
    keep = [
        (preset is None or not preset.known[start:end].any())
        and (scores is None or scores[i] >= threshold)
        for i, (start, end, _) in enumerate(spans)
    ]
    found = [span for span, kept in zip(spans, keep, strict=True) if kept]
    if scores is not None:
        scores = [score for score, kept in zip(scores, keep, strict=True) if kept]
    return Entities([] if preset is None else preset.spans, found, scores)


def _split(rows: np.ndarray, lattice: Lattice) -> list[np.ndarray]:
    return np.split(rows, np.cumsum(lattice.lengths, dtype=np.int64))[:-1]


def _arguments(lattice: Lattice) -> tuple:
    return lattice.emissions, lattice.lengths, lattice.start, lattice.transitions, lattice.end
