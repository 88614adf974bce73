"""Batches through a network: results, gradients, dropout and memory."""

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from spacy_bio_crf.encoders.transformer import shim as shim_module
from spacy_bio_crf.encoders.transformer.run import Forward, run
from spacy_bio_crf.kernels.mode import fast_kernels
from spacy_bio_crf.subwords.batches import PaddedBatch, SpecialIds, make_batches
from spacy_bio_crf.subwords.tokenizer import Subwords
from spacy_bio_crf.training.optimizer import LossScale
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
    step_of,
)
from tests.support.tiny_models import make_encoder


@pytest.mark.parametrize(
    "options",
    [{}, {"batch_subwords": 1}, {"window": 8, "overlap": 3}, {"window": 5, "overlap": 4}],
)
def test_batches_give_what_the_network_gives_window_by_window(tiny_encoder: Path, options):
    _, shim = make_encoder(tiny_encoder, **options)
    subwords = shim.text.cut(docs_of(TEXTS))
    with torch.no_grad():
        vectors, _ = shim.run(subwords, all_rows(subwords), train=False)
        expected = torch.cat([by_hand(shim, own) for own in subwords])
    assert vectors.dtype == torch.float32
    assert vectors.shape == expected.shape and len(vectors) > 200
    torch.testing.assert_close(vectors, expected, atol=1e-5, rtol=0)


