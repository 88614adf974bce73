"""Confidence intervals of the figures, and a paired test between two pipelines.

Intervals are those of the percentile bootstrap over documents (Efron & Tibshirani 1993, "An
Introduction to the Bootstrap", section 13.3): draw as many documents as there are, with
replacement, and score them, many times over. Documents are drawn, not entities, because the
entities of one document depend on each other.

The test is approximate randomization (Noreen 1989, "Computer-Intensive Methods for Testing
Hypotheses"; Yeh 2000, "More accurate tests for the statistical significance of result
differences"). If two pipelines are equally good, their answers to any document can be exchanged.
The test exchanges them at random, document by document, and computes the difference of the scores
again, many times over. p = (n + 1) / (N + 1) for n of N differences at least as large as the real
one. The test makes no assumption about the distribution of F1.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .averages import StrictCounts, averages, divide, prf

SAMPLES_AT_ONCE = 256  # bounds the memory
ROUNDING = 1e-12  # rounding errors of a difference


@dataclass(frozen=True)
class Chance:
    """Settings of the bootstrap and of the test.

    resamples (int): Number of samples; 0 draws none.
    seed (int): The same seed gives the same figures.
    level (float): The share of samples within an interval.
    """

    resamples: int = 10_000
    seed: int = 0
    level: float = 0.95

    def named(self) -> dict[str, Any]:
        """RETURNS (dict): The settings, as the figures quote them."""
        return {"level": self.level, "resamples": self.resamples, "seed": self.seed}


def intervals(counted: StrictCounts, chance: Chance) -> dict[str, Any] | None:
    """Confidence intervals of the strict figures.

    counted (StrictCounts): The counts by document.
    chance (Chance): Number and seed of the samples.
    RETURNS (dict | None): `level`, `resamples`, `seed`; `all`, `macro`, `weighted` and, under
        `per_type`, each label: the low and the high end of `p`, `r` and `f`. None without samples,
        without labels, or with fewer than two documents.
    """
    if not chance.resamples or len(counted.counts) < 2 or not counted.labels:
        return None
    n_labels = len(counted.labels)
    ends = _bootstrap(_flat(counted), lambda counts: _figures(counts, n_labels), chance)
    rows = [dict(zip("prf", ends[:, i].T.tolist(), strict=True)) for i in range(ends.shape[1])]
    return {**chance.named(), **_by_name(rows, counted.labels)}


def difference(first: StrictCounts, second: StrictCounts, chance: Chance) -> dict[str, Any]:
    """Compare two pipelines on the same documents.

    first (StrictCounts): The counts of one pipeline by document.
    second (StrictCounts): Those of the other, of the same documents and labels.
    chance (Chance): Number and seed of the samples.
    RETURNS (dict): `resamples`, `seed`, `level`; `all`, `macro`, `weighted` and, under `per_type`,
        each label: for `p`, `r` and `f` the `difference` (first minus second), its `interval`
        (None without samples or with fewer than two documents) and the two-sided `p_value` (None
        without samples).
    RAISES: ValueError if labels or numbers of documents differ.
    """
    if first.labels != second.labels or len(first.counts) != len(second.counts):
        raise ValueError(
            "second: expected the same labels and documents as first, got"
            f" {second.labels} in {len(second.counts)} instead of"
            f" {first.labels} in {len(first.counts)}"
        )
    n_labels = len(first.labels)

    def gap(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return _figures(left, n_labels) - _figures(right, n_labels)

    tested = _test(_flat(first), _flat(second), gap, chance)
    rows = [dict(zip("prf", row, strict=True)) for row in tested]
    return {**chance.named(), **_by_name(rows, first.labels)}


def accuracy_difference(first: np.ndarray, second: np.ndarray, chance: Chance) -> dict[str, Any]:
    """Compare the accuracy of two pipelines on the same tokens.

    first (np.ndarray): The right tokens and all tokens of one pipeline by document; int64
        [n_documents, 2], with a token at least.
    second (np.ndarray): Those of the other, of the same documents.
    chance (Chance): Number and seed of the samples.
    RETURNS (dict): `resamples`, `seed`, `level`; `difference`, `interval` and `p_value` as in
        `difference`.
    RAISES: ValueError if the numbers of tokens differ.
    """
    if len(first) != len(second) or (first[:, 1] != second[:, 1]).any():
        raise ValueError(
            "second: expected the same tokens as first, got"
            f" {second[:, 1].sum()} in {len(second)} documents instead of"
            f" {first[:, 1].sum()} in {len(first)}"
        )

    def gap(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        # A sample of documents without a token that counts says nothing: no difference.
        return divide(left[:, 0] - right[:, 0], left[:, 1])[:, None, None]

    return {**chance.named(), **_test(first, second, gap, chance)[0][0]}


def _test(
    a: np.ndarray,
    b: np.ndarray,
    gap: Callable[[np.ndarray, np.ndarray], np.ndarray],
    chance: Chance,
) -> list[list[dict[str, Any]]]:
    """The `difference`, `interval` and `p_value` of each figure.

    a (np.ndarray): The counts of one pipeline by document; int64 [n_documents, columns].
    b (np.ndarray): Those of the other.
    gap (Callable): From sums of both, [size, columns], to differences of figures, [size, rows,
        keys].
    chance (Chance): Number and seed of the samples.
    RETURNS (list[list[dict]]): By row and key.
    """
    real = gap(a.sum(0, keepdims=True), b.sum(0, keepdims=True))[0]
    p_values = _randomize(a, b, gap, real, chance) if chance.resamples else None
    ends = None
    if chance.resamples and len(a) > 1:
        both = np.concatenate([a, b], axis=1)
        ends = _bootstrap(both, lambda counts: gap(*np.split(counts, 2, axis=1)), chance)
    return [
        [
            {
                "difference": float(real[i, j]),
                "interval": None if ends is None else ends[:, i, j].tolist(),
                "p_value": None if p_values is None else float(p_values[i, j]),
            }
            for j in range(real.shape[1])
        ]
        for i in range(real.shape[0])
    ]


def _bootstrap(
    counts: np.ndarray, figures: Callable[[np.ndarray], np.ndarray], chance: Chance
) -> np.ndarray:
    """Low and high ends of the figures, [2, …], that `figures` makes of sums of rows."""
    # Documents of equal counts are drawn as one: most documents have no entity at all.
    rows, times = np.unique(counts, axis=0, return_counts=True)
    rng = np.random.default_rng(chance.seed)
    samples = [
        figures(rng.multinomial(len(counts), times / len(counts), size=size) @ rows)
        for size in _blocks(chance)
    ]
    tail = (1 - chance.level) / 2
    return np.quantile(np.concatenate(samples), [tail, 1 - tail], axis=0)


def _randomize(
    a: np.ndarray,
    b: np.ndarray,
    gap: Callable[[np.ndarray, np.ndarray], np.ndarray],
    real: np.ndarray,
    chance: Chance,
) -> np.ndarray:
    """Two-sided p-values, float64 of the shape of `real`."""
    # An exchange moves these counts from one pipeline to the other; equal moves are drawn as one.
    moves, times = np.unique(b - a, axis=0, return_counts=True)
    rng = np.random.default_rng(chance.seed)
    extreme = np.zeros_like(real)
    for size in _blocks(chance):
        moved = rng.binomial(times, 0.5, size=(size, len(times))) @ moves
        drawn = gap(a.sum(0) + moved, b.sum(0) - moved)
        extreme += (np.abs(drawn) >= np.abs(real) - ROUNDING).sum(0)
    return (extreme + 1) / (chance.resamples + 1)


def _blocks(chance: Chance) -> Iterator[int]:
    for start in range(0, chance.resamples, SAMPLES_AT_ONCE):
        yield min(SAMPLES_AT_ONCE, chance.resamples - start)


def _flat(counted: StrictCounts) -> np.ndarray:
    """The counts with a row for each document; int64 [n_documents, 3 L]."""
    return counted.counts.reshape(len(counted.counts), -1)


def _figures(counts: np.ndarray, n_labels: int) -> np.ndarray:
    """P, R and F1: three averages first, then the labels; float64 [size, 3 + L, 3]."""
    counts = counts.reshape(-1, n_labels, 3)
    means = np.stack(list(averages(counts).values()), axis=1)
    return np.concatenate([means, prf(counts)], axis=1)


def _by_name(rows: list[dict[str, Any]], labels: list[str]) -> dict[str, Any]:
    micro, macro, weighted, *others = rows
    return {
        "all": micro,
        "macro": macro,
        "weighted": weighted,
        "per_type": dict(zip(labels, others, strict=True)),
    }
