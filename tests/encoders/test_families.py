"""Every family of networks the encoder is for, small and random but of the real architecture."""

import copy
from pathlib import Path

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from thinc.api import Adam
from torch import nn
from transformers import (
    BigBirdConfig,
    ConvBertConfig,
    Gemma3TextConfig,
    MobileBertConfig,
    NystromformerConfig,
    PhobertTokenizer,
    PretrainedConfig,
    RobertaConfig,
    RobertaModel,
    SqueezeBertConfig,
    XLNetConfig,
    YosoConfig,
)

from spacy_bio_crf.encoders.transformer import pretrained as storage
from spacy_bio_crf.encoders.transformer.classifier import Classifier, write_classifier
from spacy_bio_crf.encoders.transformer.shim import TransformerShim
from spacy_bio_crf.errors import BioError
from spacy_bio_crf.heads.lattice import Lattice
from spacy_bio_crf.kernels import precision
from spacy_bio_crf.kernels.precision import PredictionNetwork
from spacy_bio_crf.subwords.tokenizer import Subwords
from tests.support.pipelines import MakeNlp, make_examples, spans_of, train
from tests.support.tiny_models import (
    FAMILIES,
    POSITIONS,
    make_encoder,
    make_tagger,
    write_checkpoint,
    write_network,
)
from tests.support.tokenizers_zoo import SENTENCES

NLP = spacy.blank("en")
TEXTS = [
    SENTENCES[0],
    "",
    " \n ",
    f"{SENTENCES[1]} {SENTENCES[2]} {SENTENCES[13]}",
    "Hi",
    SENTENCES[15],
]


@pytest.fixture(scope="module", params=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp(family), family)


def test_a_document_has_the_same_vectors_in_any_batch(folder: Path):
    encoder, _ = make_encoder(folder, window=16, overlap=6)
    docs = [NLP.make_doc(text) for text in TEXTS]
    together = encoder.predict(docs)
    assert [len(v.lengths) for v in together] == [len(doc) for doc in docs]
    assert len(together[3].dataXd) > 3 * 16
    for doc, vectors in zip(docs, together, strict=True):
        alone = encoder.predict([doc])[0]
        assert np.isfinite(vectors.dataXd).all()
        np.testing.assert_allclose(vectors.dataXd, alone.dataXd, atol=1e-5)
        # Vectors that are all alike would pass, too.
        if len(vectors.dataXd) > 5:
            assert vectors.dataXd.std(axis=0).max() > 0.1


def test_the_limit_is_the_last_length_that_works(family: str, folder: Path):
    _, shim = make_encoder(folder)
    assert len(shim.text.special.prefix) == len(shim.text.special.suffix) == 1
    assert shim.text.window == POSITIONS - 2
    full = as_long_as(shim, shim.text.window)
    vectors, _ = shim.run([full], [full.rows], train=False)
    assert len(vectors) == shim.text.window and vectors.isfinite().all()
    with pytest.raises(
        ValueError, match=f"window: expected at most {POSITIONS - 2}, .*, got {POSITIONS - 1}"
    ):
        make_encoder(folder, window=POSITIONS - 1)
    # Networks that learn a vector for every position have none for the next one.
    if family not in ("deberta-v2", "modernbert"):
        with pytest.raises((IndexError, RuntimeError)):
            shim.network(input_ids=torch.from_numpy(as_long_as(shim, POSITIONS + 1).ids)[None])


def as_long_as(shim: TransformerShim, n: int) -> Subwords:
    """The sub-words of some text, over and over, n of them."""
    (own,) = shim.text.cut([NLP.make_doc(TEXTS[0])])
    ones = np.ones(n, dtype=np.int32)
    return Subwords(np.resize(own.ids, n), np.arange(n), ones, word_starts=ones == 1)


def test_a_step_reaches_every_parameter_and_is_saved(folder: Path, tmp_path: Path):
    model = make_tagger(folder, dropout=0.0, window=16, overlap=6)
    shim = model.layers[0].shims[0]
    before = copy.deepcopy(shim.network.state_dict())
    docs = [NLP.make_doc(text) for text in TEXTS]
    lattice, backprop = model.begin_update(docs)
    d_emissions = torch.randn(lattice.emissions.shape)
    zeros = [torch.zeros_like(s) for s in lattice.scores[1:]]
    backprop(Lattice(d_emissions, *zeros, tokens=lattice.tokens))
    model.finish_update(Adam(1e-3))
    same = [n for n, p in shim.network.named_parameters() if torch.equal(p.detach(), before[n])]
    assert same == []

    storage.save_folder(shim.pretrained, tmp_path)
    assert sorted(p.suffix for p in tmp_path.iterdir() if p.suffix != ".json") == [".safetensors"]
    expected = model.layers[0].predict(docs)
    shim.set_pretrained(storage.load_folder(tmp_path))
    for a, b in zip(expected, model.layers[0].predict(docs), strict=True):
        assert np.array_equal(a.dataXd, b.dataXd) and np.array_equal(a.lengths, b.lengths)


