"""Agreement of annotators: F1 of entities, and coefficients of tokens corrected for chance.

A coefficient is 1 - D_o / D_e, of the disagreement observed and the one expected by chance. Cohen's
kappa (Cohen 1960, "A coefficient of agreement for nominal scales") expects that each of two
annotators draws labels from a distribution of their own. Krippendorff's alpha (Krippendorff 2004,
"Content Analysis", chapter 11) expects that all draw from one pool of all labels given, without
putting them back; it takes any number of annotators, and tokens that some have not annotated. F1
has no chance model: what nobody annotates has no number (Hripcsak and Rothschild 2005, "Agreement,
the F-measure, and reliability in information retrieval").
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from typing import Any

import numpy as np
from spacy.tokens import Doc
from spacy.tokens import Span as SpacySpan

from ..errors import BioError, Plain, counted, describe
from ..tags.spans import EntIob, Span, annotated_labels
from .averages import count_entities, prf, strict_table
from .documents import Document
from .mistakes import Mistake, find_mistakes

UNKNOWN = -1  # instead of the id of a label
_SHOWN = 40  # characters of a text in a message


@dataclass(frozen=True)
class Annotations:
    """The annotation of the same documents by several annotators, on the tokens of the first.

    names (list[str]): The annotators.
    words (list[list[str]]): The tokens of each document, with the white space after them.
    spans (list[list[list[Span]]]): By annotator and document, the entities.
    known (list[list[np.ndarray]]): By annotator and document, the tokens that are annotated; bool
        [n_tokens].
    annotated (list[list[frozenset[str] | None]]): By annotator and document, the labels that are
        annotated; None for all.
    """

    names: list[str]
    words: list[list[str]]
    spans: list[list[list[Span]]]
    known: list[list[np.ndarray]]
    annotated: list[list[frozenset[str] | None]]

    def pair(self, first: int, second: int) -> list[Document]:
        """RETURNS (list[Document]): One annotator's entities as gold and another one's as
        predictions, as far as both have annotated their tokens and labels."""
        documents = []
        for i, words in enumerate(self.words):
            known = self.known[first][i] & self.known[second][i]
            labels = self._shared(i, (first, second))
            gold, predicted = (
                [
                    span
                    for span in self.spans[k][i]
                    if known[span[0] : span[1]].all() and (labels is None or span[2] in labels)
                ]
                for k in (first, second)
            )
            documents.append(Document(words, known, gold, predicted, [None] * len(predicted)))
        return documents

    def labels(self) -> list[str]:
        """RETURNS (list[str]): All labels, sorted."""
        return sorted({span[2] for side in self.spans for own in side for span in own})

    def token_ids(
        self, labels: Sequence[str], annotators: Sequence[int] | None = None
    ) -> np.ndarray:
        """RETURNS (np.ndarray): The label of each token by annotator, all or some of them: 0 is
        none, also for labels that not all of them annotate, `UNKNOWN` not annotated, others are
        places in `labels` from 1; int64 [annotators, n_tokens]."""
        chosen = range(len(self.names)) if annotators is None else annotators
        ids = {label: i for i, label in enumerate(labels, start=1)}
        shared = [self._shared(i, chosen) for i in range(len(self.words))]
        own = [
            ids if among is None else {label: n for label, n in ids.items() if label in among}
            for among in shared
        ]
        return np.stack([self._row(k, own) for k in chosen])

    def tokens_with(self, label: str) -> np.ndarray:
        """RETURNS (np.ndarray): Whether each token has a label, by annotator: 1 or 0, `UNKNOWN` if
        the token or the label is not annotated; int64 [annotators, n_tokens]."""
        return np.stack(
            [
                self._row(k, [{label: 1} if own is None or label in own else None for own in side])
                for k, side in enumerate(self.annotated)
            ]
        )

    def _row(self, annotator: int, ids: Sequence[Mapping[str, int] | None]) -> np.ndarray:
        """Number the tokens of an annotator by label, 0 for others; `UNKNOWN` without `ids`."""
        rows = [np.zeros(0, dtype=np.int64)]
        sides = zip(self.spans[annotator], self.known[annotator], ids, strict=True)
        for spans, known, own in sides:
            row = np.full(len(known), UNKNOWN)
            if own is not None:
                row[known] = 0
                for start, end, label in spans:
                    row[start:end] = own.get(label, 0)
            rows.append(row)
        return np.concatenate(rows)

    def _shared(self, document: int, annotators: Sequence[int]) -> frozenset[str] | None:
        """The labels that all of some annotators annotate in a document; None for any label."""
        own = [self.annotated[k][document] for k in annotators]
        return reduce(lambda a, b: b if a is None else a if b is None else a & b, own)


def read_sides(annotated: Mapping[str, Sequence[Doc]]) -> Annotations:
    """Put the annotation of several annotators side by side.

    annotated (Mapping[str, Sequence[Doc]]): For each annotator, the documents in one order. Tokens
        may differ where texts are equal; an entity then has all tokens that it shares a character
        with.
    RETURNS (Annotations): Their annotation.
    RAISES: BioError that names the document for numbers of documents or texts that differ.
    """
    names = list(annotated)
    first, docs = names[0], annotated[names[0]]
    sides = Annotations(names, [[token.text_with_ws for token in doc] for doc in docs], [], [], [])
    for name, own in annotated.items():
        for i, (doc, other) in enumerate(zip(docs, own, strict=False)):
            if doc.text != other.text and [t.text for t in doc] != [t.text for t in other]:
                expected = f"the text of {first}, {_excerpt(doc)!r}"
                place = f"{name}, document {i + 1}"
                raise BioError(describe(place, expected=expected, got=_excerpt(other)))
        if len(own) != len(docs):
            expected = f"{counted(len(docs), 'document')} as in {first}"
            raise BioError(describe(name, expected=expected, got=Plain(str(len(own)))))
        pairs = [_carry(doc, other) for doc, other in zip(docs, own, strict=True)]
        sides.spans.append([spans for spans, _ in pairs])
        sides.known.append([known for _, known in pairs])
        sides.annotated.append([annotated_labels(doc) for doc in own])
    return sides


def agreement(sides: Annotations) -> dict[str, Any]:
    """Compute the agreement of annotators.

    sides (Annotations): Their annotation.
    RETURNS (dict): `annotators`, `documents`, `tokens`; under `pairs` for each two `annotators`
        `entity` (as from `strict_table`; P and R are those of the second one), `token` (`p`, `r`,
        `f` of tokens with a label), `cohen` and `cohen_of_entities` (on tokens that either of them
        annotates as part of an entity); under `krippendorff` `all`, and `per_type` by label.
        Coefficients are None where nothing but one label occurs.
    """
    labels = sides.labels()
    ids = sides.token_ids(labels)
    pairs = []
    for a, b in combinations(range(len(sides.names)), 2):
        both = sides.token_ids(labels, (a, b))
        both = both[:, (both != UNKNOWN).all(axis=0)]
        documents = sides.pair(a, b)
        pairs.append(
            {
                "annotators": [sides.names[a], sides.names[b]],
                "entity": strict_table(count_entities(documents)),
                "token": _token_scores(both),
                "cohen": cohen_kappa(both),
                "cohen_of_entities": cohen_kappa(both[:, both.any(axis=0)]),
                "disagreements": len(find_mistakes(documents)),
            }
        )
    per_type = {label: krippendorff_alpha(sides.tokens_with(label)) for label in labels}
    return {
        "annotators": sides.names,
        "documents": len(sides.words),
        "tokens": int(ids.shape[1]),
        "pairs": pairs,
        "krippendorff": {"all": krippendorff_alpha(ids), "per_type": per_type},
    }


def disagreements(sides: Annotations) -> list[tuple[int, int, list[Document], list[Mistake]]]:
    """RETURNS (list): For each two annotators their indices, their documents, and where they
    differ, as if the second one's entities were predictions."""
    found = []
    for a, b in combinations(range(len(sides.names)), 2):
        documents = sides.pair(a, b)
        found.append((a, b, documents, find_mistakes(documents)))
    return found


