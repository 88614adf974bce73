"""Steps, clipping, overflows and averages of networks behind a shim."""

import math
from pathlib import Path

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from thinc.api import SGD, Adam

from spacy_bio_crf.training.optimizer import FIRST_SCALE, LossScale
from spacy_bio_crf.training.torch_shim import TorchShim, clip_global_norm
from tests.support.networks import (
    Network,
    ReferenceAdam,
    assert_close,
    make_shim,
    scale_of,
    set_gradients,
    weights_of,
)
from tests.support.pipelines import MakeNlp, make_examples


def test_another_optimizer_starts_anew():
    shim = make_shim()
    start = weights_of(shim)
    first, second = Adam(0.01), Adam(0.01)
    for step in range(3):
        set_gradients(shim, step)
        shim.finish_update(first)
    assert not np.allclose(weights_of(shim)["dense.weight"], start["dense.weight"])
    reference = ReferenceAdam(weights_of(shim))
    for step in range(3):
        gradients = set_gradients(shim, step)
        shim.finish_update(second)
        reference.step(gradients, lr=0.01)
    assert_close(weights_of(shim), reference.weights)


def test_another_network_starts_anew():
    shim = make_shim()
    optimizer = Adam(0.01)
    set_gradients(shim, 0)
    shim.finish_update(optimizer)
    shim.set_network(Network(seed=5))
    reference = ReferenceAdam(weights_of(shim))
    gradients = set_gradients(shim, 1)
    shim.finish_update(optimizer)
    reference.step(gradients, lr=0.01)
    assert_close(weights_of(shim), reference.weights)


def test_nothing_to_do():
    optimizer = Adam(0.01)
    TorchShim(None, lr_scale=scale_of).finish_update(optimizer)
    shim = make_shim()
    before = weights_of(shim)
    shim.finish_update(optimizer)
    assert_close(weights_of(shim), before, atol=0.0)
    with pytest.raises(ValueError, match="no weights yet"):
        TorchShim(None, lr_scale=scale_of).network  # noqa: B018


def test_from_sgd_to_adam_and_back():
    """The step that thinc takes leaves parameters that torch's step can go on with."""
    shim = make_shim()
    for step, optimizer in enumerate([Adam(0.01), SGD(0.1), Adam(0.01), SGD(0.1)]):
        before = weights_of(shim)
        set_gradients(shim, step)
        shim.finish_update(optimizer)
        assert not any(np.array_equal(w, before[name]) for name, w in weights_of(shim).items())


def norm_of(*shims: TorchShim) -> float:
    parts = [p.grad.double().pow(2).sum() for shim in shims for _, p in shim.trained()]
    return math.sqrt(float(sum(parts)))


