"""Adapters: what they compute, what learns, where they are put, and options beside them."""

import copy
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from thinc.api import SGD, Adam, Model, constant
from torch import nn

from spacy_bio_crf.encoders.api import encoder_of
from spacy_bio_crf.encoders.transformer.adapters import (
    Lora,
    adapted_layers,
    adapter_weights,
    add_adapters,
    base_of,
    base_parameters,
    find_targets,
    merged,
    read_lora,
)
from spacy_bio_crf.encoders.transformer.layer import build_transformer_encoder, transformer_shim
from spacy_bio_crf.encoders.transformer.shim import TransformerShim
from tests.support.encoder_tools import (
    LONG,
    TEXTS,
    WINDOWS,
    a_gradient,
    all_rows,
    close,
    docs_of,
    gradients,
)
from tests.support.tiny_models import FAMILIES, make_encoder, write_checkpoint

pytest.importorskip("peft", reason="adapters need peft")

LORA: dict[str, Any] = {"r": 4, "alpha": 8}


def vectors_of(encoder: Model) -> np.ndarray:
    return np.concatenate([v.dataXd for v in encoder.predict(docs_of(TEXTS))])


def take_steps(shim: TransformerShim, n: int = 2, optimizer: Any = None) -> None:
    optimizer = optimizer or Adam(0.01)
    subwords = shim.text.cut(docs_of(TEXTS))
    for _ in range(n):
        vectors, backprop = shim.run(subwords, all_rows(subwords), train=True)
        backprop(a_gradient(vectors))
        shim.finish_update(optimizer)


def a_trained(folder: Path, **options: Any) -> tuple[Model, TransformerShim]:
    torch.manual_seed(0)
    encoder, shim = make_encoder(folder, **{"lora": LORA, "dropout": 0.0, **options})
    take_steps(shim)
    return encoder, shim


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(family: str, tmp_path: Path):
    write_checkpoint(tmp_path, family)
    before = vectors_of(make_encoder(tmp_path)[0])
    encoder, shim = make_encoder(tmp_path, lora={**LORA, "merge": False})
    assert np.array_equal(vectors_of(encoder), before)
    take_steps(shim)
    apart = vectors_of(encoder)
    assert np.abs(apart - before).max() > 0.05
    # Rounding of the merge, and no more.
    other = build_transformer_encoder("none", lora=LORA).from_bytes(encoder.to_bytes())
    together = vectors_of(other)
    assert 0 < np.abs(together - apart).max() < 1e-5
    # A merged network gives the same vectors once it is saved and read, bit for bit.
    last = build_transformer_encoder("none").from_bytes(other.to_bytes())
    assert not adapted_layers(transformer_shim(last).network)
    assert np.array_equal(vectors_of(last), together)


def test_adapters_are_products_of_two_matrices(tiny_encoder: Path):
    lora = {"r": 3, "alpha": 6, "target_modules": ["query", "output.dense"]}
    encoder, shim = make_encoder(tiny_encoder, lora=lora)
    own = adapter_weights(shim.network)
    for tensor in own.values():
        tensor.copy_(torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1)) * 0.1)
    names = adapted_layers(shim.network)
    # "output.dense" is the end of two names in each layer.
    assert len(names) == 6 and {*own} == {f"{n}.lora_{x}.weight" for n in names for x in "AB"}
    plain, other = make_encoder(tiny_encoder)
    before = vectors_of(plain)
    for name in names:
        a, b = own[f"{name}.lora_A.weight"], own[f"{name}.lora_B.weight"]
        assert (len(a), b.shape[1]) == (3, 3)
        with torch.no_grad():
            other.network.get_submodule(name).weight.add_(6 / 3 * b @ a)
    np.testing.assert_allclose(vectors_of(encoder), vectors_of(plain), atol=2e-6)
    assert np.abs(vectors_of(plain) - before).max() > 0.01


def test_views_of_a_network_share_its_weights(tiny_encoder: Path):
    _, shim = a_trained(tiny_encoder, casing=True)
    network = shim.network
    base, whole = base_of(network), merged(network)
    plain = make_encoder(tiny_encoder)[1].network
    assert [n for n, _ in base.named_parameters()] == [n for n, _ in plain.named_parameters()]
    assert {*base_parameters(network)} == {n for n, _ in plain.named_parameters()}
    for name, parameter in base.named_parameters():
        # What is frozen has not changed by a bit.
        assert torch.equal(parameter, plain.get_parameter(name))
        assert parameter.data_ptr() == base_parameters(network)[name].data_ptr()
    names = {f"{name}.weight" for name in adapted_layers(network)}
    for name, parameter in whole.named_parameters():
        differs = name not in dict(base.named_parameters()) or not torch.equal(
            parameter, base.get_parameter(name)
        )
        assert differs == (name in names or name == "casing.weight"), name
    assert not hasattr(base, "casing") and len(adapted_layers(network)) == len(names) == 12