def connected(
    spans: Sequence[Span], first: Sequence[Span], second: Sequence[Span]
) -> tuple[list[Span], list[Span]]:
    """Find the entities that change together if annotation gives way to that of another annotator.

    spans (Sequence[Span]): Entities that one of the annotators has alone.
    first, second (Sequence[Span]): All entities of both annotators in that document.
    RETURNS (tuple[list[Span], list[Span]]): Those of the first one that go and those of the second
        one that come: the spans, and what a chain of overlaps connects with them.
    """
    alone = set(first) ^ set(second)
    found = set(spans)
    while more := {
        (start, end, label)
        for start, end, label in alone - found
        if any(start < e and end > s for s, e, _ in found)
    }:
        found |= more
    return [s for s in first if s in found], [s for s in second if s in found]


def carry_span(doc: Doc, span: SpacySpan) -> Span:
    """RETURNS (Span): A span of another document with the same text, on all tokens of this one that
    it shares a character with."""
    own: Any = doc.char_span(span.start_char, span.end_char, alignment_mode="expand")
    return own.start, own.end, span.label_


def cohen_kappa(ids: np.ndarray) -> float | None:
    """Compute Cohen's kappa of two annotators.

    ids (np.ndarray): The label of each token; int64 [2, n_tokens].
    RETURNS (float | None): 1 for full agreement, 0 for that of chance; None where both have used
        one and the same label alone.
    """
    n = ids.shape[1]
    size = int(ids.max(initial=0)) + 1
    first, second = (np.bincount(row, minlength=size) for row in ids)
    chance = float(first @ second) / n**2 if n else 1.0
    if chance == 1.0:
        return None
    observed = float((ids[0] == ids[1]).mean())
    return (observed - chance) / (1.0 - chance)


