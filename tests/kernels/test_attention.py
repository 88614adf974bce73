"""Attention with dropout, and in bfloat16: torch's, by other ways."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from spacy.tokens import Doc
from spacy.vocab import Vocab
from torch import Tensor
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from spacy_bio_crf.kernels import attention as attention_module
from spacy_bio_crf.kernels.attention import SHORT_WINDOW
from spacy_bio_crf.kernels.mode import fast_kernels
from tests.support.tiny_models import make_encoder, write_checkpoint

CPU = torch.device("cpu")
AMD = {"cpu_name": "AMD EPYC", "avx512_f": True}
FUSED = "aten::_scaled_dot_product_flash_attention_for_cpu"


def heads(*shape: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, requires_grad=True) for _ in range(3)]


MASKS = [None, "added", "boolean"]


def padding(kind: str | None, length: int = 6) -> Tensor | None:
    """The mask of transformers 4, added to the scores, or of transformers 5; [B, 1, 1, T]."""
    seen = torch.ones(2, 1, 1, length, dtype=torch.bool)
    seen[1, ..., -2:] = False
    added = torch.where(seen, 0.0, torch.finfo(torch.float32).min)
    return {None: None, "added": added, "boolean": seen}[kind]


@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize("mask", MASKS)
def test_attention_is_torch_s_where_next_to_nothing_is_dropped(
    mask: str | None, scale: float | None
):
    weights = torch.randn(2, 3, 6, 4, generator=torch.Generator().manual_seed(1))
    results = []
    for p in (0.0, 2.0**-18):
        q, k, v = heads(2, 3, 6, 4)
        with fast_kernels(CPU, training=True):
            out = functional.scaled_dot_product_attention(
                q, k, v, attn_mask=padding(mask), dropout_p=p, scale=scale
            )
        out.backward(weights)
        results.append([out, q.grad, k.grad, v.grad])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mask", MASKS)
def test_attention_drops_probabilities_and_keeps_their_mean(mask: str | None):
    q, k, v = (x.detach() for x in heads(2, 3, 6, 4))
    # With an identity for values, attention returns its probabilities.
    v = torch.eye(6).expand(2, 3, 6, 6)
    exact = functional.scaled_dot_product_attention(q, k, v, attn_mask=padding(mask))
    torch.manual_seed(0)
    with fast_kernels(CPU, training=True):
        draws = torch.stack(
            [
                functional.scaled_dot_product_attention(
                    q, k, v, attn_mask=padding(mask), dropout_p=0.2
                )
                for _ in range(3000)
            ]
        )
    shown = exact > 0
    assert abs(float((draws == 0)[:, shown].float().mean()) - 0.2) < 0.005
    error = (draws.mean(0) - exact)[shown] / exact[shown]
    assert float(error.abs().max()) < 5 * math.sqrt(0.2 / 0.8 / 3000)
    torch.testing.assert_close(
        draws, torch.where(draws == 0, 0.0, exact / 0.8), rtol=1e-4, atol=1e-7
    )


@pytest.mark.parametrize("options", [{"is_causal": True}, {"enable_gqa": True}])
def test_other_kinds_of_attention_are_torch_s(options: dict):
    q, k, v = (x.detach() for x in heads(2, 3, 6, 4))
    torch.manual_seed(0)
    expected = functional.scaled_dot_product_attention(q, k, v, dropout_p=0.2, **options)
    torch.manual_seed(0)
    with fast_kernels(CPU, training=True):
        ours = functional.scaled_dot_product_attention(q, k, v, dropout_p=0.2, **options)
    assert torch.equal(ours, expected)


# In bfloat16 -------------------------------------------------------------------------------------


def fused(length: int, dtype: torch.dtype, kind: str = "added") -> bool:
    """Whether torch's kernel computes attention in prediction; the result is checked either way."""
    q, k, v = (x.detach().to(dtype) for x in heads(2, 3, length, 4))
    mask: Any = padding(kind, length)
    expected = functional.scaled_dot_product_attention(
        q.float(), k.float(), v.float(), attn_mask=mask
    )
    with (
        torch.inference_mode(),
        fast_kernels(CPU, training=False),
        profile(activities=[ProfilerActivity.CPU]) as seen,
    ):
        mask = mask if kind == "boolean" else mask.to(dtype)
        ours = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    assert ours.dtype == dtype
    close = 1e-5 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(ours.float(), expected, rtol=close, atol=close)
    return FUSED in {event.name for event in seen.events()}


@pytest.mark.parametrize(
    ("capabilities", "dtype", "length", "expected"),
    [
        (AMD, torch.bfloat16, 6, False),
        (AMD, torch.bfloat16, SHORT_WINDOW, False),
        (AMD, torch.bfloat16, SHORT_WINDOW + 1, True),
        (AMD, torch.float32, 6, True),
        ({}, torch.bfloat16, 6, True),
    ],
)
def test_short_windows_in_bfloat16_on_processors_by_amd(
    monkeypatch: pytest.MonkeyPatch,
    capabilities: dict,
    dtype: torch.dtype,
    length: int,
    expected: bool,
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    for kind in ("added", "boolean"):
        assert fused(length, dtype, kind) is expected


def test_many_scores_go_torch_s_way(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: AMD, raising=False)
    for most, expected in ((2 * 3 * 6 * 6, False), (2 * 3 * 6 * 6 - 1, True)):
        monkeypatch.setattr(attention_module, "MOST_SCORES", most)
        assert fused(6, torch.bfloat16) is expected


@pytest.mark.parametrize("dropout_p", [0.0, 0.1])
@pytest.mark.parametrize("boolean", [False, True])
def test_a_query_that_sees_nothing_gets_numbers(
    monkeypatch: pytest.MonkeyPatch, dropout_p: float, boolean: bool
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: AMD, raising=False)
    q, k, v = (x.detach().bfloat16() for x in heads(2, 3, 6, 4))
    mask = torch.zeros(2, 1, 6, 6)
    mask[0, 0, 5] = torch.finfo(torch.float32).min
    mask = mask == 0 if boolean else mask
    with fast_kernels(CPU, training=True):
        out = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout_p)
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("capabilities", [AMD, {}])
def test_windows_of_padding_do_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capabilities: dict
):
    """In every second layer of ModernBERT a sub-word sees its neighbors alone, and one of padding
    may see nothing; the next layer shows it to all."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    write_checkpoint(tmp_path, "modernbert", num_hidden_layers=3, local_attention=8)
    _, shim = make_encoder(tmp_path, precision="bf16", dropout=0.1)
    vocab = Vocab()
    docs = [Doc(vocab, words=["a"] * n) for n in (4, 9, 14, 19, 24, 29)]
    subwords = shim.text.cut(docs)
    for training in (False, True):
        vectors, backprop = shim.run(subwords, [p.rows for p in subwords], train=training)
        assert torch.isfinite(vectors).all()
    backprop(torch.ones_like(vectors))
    assert all(torch.isfinite(p.grad).all() for _, p in shim.trained())
