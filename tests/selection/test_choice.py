import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_bio_crf.errors import SettingsError
from spacy_bio_crf.heads.doubt import Doubt
from spacy_bio_crf.selection.choice import STRATEGIES, Pool, Strategy, k_center, text_hash

DOUBT = Doubt(4, entropy=2.0, best=-1.0, second=-1.5, expected={"PER": 0.5, "LOC": 2.0})


@pytest.mark.parametrize(
    ("strategy", "score"),
    [
        (Strategy(), 2.0),
        (Strategy("entropy", per_token=True), 0.5),
        (Strategy("least-confidence"), 1.0),
        (Strategy("least-confidence", per_token=True), 0.25),
        (Strategy("margin"), -0.5),
        (Strategy("margin", per_token=True), -2.0),
        (Strategy("confident"), -1.0),
        (Strategy("confident", per_token=True), -0.25),
        (Strategy("rare", labels=("PER",)), 0.5),
        (Strategy("rare", labels=("PER", "LOC"), per_token=True), 0.625),
    ],
)
def test_scores(strategy, score):
    assert strategy.score(DOUBT, b"") == pytest.approx(score)


@pytest.mark.parametrize(
    ("least", "entities", "admitted"),
    [(0.0, 1, True), (0.36, 1, True), (0.37, 1, False), (1.0, 1, False), (0.0, 0, False)],
)
def test_confident_texts_have_an_entity_and_a_probable_analysis(least, entities, admitted):
    # The probability of the best analysis is 1/e, 0.368.
    strategy = Strategy("confident", min_probability=least)
    assert strategy.admits(DOUBT, [{}] * entities) == admitted
    assert Strategy("least-confidence").admits(DOUBT, [])


def test_only_one_analysis_is_no_doubt():
    doubt = Doubt(1, 0.0, 0.0, None, {})
    assert Strategy("margin").score(doubt, b"") == -math.inf
    assert Strategy("least-confidence").score(doubt, b"") == 0.0


def test_random_numbers_are_of_text_and_seed():
    keys = [text_hash(f"text {i}") for i in range(2000)]
    drawn = {seed: [Strategy("random", seed=seed).score(DOUBT, k) for k in keys] for seed in (0, 1)}
    assert drawn[0] == [Strategy("random").score(DOUBT, key) for key in keys]
    assert abs(np.corrcoef(drawn[0], drawn[1])[0, 1]) < 0.1
    # Uniform from 0 to 1.
    assert np.mean(drawn[0]) == pytest.approx(0.5, abs=0.03)
    assert np.std(drawn[0]) == pytest.approx(math.sqrt(1 / 12), abs=0.02)


def test_texts_that_differ_in_white_space_are_one():
    assert text_hash("Ana  Ruiz\n.") == text_hash("Ana Ruiz.") != text_hash("Ana Ruis.")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "best"}, "strategy: expected one of 'entropy', 'least-confidence', 'margin', 'r"),
        ({"name": "rare"}, "labels: expected labels for the strategy 'rare', and for no other, "),
        ({"labels": ("PER",)}, "labels: expected labels for the strategy 'rare', and for no othe"),
        (
            {"name": "confident", "min_probability": 80},
            "min_probability: expected a probability, from 0 to 1, got 80",
        ),
        (
            {"min_probability": 0.8},
            "min_probability: expected 0 for all strategies but 'confident', got 0.8 with 'entr",
        ),
        ({"name": "random", "per_token": True}, "per_token: expected false for the strategy 'ran"),
    ],
)
def test_values_that_do_not_fit(options, message):
    with pytest.raises(SettingsError) as caught:
        Strategy(**options)
    assert str(caught.value).startswith(message)
    assert len(STRATEGIES) == 6


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 12)), max_size=40), st.integers(1, 8))
def test_a_pool_keeps_the_first_of_the_best(stream, size):
    """Scores are those of their texts, so equal texts have equal scores."""
    rows = [(text % 5, text) for _, text in stream]
    pool = Pool(size)
    for number, (score, text) in enumerate(rows):
        pool.add(score, bytes([text]), {"number": number, "text": text})
    firsts: dict[int, tuple[int, int]] = {}
    for number, (score, text) in enumerate(rows):
        firsts.setdefault(text, (-score, number))
    expected = sorted(firsts.values())[:size]
    assert [(-score, row["number"]) for score, row in pool] == expected
    # Nothing else is in memory.
    assert len(pool._heap) == len(pool._keys) <= size


def farthest_first(vectors: np.ndarray, n: int) -> list[int]:
    """By the definition: the cosines of all pairs."""
    units = [v / np.linalg.norm(v) for v in vectors.astype(float)]
    chosen = [0]
    while len(chosen) < min(n, len(units)):
        others = [i for i in range(len(units)) if i not in chosen]
        chosen.append(max(others, key=lambda i: min(1 - units[i] @ units[j] for j in chosen)))
    return chosen


@pytest.mark.parametrize("n", [1, 5, 30, 40])
def test_k_center(n):
    vectors = np.random.default_rng(n).normal(size=(30, 4)).astype(np.float32)
    assert k_center(vectors, n) == farthest_first(vectors, n)


def test_k_center_of_equal_vectors_and_zeros():
    vectors = np.array([[1, 0], [2, 0], [0, 0], [0, 1]], dtype=np.float32)
    assert sorted(k_center(vectors, 4)) == [0, 1, 2, 3]
    assert k_center(vectors, 2) in ([0, 2], [0, 3])
    assert k_center(np.zeros((0, 2), np.float32), 3) == []
