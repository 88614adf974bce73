"""8-bit linear layers: close to float32, the same in any batch, and never what is saved."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from torch import nn

from spacy_bio_crf.errors import BioError
from spacy_bio_crf.kernels import int8
from spacy_bio_crf.kernels.cpu import SWITCH
from spacy_bio_crf.kernels.int8 import Int8Linear, Quantizer
from spacy_bio_crf.kernels.precision import to_int8
from tests.support.pipelines import SENTENCES, MakeNlp, make_example, make_examples, spans_of, train
from tests.support.tiny_models import FAMILIES, make_encoder, write_checkpoint

TEXTS = ["Ana Ruiz met Bo in New York City .", "", "Bo", "a much longer text " * 6, "  \n"]


@pytest.fixture(params=["onednn", "int_mm", "7 bits", "switched off"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way of multiplying, those for other CPUs among them."""
    if request.param == "onednn" and not int8.has_onednn():
        pytest.skip("torch has no oneDNN for integers here")
    monkeypatch.setattr(int8, "has_onednn", lambda: request.param == "onednn")
    monkeypatch.setattr(int8, "has_byte_products", lambda: request.param != "7 bits")
    if request.param == "switched off":
        monkeypatch.setenv(SWITCH, "0")
    return request.param


def by_definition(linear: nn.Linear, x: torch.Tensor, most: int) -> torch.Tensor:
    """Rounded in float64, from the formula at the head of the module."""
    w, b = linear.weight.double(), linear.bias.double()
    s, t = x.double().abs().amax(-1, keepdim=True), w.abs().amax(1)
    q = torch.floor(127 * x.double() / s + 0.5)
    r = torch.round(most * w / t[:, None])
    return (q @ r.T) * s / 127 * t / most + b


@pytest.mark.parametrize("shape", [(1, 24), (7, 24), (2, 5, 24)])
def test_the_product_is_that_of_the_definition(engine: str, shape: tuple[int, ...]):
    torch.manual_seed(0)
    linear = nn.Linear(24, 10)
    # Rows of very different size: each has its own scale.
    x = torch.randn(shape) * torch.logspace(-3, 3, shape[-2])[:, None]
    with torch.inference_mode():
        y = Int8Linear(linear, Quantizer())(x)
        expected = by_definition(linear, x, 63 if engine == "7 bits" else 127)
        exact = linear(x)
    assert y.shape == exact.shape and y.dtype == torch.float32
    error = (y - expected).abs() / x.abs().amax(-1, keepdim=True)
    # A tie may be rounded the other way: one step of one input.
    assert float(error.max()) < 1.5 / 127 * float(linear.weight.abs().max())
    assert float(error.median()) < 1e-6
    difference = (y - exact).abs() / x.abs().amax(-1, keepdim=True)
    assert 0 < float(difference.max()) < 0.05


def test_no_rows_rows_of_zeros_and_what_is_not_finite(engine: str):
    linear = nn.Linear(6, 4)
    layer = Int8Linear(linear, Quantizer())
    with torch.inference_mode():
        assert layer(torch.zeros(0, 6)).shape == (0, 4)
        x = torch.zeros(3, 6)
        x[1, 2], x[2, 2] = float("nan"), float("inf")
        y = layer(x)
    assert torch.equal(y[0], linear.bias.detach())
    assert bool((~y[1:].isfinite()).all())
    free = Int8Linear(nn.Linear(6, 4, bias=False), Quantizer())
    assert float(free(torch.zeros(1, 6)).abs().max()) == 0.0


def test_an_input_is_quantized_once_and_another_anew():
    quantizer = Quantizer()
    a, b = torch.randn(3, 4), torch.randn(3, 4)
    first = quantizer(a)
    assert quantizer(a) is first
    assert not torch.equal(quantizer(b)[0], first[0])
    assert torch.equal(quantizer(a)[0], first[0])


def test_only_linear_layers_have_weights_of_their_own(tiny_encoder: Path):
    _, shim = make_encoder(tiny_encoder)
    before = {k: v.clone() for k, v in shim.network.state_dict().items()}
    small = to_int8(shim.network)
    layers = [m for m in small.modules() if isinstance(m, Int8Linear)]
    assert len(layers) == sum(isinstance(m, nn.Linear) for m in shim.network.modules()) == 12
    own = {id(p) for p in shim.network.parameters()}
    assert all(id(p) in own for p in small.parameters())
    assert all(torch.equal(before[k], v) for k, v in shim.network.state_dict().items())


def test_a_network_without_linear_layers_is_told():
    with pytest.warns(UserWarning, match="'int8' changes nothing in a Sequential"):
        to_int8(nn.Sequential(nn.Embedding(3, 2), nn.LayerNorm(2)))


@pytest.mark.parametrize("family", [None, *FAMILIES])
def test_vectors_are_close_and_the_same_in_any_batch(
    tiny_encoder: Path, tmp_path: Path, family: str | None
):
    folder = tiny_encoder if family is None else write_checkpoint(tmp_path, family)
    encoder, shim = make_encoder(folder)
    docs = [spacy.blank("en").make_doc(text) for text in TEXTS]
    full = encoder.predict(docs)
    shim.precision = "int8"
    together = encoder.predict(docs)
    for doc, a, b in zip(docs, full, together, strict=True):
        alone = encoder.predict([doc])[0].dataXd
        if len(alone):
            size = np.abs(a.dataXd).max()
            np.testing.assert_allclose(b.dataXd, alone, atol=0.03 * size)
            difference = np.abs(a.dataXd - b.dataXd)
            assert 0 < difference.mean() < 0.1 * size
    shim.precision = "fp32"
    for a, b in zip(full, encoder.predict(docs), strict=True):
        assert np.array_equal(a.dataXd, b.dataXd)


