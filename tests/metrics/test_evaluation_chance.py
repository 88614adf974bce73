"""Intervals, the paired test, breakdowns and confidence against plain definitions."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve

from spacy_bio_crf.metrics.averages import Tally, entity_table, prf, tally
from spacy_bio_crf.metrics.bootstrap import Chance, intervals
from spacy_bio_crf.metrics.breakdowns import document_lengths, entity_lengths, surface, surfaces
from spacy_bio_crf.metrics.calibration import confidence_table, threshold_curve
from spacy_bio_crf.metrics.significance import difference
from spacy_bio_crf.temperature import Outcomes
from tests.support.evaluation_tools import document, of_tags, random_documents

RIGHT, WRONG, MISS = [1, 0, 0], [0, 1, 1], [0, 0, 1]


def one_label(*rows: list[int]) -> Tally:
    return Tally(["A"], np.array(rows, dtype=np.int64)[:, None, :])


# Intervals


def test_interval_is_that_of_all_samples():
    """Three documents have 27 samples: their F1s have the quantiles that the samples approach."""
    rows = [[3, 0, 1], [1, 2, 0], [0, 1, 4]]
    every = [
        prf(np.sum([rows[i] for i in drawn], axis=0))
        for drawn in itertools.product(range(3), repeat=3)
    ]
    found = intervals(one_label(*rows), Chance(resamples=20_000, seed=1))
    for j, key in enumerate("prf"):
        for end, tail in zip(found["all"][key], (0.025, 0.975), strict=True):
            # The distribution has steps: the share of samples below is that of the definition.
            below = np.mean([x[j] < end - 1e-9 for x in every])
            up_to = np.mean([x[j] <= end + 1e-9 for x in every])
            assert below <= tail <= up_to, (key, end)
    assert found["per_type"]["A"] == found["macro"] == found["weighted"] == found["all"]


def test_interval_of_many_documents_is_the_normal_one():
    # 300 of 400 documents are right: recall is a mean of coin tosses.
    found = intervals(one_label(*[RIGHT] * 300, *[MISS] * 100), Chance(resamples=20_000))
    half = 1.96 * (0.75 * 0.25 / 400) ** 0.5
    assert found["all"]["r"] == pytest.approx([0.75 - half, 0.75 + half], abs=0.003)
    assert found["all"]["p"] == [1.0, 1.0]


def test_intervals_are_reproducible_and_may_be_absent():
    counted = tally(random_documents(5, 30))
    chance = Chance(resamples=300, seed=3)
    found = intervals(counted, chance)
    assert intervals(counted, chance) == found
    assert intervals(counted, Chance(resamples=300, seed=4)) != found
    table = entity_table(counted)
    for key in "prf":
        low, high = found["all"][key]
        assert low < table["all"][key] < high
    assert intervals(counted, Chance(resamples=0)) is None
    assert intervals(one_label(RIGHT), chance) is None
    assert intervals(tally([document([], [])] * 3), chance) is None


# The paired test


def exact_p(first: list[list[int]], second: list[list[int]]) -> float:
    """Two-sided p of F1 over all 2^n exchanges."""

    def f1(rows):
        return prf(np.sum(rows, axis=0))[2]

    real = abs(f1(first) - f1(second))
    extreme = 0
    n = len(first)
    for swaps in itertools.product([False, True], repeat=n):
        a = [s if swap else f for f, s, swap in zip(first, second, swaps, strict=True)]
        b = [f if swap else s for f, s, swap in zip(first, second, swaps, strict=True)]
        extreme += abs(f1(a) - f1(b)) >= real - 1e-12
    return extreme / 2**n


def test_p_value_is_that_of_all_exchanges():
    rng = np.random.default_rng(0)
    for _ in range(5):
        gold = rng.integers(1, 4, size=8)
        first, second = (
            [[int(t), int(rng.integers(0, 3)), int(g - t)] for g, t in zip(gold, tp, strict=True)]
            for tp in (rng.integers(0, gold + 1), rng.integers(0, gold + 1))
        )
        found = difference(one_label(*first), one_label(*second), Chance(resamples=20_000))
        row = found["all"]["f"]
        assert row["p_value"] == pytest.approx(exact_p(first, second), abs=0.02)
        totals = [prf(np.sum(rows, axis=0))[2] for rows in (first, second)]
        assert row["difference"] == pytest.approx(totals[0] - totals[1])


def test_p_value_is_uniform_where_there_is_no_difference():
    """Of pairs that are equally good, one in twenty has a p below 0.05."""
    rng = np.random.default_rng(1)
    below = 0
    for seed in range(200):
        rights = rng.random((2, 60)) < 0.7
        first, second = (one_label(*[RIGHT if r else WRONG for r in row]) for row in rights)
        found = difference(first, second, Chance(resamples=400, seed=seed))
        below += found["all"]["f"]["p_value"] < 0.05
    assert 2 <= below <= 20


def test_paired_difference():
    # The second misses what the first finds in 30 of 100 documents, and the other way round in 5.
    first = one_label(*[RIGHT] * 95, *[WRONG] * 5)
    second = one_label(*[WRONG] * 30, *[RIGHT] * 70)
    row = difference(first, second, Chance())["all"]["f"]
    assert row["difference"] == pytest.approx(0.25)
    assert row["p_value"] == pytest.approx(1 / 10_001, rel=1)
    # A mean of 30 times +1, 5 times -1: the interval is that of a paired mean.
    half = 1.96 * ((35 - 25**2 / 100) / 100 / 100) ** 0.5
    assert row["interval"] == pytest.approx([0.25 - half, 0.25 + half], abs=0.015)
    same = difference(first, first, Chance(resamples=50))["all"]["f"]
    assert same == {"difference": 0.0, "interval": [0.0, 0.0], "p_value": 1.0}


def test_difference_without_samples_and_of_different_documents():
    row = difference(one_label(RIGHT), one_label(WRONG), Chance(resamples=0))["all"]["f"]
    assert row == {"difference": 1.0, "interval": None, "p_value": None}
    with pytest.raises(
        ValueError, match=r"same labels and documents, got \['A'\] in 1 and .* in 2"
    ):
        difference(one_label(RIGHT), one_label(RIGHT, RIGHT), Chance())


# Breakdowns


def test_breakdowns_by_hand():
    documents = [
        of_tags("B-A I-A O B-B O", "B-A I-A O O B-B"),
        document([(0, 7, "A")], [(0, 6, "A")], n=40),
        document([], [(0, 1, "A")], n=17),
    ]
    rows = {
        row["sort"]: (row["gold"], row["predicted"], row["f"]) for row in entity_lengths(documents)
    }
    assert rows == {
        "1 token": (1, 2, 0.0),
        "2 tokens": (1, 1, 1.0),
        "5 tokens or more": (1, 1, 0.0),
    }
    rows = {row["sort"]: (row["gold"], row["predicted"]) for row in document_lengths(documents)}
    assert rows == {"1 to 16 tokens": (2, 2), "17 to 32 tokens": (0, 1), "33 to 64 tokens": (1, 1)}


def test_surfaces_by_hand():
    doc = document(
        [(0, 2, "LOC"), (3, 4, "PER"), (5, 6, "PER")],
        [(0, 2, "LOC"), (3, 4, "PER"), (4, 5, "LOC")],
        words=["NEW", "york", "met", "Paris", "Oslo", "Bo"],
    )
    known = {"new york": {"LOC"}, "paris": {"LOC"}}
    rows = {r["sort"]: (r["gold"], r["predicted"], r["f"]) for r in surfaces([doc], known)}
    assert rows == {"seen": (1, 1, 1.0), "seen, other label": (1, 1, 1.0), "unseen": (1, 1, 0.0)}
    assert surface(" New\n YORK ") == "new york"


@pytest.mark.parametrize("breakdown", [entity_lengths, document_lengths])
def test_breakdowns_add_up(breakdown):
    documents = random_documents(6, 100)
    rows = breakdown(documents)
    total = entity_table(tally(documents))["all"]
    for key in ("gold", "predicted"):
        assert sum(row[key] for row in rows) == total[key]
    rights = sum(round(row["p"] * row["predicted"]) for row in rows)
    assert rights == round(total["p"] * total["predicted"])


# Confidence


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
    curve = threshold_curve(
        [doc], Outcomes(np.array([0.9, 0.6, 0.3]), np.array([True, False, False]))
    )
    # The entity without a confidence, a right one, stays at every threshold.
    points = [(c["threshold"], c["p"], c["r"]) for c in curve]
    assert points == [(0.3, 2 / 4, 2 / 4), (0.6, 2 / 3, 2 / 4), (0.9, 2 / 2, 2 / 4)]
    table = confidence_table([doc])
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
