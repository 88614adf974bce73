"""Fast kernels are called in training, by modules of torch and by a whole network."""

import pickle
from pathlib import Path

import pytest
import spacy
import torch
from torch import Tensor, nn
from torch.nn import functional

from spacy_bio_crf.kernels import attention, dropout
from spacy_bio_crf.kernels.cpu import SWITCH
from spacy_bio_crf.kernels.dropout import drop
from spacy_bio_crf.kernels.mode import FastKernels, around_layers, fast_kernels
from tests.support.encoder_tools import checkpoints
from tests.support.tiny_models import make_encoder

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


def test_modules_of_torch_drop_by_it_and_only_in_training():
    module = nn.Dropout(0.5)
    x = torch.ones(1000)

    def draw() -> Tensor:
        torch.manual_seed(0)
        return module(x)

    usual = draw()
    with fast_kernels(CPU, training=True):
        ours = draw()
        module.eval()
        assert torch.equal(module(x), x)
        with pytest.raises(ValueError, match="has to be between 0 and 1"):
            functional.dropout(x, 1.5)
    torch.manual_seed(0)
    assert torch.equal(ours, drop(x, 0.5))
    assert not torch.equal(ours, usual)
    module.train()
    assert torch.equal(draw(), usual)


def test_a_network_in_training_uses_it(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch):
    """Hidden states and attention, and neither in prediction."""
    shapes = []

    def counted(x: Tensor, p: float) -> Tensor:
        shapes.append(x.ndim)
        return drop(x, p)

    for module in (dropout, attention):
        monkeypatch.setattr(module, "drop", counted)
    _, shim = make_encoder(tiny_encoder)
    (own,) = shim.text.cut([spacy.blank("en")("Ana Ruiz met Bo")])
    shim.run([own], [own.rows], train=False)
    assert shapes == []
    shim.run([own], [own.rows], train=True)
    # The embeddings, and in each of two layers the attention and what follows each of its halves.
    assert sorted(shapes) == [3, 3, 3, 3, 3, 4, 4]


def test_a_checkpointing_network_can_be_pickled(tiny_encoder: Path):
    _, shim = make_encoder(tiny_encoder, gradient_checkpointing=True)
    assert checkpoints(pickle.loads(pickle.dumps(shim.network)))


def test_nothing_is_replaced_on_a_gpu_or_switched_off(monkeypatch: pytest.MonkeyPatch):
    assert isinstance(fast_kernels(CPU, training=True), FastKernels)
    assert not isinstance(fast_kernels(GPU, training=True), FastKernels)
    assert isinstance(around_layers()[1], FastKernels)
    monkeypatch.setenv(SWITCH, "0")
    assert not isinstance(fast_kernels(CPU, training=True), FastKernels)
    assert not isinstance(around_layers()[1], FastKernels)
