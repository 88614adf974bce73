"""BioTagger: from Docs to a lattice, and its gradient back to every weight."""

import copy
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.tokens import Doc
from thinc.api import SGD, Adam, Model, set_dropout_rate
from thinc.types import Ragged
from torch import Tensor

from spacy_bio_crf.encoders.api import Encoder, encoder_of
from spacy_bio_crf.encoders.transformer.layer import (
    TransformerEncoder,
    build_transformer_encoder,
    transformer_shim,
)
from spacy_bio_crf.heads.emitter import build_crf_head, build_softmax_head
from spacy_bio_crf.heads.lattice import Lattice
from spacy_bio_crf.heads.loss import lattice_loss
from spacy_bio_crf.model import (
    EmitterShim,
    build_bio_tagger,
    emitter_shim,
    torch_shims,
)
from spacy_bio_crf.tags.tagset import TagSet
from tests.support.tiny_models import make_encoder, make_tagger

NLP = spacy.blank("en")
TAGSET = TagSet(("PER", "LOC"), "BIO")  # K = 5
TEXTS = [
    "Ana Ruiz met Bo in New York City .",
    "",
    "  \n ",
    "Nobody  works today and they flew from New York to Lisbon and back to Washington twice",
    "Bo",
]


def docs_of(texts: list[str] = TEXTS) -> list[Doc]:
    return [NLP.make_doc(text) for text in texts]


def as_layer(model: Model) -> Model:
    """The same network, with its encoder disguised as one that owns no transformer."""
    encoder = model.layers[0]
    disguise: Model = Model(
        "disguise",
        lambda disguise, docs, is_train: encoder(docs, is_train),
        init=lambda disguise, X=None, Y=None: disguise.set_dim("nO", 32),
        dims={"nO": 32},
    )
    other = build_bio_tagger(
        disguise,
        emitter_shim(model.layers[1]).head,
        subword_labels=model.attrs["subword_labels"],
        nO=5,
    ).initialize()
    state = emitter_shim(model.layers[1]).network.state_dict()
    emitter_shim(other.layers[1]).network.load_state_dict(state)
    return other


def gradients(model: Model) -> dict[str, Tensor]:
    return {
        f"{i}.{name}": parameter.grad.clone()
        for i, shim in enumerate(torch_shims(model))
        for name, parameter in shim.trained()
    }


def backward(model: Model, docs: list[Doc], seed: int = 1) -> Lattice:
    """A forward pass and, with a loss whose gold is random, a backward pass."""
    torch.manual_seed(seed)
    lattice, backprop = model.begin_update(docs)
    rng = np.random.default_rng(0)
    # Only O and B-PER, which make a legal sequence in any order.
    allowed = np.eye(5, dtype=bool)[rng.integers(2, size=len(lattice.emissions))]
    head = emitter_shim(model.layers[1]).head
    _, d_lattice = lattice_loss(head, TAGSET, lattice, allowed, size=len(allowed))
    assert backprop(d_lattice) == docs
    return lattice


# Forward ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", [build_softmax_head(), build_crf_head()], ids=["softmax", "crf"])
def test_emissions_are_the_head_s_linear_map_of_first_sub_words(tiny_encoder: Path, head):
    model = make_tagger(tiny_encoder, head=head)
    docs = docs_of()
    lattice = model.predict(docs)
    encoder, _ = make_encoder(tiny_encoder)
    network = emitter_shim(model.layers[1]).network
    expected, tokens = [], []
    for vectors in encoder.predict(docs):
        first = np.cumsum(vectors.lengths) - vectors.lengths
        tokens.append(np.flatnonzero(vectors.lengths))
        expected.append(vectors.dataXd[first[tokens[-1]]])
    with torch.no_grad():
        rows = torch.from_numpy(np.concatenate(expected))
        emissions = rows @ network.dense.weight.T + network.dense.bias
    torch.testing.assert_close(lattice.emissions, emissions, atol=1e-5, rtol=0)
    assert [t.tolist() for t in lattice.tokens] == [t.tolist() for t in tokens]
    assert lattice.lengths == [9, 0, 0, 16, 1]
    for found, own in zip(lattice.scores[1:], network.scores(), strict=True):
        assert torch.equal(found, own) and not found.requires_grad
    assert lattice.transitions.any() == head.crf