# The component -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(trained: Language, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    trained.to_disk(folder)
    return folder


INT8 = {"components.bio_ner.model.encoder.precision": "int8"}


def network_of(nlp: Language) -> Any:
    return nlp.get_pipe("bio_ner").model.get_ref("encoder").shims[0].network


def docs_of(nlp: Language) -> list[Doc]:
    return [Doc(nlp.vocab, words=words) for words, _ in SENTENCES]


def test_a_pipeline_is_loaded_in_int8_and_finds_the_same(saved: Path, trained: Language):
    nlp = spacy.load(saved, config=INT8)
    ner = nlp.get_pipe("bio_ner")
    assert ner.precision == "int8"
    found = [spans_of(doc) for doc in nlp.pipe(docs_of(nlp))]
    assert found == [ents for _, ents in SENTENCES]
    shim = ner.model.get_ref("encoder").shims[0]
    assert any(
        isinstance(m, Int8Linear) for m in shim._prediction.of(shim.network, "int8").modules()
    )
    scores = [s.attrs["scores"] for s in (d.spans["bio_ner"] for d in nlp.pipe(docs_of(nlp)))]
    full = [d.spans["bio_ner"].attrs["scores"] for d in trained.pipe(docs_of(trained))]
    assert scores != full
    np.testing.assert_allclose(np.concatenate(scores), np.concatenate(full), atol=0.05)


def test_what_is_saved_is_float32(saved: Path, tmp_path: Path):
    nlp = spacy.load(saved, config=INT8)
    nlp(docs_of(nlp)[0])
    nlp.to_disk(tmp_path / "again")
    name = Path("bio_ner") / "encoder" / "model.safetensors"
    assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes()
    again = spacy.load(tmp_path / "again")
    assert again.get_pipe("bio_ner").precision == "int8"
    copy = spacy.blank("xx").from_config(nlp.config).from_bytes(nlp.to_bytes())
    for a, b in zip(network_of(nlp).parameters(), network_of(copy).parameters(), strict=True):
        assert torch.equal(a, b)
    assert spans_of(copy(docs_of(copy)[0])) == SENTENCES[0][1]


def test_training_in_int8_is_refused_and_works_again_afterwards(make_nlp: MakeNlp):
    nlp = make_nlp(encoder_options={"precision": "int8", "dropout": 0.0})
    examples = make_examples(nlp)
    with pytest.raises(
        BioError, match="precision: expected 'fp32', 'bf16', 'fp16' or 'auto' .*, got 'int8'"
    ):
        train(nlp, examples, steps=1)
    nlp.get_pipe("bio_ner").precision = "fp32"
    train(nlp, examples)
    nlp.get_pipe("bio_ner").precision = "int8"
    # Trained after a first int8 network could have been made: the weights are the new ones.
    assert [spans_of(doc) for doc in nlp.pipe(docs_of(nlp))] == [ents for _, ents in SENTENCES]


def test_loading_other_weights_makes_another_int8_network(saved: Path, make_nlp: MakeNlp):
    nlp = spacy.load(saved, config=INT8)
    before = nlp(docs_of(nlp)[0])
    assert spans_of(before) == SENTENCES[0][1]
    fresh = make_nlp()
    fresh.initialize(lambda: make_examples(fresh))
    nlp.get_pipe("bio_ner").from_bytes(fresh.get_pipe("bio_ner").to_bytes())
    marginals = [p.get_pipe("bio_ner").marginals(docs_of(p))[0] for p in (nlp, fresh)]
    np.testing.assert_allclose(*marginals, atol=0.05)


def test_a_precision_there_is_not(trained: Language, make_nlp: MakeNlp):
    with pytest.raises(ValueError, match="precision: expected one of .*, got 'int4'"):
        trained.get_pipe("bio_ner").precision = "int4"
    assert trained.get_pipe("bio_ner").precision == "fp32"


def test_an_encoder_without_a_transformer_of_its_own():
    tok2vec = {
        "@architectures": "spacy-bio-crf.Tok2VecEncoder.v1",
        "tok2vec": {
            "@architectures": "spacy.HashEmbedCNN.v2",
            "pretrained_vectors": None,
            "width": 8,
            "depth": 1,
            "embed_size": 10,
            "window_size": 1,
            "maxout_pieces": 2,
            "subword_features": True,
        },
    }
    nlp = spacy.blank("en")
    ner = nlp.add_pipe("bio_ner", config={"model": {"encoder": tok2vec}})
    with pytest.raises(ValueError, match="^precision: expected .*, got tok2vec_encoder$"):
        ner.precision = "int8"
    example = make_example(nlp, *SENTENCES[0])
    nlp.initialize(lambda: [example])
    assert len(list(nlp.pipe([example.predicted]))) == 1


def test_another_thread_may_use_the_quantizer_meanwhile(monkeypatch: pytest.MonkeyPatch):
    quantizer = Quantizer()
    a, b = torch.randn(3, 4), torch.randn(5, 4)
    make_reference = int8.weakref.ref

    def interrupted(x: torch.Tensor):
        # The last moment before the result of `a` is kept.
        monkeypatch.setattr(int8.weakref, "ref", make_reference)
        quantizer(b)
        return make_reference(x)

    monkeypatch.setattr(int8.weakref, "ref", interrupted)
    assert torch.equal(quantizer(a)[0], Quantizer()(a)[0])
    assert torch.equal(quantizer(a)[0], Quantizer()(a)[0])
