"""How far the figures would move on other documents of the same kind.

The percentile bootstrap over documents (Efron & Tibshirani 1993, "An Introduction to the
Bootstrap", section 13.3): draw as many documents as there are, with replacement, and score them,
many times over. Documents are drawn, not entities: those of one document are not independent.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .averages import Tally, averages, prf

LEVEL = 0.95
CHUNK = 256  # samples at once: bounds the memory


@dataclass(frozen=True)
class Chance:
    """How chance is drawn.

    resamples (int): How many samples; 0 draws none.
    seed (int): The same seed gives the same figures.
    level (float): The share of samples within an interval.
    """

    resamples: int = 10_000
    seed: int = 0
    level: float = LEVEL


def intervals(counted: Tally, chance: Chance) -> dict[str, Any] | None:
    """Confidence intervals of the strict figures.

    counted (Tally): The counts by document.
    chance (Chance): How samples are drawn.
    RETURNS (dict | None): `level`, `resamples`, `seed`; `all`, `macro`, `weighted` and, under
        `per_type`, each label: for `p`, `r` and `f` the low and the high end. None without samples,
        without any label, or with less than two documents.
    """
    if not chance.resamples or len(counted.counts) < 2 or not counted.labels:
        return None
    # Documents of the same counts are drawn as one, as often as all of them: most have none at all.
    rows, times = np.unique(
        counted.counts.reshape(len(counted.counts), -1), axis=0, return_counts=True
    )
    rng = np.random.default_rng(chance.seed)
    samples: list[np.ndarray] = []
    for start in range(0, chance.resamples, CHUNK):
        size = min(CHUNK, chance.resamples - start)
        drawn = rng.multinomial(times.sum(), times / times.sum(), size=size)
        # shape: (size, L, 3)
        counts = (drawn @ rows).reshape(size, len(counted.labels), 3)
        means = averages(counts)
        samples.append(
            np.concatenate([np.stack(list(means.values()), axis=1), prf(counts)], axis=1)
        )
    tail = (1 - chance.level) / 2
    # shape: (low or high, 3 averages + L, P or R or F1)
    ends = np.quantile(np.concatenate(samples), [tail, 1 - tail], axis=0)
    named = [
        dict(zip("prf", ends[:, i].T.tolist(), strict=True)) for i in range(3 + len(counted.labels))
    ]
    return {
        "level": chance.level,
        "resamples": chance.resamples,
        "seed": chance.seed,
        "all": named[0],
        "macro": named[1],
        "weighted": named[2],
        "per_type": dict(zip(counted.labels, named[3:], strict=True)),
    }
