"""The optimizer step, against AdamW written from its paper."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from thinc.api import SGD, Adam, Optimizer, RAdam
from torch import nn

from spacy_bio_crf.training.optimizer import FIRST_SCALE, LossScale, decays
from tests.support.networks import (
    DECAYED,
    Network,
    ReferenceAdam,
    assert_close,
    make_shim,
    scale_of,
    set_gradients,
    weights_of,
)


@pytest.mark.parametrize("decoupled", [True, False])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_a_step_is_that_of_the_paper(decoupled: bool, decay: float):
    shim = make_shim()
    reference = ReferenceAdam(weights_of(shim), decoupled=decoupled)
    optimizer = Adam(0.01, L2=decay, L2_is_weight_decay=decoupled, beta1=0.8, beta2=0.95, eps=1e-4)
    for step in range(20):
        gradients = set_gradients(shim, step)
        shim.finish_update(optimizer)
        reference.step(gradients, lr=0.01, decay=decay, beta1=0.8, beta2=0.95, eps=1e-4)
        assert shim.trained() == []
    assert_close(weights_of(shim), reference.weights)


def test_schedules_are_followed():
    shim = make_shim()
    reference = ReferenceAdam(weights_of(shim))
    rates = [0.0, 0.01, 0.03, 0.002, 0.0]
    optimizer = Adam(iter(rates), L2=0.1)
    for step, rate in enumerate(rates):
        assert optimizer.learn_rate == rate
        gradients = set_gradients(shim, step)
        shim.finish_update(optimizer)
        reference.step(gradients, lr=rate, decay=0.1)
        optimizer.step_schedules()
        assert_close(weights_of(shim), reference.weights)


def test_parameters_without_a_gradient_stay():
    shim = make_shim()
    shim.network.dense.requires_grad_(False)
    before = weights_of(shim)
    set_gradients(shim, 0)
    shim.network.dense.weight.grad = shim.network.dense.bias.grad = None
    shim.network.norm.bias.grad = None
    shim.finish_update(Adam(0.01, L2=0.5))
    moved = {n for n, w in weights_of(shim).items() if not np.array_equal(w, before[n])}
    assert moved == {"transitions", "norm.weight"}


def test_what_decays():
    assert {name for name, p in Network().named_parameters() if decays(name, p)} == DECAYED
    table = nn.Parameter(torch.zeros(3, 3))
    assert decays("embeddings.weight", table)
    assert not decays("crf.transitions", table)


@pytest.mark.parametrize(
    "make",
    [
        lambda lr, decay: SGD(lr, L2=decay, use_averages=False),
        lambda lr, decay: SGD(lr, L2=decay, L2_is_weight_decay=False, grad_clip=0.0),
        lambda lr, decay: RAdam(lr, L2=decay),
    ],
    ids=["SGD", "SGD with L2", "RAdam"],
)
def test_other_optimizers_step_as_thinc_steps(make: Callable[[float, float], Optimizer]):
    shim = make_shim()
    weights = {name: w.astype("float32") for name, w in weights_of(shim).items()}
    optimizer = make(0.1, 0.2)
    own = {n: make(0.1 * scale_of(n), 0.2 if n in DECAYED else 0.0) for n in weights}
    for step in range(8):
        gradients = set_gradients(shim, step)
        shim.finish_update(optimizer)
        assert (optimizer.learn_rate, optimizer.L2) == (0.1, 0.2)
        for name, gradient in gradients.items():
            weights[name], _ = own[name]((1, name), weights[name], gradient.astype("float32"))
        assert shim.trained() == []
    assert_close(weights_of(shim), {n: w.astype("float64") for n, w in weights.items()}, atol=1e-5)
    assert all(p.requires_grad for p in shim.network.parameters())


def test_the_scale_grows_after_many_good_steps(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("spacy_bio_crf.training.optimizer.GROWTH_STEPS", 3)
    scale = LossScale()
    parameter: Any = nn.Parameter(torch.zeros(2))
    factors = []
    for gradient in [1.0, 1.0, math.inf, 1.0, 1.0, 1.0, 1.0]:
        parameter.grad = scale.scale(torch.full((2,), gradient))
        assert scale.unscale([parameter]) == math.isfinite(gradient)
        assert scale.unscale([parameter]) == math.isfinite(gradient)  # once a step only
        if math.isfinite(gradient):
            torch.testing.assert_close(parameter.grad, torch.full((2,), gradient))
        scale.update()
        factors.append(scale.factor / FIRST_SCALE)
    assert factors == [1.0, 1.0, 0.5, 0.5, 0.5, 1.0, 1.0]


def test_a_step_without_gradients_leaves_the_scale():
    shim = make_shim()
    shim.loss_scale = LossScale()
    for _ in range(3):
        shim.finish_update(Adam(0.01))
    assert shim.loss_scale.factor == FIRST_SCALE


@pytest.mark.parametrize("make", [Adam, SGD])
def test_averages_are_thinc_s(make: Callable[..., Optimizer]):
    """As `Ops.update_averages` has them; thinc begins at zero, which forty steps make small."""
    shim = make_shim()
    optimizer = make(0.01, use_averages=True)
    expected = {name: np.zeros_like(w) for name, w in weights_of(shim).items()}
    for step in range(40):
        set_gradients(shim, step)
        shim.finish_update(optimizer)
        decay = (1 + step + 1) / (10 + step + 1)
        for name, weights in weights_of(shim).items():
            expected[name] = decay * expected[name] + (1 - decay) * weights
    last = weights_of(shim)
    with shim.use_params(optimizer.averages):
        assert_close(weights_of(shim), expected)
        assert not np.allclose(weights_of(shim)["dense.weight"], last["dense.weight"], atol=1e-3)
    assert_close(weights_of(shim), last, atol=0)
    with pytest.raises(KeyError), shim.use_params(optimizer.averages):
        raise KeyError
    assert_close(weights_of(shim), last, atol=0)