def krippendorff_alpha(ids: np.ndarray) -> float | None:
    """Compute Krippendorff's alpha for nominal data.

    ids (np.ndarray): The label of each token by annotator, `UNKNOWN` for none; int64 [annotators,
        n_tokens]. Tokens that fewer than two have annotated do not count.
    RETURNS (float | None): 1 for full agreement, 0 for that of chance; None where all have used one
        and the same label alone.
    """
    size = int(ids.max(initial=0)) + 1
    # shape: (n_tokens, labels)
    counts = np.stack([(ids == label).sum(axis=0) for label in range(size)], axis=1)
    given = counts.sum(axis=1)
    counts, given = counts[given > 1].astype(np.float64), given[given > 1].astype(np.float64)
    pool = counts.sum(axis=0)
    n = pool.sum()
    expected = n**2 - (pool**2).sum()
    if expected == 0.0:
        return None
    observed = ((given**2 - (counts**2).sum(axis=1)) / (given - 1.0)).sum()
    return float(1.0 - (n - 1.0) * observed / expected)


def _token_scores(both: np.ndarray) -> dict[str, float]:
    """P, R and F1 of tokens with a label; int64 [2, n_tokens]."""
    right = int(((both[0] == both[1]) & (both[0] > 0)).sum())
    first, second = (int((row > 0).sum()) for row in both)
    scores = prf(np.array([right, second - right, first - right])).tolist()
    return dict(zip("prf", scores, strict=True))


def _carry(doc: Doc, other: Doc) -> tuple[list[Span], np.ndarray]:
    """The entities of `other` and its annotated tokens, on the tokens of `doc`."""
    known = np.array([token.ent_iob != EntIob.MISSING for token in other], dtype=bool)
    if [token.text for token in doc] == [token.text for token in other]:
        return [(ent.start, ent.end, ent.label_) for ent in other.ents], known
    missing = [token for token, there in zip(other, known, strict=True) if not there]
    carried = np.ones(len(doc), dtype=bool)
    for token in missing:
        start, end, _ = carry_span(doc, other[token.i : token.i + 1])
        carried[start:end] = False
    spans: list[Span] = []
    for ent in other.ents:
        span = carry_span(doc, ent)
        # Of two entities that come to share a token the first one stays.
        if not spans or span[0] >= spans[-1][1]:
            spans.append(span)
    return spans, carried


def _excerpt(doc: Doc) -> str:
    return doc.text if len(doc.text) <= _SHOWN else f"{doc.text[:_SHOWN]}…"
