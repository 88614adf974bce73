"""Gold entities with probabilities, and the chances of tags that follow from them.

Each span i has a probability p_i. The annotation then stands for the distribution of highest
entropy over sets of spans without overlap in which each span has its probability. Read from left to
right, it is a Markov chain: where no span goes on at row t, which has the probability

    f_t = 1 - Σ p_i of the spans with start_i < t < end_i,

the span i begins with probability p_i / f_t if its start is t, and row t is outside otherwise. So
spans that share no token are independent of each other, and spans that do exclude each other. If
the probabilities of the spans over some token exceed 1 together, those of each span are divided by
the largest such sum within it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from spacy.tokens import Doc

from ..errors import BioError, describe, is_number
from ..tags.spans import SCORES, Span
from ..tags.tagset import TagSet
from .annotation import Annotation, between_words

# In `doc.user_data`: the factor on the loss of a document.
WEIGHT = "bio_ner_weight"


@dataclass(frozen=True)
class Gap:
    """Neighboring rows without annotation.

    start, end (int): The first row and the exclusive end.
    before, after (np.ndarray | None): The chances of the tag of the annotated row in front of them,
        and of the one behind them, float64 [K]; None at the edge of the document.
    parted (np.ndarray): Whether an annotated token without a row lies in front of each row; bool
        [end - start].
    """

    start: int
    end: int
    before: np.ndarray | None
    after: np.ndarray | None
    parted: np.ndarray


@dataclass(frozen=True)
class TagChances:
    """The chances of tags in a document, under the distribution of its annotation; float64.

    tags (np.ndarray): Of each tag at each row; 0 in rows without annotation; [n, K].
    start, end (np.ndarray): Of the tag of the first and of the last row; [K].
    pairs (np.ndarray): The expected number of pairs of neighboring annotated rows, (from, to);
        [K, K].
    gaps (list[Gap]): The rows without annotation.
    """

    tags: np.ndarray
    start: np.ndarray
    pairs: np.ndarray
    end: np.ndarray
    gaps: list[Gap]


@dataclass(frozen=True)
class SoftAnnotation(Annotation):
    """Entities with probabilities. `spans` may overlap.

    probabilities (tuple[float, ...]): Of each span, above 0 and at most 1.
    """

    probabilities: tuple[float, ...] = ()

    def chances(self, tagset: TagSet, words: np.ndarray) -> TagChances:
        """Compute the chances of tags. A label outside the tag set counts as O.

        tagset (TagSet): The tags, in a scheme.
        words (np.ndarray): The token of each row, in order, each once; int64 [n].
        RETURNS (TagChances): Exact ones, by the formula above.
        """
        n, n_tags = len(words), len(tagset.tags)
        known = self.known[words]
        spans, chances = self._rows(tagset, words)
        tags, begins, ends = (np.zeros((n, n_tags)) for _ in range(3))
        pairs = np.zeros((n_tags, n_tags))
        for (start, end, label), chance in zip(spans, chances, strict=True):
            own = tagset.encode([(0, end - start, label)], end - start)
            tags[np.arange(start, end), own] += chance
            begins[start, own[0]] += chance
            ends[end - 1, own[-1]] += chance
            np.add.at(pairs, (own[:-1], own[1:]), chance)
        outside = np.where(known, (1.0 - tags.sum(axis=1)).clip(0.0, 1.0), 0.0)
        for array in (tags, begins, ends):
            array[:, 0] += outside
        # Where no span goes on, the tag before and the one that begins are independent.
        free = begins.sum(axis=1)
        joined = known[1:] & known[:-1] & (free[1:] > 0.0)
        pairs += (ends[:-1][joined] / free[1:][joined][:, None]).T @ begins[1:][joined]
        edges = (begins[0], ends[-1]) if n else (np.zeros(n_tags), np.zeros(n_tags))
        return TagChances(tags, edges[0], pairs, edges[1], self._gaps(words, begins, ends))

    def _rows(self, tagset: TagSet, words: np.ndarray) -> tuple[list[Span], list[float]]:
        """The spans in rows, and their probabilities, which no row has more than 1 of."""
        edges = np.searchsorted(words, [span[:2] for span in self.spans]).reshape(-1, 2)
        found = [
            ((int(start), int(end), span[2]), p)
            for (start, end), span, p in zip(edges, self.spans, self.probabilities, strict=True)
            if start < end and span[2] in tagset.labels
        ]
        # shape: [n]
        sums = np.zeros(len(words))
        for (start, end, _), p in found:
            sums[start:end] += p
        spans = [span for span, _ in found]
        return spans, [p / max(1.0, float(sums[start:end].max())) for (start, end, _), p in found]

    def _gaps(self, words: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> list[Gap]:
        known = np.concatenate([[True], self.known[words], [True]])
        steps = np.diff(known.astype(np.int8))
        parted = np.zeros(len(words), dtype=bool)
        parted[1:] = between_words(self.known, words)
        return [
            Gap(
                start,
                end,
                ends[start - 1] if start else None,
                begins[end] if end < len(words) else None,
                parted[start:end],
            )
            for start, end in zip(
                np.flatnonzero(steps < 0).tolist(), np.flatnonzero(steps > 0).tolist(), strict=True
            )
        ]


def read_probabilities(doc: Doc, key: str) -> dict[Span, float]:
    """Read the probabilities of a group of spans, `attrs["scores"]`, as spaCy's `spancat` has them.

    doc (Doc): An annotated document.
    key (str): The name of the group in `doc.spans`.
    RETURNS (dict[Span, float]): Of each span: 1 in a group without scores. Of spans that are there
        twice the higher one counts.
    RAISES: ValueError unless there is one probability for each span.
    """
    group = doc.spans.get(key)
    if group is None:
        return {}
    scores: Any = group.attrs.get(SCORES)
    place = f"document {doc.text[:40]!r}, doc.spans[{key!r}].attrs[{SCORES!r}]"
    if scores is None:
        scores = [1.0] * len(group)
    elif len(scores) != len(group):
        expected = f"{len(group)} probabilities, one for each span"
        raise BioError(describe(place, expected=expected, got=len(scores)))
    found: dict[Span, float] = {}
    for span, score in zip(group, map(_plain, scores), strict=True):
        if not is_number(score) or not 0.0 <= score <= 1.0:
            raise BioError(describe(place, expected="probabilities, 0 to 1", got=score))
        own = (span.start, span.end, span.label_)
        found[own] = max(score, found.get(own, 0.0))
    return found


def read_weight(doc: Doc) -> float:
    """RETURNS (float): The factor on the loss of an annotated document, `doc.user_data[WEIGHT]`; 1
    without one. RAISES: ValueError for anything but a number from 0 on."""
    weight = _plain(doc.user_data.get(WEIGHT, 1.0))
    if not is_number(weight) or weight < 0.0:
        place = f"document {doc.text[:40]!r}, doc.user_data[{WEIGHT!r}]"
        raise BioError(describe(place, expected="a number, 0 or more", got=weight))
    return float(weight)


def _plain(number: Any) -> Any:
    # Arrays of numpy and cupy hold numbers of types of their own.
    return number.item() if hasattr(number, "item") else number
