"""Warnings and errors of a training that diverges."""

import re
import warnings

import pytest
from thinc.api import Adam, RAdam, fix_random_seed, warmup_linear

from spacy_bio_crf.errors import BioError
from spacy_bio_crf.training.optimizer import has_spacys_rate
from spacy_bio_crf.training.watch import HIGHEST_RATE, LEAP, StepWatch
from tests.support.networks import make_shim
from tests.support.pipelines import MakeNlp, make_examples


def test_a_rate_too_high_is_told_once():
    watch = StepWatch("my_ner")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for rate in (0.0, 1e-5, HIGHEST_RATE):
            watch.check_rate(rate)
    with pytest.warns(UserWarning, match="'my_ner' trains at a learning rate of 0.001, and above"):
        watch.check_rate(1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watch.check_rate(1e-2)


@pytest.mark.parametrize("first", [1e-6, 1.0, 50.0])
def test_a_norm_that_leaps_is_told_once(first):
    watch = StepWatch("my_ner")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for norm in (0.0, first, first / 10, 0.9 * LEAP * first):
            watch.check_norm(norm)
    before = re.escape(f"{0.9 * LEAP * first:.3g}")
    with pytest.warns(UserWarning, match=f"'my_ner' has leapt to .* in step 5, from {before} at"):
        watch.check_norm(100 * LEAP * first)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watch.check_norm(1e6 * LEAP * first)


@pytest.mark.parametrize("norm", [float("nan"), float("inf")])
def test_a_norm_that_is_not_finite_is_an_error(norm):
    watch = StepWatch("my_ner")
    watch.check_norm(1.0)
    with pytest.raises(BioError, match="gradient of 'my_ner' in step 2: .*not finite.*; lower"):
        watch.check_norm(norm)


@pytest.mark.parametrize("head", ["crf", "softmax"])
@pytest.mark.parametrize("clip", [0.0, 1.0])
@pytest.mark.parametrize("fault", ["rate", "emitter", "encoder"])
def test_diverged_training_says_where_and_what_to_do(make_nlp: MakeNlp, head, clip, fault):
    nlp = make_nlp(head=head)
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    optimizer.grad_clip = clip
    pipe = nlp.get_pipe("bio_ner")
    optimizer.learn_rate = 1e6 if fault == "rate" else 1e-4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nlp.update(examples, sgd=optimizer)
    if fault != "rate":
        shim = pipe.model.get_ref(fault).shims[0]
        next(shim.network.parameters()).data.fill_(float("nan"))
    with pytest.raises(BioError, match="'bio_ner'.*not finite; the weights have .*: lower the"):
        for _ in range(3):
            nlp.update(examples, sgd=optimizer)


def test_spacys_rate_is_the_one_that_nobody_chose():
    assert has_spacys_rate(Adam()) and has_spacys_rate(RAdam())
    assert not has_spacys_rate(Adam(2e-4))
    assert not has_spacys_rate(Adam(warmup_linear(1e-3, 1, 10)))
    shim = make_shim()
    assert shim.rate(Adam()) == 1e-3
    shim.default_rate = 2e-4
    assert shim.rate(Adam()) == 2e-4 and shim.rate(Adam(1e-2)) == 1e-2


@pytest.mark.parametrize("make", [Adam, RAdam])
def test_the_default_rate_is_safe_where_nothing_is_set(make_nlp: MakeNlp, make):
    """Encoder and head train as at 2e-4; an explicit factor means what it did."""
    weights = []
    for options, rate in (({}, 1e-3), ({"lr_scale": 1.0}, 2e-4), ({}, 2e-4)):
        nlp = make_nlp(encoder_options=options)
        examples = make_examples(nlp)
        fix_random_seed(0)
        nlp.initialize(lambda: examples)  # noqa: B023
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            nlp.update(examples, sgd=make(rate))
        model = nlp.get_pipe("bio_ner").model
        networks = [model.get_ref(name).shims[0].network for name in ("encoder", "emitter")]
        weights.append([p.detach().clone() for n in networks for p in n.parameters()])
    for one, other, third in zip(*weights, strict=True):
        assert (one == other).all() and (one == third).all()


def test_a_rate_that_was_chosen_is_told_at_the_first_step(make_nlp: MakeNlp):
    nlp = make_nlp(encoder_options={"lr_scale": 1.0})
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    with pytest.warns(UserWarning, match="pre-trained transformer of 'bio_ner' trains at .* 0.001"):
        nlp.update(examples, sgd=optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp.update(examples, sgd=optimizer)
    for frozen in ({"frozen_layers": -1}, {"lr_scale": 0.1}):
        nlp = make_nlp(encoder_options=frozen)
        optimizer = nlp.initialize(lambda: examples)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            nlp.update(examples, sgd=optimizer)
