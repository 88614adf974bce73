"""The shim of a transformer: options, dropout, frozen layers, precision and steps."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from thinc.api import SGD, Adam
from torch import Tensor, nn

from tests.support.encoder_tools import (
    LONG,
    TEXTS,
    WINDOWS,
    Held,
    a_gradient,
    all_rows,
    by_hand,
    close,
    docs_of,
    gradients,
    layers_of,
    step_of,
)
from tests.support.tiny_models import make_encoder


def test_text_that_looks_like_a_special_sub_word_is_text(tiny_encoder: Path):
    _, shim = make_encoder(tiny_encoder)
    tokenizer = shim.text.tokenizer
    (own,) = shim.text.cut(docs_of(["a [SEP] b [PAD] [CLS] c"]))
    assert not set(own.ids.tolist()) & {
        tokenizer.sep_token_id,
        tokenizer.pad_token_id,
        tokenizer.cls_token_id,
    }
    vectors, _ = shim.run([own], all_rows([own]), train=False)
    torch.testing.assert_close(vectors, by_hand(shim, own).detach(), atol=1e-5, rtol=0)


def test_gradient_checkpointing_gives_the_same_gradients(tiny_encoder: Path):
    plain = step_of(tiny_encoder, TEXTS, dropout=0.2, **WINDOWS)
    frugal = step_of(tiny_encoder, TEXTS, dropout=0.2, gradient_checkpointing=True, **WINDOWS)
    assert torch.equal(plain[0], frugal[0])
    close(plain[1], frugal[1])
    close(plain[2], frugal[2])

    def held(**options: Any) -> int:
        _, shim = make_encoder(tiny_encoder, **options)
        subwords = shim.text.cut(docs_of([LONG] * 4))
        counter = Held(shim.network)
        with counter.watch():
            result = shim.run(subwords, all_rows(subwords), train=True)
        assert result is not None
        return counter.now

    assert held(gradient_checkpointing=True) < held() / 2


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_dropout_reaches_every_part_of_the_network(tiny_encoder: Path, dropout: float):
    _, shim = make_encoder(tiny_encoder, dropout=dropout)
    rates = {m.p for m in shim.network.modules() if isinstance(m, nn.Dropout)}
    assert rates == {dropout}
    a, b = (step_of(tiny_encoder, [LONG], dropout=dropout, seed=seed)[0] for seed in (1, 2))
    assert torch.equal(a, b) == (dropout == 0.0)


def test_dropout_is_the_config_s_by_default_and_off_in_prediction(tiny_encoder: Path):
    encoder, shim = make_encoder(tiny_encoder)
    assert {m.p for m in shim.network.modules() if isinstance(m, nn.Dropout)} == {0.1}
    a, b = (step_of(tiny_encoder, [LONG], seed=seed)[0] for seed in (1, 2))
    assert not torch.equal(a, b)
    docs = docs_of([LONG])
    encoder.begin_update(docs)
    assert np.array_equal(encoder.predict(docs)[0].dataXd, encoder.predict(docs)[0].dataXd)


def test_costs_of_batches(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch):
    _, shim = make_encoder(tiny_encoder)
    assert (shim.overhead(train=True), shim.overhead(train=False)) == (128, 64)
    shim.precision = "int8"
    assert shim.overhead(train=False) == 32
    monkeypatch.setattr(type(shim), "device", torch.device("cuda", 0))
    assert shim.budget == 32768
    assert shim.overhead(train=True) == shim.overhead(train=False) == 8192


def test_learning_rates_by_parameter(tiny_encoder: Path):
    _, shim = make_encoder(tiny_encoder, casing=True, lr_scale=0.5)
    rates = {name: shim.lr_scale(name) for name, _ in shim.network.named_parameters()}
    assert rates.pop("casing.weight") == 5.0
    assert {*rates.values()} == {0.5}


def test_defaults_follow_the_model(tiny_encoder: Path):
    _, shim = make_encoder(tiny_encoder)
    assert (shim.text.window, shim.text.overlap, shim.budget) == (62, 15, 2048)
    _, shim = make_encoder(tiny_encoder, window=62, overlap=61, batch_subwords=7)
    assert (shim.text.window, shim.text.overlap, shim.budget) == (62, 61, 7)


@pytest.mark.parametrize(
    ("frozen_layers", "still"),
    [
        (0, []),
        (1, ["embeddings", "0"]),
        (2, ["embeddings", "0", "1"]),
        (-1, ["embeddings", "0", "1"]),
    ],
)
def test_frozen_layers_stay_and_the_others_learn(
    tiny_encoder: Path, frozen_layers: int, still: list[str]
):
    _, shim = make_encoder(tiny_encoder, frozen_layers=frozen_layers)
    before = layers_of(shim)
    emitter = nn.Linear(32, 3)
    subwords = shim.text.cut(docs_of(TEXTS))
    vectors, backprop = shim.run(subwords, all_rows(subwords), train=True, project=emitter)
    backprop(a_gradient(vectors))
    shim.finish_update(Adam(0.01))
    after = layers_of(shim)
    for part, parameters in before.items():
        same = [torch.equal(x, y) for x, y in zip(parameters, after[part], strict=True)]
        assert all(same) if part in still else not any(same), part
    assert emitter.weight.grad is not None and emitter.weight.grad.abs().max() > 0


@pytest.mark.parametrize("checkpoints", [False, True])
@pytest.mark.parametrize(("frozen_layers", "computed"), [(0, {0, 1}), (1, {1}), (2, set())])
def test_the_backward_pass_ends_at_the_frozen_layers(
    tiny_encoder: Path, frozen_layers: int, computed: set[int], checkpoints: bool
):
    _, shim = make_encoder(
        tiny_encoder, frozen_layers=frozen_layers, gradient_checkpointing=checkpoints
    )
    reached = set()

    def watch(i: int, out: Any) -> None:
        # A tuple in transformers 4.
        hidden = out if isinstance(out, Tensor) else out[0]
        if hidden.requires_grad:
            hidden.register_hook(lambda _: reached.add(i))

    for i, layer in enumerate(shim.network.encoder.layer):
        layer.register_forward_hook(lambda module, given, out, i=i: watch(i, out))
    subwords = shim.text.cut(docs_of([LONG]))
    vectors, backprop = shim.run(subwords, all_rows(subwords), train=True, project=nn.Linear(32, 3))
    backprop(a_gradient(vectors))
    assert reached == computed


def test_a_frozen_network_has_no_dropout(tiny_encoder: Path):
    a, b = (step_of(tiny_encoder, [LONG], frozen_layers=-1, dropout=0.5, seed=s)[0] for s in (1, 2))
    assert torch.equal(a, b)


def test_a_frozen_network_keeps_no_graph(tiny_encoder: Path):
    _, shim = make_encoder(tiny_encoder, frozen_layers=-1)
    subwords = shim.text.cut(docs_of([LONG]))
    held = Held(shim.network)
    with held.watch():
        vectors, backprop = shim.run(subwords, all_rows(subwords), train=True)
        backprop(torch.ones_like(vectors))
    assert held.peak == 0 and gradients(shim.network) == []


@pytest.mark.parametrize(("precision", "atol"), [("bf16", 0.1), ("fp16", 0.01)])
def test_lower_precision_is_close_to_float32(tiny_encoder: Path, precision: str, atol: float):
    full, network, emitter, _ = step_of(tiny_encoder, TEXTS, dropout=0.0)
    low, low_network, low_emitter, _ = step_of(
        tiny_encoder, TEXTS, dropout=0.0, precision=precision
    )
    assert low.dtype == torch.float32 and not torch.equal(full, low)
    torch.testing.assert_close(low, full, atol=atol, rtol=0)
    # The gradient that reaches the emitter takes part in no scaling of the loss.
    for a, b in zip(low_emitter, emitter, strict=True):
        torch.testing.assert_close(a, b, atol=0.02 * float(b.abs().max()) + atol, rtol=0)
    scale = 2.0**16 if precision == "fp16" else 1.0
    for a, b in zip(low_network, network, strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a / scale, b, atol=0.1 * float(b.abs().max()) + 1e-3, rtol=0)


def test_float16_steps_as_float32_does(tiny_encoder: Path):
    weights = {}
    for precision in ("fp32", "fp16"):
        _, shim = make_encoder(tiny_encoder, dropout=0.0, precision=precision)
        subwords = shim.text.cut(docs_of([LONG]))
        vectors, backprop = shim.run(subwords, all_rows(subwords), train=True)
        backprop(1e-3 * a_gradient(vectors))
        before = shim.network.embeddings.word_embeddings.weight.detach().clone()
        shim.finish_update(SGD(1.0, grad_clip=0.0, use_averages=False))
        weights[precision] = shim.network.embeddings.word_embeddings.weight.detach() - before
    step = weights["fp32"]
    assert step.abs().max() > 0
    torch.testing.assert_close(weights["fp16"], step, atol=0.02 * float(step.abs().max()), rtol=0)


def test_float16_skips_a_step_that_overflows_and_halves_its_scale(tiny_encoder: Path):
    _, shim = make_encoder(tiny_encoder, dropout=0.0, precision="fp16")
    assert shim.loss_scale is not None and shim.loss_scale.factor == 2.0**16
    subwords = shim.text.cut(docs_of([LONG]))
    before = layers_of(shim)
    vectors, backprop = shim.run(subwords, all_rows(subwords), train=True)
    backprop(1e4 * a_gradient(vectors))
    assert not all(g.isfinite().all() for g in gradients(shim.network))
    shim.finish_update(Adam(0.01))
    assert shim.loss_scale.factor == 2.0**15
    assert gradients(shim.network) == []
    for part, parameters in layers_of(shim).items():
        assert all(torch.equal(x, y) for x, y in zip(parameters, before[part], strict=True))
    # The next good one is taken.
    vectors, backprop = shim.run(subwords, all_rows(subwords), train=True)
    backprop(1e-3 * a_gradient(vectors))
    shim.finish_update(Adam(0.01))
    assert shim.loss_scale.factor == 2.0**15
    assert not torch.equal(layers_of(shim)["0"][0], before["0"][0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "window: expected 1 or more, got 0"),
        ({"window": 63}, "window: expected at most 62, the model's limit .*, got 63"),
        ({"window": 8, "overlap": 8}, "overlap: expected 0 or more and less than .* of 8, got 8"),
        ({"window": 8, "overlap": -1}, "overlap: expected 0 or more and less than .* 8, got -1"),
        ({"overlap": 62}, "overlap: expected .* less than the window of 62, got 62"),
        ({"precision": "int4"}, "precision: expected one of 'fp32', 'bf16', .*, got 'int4'"),
        ({"frozen_layers": -2}, "frozen_layers: expected -1, 0 or a number of layers, got -2"),
        ({"frozen_layers": 3}, "frozen_layers: expected at most 2, the layers of this b.*, got 3"),
        ({"layers": 0}, "layers: expected a number of layers, or null for all, got 0"),
        ({"layers": 3}, "layers: expected 1 to 2, or -1 to -1, for the 2 layers of .*, got 3"),
        ({"layers": -2}, "layers: expected 1 to 2, or -1 to -1, for the 2 layers of .*, got -2"),
        ({"layers": 1, "frozen_layers": 2}, "frozen_layers: expected at most 1, .*, got 2"),
        ({"batch_subwords": 0}, "batch_subwords: expected 1 or more, got 0"),
        ({"lr_scale": -1.0}, "lr_scale: expected 0 or more, got -1.0"),
        ({"dropout": -0.1}, "dropout: expected 0 <= p < 1, got -0.1"),
        ({"dropout": 1.0}, "dropout: expected 0 <= p < 1, got 1.0"),
        ({"casing": True, "frozen_layers": -1}, "casing: expected false for .*, got True"),
    ],
)
def test_options_out_of_range(tiny_encoder: Path, options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        make_encoder(tiny_encoder, **options)


def test_float16_on_a_cpu_is_told(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch):
    message = "precision = 'fp16' is many times slower than 'fp32' on a CPU"
    with pytest.warns(UserWarning, match=message):
        _, shim = make_encoder(tiny_encoder, precision="fp16")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for precision in ("bf16", "auto", "int8", "fp32"):
            shim.precision = precision
        with monkeypatch.context() as patch:
            patch.setattr(type(shim), "device", torch.device("cuda", 0))
            shim.precision = "fp16"
    with pytest.warns(UserWarning, match=message):
        shim.precision = "fp16"


def test_deep_networks_have_a_lower_default_rate(tiny_encoder: Path, monkeypatch):
    _, shim = make_encoder(tiny_encoder, lr_scale=None)
    assert shim.rate(Adam()) == 2e-4
    monkeypatch.setattr("spacy_bio_crf.encoders.transformer.shim.DEEP", 1)
    _, shim = make_encoder(tiny_encoder, lr_scale=None)
    assert shim.rate(Adam()) == 1e-4
    # Dropped layers do not count.
    _, shim = make_encoder(tiny_encoder, lr_scale=None, layers=1)
    assert shim.rate(Adam()) == 2e-4