def test_all_sub_words_train_and_the_first_decides(tiny_encoder: Path):
    model = make_tagger(tiny_encoder, subword_labels="all", dropout=0.0)
    docs = docs_of()
    subwords = transformer_shim(model.layers[0]).text.cut(docs)
    trained, _ = model.begin_update(docs)
    assert trained.lengths == [len(p.rows) for p in subwords] != [9, 0, 0, 16, 1]
    for tokens, own in zip(trained.tokens, subwords, strict=True):
        assert np.bincount(tokens, minlength=len(own.lengths)).tolist() == own.lengths.tolist()
    predicted = model.predict(docs)
    assert predicted.lengths == [9, 0, 0, 16, 1]
    openings = [np.diff(tokens, prepend=-1) > 0 for tokens in trained.tokens]
    torch.testing.assert_close(
        predicted.emissions, trained.emissions[np.concatenate(openings)], atol=1e-5, rtol=0
    )


def test_unknown_subword_labels(tiny_encoder: Path):
    with pytest.raises(
        ValueError, match="subword_labels: expected one of 'first', 'all', got 'last'"
    ):
        make_tagger(tiny_encoder, subword_labels="last")


def test_the_number_of_tags_has_to_be_known(tiny_encoder: Path):
    model = build_bio_tagger(build_transformer_encoder(str(tiny_encoder)), build_crf_head())
    with pytest.raises(ValueError, match="nO: expected a number of tags, got none; initialize"):
        model.initialize()


def test_fresh_transition_scores_do_not_depend_on_the_machine(tiny_encoder: Path):
    a, b = (make_tagger(tiny_encoder, seed=3) for _ in range(2))
    c = make_tagger(tiny_encoder, seed=4)
    docs = docs_of()
    for x, y in zip(a.predict(docs).scores, b.predict(docs).scores, strict=True):
        assert torch.equal(x, y)
    assert not torch.equal(a.predict(docs).transitions, c.predict(docs).transitions)