def test_clipping_by_the_norm_over_all_networks():
    shims = [make_shim(), make_shim(seed=1), TorchShim(None, lr_scale=scale_of)]
    for step, shim in enumerate(shims[:2]):
        set_gradients(shim, step)
    before = [p.grad.clone() for shim in shims for _, p in shim.trained()]
    norm = norm_of(*shims)
    assert clip_global_norm(shims, 0.5) == pytest.approx(norm, rel=1e-6)
    assert norm_of(*shims) == pytest.approx(0.5, rel=1e-5)
    # The direction stays: every gradient shrinks by the same factor.
    after = [p.grad for shim in shims for _, p in shim.trained()]
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(b, a * (0.5 / norm), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("limit", [1e3, 0.0])
def test_a_norm_below_the_limit_and_no_limit(limit: float):
    shim = make_shim()
    gradients = set_gradients(shim, 0)
    clip_global_norm([shim], limit)
    for name, parameter in shim.trained():
        np.testing.assert_array_equal(parameter.grad, gradients[name].astype("float32"))


def test_nothing_to_clip():
    assert clip_global_norm([], 1.0) == 0.0
    assert clip_global_norm([make_shim()], 1.0) == 0.0


def scaled_shim(step: int) -> tuple[TorchShim, dict[str, np.ndarray]]:
    """A network whose gradients were computed under the scale of float16."""
    shim = make_shim()
    shim.loss_scale = LossScale()
    gradients = set_gradients(shim, step)
    for _, parameter in shim.trained():
        parameter.grad = shim.loss_scale.scale(parameter.grad)
    return shim, gradients


@pytest.mark.parametrize("clip", [None, 0.5])
def test_scaled_gradients_step_as_plain_ones(clip: float | None):
    shim, gradients = scaled_shim(0)
    plain = make_shim()
    set_gradients(plain, 0)
    if clip:
        assert clip_global_norm([shim], clip) == pytest.approx(norm_of(plain), rel=1e-5)
        clip_global_norm([plain], clip)
        assert norm_of(shim) == pytest.approx(clip, rel=1e-5)
    for s in (shim, plain):
        s.finish_update(SGD(0.1, grad_clip=0.0))
    assert_close(weights_of(shim), weights_of(plain), atol=1e-7)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_an_overflow_skips_its_network_and_no_other(bad: float):
    shim, _ = scaled_shim(0)
    shim.network.dense.weight.grad[0, 0] = bad
    other = make_shim(seed=1)
    set_gradients(other, 1)
    before, other_before = weights_of(shim), weights_of(other)
    norm = norm_of(other)
    assert clip_global_norm([shim, other], 0.5) == pytest.approx(norm, rel=1e-6)
    assert norm_of(other) == pytest.approx(0.5, rel=1e-5)
    optimizer = Adam(0.01)
    for s in (shim, other):
        s.finish_update(optimizer)
        assert s.trained() == []
    assert_close(weights_of(shim), before, atol=0.0)
    assert not np.array_equal(weights_of(other)["dense.weight"], other_before["dense.weight"])
    assert shim.loss_scale.factor == FIRST_SCALE / 2


def test_a_copy_has_averages_of_its_own():
    shim = make_shim()
    copied = shim.copy()
    with torch.no_grad():
        copied.network.dense.weight += 100.0
    optimizer = Adam(0.0, use_averages=True)
    for each in (shim, copied):
        set_gradients(each, 0)
        each.finish_update(optimizer)
    for each in (shim, copied):
        before = weights_of(each)
        with each.use_params(optimizer.averages):
            assert_close(weights_of(each), before)


def test_weights_of_another_shape_are_refused():
    shim = make_shim()
    before = weights_of(shim)
    averages = {(shim.id, "transitions"): np.ones((2, 2)), (shim.id, "dense.weight"): np.ones(3)}
    with (
        pytest.raises(
            ValueError, match=r"weights for 'dense.weight': expected .* \(2, 3\), got \(3"
        ),
        shim.use_params(averages),
    ):
        pass
    assert_close(weights_of(shim), before, atol=0)


def test_other_averages_are_left_alone():
    shim, other = make_shim(), make_shim(seed=1)
    optimizer = Adam(0.01, use_averages=True)
    set_gradients(other, 0)
    other.finish_update(optimizer)
    before = weights_of(shim)
    with shim.use_params(optimizer.averages):
        assert_close(weights_of(shim), before, atol=0)
    assert Adam(0.01, use_averages=False).averages is None


def test_a_pipeline_is_saved_with_its_averages(make_nlp: MakeNlp, tmp_path: Path):
    nlp = make_nlp(encoder_options={"dropout": 0.0, "precision": "bf16"})
    examples = make_examples(nlp)
    nlp.initialize(lambda: examples)
    optimizer = Adam(5e-3, use_averages=True)
    for _ in range(8):
        nlp.update(examples, sgd=optimizer)
    docs = [eg.predicted for eg in examples]

    def marginals(pipeline: Language) -> np.ndarray:
        return np.concatenate(pipeline.get_pipe("bio_ner").marginals(docs))

    last = marginals(nlp)
    with nlp.use_params(optimizer.averages):
        averaged = marginals(nlp)
        nlp.to_disk(tmp_path)
    assert np.nanmax(np.abs(averaged - last)) > 1e-3
    np.testing.assert_array_equal(marginals(nlp), last)
    np.testing.assert_allclose(marginals(spacy.load(tmp_path)), averaged, atol=1e-6)
