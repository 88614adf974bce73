"""The processor's abilities, and the switch that turns all kernels off."""

from pathlib import Path

import pytest
import spacy
import torch
from thinc.api import Adam
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from spacy_bio_crf.encoders.transformer import shim as shim_module
from spacy_bio_crf.kernels.cpu import (
    SWITCH,
    enabled,
    has_byte_products,
    multiplies_bf16,
    prefers_onednn,
)
from spacy_bio_crf.kernels.linear import has_linear
from tests.support.encoder_tools import TEXTS, all_rows, close, docs_of
from tests.support.tiny_models import make_encoder

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
AMD = {"cpu_name": "AMD EPYC", "avx512_f": True}


def pretend(monkeypatch: pytest.MonkeyPatch, **capabilities: object) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        (AMD, True),
        ({**AMD, "avx512_f": False}, False),
        ({**AMD, "cpu_name": "Intel(R) Xeon(R)"}, False),
        ({"architecture": "aarch64"}, False),
        ({}, False),
    ],
)
def test_onednn_is_for_processors_by_amd_with_512_bits(monkeypatch, capabilities, expected):
    pretend(monkeypatch, **capabilities)
    assert prefers_onednn() is expected


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True}, True),
        ({"avx512_bf16": False, "amx_bf16": True}, True),
        ({"avx512_f": True, "avx512_bf16": False}, False),
        ({"architecture": "aarch64"}, False),
        ({}, False),
    ],
)
def test_instructions_for_bfloat16(monkeypatch, capabilities, expected):
    pretend(monkeypatch, **capabilities)
    assert multiplies_bf16(CPU) is expected


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), False), ((8, 0), True)])
def test_bfloat16_on_a_gpu(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert multiplies_bf16(GPU) is expected
    assert not multiplies_bf16(torch.device("meta"))


def test_a_torch_that_can_not_tell(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.delattr(torch.cpu, "_is_vnni_supported", raising=False)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert not prefers_onednn() and not multiplies_bf16(CPU) and not has_byte_products()
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert has_byte_products()


# The switch ---------------------------------------------------------------------------------------


def test_values_of_the_switch(monkeypatch):
    monkeypatch.delenv(SWITCH, raising=False)
    assert enabled()
    for value, expected in (("1", True), ("0", False)):
        monkeypatch.setenv(SWITCH, value)
        assert enabled() is expected
    monkeypatch.setenv(SWITCH, "off")
    with pytest.raises(ValueError, match="BIO_NER_KERNELS: expected one of '0', '1', got 'off'"):
        enabled()


def step(folder: Path, **options: object) -> tuple[Tensor, list[Tensor], set[str]]:
    """Vectors and gradients of one training step, and the operators and modules that ran."""
    _, shim = make_encoder(folder, **options)
    subwords = shim.text.cut(docs_of(TEXTS))
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        vectors, backprop = shim.run(subwords, all_rows(subwords), train=True)
        backprop(torch.linspace(-1, 1, vectors.numel()).view(vectors.shape))
    return vectors, [p.grad for _, p in shim.trained()], {event.name for event in seen.events()}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_subwords": 40},
        {"casing": True},
        {"precision": "bf16"},
        {"gradient_checkpointing": True},
    ],
)
def test_switched_off_torch_computes_the_same(tiny_encoder: Path, monkeypatch, options):
    pretend(monkeypatch, **AMD)
    on = step(tiny_encoder, dropout=0.0, **options)
    monkeypatch.setenv(SWITCH, "0")
    monkeypatch.setattr(shim_module, "WordTable", None)
    off = step(tiny_encoder, dropout=0.0, **options)
    onednn = "mkldnn::_linear_pointwise"
    assert onednn not in off[2] and "aten::linear" in off[2]
    assert (onednn in on[2]) == (has_linear() and options.get("precision") != "bf16")
    if options.get("precision") == "bf16":
        size = float(on[0].abs().max())
        torch.testing.assert_close(off[0], on[0], atol=0.03 * size, rtol=0)
    else:
        torch.testing.assert_close(off[0], on[0], atol=1e-5, rtol=1e-4)
        close(off[1], on[1])


def test_switched_off_dropout_is_torch_s(tiny_encoder: Path, monkeypatch):
    """With the same random numbers as the network by itself."""
    monkeypatch.setenv(SWITCH, "0")
    _, shim = make_encoder(tiny_encoder, dropout=0.3)
    (own,) = shim.text.cut([spacy.blank("en").make_doc("Ana Ruiz met Bo")])
    torch.manual_seed(1)
    vectors, backprop = shim.run([own], all_rows([own]), train=True)
    backprop(torch.ones_like(vectors))
    shim.finish_update(Adam(0.01))
    _, fresh = make_encoder(tiny_encoder, dropout=0.3)
    special = shim.text.special
    ids = torch.tensor([[*special.prefix, *own.ids.tolist(), *special.suffix]])
    torch.manual_seed(1)
    expected = fresh.network.train()(input_ids=ids).last_hidden_state[0, 1:-1]
    assert torch.equal(vectors, expected.detach())


def test_switched_off_predictions_in_8_bits_are_the_same(tiny_encoder: Path, monkeypatch):
    found = {}
    for value in ("1", "0"):
        monkeypatch.setenv(SWITCH, value)
        _, shim = make_encoder(tiny_encoder, precision="int8")
        subwords = shim.text.cut(docs_of(TEXTS))
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            found[value], _ = shim.run(subwords, all_rows(subwords), train=False)
        names = {event.name for event in seen.events()}
        fast = any(n.startswith("onednn::qlinear") or n == "aten::_int_mm" for n in names)
        assert fast == (value == "1")
    torch.testing.assert_close(found["0"], found["1"], atol=1e-4, rtol=1e-4)