# Two roads ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("subword_labels", ["first", "all"])
@pytest.mark.parametrize("options", [{}, {"window": 9, "overlap": 4, "batch_subwords": 30}])
def test_batch_by_batch_is_the_same_as_layer_by_layer(
    tiny_encoder: Path, subword_labels: str, options: dict[str, Any]
):
    model = make_tagger(tiny_encoder, subword_labels=subword_labels, dropout=0.0, **options)
    docs = docs_of()
    assert isinstance(encoder_of(model.layers[0]), TransformerEncoder)
    batched = backward(model, docs)
    expected = gradients(model)
    encoder_shim = torch_shims(model)[0]
    for _, parameter in encoder_shim.trained():
        parameter.grad = None

    other = as_layer(model)
    assert type(encoder_of(other.layers[0])) is Encoder
    layered = backward(other, docs)
    for a, b in zip(batched.scores, layered.scores, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)
    assert [t.tolist() for t in batched.tokens] == [t.tolist() for t in layered.tokens]
    found = {
        **{f"0.{name}": p.grad for name, p in encoder_shim.trained()},
        **{f"1.{name.partition('.')[2]}": g for name, g in gradients(other).items()},
    }
    assert set(found) == set(expected)
    largest = max(float(g.abs().max()) for g in expected.values())
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5 * largest, rtol=1e-4)
    for a, b in zip(model.predict(docs).scores, other.predict(docs).scores, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


@pytest.mark.parametrize("texts", [["  ", "\n"], ["", " "]])
@pytest.mark.parametrize("road", ["batches", "layers"])
def test_a_batch_without_any_row(tiny_encoder: Path, texts: list[str], road: str):
    model = make_tagger(tiny_encoder)
    model = as_layer(model) if road == "layers" else model
    docs = docs_of(texts)
    lattice, backprop = model.begin_update(docs)
    assert lattice.emissions.shape == (0, 5) and lattice.lengths == [0, 0]
    loss, d_lattice = lattice_loss(
        build_crf_head(), TAGSET, lattice, np.zeros((0, 5), dtype=bool), size=1
    )
    assert loss == 0.0
    backprop(d_lattice)
    assert all(g.abs().max() == 0 for g in gradients(model).values())
    assert model.predict(docs).lengths == [0, 0]


def test_a_loss_of_a_prediction(tiny_encoder: Path):
    model = make_tagger(tiny_encoder)
    lattice = model.predict(docs_of())
    allowed = np.eye(5, dtype=bool)[np.zeros(len(lattice.emissions), dtype=int)]
    loss, gradient = lattice_loss(build_crf_head(), TAGSET, lattice, allowed, size=1)
    assert math.isfinite(loss) and gradient.emissions.abs().max() > 0


@pytest.mark.parametrize("road", ["batches", "layers"])
def test_dropout_before_the_head(tiny_encoder: Path, road: str):
    model = make_tagger(tiny_encoder, dropout=0.0)
    model = as_layer(model) if road == "layers" else model
    docs = docs_of()
    plain = model.begin_update(docs)[0].emissions
    assert torch.equal(plain, model.begin_update(docs)[0].emissions)
    set_dropout_rate(model, 0.5)
    torch.manual_seed(0)
    dropped = model.begin_update(docs)[0].emissions
    assert not torch.allclose(plain, dropped, atol=1e-3)
    torch.testing.assert_close(model.predict(docs).emissions, plain, atol=1e-5, rtol=0)
    # With everything dropped the bias is left.
    set_dropout_rate(model, 1.0)
    bias = emitter_shim(model.layers[1]).network.dense.bias.detach()
    assert torch.equal(model.begin_update(docs)[0].emissions, bias.expand_as(plain))


# Learning -----------------------------------------------------------------------------------------


DENSE = {"dense.weight", "dense.bias"}
CHAIN = {"crf.start_transitions", "crf.transitions", "crf.end_transitions"}


@pytest.mark.parametrize(
    ("head", "names"),
    [(build_softmax_head(), DENSE), (build_crf_head(), DENSE | CHAIN)],
    ids=["softmax", "crf"],
)
def test_a_backward_pass_reaches_every_parameter(tiny_encoder: Path, head, names: set[str]):
    model = make_tagger(tiny_encoder, head=head)
    backward(model, docs_of())
    encoder, emitter = torch_shims(model)
    assert {name for name, _ in emitter.trained()} == names
    assert len(encoder.trained()) == len(list(encoder.network.parameters()))
    for shim in (encoder, emitter):
        assert all(p.grad.abs().max() > 0 for _, p in shim.trained())
    before = [p.detach().clone() for s in (encoder, emitter) for _, p in s.trained()]
    model.finish_update(Adam(1e-3))
    after = [p for s in (encoder, emitter) for p in s.network.parameters()]
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert gradients(model) == {}


def test_gradients_add_up_until_a_step(tiny_encoder: Path):
    model = make_tagger(tiny_encoder, dropout=0.0)
    docs = docs_of()
    backward(model, docs)
    once = gradients(model)
    backward(model, docs)
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, 2 * once[name])


def test_a_frozen_encoder_leaves_the_emitter_to_learn(tiny_encoder: Path):
    model = make_tagger(tiny_encoder, frozen_layers=-1)
    backward(model, docs_of())
    assert {name.partition(".")[0] for name in gradients(model)} == {"1"}
    assert all(g.abs().max() > 0 for g in gradients(model).values())


def test_in_float16_the_emitter_is_not_scaled(tiny_encoder: Path):
    found = {}
    for precision in ("fp32", "fp16"):
        model = make_tagger(tiny_encoder, dropout=0.0, precision=precision)
        backward(model, docs_of())
        found[precision] = {n: g for n, g in gradients(model).items() if n.startswith("1.")}
    for name, expected in found["fp32"].items():
        atol = 0.02 * float(expected.abs().max())
        torch.testing.assert_close(found["fp16"][name], expected, atol=atol, rtol=0)


