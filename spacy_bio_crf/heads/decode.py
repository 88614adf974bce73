"""Decoding of lattices: the best analysis with its confidence, the k best, tag marginals."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from spacy.tokens import Doc
from spacy.tokens import Span as SpacySpan

from .. import crf
from ..errors import BioError, Plain, check_count, describe
from ..gold.annotation import Annotation
from ..tags.groups import TagGroups
from ..tags.spans import Span, spans_of_rows
from ..tags.tagset import TagSet
from .emitter import Head
from .lattice import Lattice, restrict

# For each document: an earlier component's annotation, which is kept; None if there is none.
Presets = Sequence[Annotation | None]


@dataclass(frozen=True)
class Reading:
    """Settings of decoding.

    tagset (TagSet): The tags; without labels where there are groups.
    head (Head): Whether sequences have to be legal.
    temperature (float): The divisor of scores for probabilities.
    groups (TagGroups | None): The tags of groups of labels, for the functions of `grouped`.
    untrained (tuple[str, ...]): Labels that are never found, because nothing has trained them yet.
    """

    tagset: TagSet
    head: Head
    temperature: float = 1.0
    groups: TagGroups | None = None
    untrained: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entities:
    """The entities of one document, in tokens.

    preset (Annotation | None): Those that an earlier component has set, which are kept.
    found (list[Span]): Those that the model has found.
    scores (list[float] | None): The probability of each one found; None if not asked for.
    groups (TagGroups | None): The groups of labels whose entities may overlap, if there are any.
    """

    preset: Annotation | None
    found: list[Span]
    scores: list[float] | None = None
    groups: TagGroups | None = None


@dataclass(frozen=True)
class Alternative:
    """One of the k best analyses of a document.

    spans (list[Span]): Its entities, in tokens, with the preset ones.
    probability (float): The probability of its tag sequence among all possible ones.
    doc (Doc | None): The document.
    """

    spans: list[Span]
    probability: float
    doc: Doc | None = field(default=None, compare=False)

    @property
    def ents(self) -> list[SpacySpan]:
        """Its entities as spaCy's spans; `doc.ents` stays as it is."""
        if self.doc is None:
            return []
        return [SpacySpan(self.doc, start, end, label=label) for start, end, label in self.spans]

    def __str__(self) -> str:
        texts = [f"{ent.text} ({ent.label_})" for ent in self.ents] or map(str, self.spans)
        return f"{self.probability:.4f}: {', '.join(texts) or 'no entity'}"

    def __repr__(self) -> str:
        return f"Alternative({self})"


def find_entities(
    lattice: Lattice,
    presets: Presets,
    reading: Reading,
    *,
    scored: bool,
    repair: str = "begin",
    threshold: float = 0.0,
) -> list[Entities]:
    """Find the best analysis of each document.

    lattice (Lattice): The scores of the network.
    presets (Presets): The annotation to keep.
    reading (Reading): The settings.
    scored (bool): Compute probabilities.
    repair (str): The rule for sequences that are not legal: "begin" or "discard".
    threshold (float): Least probability of an entity, if `scored`.
    RETURNS (list[Entities]): One for each document.
    """
    lattice = close_paths(lattice, presets, reading)
    tags = decode_tags(reading.head, lattice)
    rows = [reading.tagset.decode(t, repair=repair) for t in lattice.split(tags)]
    scores: Sequence[np.ndarray | None] = [None] * len(rows)
    if scored:
        tempered = temper(lattice, reading.temperature)
        scores = entity_probabilities(reading.tagset, tempered, tags, rows)
    return [
        _beside(preset, spans_of_rows(spans, tokens), p, threshold)
        for preset, spans, tokens, p in zip(presets, rows, lattice.tokens, scores, strict=True)
    ]


def find_alternatives(
    lattice: Lattice, presets: Presets, reading: Reading, *, k: int, repair: str = "begin"
) -> list[list[Alternative]]:
    """Find the k most probable tag sequences of each document, as entities.

    The arguments are those of `find_entities`.

    k (int): The number of sequences; a short document may have fewer.
    RETURNS (list[list[Alternative]]): For each document, the most probable first.
    RAISES: ValueError for k below 1.
    """
    check_count("k", k, least=1)
    chain = temper(close_paths(lattice, presets, reading), reading.temperature)
    alternatives = []
    for preset, tokens, paths in zip(
        presets, lattice.tokens, crf.kbest(*chain.arguments, k=k), strict=True
    ):
        analyses = []
        for path in paths:
            rows = reading.tagset.decode(path.tags, repair=repair)
            found = _beside(preset, spans_of_rows(rows, tokens), None, 0.0).found
            spans = sorted([*([] if preset is None else preset.spans), *found])
            analyses.append(Alternative(spans, float(np.exp(path.log_probability))))
        alternatives.append(analyses)
    return alternatives


def tag_marginals(
    lattice: Lattice, presets: Presets, reading: Reading, *, sizes: Sequence[int]
) -> list[np.ndarray]:
    """Compute the probability of each tag at each token.

    The arguments are those of `find_entities`.

    sizes (Sequence[int]): The number of tokens of each document.
    RETURNS (list[np.ndarray]): For each document float32 [n_tokens, K], in the order of the tag
        set; NaN for tokens that have no row: white space and tokens without a sub-word.
    """
    chain = temper(close_paths(lattice, presets, reading), reading.temperature)
    marginals = crf.marginals(*chain.arguments).cpu().numpy()
    results = []
    for size, tokens, rows in zip(sizes, lattice.tokens, lattice.split(marginals), strict=True):
        result = np.full((size, rows.shape[1]), np.nan, dtype=np.float32)
        result[tokens] = rows
        results.append(result)
    return results