def test_frozen_layers(family: str, folder: Path):
    if family == "albert":
        with pytest.raises(
            ValueError, match="frozen_layers: expected 0 or -1 for .*, got albert, whose layers"
        ):
            make_encoder(folder, frozen_layers=1)
    else:
        _, shim = make_encoder(folder, frozen_layers=1)
        trained = [n for n, p in shim.network.named_parameters() if p.requires_grad]
        assert trained and all(".1." in name for name in trained)
    _, shim = make_encoder(folder, frozen_layers=-1)
    assert not any(p.requires_grad for p in shim.network.parameters())


def test_the_first_layers_alone(family: str, folder: Path, tmp_path: Path):
    """Of every family: what is left computes, learns and is read again."""
    if family == "albert":
        with pytest.raises(ValueError, match="layers: expected null for an encoder .*, got albert"):
            make_encoder(folder, layers=1)
        return
    _, shim = make_encoder(folder, layers=1, dropout=0.0)
    _, whole = make_encoder(folder, dropout=0.0)
    assert shim.network.config.num_hidden_layers == 1
    count = sum(p.numel() for p in shim.network.parameters())
    assert count < sum(p.numel() for p in whole.network.parameters())
    subwords = shim.text.cut([NLP.make_doc(text) for text in TEXTS])
    wanted = [p.rows for p in subwords]
    vectors, backprop = shim.run(subwords, wanted, train=True)
    backprop(torch.ones_like(vectors))
    storage.save_folder(shim.pretrained, tmp_path / "encoder")
    shim.set_pretrained(storage.load_folder(tmp_path / "encoder"))
    again, _ = shim.run(subwords, wanted, train=False)
    torch.testing.assert_close(again, vectors, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("lower", ["bf16", "fp16"])
def test_weights_cast_once_compute_what_autocast_does(
    monkeypatch, family: str, folder: Path, lower: str
):
    if family == "deberta":
        with pytest.raises(BioError, match=f"precision: expected 'fp32' or .*, got '{lower}'"):
            make_encoder(folder, precision=lower)
        _, shim = make_encoder(folder)
        with pytest.raises(BioError, match="expected 'fp32' or 'auto' for a deberta, got"):
            shim.precision = lower
        assert shim.precision == "fp32"
        return
    _, shim = make_encoder(folder, precision=lower)
    subwords = shim.text.cut([NLP.make_doc(text) for text in TEXTS])
    wanted = [p.rows for p in subwords]
    once, _ = shim.run(subwords, wanted, train=False)
    monkeypatch.setattr(PredictionNetwork, "of", lambda kept, network, precision: network)
    every_time, _ = shim.run(subwords, wanted, train=False)
    assert len(once) and torch.equal(once, every_time)


def test_auto_learns_where_bf16_is_fast(monkeypatch, family: str, folder: Path):
    monkeypatch.setattr(precision, "multiplies_bf16", lambda device: True)
    _, shim = make_encoder(folder, precision="auto")
    dtypes = set()
    linear = next(m for m in shim.network.modules() if isinstance(m, nn.Linear))
    linear.register_forward_hook(lambda module, given, result: dtypes.add(result.dtype))
    subwords = shim.text.cut([NLP.make_doc(text) for text in TEXTS])
    vectors, backprop = shim.run(subwords, [p.rows for p in subwords], train=True)
    backprop(torch.ones_like(vectors))
    assert vectors.isfinite().all() and shim.trained()
    assert dtypes == {torch.float32 if family == "deberta" else torch.bfloat16}


def test_dropout_reaches_the_network(folder: Path):
    def first_and_second(dropout: float) -> list[np.ndarray]:
        encoder, _ = make_encoder(folder, dropout=dropout)
        docs = [NLP.make_doc(TEXTS[0])]
        return [encoder.begin_update(docs)[0][0].dataXd for _ in range(2)]

    a, b = first_and_second(0.0)
    assert np.array_equal(a, b)
    a, b = first_and_second(0.5)
    # Every vector changes, not only a few.
    assert (np.abs(a - b).max(axis=1) > 1e-3).all()


def test_gradient_checkpointing(family: str, folder: Path):
    gradients = []
    for frugal in (False, True):
        try:
            encoder, shim = make_encoder(folder, dropout=0.0, gradient_checkpointing=frugal)
        except ValueError as error:
            assert str(error).startswith(f"gradient_checkpointing: expected false for a {family}, ")
            assert not shim.network.supports_gradient_checkpointing
            pytest.skip(str(error))
        vectors, backprop = encoder.begin_update([NLP.make_doc(TEXTS[0])])
        backprop([type(vectors[0])(np.sin(100 * vectors[0].dataXd), vectors[0].lengths)])
        gradients.append([p.grad for p in shim.network.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_no_position_is_beyond_the_limit(folder: Path):
    """In windows of every length, and in a document of many: a table of positions is never asked
    for a row that it lacks, and no window is longer than the limit."""
    _, shim = make_encoder(folder)
    tables = [
        module
        for name, module in shim.network.named_modules()
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding)
    ]
    asked: list[int] = []
    for table in tables:
        table.register_forward_pre_hook(
            lambda module, args: asked.extend(args[0].flatten().tolist())
        )
    widths: list[int] = []
    shim.network.register_forward_pre_hook(
        lambda module, args, options: widths.append(options["input_ids"].shape[1]),
        with_kwargs=True,
    )
    subwords = [
        as_long_as(shim, n)
        for n in (1, 2, shim.text.window, shim.text.window + 1, 5 * shim.text.window)
    ]
    vectors, _ = shim.run(subwords, [own.rows for own in subwords], train=False)
    assert vectors.isfinite().all()
    assert max(widths) == POSITIONS
    for table in tables:
        # The longest window needs the last row, and nothing needs one more.
        assert max(asked) == table.num_embeddings - 1 and min(asked) >= 0


def test_positions_of_roberta_stay_below_its_limit(tmp_path: Path):
    """The first position is that of the padding id plus one, so two of 42 are never used."""
    _, shim = make_encoder(write_checkpoint(tmp_path, "roberta"))
    table = shim.network.embeddings.position_embeddings
    assert table.num_embeddings == POSITIONS + 2
    seen = []
    table.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    subwords = [as_long_as(shim, n) for n in (shim.text.window, 3, 4 * shim.text.window)]
    shim.run(subwords, [own.rows for own in subwords], train=False)
    positions = {p for s in seen for p in s.flatten().tolist()}
    assert positions == {1, *range(2, POSITIONS + 2)}  # 1 is that of padding


def test_the_tokenizer_s_limit_is_not_believed(tmp_path: Path):
    write_checkpoint(tmp_path, "roberta")
    _, shim = make_encoder(tmp_path)
    assert shim.text.tokenizer.model_max_length > 1e29
    shim.text.tokenizer.model_max_length = 4
    shim.text.tokenizer.save_pretrained(tmp_path)
    encoder, shim = make_encoder(tmp_path)
    assert (shim.text.tokenizer.model_max_length, shim.text.window) == (4, POSITIONS - 2)
    doc = NLP.make_doc(TEXTS[0])
    assert len(encoder.predict([doc])[0].dataXd) > 4


def phobert(folder: Path) -> Path:
    """PhoBERT is a RoBERTa whose tokenizer exists in Python only."""
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ."
    subwords = [*letters, *(f"{letter}@@" for letter in letters)]
    folder.mkdir()
    (folder / "vocab.txt").write_text("".join(f"{own} 1\n" for own in subwords))
    (folder / "bpe.codes").write_text("Q Q 1\n")
    words = PhobertTokenizer(str(folder / "vocab.txt"), str(folder / "bpe.codes"))
    words.save_pretrained(folder)
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=66,
    )  # fmt: skip
    RobertaModel(config).save_pretrained(folder)
    return folder


def test_a_slow_tokenizer_from_training_to_loading(make_nlp: MakeNlp, tmp_path: Path):
    folder = phobert(tmp_path / "phobert")
    nlp = make_nlp(encoder_options={"name": str(folder), "dropout": 0.0})
    examples = make_examples(nlp)
    train(nlp, examples, steps=60)
    shim = nlp.get_pipe("bio_ner").model.layers[0].shims[0]
    assert not shim.text.tokenizer.is_fast
    expected = [spans_of(example.reference) for example in examples]
    texts = [example.reference.text for example in examples]
    assert [spans_of(doc) for doc in nlp.pipe(texts)] == expected
    nlp.to_disk(tmp_path / "pipeline")
    loaded: Language = spacy.load(tmp_path / "pipeline")
    assert [spans_of(doc) for doc in loaded.pipe(texts)] == expected
    a, b = (n.get_pipe("bio_ner").lattice([n.make_doc(t) for t in texts]) for n in (nlp, loaded))
    assert torch.equal(a.emissions, b.emissions)


@pytest.mark.parametrize(
    ("family", "words", "lost"),
    [
        ("xlm-roberta", ["e", "\u0301", "t"], "'\u0301', token 1"),
        ("albert", ["x", "'", "'"], '"\'", token 1'),
    ],
)
def test_tokens_rewritten_with_their_neighbors_are_counted(
    make_nlp: MakeNlp, tmp_path: Path, family: str, words: list[str], lost: str
):
    """The offsets of the one sub-word name only one of the two tokens."""
    nlp = make_nlp(encoder_options={"name": str(write_checkpoint(tmp_path, family))})
    doc = Doc(nlp.vocab, words=words, spaces=[False] * 3)
    gold = doc.copy()
    gold.set_ents([Span(gold, 0, 1, "PER")])
    with pytest.warns(UserWarning, match="1 of 3 tokens .* no sub-word") as seen:
        nlp.initialize(lambda: [Example(doc, gold)])
    assert any(lost in str(warning.message) for warning in seen)


@pytest.mark.filterwarnings("ignore:The encoder .* sees only")
def test_embeddings_that_scale_train_as_they_predict(tmp_path: Path):
    """Gemma 3 multiplies the embeddings of sub-words."""
    config = Gemma3TextConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        intermediate_size=64,
        max_position_embeddings=POSITIONS,
    )
    encoder, _ = make_encoder(write_network(tmp_path, config))
    docs = [NLP.make_doc(text) for text in TEXTS]
    trained, _ = encoder.begin_update(docs)
    for one, other in zip(trained, encoder.predict(docs), strict=True):
        np.testing.assert_allclose(one.dataXd, other.dataXd, atol=1e-5)


