"""The optimiser step, against AdamW written from its paper."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from thinc.api import SGD, Adam, Optimizer, RAdam
from torch import nn

from spacy_bio_crf.training.optimizer import (
    FIRST_SCALE,
    LossScale,
    TorchShim,
    clip_global_norm,
    decays,
)
from tests.support.pipelines import MakeNlp, make_examples


class Network(nn.Module):
    """One parameter of each kind: matrix, bias, layer norm, transition scores."""

    def __init__(self, seed: int = 0):
        super().__init__()
        torch.manual_seed(seed)
        self.dense = nn.Linear(3, 2)
        self.norm = nn.LayerNorm(2)
        self.transitions = nn.Parameter(torch.randn(2, 2))


NAMES = ["transitions", "dense.weight", "dense.bias", "norm.weight", "norm.bias"]
DECAYED = {"dense.weight"}


def scale_of(name: str) -> float:
    return 10.0 if name == "transitions" else 1.0


def make_shim(lr_scale: Callable[[str], float] = scale_of, seed: int = 0) -> TorchShim:
    return TorchShim(Network(seed), lr_scale=lr_scale)


def set_gradients(shim: TorchShim, step: int) -> dict[str, np.ndarray]:
    """Give every parameter a gradient, the same for the same step."""
    rng = np.random.default_rng(step)
    gradients = {}
    for name, parameter in shim.network.named_parameters():
        gradients[name] = rng.normal(size=parameter.shape)
        parameter.grad = torch.tensor(gradients[name], dtype=torch.float32)
    return gradients


def weights_of(shim: TorchShim) -> dict[str, np.ndarray]:
    return {name: p.detach().double().numpy().copy() for name, p in shim.network.named_parameters()}


def assert_close(a: dict[str, np.ndarray], b: dict[str, np.ndarray], atol: float = 2e-6) -> None:
    assert list(a) == list(b)
    for name in a:
        np.testing.assert_allclose(a[name], b[name], atol=atol, err_msg=name)


class ReferenceAdam:
    """Algorithm 2 of Loshchilov & Hutter 2019, "Decoupled weight decay regularization", with its
    decoupled decay or with the L2 regularisation it is compared to. Everything in float64."""

    def __init__(self, weights: dict[str, np.ndarray], *, decoupled: bool = True):
        self.weights, self.decoupled = dict(weights), decoupled
        self.m = {name: np.zeros_like(w) for name, w in weights.items()}
        self.v = {name: np.zeros_like(w) for name, w in weights.items()}
        self.t = 0

    def step(
        self, gradients: dict[str, np.ndarray], *, lr: float, decay: float = 0.0,
        beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8,
    ) -> None:  # fmt: skip
        self.t += 1
        for name, g in gradients.items():
            w, rate = self.weights[name], lr * scale_of(name)
            wd = decay if name in DECAYED else 0.0
            if not self.decoupled:
                g = g + wd * w
            self.m[name] = beta1 * self.m[name] + (1 - beta1) * g
            self.v[name] = beta2 * self.v[name] + (1 - beta2) * g**2
            m = self.m[name] / (1 - beta1**self.t)
            v = self.v[name] / (1 - beta2**self.t)
            new = w - rate * m / (np.sqrt(v) + eps)
            if self.decoupled:
                new = new - rate * wd * w
            self.weights[name] = new


# One network --------------------------------------------------------------------------------------


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


def test_nothing_to_do():
    optimizer = Adam(0.01)
    TorchShim(None, lr_scale=scale_of).finish_update(optimizer)
    shim = make_shim()
    before = weights_of(shim)
    shim.finish_update(optimizer)
    assert_close(weights_of(shim), before, atol=0.0)
    with pytest.raises(ValueError, match="no weights yet"):
        TorchShim(None, lr_scale=scale_of).network  # noqa: B018


def test_what_decays():
    assert {name for name, p in Network().named_parameters() if decays(name, p)} == DECAYED
    table = nn.Parameter(torch.zeros(3, 3))
    assert decays("embeddings.weight", table)
    assert not decays("crf.transitions", table)


# Other optimisers ---------------------------------------------------------------------------------


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


def test_from_sgd_to_adam_and_back():
    """The step that thinc takes leaves parameters that torch's step can go on with."""
    shim = make_shim()
    for step, optimizer in enumerate([Adam(0.01), SGD(0.1), Adam(0.01), SGD(0.1)]):
        before = weights_of(shim)
        set_gradients(shim, step)
        shim.finish_update(optimizer)
        assert not any(np.array_equal(w, before[name]) for name, w in weights_of(shim).items())


# Clipping -----------------------------------------------------------------------------------------


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


# Float16 ------------------------------------------------------------------------------------------


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


# Averages -----------------------------------------------------------------------------------------


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


def test_other_averages_are_left_alone():
    shim, other = make_shim(), make_shim(seed=1)
    optimizer = Adam(0.01, use_averages=True)
    set_gradients(other, 0)
    other.finish_update(optimizer)
    before = weights_of(shim)
    with shim.use_params(optimizer.averages):
        assert_close(weights_of(shim), before, atol=0)
    assert Adam(0.01, use_averages=False).averages is None


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
        pytest.raises(ValueError, match=r"'dense.weight' have the shape \(3,\); expected \(2, 3\)"),
        shim.use_params(averages),
    ):
        pass
    assert_close(weights_of(shim), before, atol=0)


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
