"""Transition scores of a CRF as a table."""

from typing import Any

import numpy as np

from ..tags.tagset import TagSet


def transition_table(
    tagset: TagSet,
    start: np.ndarray,
    transitions: np.ndarray,
    end: np.ndarray,
    *,
    constrained: bool,
) -> dict[str, Any]:
    """Arrange the scores of a CRF in a table.

    tagset (TagSet): The tags.
    start (np.ndarray): float32 [K].
    transitions (np.ndarray): float32 [K, K], (from, to).
    end (np.ndarray): float32 [K].
    constrained (bool): Leave out transitions that the scheme forbids.
    RETURNS (dict): `rows`: "start", then the tags that come first; `columns`: the tags that come
        next, then "end"; `scores` in nats, None for transitions that decoding never takes.
    """
    scores = np.full((len(tagset.tags) + 1, len(tagset.tags) + 1), np.nan)
    scores[0, :-1], scores[1:, :-1], scores[1:, -1] = start, transitions, end
    if constrained:
        scores[0, :-1][~tagset.legal_start] = np.nan
        scores[1:, :-1][~tagset.legal] = np.nan
        scores[1:, -1][~tagset.legal_end] = np.nan
    return {
        "rows": ["start", *tagset.tags],
        "columns": [*tagset.tags, "end"],
        "scores": [[None if np.isnan(s) else float(s) for s in row] for row in scores],
    }
