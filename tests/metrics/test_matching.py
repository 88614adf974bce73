"""Pairs of entities against all pairings there are."""

import itertools
import random

import pytest

from spacy_bio_crf.metrics.matching import match, strict_match
from tests.support.evaluation_tools import random_documents


def brute_force(gold, predicted, prefer):
    """The worth of the best of all pairings: exact matches, then the preference, then the rest."""
    best = (0, 0, 0, 0)
    n = min(len(gold), len(predicted))
    for size in range(n + 1):
        for left in itertools.combinations(range(len(gold)), size):
            for right in itertools.permutations(range(len(predicted)), size):
                pairs = [(gold[g], predicted[p]) for g, p in zip(left, right, strict=True)]
                shared = [len(set(range(*g[:2])) & set(range(*p[:2]))) for g, p in pairs]
                if all(shared):
                    exact = sum((g[:2] == p[:2]) + (g == p) for g, p in pairs)
                    same = sum(g[2] == p[2] for g, p in pairs)
                    first, second = (same, size) if prefer == "label" else (size, same)
                    best = max(best, (exact, first, second, sum(shared)))
    return best


@pytest.mark.parametrize("prefer", ["label", "pairs"])
def test_pairs_are_the_best_of_all(prefer):
    inexact = 0
    for doc in random_documents(1, 300, labels=("A", "B"), n=8):
        rng = random.Random(len(doc.gold))
        gold, predicted = doc.gold[:], doc.predicted[:]
        rng.shuffle(gold)
        pairs = match(gold, predicted, prefer=prefer)
        assert len({g for g, _ in pairs}) == len({p for _, p in pairs}) == len(pairs)
        both = [(gold[g], predicted[p]) for g, p in pairs]
        shared = [len(set(range(*g[:2])) & set(range(*p[:2]))) for g, p in both]
        assert all(shared)
        exact = sum((g[:2] == p[:2]) + (g == p) for g, p in both)
        same = sum(g[2] == p[2] for g, p in both)
        first, second = (same, len(both)) if prefer == "label" else (len(both), same)
        assert (exact, first, second, sum(shared)) == brute_force(gold, predicted, prefer)
        inexact += len(both) > exact / 2
    assert inexact > 50


def test_a_greedy_pairing_is_not_the_best():
    gold = [(0, 3, "LOC"), (4, 8, "PER")]
    predicted = [(0, 2, "PER"), (2, 5, "LOC"), (6, 8, "PER")]
    assert match(gold, predicted, prefer="label") == [(0, 1), (1, 2)]
    # The other way round, too: what is right to left is no other text.
    turned = [[(8 - e, 8 - s, x) for s, e, x in reversed(side)] for side in (gold, predicted)]
    assert match(*turned, prefer="label") == [(0, 0), (1, 1)]
    with pytest.raises(
        ValueError, match="prefer: expected one of .label., .pairs., got .boundary."
    ):
        match(gold, predicted, prefer="boundary")


def test_a_gold_entity_is_right_once():
    # Two predictions on the one gold token that both are a part of.
    assert strict_match([(0, 1, "LOC")], [(0, 1, "LOC"), (0, 1, "LOC")]) == [True, False]
    assert len(match([(0, 1, "LOC")], [(0, 1, "LOC"), (0, 1, "LOC")], prefer="pairs")) == 1
    # Of predictions that overlap, the one that fits answers.
    for prefer in ("label", "pairs"):
        assert match([(0, 2, "A")], [(0, 1, "A"), (0, 2, "B")], prefer=prefer) == [(0, 1)]
