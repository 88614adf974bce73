"""Intervals and the paired test against plain definitions."""

import itertools

import numpy as np
import pytest

from spacy_bio_crf.metrics.averages import StrictCounts, count_entities, prf, strict_table
from spacy_bio_crf.metrics.chance import Chance, accuracy_difference, difference, intervals
from tests.support.evaluation_tools import document, random_documents

RIGHT, WRONG, MISS = [1, 0, 0], [0, 1, 1], [0, 0, 1]


def one_label(*rows: list[int]) -> StrictCounts:
    return StrictCounts(["A"], np.array(rows, dtype=np.int64)[:, None, :])


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
    counted = count_entities(random_documents(5, 30))
    chance = Chance(resamples=300, seed=3)
    found = intervals(counted, chance)
    assert intervals(counted, chance) == found
    assert intervals(counted, Chance(resamples=300, seed=4)) != found
    table = strict_table(counted)
    for key in "prf":
        low, high = found["all"][key]
        assert low < table["all"][key] < high
    assert intervals(counted, Chance(resamples=0)) is None
    assert intervals(one_label(RIGHT), chance) is None
    assert intervals(count_entities([document([], [])] * 3), chance) is None


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


def test_p_value_is_never_zero():
    # No exchange but all or none of a hundred gives this difference.
    row = difference(one_label(*[RIGHT] * 100), one_label(*[WRONG] * 100), Chance())["all"]["f"]
    assert row["difference"] == 1.0
    assert row["p_value"] == 1 / 10_001


def test_difference_without_samples_and_of_different_documents():
    row = difference(one_label(RIGHT), one_label(WRONG), Chance(resamples=0))["all"]["f"]
    assert row == {"difference": 1.0, "interval": None, "p_value": None}
    with pytest.raises(
        ValueError,
        match=r"second: expected the same labels .* got \['A'\] in 2 instead of \['A'\] in 1",
    ):
        difference(one_label(RIGHT), one_label(RIGHT, RIGHT), Chance())


def test_accuracy_is_tested_by_all_exchanges():
    # shape of both: (n_documents, 2), right tokens and all tokens
    first = np.array([[9, 10], [4, 6], [3, 3], [0, 0]])
    second = np.array([[5, 10], [6, 6], [1, 3], [0, 0]])
    gains = (first - second)[:, 0]
    sums = [gains @ signs for signs in itertools.product([1, -1], repeat=4)]
    exact = sum(abs(total) >= abs(gains.sum()) for total in sums) / len(sums)
    found = accuracy_difference(first, second, Chance(resamples=20_000))
    assert found["difference"] == pytest.approx(4 / 19) and found["seed"] == 0
    assert found["p_value"] == pytest.approx(exact, abs=0.02) and exact == 0.75
    low, high = found["interval"]
    assert -2 / 6 <= low <= 0 < 4 / 19 < high <= 2 / 3
    one = accuracy_difference(first[:1], second[:1], Chance(resamples=5))
    assert one["interval"] is None and one["p_value"] == 1.0
    none = accuracy_difference(first, second, Chance(resamples=0))
    assert none["interval"] is None and none["p_value"] is None
    with pytest.raises(ValueError, match="same tokens as first, got 16 in 2 documents instead of"):
        accuracy_difference(first, second[:2], Chance())