def test_rows_may_be_asked_for_in_any_order_and_twice(tiny_encoder: Path):
    _, shim = make_encoder(tiny_encoder, window=8, overlap=3)
    (own,) = shim.text.cut(docs_of([LONG]))
    n = len(own.ids)
    asked = np.array([n - 1, 0, 0, n // 2, n - 1])
    every, _ = shim.run([own], [np.arange(n)], train=False)
    some, _ = shim.run([own], [asked], train=False)
    torch.testing.assert_close(some, every[torch.from_numpy(asked)], atol=1e-6, rtol=0)


@pytest.mark.parametrize("budget", [1, 60, 100_000])
def test_gradients_are_those_of_the_windows_by_hand(tiny_encoder: Path, budget: int):
    options = {**WINDOWS, "dropout": 0.0}
    emissions, network, emitter, _ = step_of(tiny_encoder, TEXTS, batch_subwords=budget, **options)

    _, shim = make_encoder(tiny_encoder, **options)
    torch.manual_seed(0)
    own = nn.Linear(32, 3)
    expected = own(torch.cat([by_hand(shim, p) for p in shim.text.cut(docs_of(TEXTS))]))
    torch.testing.assert_close(emissions, expected.detach(), atol=1e-5, rtol=0)
    expected.backward(a_gradient(expected))
    close(network, gradients(shim.network))
    close(emitter, gradients(own))


def test_training_and_prediction_have_batches_of_their_own(tiny_encoder: Path, monkeypatch):
    monkeypatch.setattr(shim_module, "TRAINING_OVERHEAD", 100_000)
    monkeypatch.setattr(shim_module, "PREDICTION_OVERHEAD", 0)
    _, shim = make_encoder(tiny_encoder)
    shapes: list[tuple[int, ...]] = []
    shim.network.embeddings.register_forward_hook(lambda *args: shapes.append(args[2].shape[:2]))
    subwords = shim.text.cut(docs_of(["Bo", "Bo met Ana Ruiz in Lisbon .", "Bo"]))
    for train, rows in ((True, [3]), (False, [1, 2])):
        shapes.clear()
        shim.run(subwords, all_rows(subwords), train=train)
        assert sorted(n for n, _ in shapes) == rows


@pytest.mark.parametrize("budget", [40, 100_000])
def test_dropout_is_the_same_when_a_batch_is_computed_again(tiny_encoder: Path, budget: int):
    """The expected gradients keep every batch's graph; a budget of 40 makes `run` drop them."""
    options = {**WINDOWS, "dropout": 0.3, "batch_subwords": budget}
    emissions, network, emitter, after = step_of(tiny_encoder, TEXTS, **options)

    _, shim = make_encoder(tiny_encoder, **options)
    torch.manual_seed(0)
    own = nn.Linear(32, 3)
    subwords = shim.text.cut(docs_of(TEXTS))
    batches = make_batches(
        subwords,
        all_rows(subwords),
        special=shim.text.special,
        budget=budget,
        overhead=shim.overhead(train=True),
        **WINDOWS,
    )
    assert (len(batches) > 3) == (budget == 40)
    torch.manual_seed(1)
    shim.network.train()
    expected = torch.zeros(emissions.shape)
    for p in batches:
        mask = None if p.mask.all() else torch.from_numpy(p.mask)
        with fast_kernels(torch.device("cpu"), training=True):
            hidden = shim.network(input_ids=torch.from_numpy(p.ids), attention_mask=mask)[0]
        rows = own(hidden.flatten(0, 1)[torch.from_numpy(p.rows)])
        expected = expected.index_put((torch.from_numpy(p.targets),), rows)
    assert torch.equal(emissions, expected.detach())
    expected.backward(a_gradient(expected))
    close(network, gradients(shim.network))
    close(emitter, gradients(own))
    # Computing again takes no random numbers from those that come next.
    torch.rand(2)
    assert torch.equal(after, torch.rand(3))
    _, without, _, _ = step_of(tiny_encoder, TEXTS, **WINDOWS, dropout=0.0)
    assert not torch.allclose(without[0], network[0], atol=1e-3)


def test_beyond_the_budget_no_more_than_one_batch_is_held(tiny_encoder: Path):
    def measure(budget: int, n_docs: int) -> tuple[int, int]:
        _, shim = make_encoder(tiny_encoder, batch_subwords=budget)
        subwords = shim.text.cut(docs_of([LONG] * n_docs))
        held = Held(shim.network)
        with held.watch():
            vectors, backprop = shim.run(
                subwords, all_rows(subwords), train=True, project=nn.Linear(32, 3)
            )
            gc.collect()
            after_forward = held.now
            backprop(torch.ones_like(vectors))
        return after_forward, held.peak

    one_document = len(LONG)  # a budget that two documents do not fit in
    kept, kept_peak = measure(100_000, 8)
    assert kept > 0 and kept_peak >= kept
    dropped, peak = measure(one_document, 8)
    assert dropped == 0
    assert peak < kept_peak / 4
    # Twice the documents need no more memory.
    assert measure(one_document, 16) == (0, peak)


def test_the_graph_is_gone_after_the_backward_pass(tiny_encoder: Path):
    _, shim = make_encoder(tiny_encoder)
    subwords = shim.text.cut(docs_of([LONG]))
    held = Held(shim.network)
    with held.watch():
        vectors, backprop = shim.run(subwords, all_rows(subwords), train=True)
        backprop(torch.ones_like(vectors))
    gc.collect()
    assert held.now == 0 < held.peak


def test_a_prediction_has_no_gradient(tiny_encoder: Path):
    _, shim = make_encoder(tiny_encoder)
    subwords = shim.text.cut(docs_of([LONG]))
    vectors, backprop = shim.run(subwords, all_rows(subwords), train=False)
    with pytest.raises(RuntimeError, match="call begin_update instead of predict"):
        backprop(vectors)
    # An ordinary tensor all the same, which others may compute with.
    assert (vectors.requires_grad_() * 2).sum().requires_grad


# A plain network ----------------------------------------------------------------------------------

CPU = torch.device("cpu")


class Plain(nn.Module):
    """Embeddings plus the mean of their window, padding left out, with dropout."""

    def __init__(self, dropout: float = 0.0):
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(50, 4)
        self.dropout = nn.Dropout(dropout)

    def forward(self, input_ids=None, inputs_embeds=None, attention_mask=None):
        embedded = self.words(input_ids) if inputs_embeds is None else inputs_embeds
        seen = torch.ones(embedded.shape[:2]) if attention_mask is None else attention_mask.float()
        mean = (embedded * seen[..., None]).sum(1) / seen.sum(1, keepdim=True)
        return (self.dropout(embedded + mean[:, None]),)


def batches_of(*lengths: int, budget: int = 12) -> list[PaddedBatch]:
    subwords = [subwords_of(np.arange(3, 3 + n)) for n in lengths]
    return make_batches(
        *(subwords, [np.arange(n) for n in lengths]),
        special=SpecialIds((1,), (2,), 0),
        window=8,
        overlap=2,
        budget=budget,
        overhead=0,
    )


def subwords_of(ids: np.ndarray) -> Subwords:
    ones = np.ones(len(ids), dtype=np.int32)
    return Subwords(ids, np.arange(len(ids)), ones, ones == 1)


def plain_step(budget: int, **options: Any) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    network, emitter = Plain(options.pop("dropout", 0.0)).train(), nn.Linear(4, 2)
    with torch.no_grad():
        emitter.weight.copy_(torch.arange(8.0).view(2, 4))
    forward = Forward(network, CPU, "fp32", emitter, **options)
    torch.manual_seed(1)
    result, backprop = run(batches_of(3, 20, 5), forward, width=4, train=True, budget=budget)
    torch.rand(5)
    backprop(a_gradient(result))
    return result, gradients(network), gradients(emitter)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_kept_or_computed_again_gradients_are_equal(dropout: float):
    kept, again = (plain_step(budget, dropout=dropout) for budget in (10_000, 12))
    assert torch.equal(kept[0], again[0])
    close(kept[1], again[1])
    close(kept[2], again[2])


def test_rows_of_a_plain_network():
    network = Plain().eval()
    forward = Forward(network, CPU, "fp32", nn.Identity())
    result, _ = run(batches_of(3, 5), forward, width=4, train=False, budget=12)
    expected = []
    for n in (3, 5):
        ids = torch.tensor([[1, *range(3, 3 + n), 2]])
        expected.append(network(input_ids=ids)[0][0, 1:-1])
    torch.testing.assert_close(result, torch.cat(expected).detach())


def test_embeddings_from_elsewhere_and_a_frozen_network():
    table = torch.randn(50, 4, requires_grad=True)
    embed = lambda batch: table[torch.from_numpy(batch.ids)]  # noqa: E731
    _, of_network, of_emitter = plain_step(10_000, embed=embed)
    assert of_network == [] and table.grad is not None and len(of_emitter) == 2
    table.grad = None
    _, of_network, of_emitter = plain_step(10_000, embed=embed, frozen=True)
    assert of_network == [] and table.grad is None and len(of_emitter) == 2


@pytest.mark.parametrize("budget", [10_000, 12])
def test_the_loss_scale_reaches_the_network_alone(budget: int):
    scale = LossScale()
    _, plain, plain_emitter = plain_step(budget)
    _, scaled, emitter = plain_step(budget, loss_scale=scale)
    close(scaled, [scale.factor * g for g in plain])
    close(emitter, plain_emitter)


def test_no_batches():
    forward = Forward(Plain(), CPU, "fp32", nn.Linear(4, 2))
    for train in (False, True):
        result, backprop = run([], forward, width=4, train=train, budget=12)
        assert result.shape == (0, 2)
    backprop(result)
