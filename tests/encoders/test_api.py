"""The interface of encoders: one for each kind of layer, with the same answers."""

import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import spacy
import torch
from spacy.tokens import Doc
from thinc.api import Adam, Model
from thinc.types import Ragged
from torch import nn

from spacy_bio_crf.encoders.api import Encoder, call_torch, encoder_of
from spacy_bio_crf.encoders.listener import SharedTransformer, build_transformer_listener
from spacy_bio_crf.encoders.tok2vec import build_tok2vec_encoder
from spacy_bio_crf.encoders.transformer.layer import TransformerEncoder, build_transformer_encoder
from tests.support.encoder_tools import TEXTS, docs_of
from tests.support.shared import needs_shared
from tests.support.tiny_models import make_encoder


def foreign(seen: list | None = None) -> Model[list[Doc], list[Ragged]]:
    """A layer of somebody else: two sub-words for each token of more than one letter."""

    def forward(model, docs, is_train):
        outputs = []
        for doc in docs:
            lengths = np.array([1 + (len(token) > 1) for token in doc], dtype="i")
            rows = np.arange(float(lengths.sum() * 3), dtype="f").reshape(-1, 3)
            outputs.append(Ragged(rows, lengths))

        def backprop(d_outputs):
            if seen is not None:
                seen.extend(d.dataXd for d in d_outputs)
            return docs

        return outputs, backprop

    return Model("foreign", forward, dims={"nO": 3})


def test_each_kind_of_layer():
    tok2vec: Model = Model("tok2vec", lambda model, docs, is_train: ([], lambda d: docs))
    layers = [build_tok2vec_encoder(tok2vec), foreign()]
    assert [type(encoder_of(layer)) for layer in layers] == [Encoder] * 2
    own = build_transformer_encoder("none")
    for model in (own, own.copy(), pickle.loads(pickle.dumps(own))):
        assert isinstance(encoder_of(model), TransformerEncoder)
    # The class is not written with the model.
    assert b"encoder_of" not in own.to_bytes() and b"TransformerEncoder" not in own.to_bytes()
    other = build_transformer_encoder("none").from_bytes(own.to_bytes())
    assert isinstance(encoder_of(other), TransformerEncoder)


@needs_shared
def test_a_listener_is_a_layer_like_others():
    interface = encoder_of(build_transformer_listener())
    assert type(interface) is SharedTransformer and interface.text() is None
    # spaCy's optimizer trains the shared transformer, at its own rate.
    assert interface.transformer_rate(Adam(3e-5)) == 3e-5
    frozen = encoder_of(build_transformer_listener(grad_factor=0.0))
    assert frozen.transformer_rate(Adam(3e-5)) == 0.0


def test_a_listener_without_spacy_transformers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "spacy_transformers.layers", None)
    with pytest.raises(
        ImportError,
        match=r"TransformerListener: expected spacy-transformers .*; pip install \"spacy_bio_crf\[",
    ):
        build_transformer_listener()


def test_no_module_needs_spacy_transformers(run_python: Callable[..., str]):
    program = """if True:
        import importlib, pkgutil, sys
        sys.modules["spacy_transformers"] = None
        import spacy_bio_crf
        for module in pkgutil.walk_packages(spacy_bio_crf.__path__, "spacy_bio_crf."):
            if module.name.rpartition(".")[2] != "__main__":
                importlib.import_module(module.name)
                print(module.name)
    """
    assert "spacy_bio_crf.encoders.listener" in run_python(program).split()


def test_a_layer_without_a_transformer_of_its_own(tmp_path: Path):
    encoder = encoder_of(foreign())
    docs = docs_of(TEXTS)
    assert encoder.text() is None and encoder.cut(docs) is None and encoder.budget == 0
    assert [part.tolist() for part in encoder.split(docs)] == [list(range(len(docs)))]
    message = "precision: expected an encoder with its own transformer, .*, got foreign"
    with pytest.raises(ValueError, match=message):
        encoder.precision = "bf16"
    with pytest.raises(ValueError, match=message):
        assert encoder.precision
    with encoder.remembering(docs), encoder.weights_apart():
        encoder.save(tmp_path / "encoder")
    encoder.load(tmp_path / "encoder")
    assert not (tmp_path / "encoder").exists()


@pytest.mark.parametrize("every", [False, True])
def test_rows_and_gradients_of_a_layer(every: bool):
    seen: list[np.ndarray] = []
    encoder = encoder_of(foreign(seen))
    nlp = spacy.blank("en")
    docs = [nlp.make_doc(text) for text in ("ab c", "", "d ef")]
    weight = nn.Linear(3, 2, bias=False)
    emissions, tokens, backprop = encoder.emit(docs, weight, every=every, train=True)
    rows = [[0, 1, 2], [], [0, 1, 2]] if every else [[0, 2], [], [0, 1]]
    assert [t.tolist() for t in tokens] == (
        [[0, 0, 1], [], [0, 1, 1]] if every else [[0, 1], [], [0, 1]]
    )
    vectors = np.arange(9.0, dtype="f").reshape(3, 3)
    given = torch.from_numpy(np.concatenate([vectors[r] for r in rows]))
    torch.testing.assert_close(emissions, weight(given).detach())
    backprop(torch.ones_like(emissions))
    torch.testing.assert_close(weight.weight.grad, given.sum(0).expand(2, 3))
    assert [d.shape for d in seen] == [(3, 3), (0, 3), (3, 3)]
    expected = weight.weight.detach().sum(0).numpy()
    for own, d in zip(rows, seen, strict=True):
        for i in range(len(d)):
            np.testing.assert_allclose(d[i], expected if i in own else 0 * expected)


def test_both_kinds_give_the_same_emissions(tiny_encoder: Path):
    model, _ = make_encoder(tiny_encoder)
    emitter = nn.Linear(32, 3)
    docs = docs_of(TEXTS)
    found = [
        encoder.emit(docs, emitter, every=False, train=False)[:2]
        for encoder in (TransformerEncoder(model), Encoder(model))
    ]
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-5, rtol=0)
    for a, b in zip(found[0][1], found[1][1], strict=True):
        assert a.tolist() == b.tolist()


def test_a_function_of_torch_on_an_array():
    vectors = np.array([[1.0, 2.0]], dtype="f")
    result, backprop = call_torch(lambda x: x**2, vectors, train=True)
    assert result.tolist() == [[1.0, 4.0]] and not result.requires_grad
    assert backprop(torch.ones(1, 2)).tolist() == [[2.0, 4.0]]