@pytest.mark.parametrize("casing", [False, True])
def test_only_adapters_and_shapes_learn(tiny_encoder: Path, casing: bool):
    _, shim = make_encoder(tiny_encoder, lora=LORA, casing=casing)
    before = {name: p.detach().clone() for name, p in shim.network.named_parameters()}
    take_steps(shim, 3)
    for name, parameter in shim.network.named_parameters():
        learns = "lora_" in name or name == "casing.weight"
        assert torch.equal(parameter, before[name]) != learns, name
        assert parameter.requires_grad == learns
    assert ("casing.weight" in before) == casing


def test_steps_that_are_not_adam_s(tiny_encoder: Path):
    _, shim = make_encoder(tiny_encoder, lora=LORA)
    before = adapter_weights(shim.network)
    before = {name: tensor.clone() for name, tensor in before.items()}
    take_steps(shim, 3, SGD(1.0))
    changed = {n for n, t in adapter_weights(shim.network).items() if not torch.equal(t, before[n])}
    assert changed == {*before}


def test_the_first_layers_can_go_without(tiny_encoder: Path):
    _, shim = make_encoder(tiny_encoder, lora=LORA, frozen_layers=1)
    names = adapted_layers(shim.network)
    assert len(names) == 6 and all(name.startswith("encoder.layer.1.") for name in names)
    with pytest.raises(ValueError, match="expected linear layers that are not frozen, got none"):
        make_encoder(tiny_encoder, lora=LORA, frozen_layers=2)


def test_layers_that_are_dropped_have_none(tiny_encoder: Path):
    _, shim = make_encoder(tiny_encoder, lora=LORA, layers=1)
    assert {name.split(".")[2] for name in adapted_layers(shim.network)} == {"0"}


def test_names_that_a_network_lacks(tiny_encoder: Path):
    _, shim = make_encoder(tiny_encoder)
    before = shim.network
    message = (
        r"lora.target_modules: expected names of linear layers of this bert "
        r"\('query', 'key', 'value', 'dense'\), got 'q_proj'"
    )
    with pytest.raises(ValueError, match=message):
        make_encoder(tiny_encoder, lora={"target_modules": ["query", "q_proj"]})
    # Part of a name is no name; a full name is.
    for name in ("uery", "encoder"):
        with pytest.raises(ValueError, match=f"got '{name}'"):
            find_targets(before, [name])
    full = "encoder.layer.0.attention.self.key"
    assert find_targets(before, [full, "self.key"]) == [full, full.replace("0", "1")]
    bare = nn.Sequential(nn.Conv1d(1, 1, 1))
    bare.config = before.config  # type: ignore[assignment]
    with pytest.raises(ValueError, match=r"this bert \(it has none\), got null"):
        find_targets(bare)


def test_a_refused_beginning_leaves_the_encoder_as_it_was(tiny_encoder: Path):
    encoder, shim = make_encoder(tiny_encoder, lora=LORA)
    before, network = vectors_of(encoder), shim.network
    shim.lora = Lora(target_modules=["q_proj"])
    encoder_of(encoder).begin_anew()
    with pytest.raises(ValueError, match="q_proj"):
        encoder.initialize()
    assert shim.network is network and np.array_equal(vectors_of(encoder), before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"r": 0}, "lora.r: expected a whole number, 1 or more, got 0"),
        ({"r": 2.5}, "lora.r: expected a whole number, 1 or more, got 2.5"),
        ({"alpha": 0}, "lora.alpha: expected a number above 0, got 0"),
        ({"alpha": float("nan")}, "lora.alpha: expected a number above 0, got nan"),
        ({"dropout": 1.0}, "lora.dropout: expected 0 <= p < 1, got 1.0"),
        ({"merge": "no"}, "lora.merge: expected true or false, got 'no'"),
        ({"target_modules": "all-linear"}, "lora.target_modules: expected a list of names"),
        ({"target_modules": []}, "lora.target_modules: expected a list of names"),
        ({"target_modules": [1]}, "lora.target_modules: expected a list of names"),
        ({"rank": 8}, "lora: expected settings of r, alpha, dropout, .*, got 'rank'"),
        ([8], r"lora: expected settings by name, or null, got \[8\]"),
    ],
)
def test_settings_out_of_range(settings: Any, message: str):
    with pytest.raises(ValueError, match=message):
        read_lora(settings)


