"""Numbers of a training."""

import pytest

from spacy_bio_crf.training.recipe import make_recipe


@pytest.mark.parametrize("optimize", ["speed", "accuracy"])
@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("words", [1, 80, 5_000, 60_000, 170_000, 3_000_000, 10**9])
def test_numbers_fit_each_other(words: int, gpu: bool, optimize: str):
    recipe = make_recipe(words, words // 10, width=768, gpu=gpu, optimize=optimize)
    assert recipe.steps % recipe.eval_frequency == 0
    assert 1 <= recipe.warmup <= max(1, recipe.steps // 10)
    assert 100 <= recipe.batch_words <= (3000 if gpu else 400)
    assert recipe.epochs == pytest.approx(recipe.steps / max(1.0, words / recipe.batch_words))
    assert recipe.steps <= 20_000 + recipe.eval_frequency


def test_a_small_corpus_is_seen_more_often():
    small, large = (make_recipe(n, n // 10, width=384) for n in (3_000, 300_000))
    assert small.batch_words < large.batch_words == 400
    assert small.epochs > large.epochs >= 2
    assert small.steps == 300 and large.steps == 1500
    tiny = make_recipe(150, 150, width=384)
    assert tiny.epochs == pytest.approx(50, rel=0.1)
    assert make_recipe(300_000, 30_000, width=384, optimize="accuracy").epochs > 4.9


def test_epochs_are_taken_at_their_word():
    recipe = make_recipe(40_000, 4_000, width=384, epochs=3)
    assert (recipe.batch_words, recipe.steps) == (400, 300)
    assert make_recipe(40_000, 4_000, width=384, epochs=0.5).steps == 50
    with pytest.raises(ValueError, match="epochs: expected a number above 0, got 0"):
        make_recipe(1, 1, width=1, epochs=0)
    for epochs in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"epochs: expected a number above 0, got {epochs}"):
            make_recipe(1, 1, width=1, epochs=epochs)
    with pytest.raises(ValueError, match="optimize: expected one of 'speed', 'accuracy'"):
        make_recipe(1, 1, width=1, optimize="both")


def test_a_large_development_set_is_read_less_often():
    few, many = (make_recipe(100_000, n, width=384) for n in (300_000, 1_000))
    assert few.steps // few.eval_frequency == 3
    assert many.steps // many.eval_frequency == 6


@pytest.mark.parametrize(
    ("width", "rate"), [(32, 2e-4), (384, 2e-4), (512, 1e-4), (768, 5e-5), (1024, 2e-5)]
)
def test_wide_encoders_learn_slowly(width: int, rate: float):
    assert make_recipe(1000, 100, width=width).rate == rate


@pytest.mark.parametrize(
    ("width", "layers", "rate"),
    [(384, 6, 2e-4), (384, 7, 1e-4), (384, 12, 1e-4), (768, 12, 5e-5), (1024, 24, 2e-5)],
)
def test_deep_encoders_learn_slowly(width: int, layers: int, rate: float):
    assert make_recipe(1000, 100, width=width, layers=layers).rate == rate
