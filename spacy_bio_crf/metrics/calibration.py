"""What the probabilities of entities are worth: calibration, and precision against recall."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ..temperature import Outcomes, expected_calibration_error, log_loss, reliability
from .averages import FN, FP, TP, prf
from .documents import Document
from .matching import strict_match

POINTS = 200  # of the curve, at the most


def confidence_table(documents: Sequence[Document], *, bins: int = 10) -> dict[str, Any] | None:
    """How far confidence can be believed, and what a threshold would do.

    documents (Sequence[Document]): Gold and predictions.
    bins (int): Bins of the reliability diagram.
    RETURNS (dict | None): `entities` (how many have a confidence), `expected_calibration_error`,
        `log_loss` (nats), `bins` and `curve`; None where no prediction has a confidence.
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
    diagram = reliability(results, bins=bins)
    return {
        "entities": len(scored),
        "expected_calibration_error": expected_calibration_error(diagram),
        "log_loss": log_loss(results),
        # An empty bin has no mean; JSON has no NaN.
        "bins": [{k: v if v == v else None for k, v in asdict(b).items()} for b in diagram],
        "curve": threshold_curve(documents, results),
    }


def threshold_curve(documents: Sequence[Document], results: Outcomes) -> list[dict[str, float]]:
    """Precision, recall and F1 if entities below a threshold were dropped.

    Entities without a confidence, such as those of a ruler, stay whatever the threshold is.

    documents (Sequence[Document]): Gold and predictions.
    results (Outcomes): Those that have a confidence.
    RETURNS (list[dict]): `threshold`, `p`, `r` and `f`, from the least confidence, which drops
        nothing, up: a point for each confidence that occurs, thinned out to `POINTS`.
    """
    order = np.argsort(results.confidence)
    confidence = results.confidence[order]
    # Thresholds at which another entity goes; the first of them drops nothing.
    thresholds, first = np.unique(confidence, return_index=True)
    if len(thresholds) > POINTS:
        chosen = np.unique(np.linspace(0, len(thresholds) - 1, POINTS).round().astype(int))
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