def test_settings_that_are_left_out():
    assert read_lora(None) is None
    assert read_lora({}) == Lora(8, 16, 0.0, None, True)
    assert read_lora({"r": 1, "target_modules": ("a",)}) == Lora(1, target_modules=("a",))


def test_without_peft(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch):
    data = a_trained(tiny_encoder)[0].to_bytes()
    monkeypatch.setitem(sys.modules, "peft", None)
    message = r'lora: expected peft for adapters, got .*; pip install "spacy_bio_crf\[lora\]"'
    with pytest.raises(ImportError, match=message):
        make_encoder(tiny_encoder, lora=LORA)
    # Merged weights are read and used without it, and trained with it.
    encoder = build_transformer_encoder("none", lora=LORA).from_bytes(data)
    assert np.isfinite(vectors_of(encoder)).all()
    with pytest.raises(ImportError, match=message):
        encoder.begin_update(docs_of([LONG]))


def test_training_goes_on_with_new_adapters_on_merged_weights(tiny_encoder: Path):
    data = a_trained(tiny_encoder)[0].to_bytes()
    encoder = build_transformer_encoder("none", lora=LORA).from_bytes(data)
    shim, before = transformer_shim(encoder), vectors_of(encoder)
    base = {name: p.detach().clone() for name, p in shim.network.named_parameters()}
    optimizer = Adam(0.01)
    take_steps(shim, 2, optimizer)
    assert len(adapted_layers(shim.network)) == 12
    assert np.abs(vectors_of(encoder) - before).max() > 0.01
    for name, parameter in base_parameters(shim.network).items():
        assert torch.equal(parameter, base[name])


def test_a_network_begins_anew(tiny_encoder: Path):
    encoder, shim = a_trained(tiny_encoder)
    fresh = make_encoder(tiny_encoder, lora=LORA)[1].network.state_dict()
    encoder_of(encoder).begin_anew()
    encoder.initialize()
    for name, tensor in shim.network.state_dict().items():
        # A begins at random.
        assert torch.equal(tensor, fresh[name]) or "lora_A" in name, name


# Options beside adapters --------------------------------------------------------------------------


def step(folder: Path, **options: Any) -> list[torch.Tensor]:
    torch.manual_seed(0)
    _, shim = make_encoder(folder, **{"lora": LORA, "dropout": 0.2, **WINDOWS, **options})
    for name, tensor in adapter_weights(shim.network).items():
        if "lora_B" in name:
            tensor.copy_(torch.randn(tensor.shape) * 0.1)
    subwords = shim.text.cut(docs_of(TEXTS))
    torch.manual_seed(1)
    vectors, backprop = shim.run(subwords, all_rows(subwords), train=True)
    backprop(a_gradient(vectors))
    return [vectors.detach(), *gradients(shim.network)]


def test_gradient_checkpoints(tiny_encoder: Path):
    plain, frugal = step(tiny_encoder), step(tiny_encoder, gradient_checkpointing=True)
    close(plain, frugal)
    assert len(plain) == 1 + 2 * 12


def test_batches_that_are_computed_again(tiny_encoder: Path):
    dropless = {"dropout": 0.0}
    close(step(tiny_encoder, **dropless), step(tiny_encoder, batch_subwords=40, **dropless))


def test_kernels_make_no_difference(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch):
    fast = step(tiny_encoder, dropout=0.0)
    monkeypatch.setenv("BIO_NER_KERNELS", "0")
    close(fast, step(tiny_encoder, dropout=0.0))


@pytest.mark.parametrize("merge", [False, True])
def test_bfloat16(tiny_encoder: Path, merge: bool):
    lora = {**LORA, "merge": merge}
    exact, rough = (
        step(tiny_encoder, dropout=0.0),
        step(tiny_encoder, dropout=0.0, precision="bf16"),
    )
    for a, b in zip(exact, rough, strict=True):
        assert a.dtype == b.dtype == torch.float32
        assert torch.linalg.norm(a - b) < 0.03 * torch.linalg.norm(a) + 1e-6
    encoder, shim = a_trained(tiny_encoder, lora=lora)
    full = vectors_of(encoder)
    shim.precision = "bf16"
    half = vectors_of(encoder)
    assert 0 < np.abs(full - half).max() < 0.1


