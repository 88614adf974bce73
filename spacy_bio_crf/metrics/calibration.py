"""Calibration of the probabilities of entities, and precision and recall over a threshold."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .averages import FN, FP, TP, prf
from .documents import Document
from .matching import strict_match

MAX_POINTS = 200  # of the threshold curve


@dataclass(frozen=True)
class Outcomes:
    """Predicted entities with their confidence, and whether they are right.

    confidence (np.ndarray): The probability of each; float64 [n].
    correct (np.ndarray): Whether the gold has exactly this span with this label; bool [n].
    """

    confidence: np.ndarray
    correct: np.ndarray


def log_loss(results: Outcomes) -> float:
    """The mean negative log-likelihood of being right or wrong, given the confidence.

    results (Outcomes): Predicted entities.
    RETURNS (float): In nats per entity.
    """
    p = np.clip(results.confidence, 1e-12, 1 - 1e-12)
    return float(-np.where(results.correct, np.log(p), np.log1p(-p)).mean())


def calibration_table(results: Outcomes, *, bins: int = 10) -> dict[str, Any]:
    """All figures of calibration, ready for JSON.

    The expected calibration error is the mean gap between confidence and precision, weighted by the
    entities of each bin (Naeini et al. 2015, "Obtaining Well Calibrated Probabilities Using
    Bayesian Binning", section 3).

    results (Outcomes): Predicted entities, at least one.
    bins (int): Bins of the reliability diagram, of equal width.
    RETURNS (dict): `entities` (how many), `expected_calibration_error` (0 to 1), `log_loss` (nats)
        and `bins`, from the lowest confidence to the highest: `low` (inclusive) and `high`
        (exclusive except for 1.0), `count` of entities, and of these the mean `confidence` and the
        `precision`, both None for an empty bin.
    """
    # A confidence of exactly 1.0 belongs to the last bin.
    place = np.minimum((results.confidence * bins).astype(int), bins - 1)
    diagram, error = [], 0.0
    for i in range(bins):
        inside = place == i
        count = int(inside.sum())
        means: dict[str, float | None] = {"confidence": None, "precision": None}
        if count:
            confidence = float(results.confidence[inside].mean())
            precision = float(results.correct[inside].mean())
            means = {"confidence": confidence, "precision": precision}
            error += count * abs(confidence - precision)
        diagram.append({"low": i / bins, "high": (i + 1) / bins, "count": count, **means})
    return {
        "entities": len(results.confidence),
        "expected_calibration_error": error / len(results.confidence),
        "log_loss": log_loss(results),
        "bins": diagram,
    }


def confidence_table(documents: Sequence[Document], *, bins: int = 10) -> dict[str, Any] | None:
    """Calibration of the predictions, and the effect of a threshold on them.

    documents (Sequence[Document]): Gold and predictions.
    bins (int): Bins of the reliability diagram.
    RETURNS (dict | None): The figures of `calibration_table`, and `curve`: `threshold`, `p`, `r`
        and `f` for each confidence that occurs, from the lowest, which drops nothing, to the
        highest; at most `MAX_POINTS`, evenly chosen. None where no prediction has a confidence.
    """
    scored = [
        (score, right)
        for doc in documents
        for score, right in zip(doc.confidence, strict_match(doc.gold, doc.predicted), strict=True)
        if score is not None
    ]
    if not scored:
        return None
    confidence, correct = (np.array(column) for column in zip(*scored, strict=True))
    results = Outcomes(confidence.astype(np.float64), correct.astype(bool))
    return {
        **calibration_table(results, bins=bins),
        "curve": _threshold_curve(documents, results),
    }


def _threshold_curve(documents: Sequence[Document], results: Outcomes) -> list[dict[str, float]]:
    """Precision, recall and F1 if entities below a threshold were dropped.

    Entities without a confidence, such as those of a ruler, are kept at every threshold.
    """
    order = np.argsort(results.confidence)
    confidence = results.confidence[order]
    # `first` counts the entities that a threshold drops; the lowest one drops none.
    thresholds, first = np.unique(confidence, return_index=True)
    if len(thresholds) > MAX_POINTS:
        chosen = np.unique(np.linspace(0, len(thresholds) - 1, MAX_POINTS).round().astype(int))
        thresholds, first = thresholds[chosen], first[chosen]
    dropped_right = np.concatenate([[0], np.cumsum(results.correct[order])])[first]
    # shape: (n_thresholds, 3)
    counts = np.zeros((len(first), 3), dtype=np.int64)
    rights = sum(sum(strict_match(doc.gold, doc.predicted)) for doc in documents)
    counts[:, TP] = rights - dropped_right
    counts[:, FP] = sum(len(doc.predicted) for doc in documents) - first - counts[:, TP]
    counts[:, FN] = sum(len(doc.gold) for doc in documents) - counts[:, TP]
    return [
        {"threshold": t, "p": p, "r": r, "f": f}
        for t, (p, r, f) in zip(thresholds.tolist(), prf(counts).tolist(), strict=True)
    ]