def decode_tags(head: Head, lattice: Lattice) -> np.ndarray:
    """Find the best tag of each row of a restricted lattice, int64 [N]: by Viterbi, or by argmax
    for an unconstrained softmax."""
    if not head.crf and not head.constrained:
        tags = lattice.emissions.argmax(dim=1)
    else:
        tags, _ = crf.viterbi(*lattice.arguments)
    return tags.cpu().numpy()


def temper(lattice: Lattice, temperature: float) -> Lattice:
    """Divide all scores by a temperature, which changes probabilities and not the best path.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2, with paths for
    classes. Above 1 there is less confidence, below 1 more.
    """
    if temperature == 1.0:
        return lattice
    emissions, start, transitions, end = (scores / temperature for scores in lattice.scores)
    return replace(lattice, emissions=emissions, start=start, transitions=transitions, end=end)


def entity_probabilities(
    tagset: TagSet, lattice: Lattice, tags: np.ndarray, spans: Sequence[Sequence[Span]]
) -> list[np.ndarray]:
    """Compute the posterior probability of each entity in the decoded sequences.

    The probability of all paths that have exactly these tags on the entity's rows, and do not
    continue its label after them. It is computed by forward-backward (Rabiner 1989, section III.A;
    Culotta & McCallum 2004, "Confidence Estimation for Information Extraction", section 3).

    tagset (TagSet): The tags.
    lattice (Lattice): Restricted to the paths that decoding may take.
    tags (np.ndarray): The decoded tag ids; int64 [N].
    spans (Sequence[Sequence[Span]]): The entities of each document, in rows.
    RETURNS (list[np.ndarray]): For each document one probability per entity; float64 [n].
    """
    starts, ends, labels = [], [], []
    base = 0
    for length, document in zip(lattice.lengths, spans, strict=True):
        for start, end, label in document:
            starts.append(base + start)
            ends.append(base + end)
            labels.append(tagset.labels.index(label))
        base += length
    if not starts:
        return [np.zeros(0) for _ in spans]
    goes_on = ~tagset.legal_start & (tagset.label_of == np.array(labels)[:, None])
    log_p = crf.segment_log_posteriors(
        *lattice.arguments,
        starts=torch.tensor(starts),
        ends=torch.tensor(ends),
        tags=torch.from_numpy(
            np.concatenate([tags[s:e] for s, e in zip(starts, ends, strict=True)])
        ),
        followers=torch.from_numpy(~goes_on),
    )
    # Rounding may carry a certain entity a little over 1.
    probabilities = np.minimum(log_p.double().exp().cpu().numpy(), 1.0)
    return np.split(
        probabilities, np.cumsum([len(document) for document in spans], dtype=np.int64)
    )[:-1]


def check_finite(name: str, docs: Sequence[Doc], lattice: Lattice) -> None:
    """Raise a ValueError that names component, document and token if a score is not finite."""
    if all(bool(torch.isfinite(scores).all()) for scores in lattice.scores):
        return
    finite = lattice.split(torch.isfinite(lattice.emissions).all(dim=1).cpu().numpy())
    place = f"transition scores of {name!r}"
    for i, (doc, tokens, rows) in enumerate(zip(docs, lattice.tokens, finite, strict=True)):
        if not rows.all():
            token = doc[int(tokens[int(rows.argmin())])]
            place = (
                f"scores of {name!r} for document {i} of the batch ({doc.text[:40]!r}), token"
                f" {token.i} ({token.text!r})"
            )
            break
    remedy = "the weights have diverged: lower the learning rate or load an earlier pipeline"
    got = Plain("NaN or infinity, which are not finite")
    raise BioError(describe(place, expected="finite numbers", got=got, remedy=remedy))


def close_paths(lattice: Lattice, presets: Presets, reading: Reading) -> Lattice:
    """Close the paths that presets and the scheme forbid, and those of labels without training."""
    allowed = None
    n_tags = len(reading.tagset.tags)
    if any(preset is not None for preset in presets):
        allowed = np.concatenate(
            [
                np.ones((len(tokens), n_tags), dtype=bool)
                if preset is None
                else preset.allowed(reading.tagset, tokens, continued=False)
                for preset, tokens in zip(presets, lattice.tokens, strict=True)
            ]
        )
    closed = reading.tagset.has_label(reading.untrained)
    if closed.any():
        if allowed is None:
            allowed = np.ones((len(lattice.emissions), n_tags), dtype=bool)
        # A preset entity keeps its tags.
        allowed &= ~closed | ~(allowed & ~closed).any(axis=1, keepdims=True)
    return restrict(reading.head, reading.tagset, lattice, allowed)


def _beside(
    preset: Annotation | None, spans: list[Span], scores: np.ndarray | None, threshold: float
) -> Entities:
    """Keep the spans above the threshold that touch no preset entity and no blocked token."""
    keep = [
        (preset is None or not preset.known[start:end].any())
        and (scores is None or scores[i] >= threshold)
        for i, (start, end, _) in enumerate(spans)
    ]
    found = [span for span, kept in zip(spans, keep, strict=True) if kept]
    if scores is None:
        return Entities(preset, found)
    return Entities(preset, found, [float(p) for p, kept in zip(scores, keep, strict=True) if kept])