@pytest.mark.parametrize("merge", [False, True])
def test_bytes_in_prediction(tiny_encoder: Path, merge: bool):
    encoder, shim = a_trained(tiny_encoder, lora={**LORA, "merge": merge})
    full = vectors_of(encoder)
    shim.precision = "int8"
    rough = vectors_of(encoder)
    assert 0 < np.abs(full - rough).max() < 0.2
    # Of merged weights, whichever way they are kept.
    whole = build_transformer_encoder("none", lora=LORA).from_bytes(encoder.to_bytes())
    plain = build_transformer_encoder("none", precision="int8").from_bytes(whole.to_bytes())
    assert np.array_equal(vectors_of(plain), rough)
    with pytest.raises(ValueError, match="in training, got 'int8'"):
        encoder.begin_update(docs_of([LONG]))


def test_dropout_on_the_input_of_adapters(tiny_encoder: Path):
    def drawn(seed: int, dropout: float) -> torch.Tensor:
        lora = {**LORA, "dropout": dropout}
        encoder, shim = a_trained(tiny_encoder, lora=lora)
        assert np.array_equal(vectors_of(encoder), vectors_of(encoder))
        subwords = shim.text.cut(docs_of([LONG]))
        torch.manual_seed(seed)
        return shim.run(subwords, all_rows(subwords), train=True)[0]

    assert not torch.equal(drawn(1, 0.5), drawn(2, 0.5))
    assert torch.equal(drawn(1, 0.0), drawn(2, 0.0))


def test_predictions_follow_every_step(tiny_encoder: Path):
    encoder, shim = a_trained(tiny_encoder)
    before = vectors_of(encoder)
    take_steps(shim, 1)
    after = vectors_of(encoder)
    assert not np.array_equal(before, after)
    averages = {
        (shim.id, n): np.zeros(p.shape, dtype="float32")
        for n, p in shim.network.named_parameters()
        if "lora_B" in n
    }
    with shim.use_params(averages):
        assert np.array_equal(vectors_of(encoder), vectors_of(make_encoder(tiny_encoder)[0]))
    assert np.array_equal(vectors_of(encoder), after)


def test_threads(tiny_encoder: Path):
    encoder, shim = a_trained(tiny_encoder)
    expected = vectors_of(encoder)
    shim._prediction.forget()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: vectors_of(encoder), range(8)))
    assert all(np.array_equal(one, expected) for one in found)


def test_copies_are_apart(tiny_encoder: Path):
    encoder, shim = a_trained(tiny_encoder)
    other = encoder.copy()
    before = vectors_of(encoder)
    assert np.array_equal(vectors_of(other), before)
    assert transformer_shim(other).id != shim.id
    take_steps(transformer_shim(other))
    assert np.array_equal(vectors_of(encoder), before)
    assert not np.array_equal(vectors_of(copy.deepcopy(other)), before)


def test_learning_rates(tiny_encoder: Path):
    given, spacys = Adam(constant(3e-4)), Adam()
    for lora, factor in ((None, 1.0), (LORA, 10.0)):
        encoder, shim = make_encoder(tiny_encoder, lora=lora, lr_scale=None)
        assert shim.rate(given) == 3e-4
        assert shim.rate(spacys) == pytest.approx(factor * 2e-4)
        assert encoder_of(encoder).default_rate == 2e-4
        # No pre-trained weight is trained: nothing to warn of.
        rate = encoder_of(encoder).transformer_rate(given)
        assert rate == (0.0 if lora else 3e-4)
    _, shim = make_encoder(tiny_encoder, lora=LORA, lr_scale=5.0)
    assert shim.rate(spacys) == spacys.learn_rate and shim.lr_scale("x.lora_A") == 5.0
    assert shim.lr_scale("casing.weight") == 5.0


def test_weights_of_other_adapters(tiny_encoder: Path):
    def plain() -> Any:
        return make_encoder(tiny_encoder)[1].network

    network = plain()
    add_adapters(network, Lora(r=2))
    own = {name: tensor.clone() for name, tensor in adapter_weights(network).items()}
    add_adapters(plain(), Lora(r=2), weights=own)
    first = "encoder.layer.0.attention.output.dense.lora_A.weight"
    with pytest.raises(
        ValueError, match=rf"weights of {first}: expected the shape \(3, 32\), got "
    ):
        add_adapters(plain(), Lora(r=3), weights=own)
    less = {name: t for name, t in own.items() if name != first.replace("_A", "_B")}
    with pytest.raises(ValueError, match=r"lora_B.weight: expected the shape \(32, 2\), got none"):
        add_adapters(plain(), Lora(r=2), weights=less)
    with pytest.raises(ValueError, match="weights of x: expected the shape none, got"):
        add_adapters(plain(), Lora(r=2), weights={**own, "x": torch.zeros(3)})
    with pytest.raises(ValueError, match="lora, weights: expected .* adapters, got none"):
        add_adapters(plain(), Lora(r=2), weights={})
