"""Is one pipeline better than another, or was it luck? A paired test over documents.

Approximate randomisation (Noreen 1989, "Computer-Intensive Methods for Testing Hypotheses"; Yeh
2000, "More accurate tests for the statistical significance of result differences"): if both were
equally good, either could have given the answer of the other to any document. So the answers are
exchanged by the toss of a coin, document by document, and the difference of the scores is taken
again, many times over. p = (n + 1) / (N + 1) for n of N differences at least as large as the real
one. It assumes nothing about how F1 is distributed.

The interval of the difference is that of the paired bootstrap over documents (Efron & Tibshirani
1993, section 13.3), in which both are scored on the same documents.
"""

from typing import Any

import numpy as np

from .averages import Tally, averages, prf
from .bootstrap import CHUNK, Chance

NAMES = ("all", "macro", "weighted")
TOLERANCE = 1e-12  # what rounding may do to a difference


def difference(first: Tally, second: Tally, chance: Chance) -> dict[str, Any]:
    """Compare two pipelines on the same documents.

    first (Tally): Counts by document of the one.
    second (Tally): The same documents of the other, with the same labels.
    chance (Chance): How chance is drawn.
    RETURNS (dict): `resamples`, `seed`, `level`; `all`, `macro`, `weighted` and, under `per_type`,
        each label: for `p`, `r` and `f` the `difference` (first minus second), its `interval`
        (None without samples or with less than two documents) and the two-sided `p_value` (None
        without samples).
    RAISES: ValueError if labels or numbers of documents differ.
    """
    if first.labels != second.labels or len(first.counts) != len(second.counts):
        raise ValueError(
            "expected the same labels and documents, got"
            f" {first.labels} in {len(first.counts)} and {second.labels} in {len(second.counts)}"
        )
    n = len(first.counts)
    a, b = (t.counts.reshape(n, -1).sum(0, keepdims=True) for t in (first, second))
    real = _difference(a, b, len(first.labels))[0]
    p_values = _randomise(first, second, real, chance) if chance.resamples else None
    ends = _bootstrap(first, second, chance) if chance.resamples and n > 1 else None
    rows = [
        {
            key: {
                "difference": float(real[i, j]),
                "interval": None if ends is None else ends[:, i, j].tolist(),
                "p_value": None if p_values is None else float(p_values[i, j]),
            }
            for j, key in enumerate("prf")
        }
        for i in range(len(real))
    ]
    return {
        "resamples": chance.resamples,
        "seed": chance.seed,
        "level": chance.level,
        **dict(zip(NAMES, rows, strict=False)),
        "per_type": dict(zip(first.labels, rows[3:], strict=True)),
    }


def _randomise(first: Tally, second: Tally, real: np.ndarray, chance: Chance) -> np.ndarray:
    """Two-sided p-values, float64 of the shape of `real`."""
    n, n_labels = len(first.counts), len(first.labels)
    a, b = (t.counts.reshape(n, -1) for t in (first, second))
    # An exchange moves this much from the one to the other; documents that move the same are one.
    moves, times = np.unique(b - a, axis=0, return_counts=True)
    rng = np.random.default_rng(chance.seed)
    extreme = np.zeros_like(real)
    for start in range(0, chance.resamples, CHUNK):
        size = min(CHUNK, chance.resamples - start)
        moved = rng.binomial(times, 0.5, size=(size, len(times))) @ moves
        drawn = _difference(a.sum(0) + moved, b.sum(0) - moved, n_labels)
        extreme += (np.abs(drawn) >= np.abs(real) - TOLERANCE).sum(0)
    return (extreme + 1) / (chance.resamples + 1)


def _bootstrap(first: Tally, second: Tally, chance: Chance) -> np.ndarray:
    """Low and high ends of the differences; float64 [2, *real.shape]."""
    n, n_labels = len(first.counts), len(first.labels)
    both = np.concatenate([t.counts.reshape(n, -1) for t in (first, second)], axis=1)
    rows, times = np.unique(both, axis=0, return_counts=True)
    rng = np.random.default_rng(chance.seed)
    samples = []
    for start in range(0, chance.resamples, CHUNK):
        size = min(CHUNK, chance.resamples - start)
        counts = rng.multinomial(n, times / n, size=size) @ rows
        half = counts.shape[1] // 2
        samples.append(_difference(counts[:, :half], counts[:, half:], n_labels))
    tail = (1 - chance.level) / 2
    return np.quantile(np.concatenate(samples), [tail, 1 - tail], axis=0)


def _difference(a: np.ndarray, b: np.ndarray, n_labels: int) -> np.ndarray:
    """Differences of all figures: averages first, then labels; float64 [size, 3 + L, 3]."""
    figures = []
    for counts in (a, b):
        counts = counts.reshape(-1, n_labels, 3)
        means = np.stack(list(averages(counts).values()), axis=1)
        figures.append(np.concatenate([means, prf(counts)], axis=1))
    return figures[0] - figures[1]