def test_a_network_that_computes_with_its_mask(tmp_path: Path):
    config = XLNetConfig(d_model=32, n_layer=2, n_head=2, d_inner=64)
    encoder, _ = make_encoder(write_network(tmp_path, config))
    docs = [NLP.make_doc(text) for text in TEXTS]
    for doc, vectors in zip(docs, encoder.predict(docs), strict=True):
        np.testing.assert_allclose(vectors.dataXd, encoder.predict([doc])[0].dataXd, atol=1e-5)


@pytest.mark.parametrize(
    "make_config", [ConvBertConfig, MobileBertConfig, NystromformerConfig, YosoConfig]
)
def test_padding_that_a_network_takes_in(make_config: type[PretrainedConfig], tmp_path: Path):
    """A convolution sees neighbors, those behind the end of a text, too; so do YOSO's and the
    trigrams of MobileBERT, and what Nyströmformer takes as landmarks depends on the length."""
    sizes = {"hidden_size": 32, "embedding_size": 32, "intermediate_size": 64}
    config = make_config(num_hidden_layers=2, num_attention_heads=4, **sizes)
    encoder, shim = make_encoder(write_network(tmp_path, config), dropout=0.0)
    with torch.no_grad():
        for parameter in shim.network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    docs = [NLP.make_doc(text) for text in TEXTS]
    trained, _ = encoder.begin_update(docs)
    for doc, *together in zip(docs, trained, encoder.predict(docs), strict=True):
        for vectors in together:
            np.testing.assert_allclose(vectors.dataXd, encoder.predict([doc])[0].dataXd, atol=1e-5)


@pytest.mark.parametrize("make_config", [BigBirdConfig, SqueezeBertConfig])
def test_networks_that_have_a_pooler_all_the_same(make_config: type[PretrainedConfig], tmp_path):
    """A token classifier has one, or the network calls it."""
    sizes = {"hidden_size": 32, "embedding_size": 32, "intermediate_size": 64}
    config = make_config(num_hidden_layers=2, num_attention_heads=2, **sizes)
    encoder, shim = make_encoder(write_network(tmp_path / "encoder", config))
    docs = [NLP.make_doc(text) for text in TEXTS]
    expected = encoder.predict(docs)
    classifier = Classifier(shim.pretrained, ("O", "X"), torch.ones(2, 32), torch.zeros(2), {})
    write_classifier(classifier, tmp_path / "checkpoint")
    shim.save(tmp_path / "saved")
    for folder in ("checkpoint", "saved"):
        shim.set_pretrained(storage.fetch(str(tmp_path / folder)))
        for one, other in zip(expected, encoder.predict(docs), strict=True):
            assert np.array_equal(one.dataXd, other.dataXd)
