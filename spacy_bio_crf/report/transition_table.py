"""Transition scores of a CRF as a table."""

from dataclasses import dataclass

import numpy as np

from ..tags.tagset import TagSet

START, END = "start", "end"


@dataclass(frozen=True)
class TransitionTable:
    """Start, transition and end scores.

    rows (list[str]): "start", then the tags that come first.
    columns (list[str]): The tags that come next, then "end".
    scores (list[list[float | None]]): In nats; None for transitions that decoding never takes.
    """

    rows: list[str]
    columns: list[str]
    scores: list[list[float | None]]


def transition_table(
    tagset: TagSet,
    start: np.ndarray,
    transitions: np.ndarray,
    end: np.ndarray,
    *,
    constrained: bool,
) -> TransitionTable:
    """Arrange the scores of a CRF in a table.

    tagset (TagSet): The tags.
    start (np.ndarray): float32 [K].
    transitions (np.ndarray): float32 [K, K], (from, to).
    end (np.ndarray): float32 [K].
    constrained (bool): Leave out transitions that the scheme forbids.
    RETURNS (TransitionTable): A row for the start and one for each tag.
    """
    open_start, between, open_end = (
        (tagset.legal_start, tagset.legal, tagset.legal_end)
        if constrained
        else (np.ones_like(start, bool), np.ones_like(transitions, bool), np.ones_like(end, bool))
    )
    rows: list[list[float | None]] = [_cells(start, open_start) + [None]]
    for scores, legal, last, legal_last in zip(transitions, between, end, open_end, strict=True):
        rows.append(_cells(scores, legal) + [float(last) if legal_last else None])
    return TransitionTable([START, *tagset.tags], [*tagset.tags, END], rows)


def _cells(scores: np.ndarray, legal: np.ndarray) -> list[float | None]:
    return [float(s) if ok else None for s, ok in zip(scores, legal, strict=True)]