# Copies and bytes ---------------------------------------------------------------------------------


def assert_equal_predictions(a: Model, b: Model) -> None:
    for x, y in zip(a.predict(docs_of()).scores, b.predict(docs_of()).scores, strict=True):
        assert torch.equal(x, y)


def through_pickle(model: Model) -> Model:
    return pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize("make", [Model.copy, copy.deepcopy, through_pickle])
@pytest.mark.parametrize("optimizer", [Adam, SGD])
def test_a_copy_is_equal_and_goes_its_own_way(tiny_encoder: Path, make, optimizer):
    model = make_tagger(tiny_encoder, dropout=0.0)
    # A schedule is a generator, which can be neither copied nor pickled.
    steps = optimizer(0.01 for _ in range(100))
    backward(model, docs_of())
    model.finish_update(steps)
    other = make(model)
    assert_equal_predictions(model, other)
    before = model.predict(docs_of())
    backward(other, docs_of())
    assert gradients(model) == {}
    other.finish_update(steps)
    for x, y in zip(before.scores, model.predict(docs_of()).scores, strict=True):
        assert torch.equal(x, y)
    assert not torch.equal(other.predict(docs_of()).emissions, before.emissions)


@pytest.mark.parametrize("make", [Model.copy, copy.deepcopy], ids=["copy", "deepcopy"])
def test_initializing_a_copy_leaves_the_original_empty(tiny_encoder: Path, make):
    model = build_bio_tagger(build_transformer_encoder(str(tiny_encoder)), build_crf_head(), nO=5)
    other = make(model)
    other.initialize()
    assert transformer_shim(other.layers[0]).ready
    assert not transformer_shim(model.layers[0]).ready
    model.initialize()
    assert (
        transformer_shim(model.layers[0]).network is not transformer_shim(other.layers[0]).network
    )


@pytest.mark.parametrize("head", [build_softmax_head(), build_crf_head()], ids=["softmax", "crf"])
def test_bytes_carry_everything(tiny_encoder: Path, head):
    model = make_tagger(tiny_encoder, head=head)
    other = build_bio_tagger(build_transformer_encoder("no/such-encoder"), head)
    other.from_bytes(model.to_bytes())
    assert_equal_predictions(model, other)
    assert other.get_dim("nO") == 5


def test_initializing_again_keeps_the_encoder_s_weights(tiny_encoder: Path):
    """Training on from a loaded pipeline needs no hub."""
    model = make_tagger(tiny_encoder)
    backward(model, docs_of())
    model.finish_update(Adam(1e-2))
    other = build_bio_tagger(build_transformer_encoder("no/such-encoder"), build_crf_head())
    other.from_bytes(model.to_bytes()).initialize()
    before, after = (transformer_shim(m.layers[0]).network.state_dict() for m in (model, other))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_bytes_of_an_empty_model(tiny_encoder: Path):
    empty = build_bio_tagger(build_transformer_encoder(str(tiny_encoder)), build_crf_head())
    other = build_bio_tagger(build_transformer_encoder(str(tiny_encoder)), build_crf_head())
    other.from_bytes(empty.to_bytes())
    with pytest.raises(ValueError, match="no weights yet"):
        other.predict(docs_of())


def test_the_emitter_is_written_without_pickle(tiny_encoder: Path, monkeypatch):
    shim = emitter_shim(make_tagger(tiny_encoder).layers[1])
    monkeypatch.setattr(torch, "load", None)
    monkeypatch.setattr(torch, "save", None)
    other = EmitterShim(shim.head).from_bytes(shim.to_bytes())
    for name, parameter in shim.network.named_parameters():
        assert torch.equal(parameter, dict(other.network.named_parameters())[name])


def test_torch_shims_finds_ours_only(tiny_encoder: Path):
    model = make_tagger(tiny_encoder)
    assert torch_shims(model) == [model.layers[0].shims[0], model.layers[1].shims[0]]
    assert torch_shims(Model("other", lambda model, X, is_train: (X, lambda d: d))) == []
    assert isinstance(model.layers[0].predict(docs_of())[0], Ragged)
