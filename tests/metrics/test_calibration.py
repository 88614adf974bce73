"""Calibration by hand, and threshold curves against scikit-learn."""

import math

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve

from spacy_bio_crf.metrics.calibration import (
    Outcomes,
    calibration_table,
    confidence_table,
    log_loss,
)
from tests.support.evaluation_tools import document

RESULTS = Outcomes(
    confidence=np.array([0.05, 0.55, 0.59, 0.95, 0.97, 1.0]),
    correct=np.array([False, True, False, True, True, True]),
)


def test_reliability_by_hand():
    table = calibration_table(RESULTS, bins=10)
    bins = table["bins"]
    assert [b["count"] for b in bins] == [1, 0, 0, 0, 0, 2, 0, 0, 0, 3]
    assert (bins[5]["confidence"], bins[5]["precision"]) == (pytest.approx(0.57), 0.5)
    assert bins[1]["precision"] is bins[1]["confidence"] is None
    gaps = [abs(0.05 - 0.0), 2 * abs(0.57 - 0.5), 3 * abs(2.92 / 3 - 1.0)]
    assert table["expected_calibration_error"] == pytest.approx(sum(gaps) / 6)


def test_log_loss_by_hand():
    results = Outcomes(np.array([0.8, 0.4]), np.array([True, False]))
    assert log_loss(results) == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2)


def test_curve_is_scikit_learns():
    rng = np.random.default_rng(0)
    # Every gold entity is predicted, so that recall is scikit-learn's.
    right = rng.random(150) < 0.6
    scores = np.round(rng.random(150), 2)
    documents = [
        document([(0, 1, "A")] if r else [], [(0, 1, "A")], confidence=[float(s)])
        for r, s in zip(right, scores, strict=True)
    ]
    p, r, thresholds = precision_recall_curve(right, scores)
    curve = confidence_table(documents)["curve"]
    assert len(curve) == len(thresholds) < 150
    assert [point["p"] for point in curve] == pytest.approx(p[:-1])
    assert [point["r"] for point in curve] == pytest.approx(r[:-1])
    assert [point["threshold"] for point in curve] == pytest.approx(thresholds)


def test_curve_by_hand():
    doc = document(
        [(0, 1, "A"), (1, 2, "A"), (2, 3, "A"), (3, 4, "A")],
        [(0, 1, "A"), (1, 2, "B"), (2, 3, "A"), (5, 6, "A")],
        confidence=[0.9, 0.6, None, 0.3],
    )
    table = confidence_table([doc])
    # The entity without a confidence, a right one, stays at every threshold.
    points = [(c["threshold"], c["p"], c["r"]) for c in table["curve"]]
    assert points == [(0.3, 2 / 4, 2 / 4), (0.6, 2 / 3, 2 / 4), (0.9, 2 / 2, 2 / 4)]
    assert table["entities"] == 3
    assert [b["count"] for b in table["bins"]] == [0, 0, 0, 1, 0, 0, 1, 0, 0, 1]
    assert table["bins"][0]["precision"] is None
    gap = (abs(0.9 - 1) + 0.6 + 0.3) / 3
    assert table["expected_calibration_error"] == pytest.approx(gap)
    assert confidence_table([document([(0, 1, "A")], [(0, 1, "A")])]) is None


def test_long_curves_are_thinned_out():
    scores = np.linspace(0.01, 0.99, 999)
    documents = [document([], [(0, 1, "A")], confidence=[float(s)]) for s in scores]
    curve = confidence_table([*documents, document([(0, 1, "A")], [])])["curve"]
    assert len(curve) == 200
    assert curve[-1]["threshold"] == pytest.approx(0.99)
