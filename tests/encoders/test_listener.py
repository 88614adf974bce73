"""TransformerListener: the pipeline's shared spacy-transformers component as an encoder."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Adam
from thinc.types import Ragged
from transformers.utils import ModelOutput

from spacy_bio_crf.encoders.listener import build_transformer_listener, pick_rows
from spacy_bio_crf.encoders.transformer.layer import transformer_shim
from spacy_bio_crf.errors import BioError
from spacy_bio_crf.heads.lattice import Lattice
from tests.support.paths import ROOT
from tests.support.pipelines import SENTENCES, make_example, make_examples, spans_of
from tests.support.shared import SHARED_REASON
from tests.support.tiny_models import make_tagger

data_classes = pytest.importorskip("spacy_transformers.data_classes", reason=SHARED_REASON)
TransformerData, WordpieceBatch = data_classes.TransformerData, data_classes.WordpieceBatch

POS = {"Ana": "PROPN", "Ruiz": "PROPN", "Bo": "PROPN", "met": "VERB", "moved": "VERB"}
VOCAB = spacy.blank("en").vocab
TEXTS = [" ".join(words) for words, _ in SENTENCES]
NO_UPSTREAM = (
    r"TransformerListener \(upstream = '\*'\): expected a component of the factory 'transformer'"
    " earlier in the pipeline, got none"
)


@pytest.fixture(scope="module")
def quiet_encoder(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny encoder without dropout, which spacy-transformers has no option for."""
    folder = Path(shutil.copytree(tiny_encoder, tmp_path_factory.mktemp("quiet") / "encoder"))
    config = json.loads((folder / "config.json").read_text())
    config.update(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def add_transformer(nlp: Language, folder: Path, *, window: int = 128, stride: int = 96) -> None:
    nlp.add_pipe(
        "transformer",
        config={
            "model": {
                "@architectures": "spacy-transformers.TransformerModel.v3",
                "name": str(folder),
                "tokenizer_config": {"use_fast": True},
                "get_spans": {
                    "@span_getters": "spacy-transformers.strided_spans.v1",
                    "window": window,
                    "stride": stride,
                },
            }
        },
    )


def add_ner(nlp: Language, **options: Any) -> None:
    nlp.add_pipe(
        "bio_ner",
        config={
            "model": {
                "@architectures": "spacy-bio-crf.BioTagger.v1",
                "encoder": {
                    "@architectures": "spacy-bio-crf.TransformerListener.v1",
                    **options,
                },
                "head": {"@architectures": "spacy-bio-crf.CRFHead.v1"},
            }
        },
    )


def add_tagger(nlp: Language) -> None:
    nlp.add_pipe(
        "tagger",
        config={
            "model": {
                "@architectures": "spacy.Tagger.v2",
                "tok2vec": {
                    "@architectures": "spacy-transformers.TransformerListener.v1",
                    "grad_factor": 1.0,
                    "pooling": {"@layers": "reduce_mean.v1"},
                },
            }
        },
    )


def shared(folder: Path, *, tagger: bool = False, window: int = 128, **options: Any) -> Language:
    nlp = spacy.blank("en")
    add_transformer(nlp, folder, window=window, stride=max(1, window * 3 // 4))
    if tagger:
        add_tagger(nlp)
    add_ner(nlp, **options)
    return nlp


def tagged_examples(nlp: Language) -> list[Example]:
    examples = make_examples(nlp)
    for example in examples:
        for token in example.reference:
            token.tag_ = POS.get(token.text, "X")
    return examples


def initialize(nlp: Language, examples: list[Example]) -> None:
    spacy.util.fix_random_seed(0)
    nlp.initialize(lambda: examples)


def accumulate(nlp: Language, examples: list[Example], **options: Any) -> dict[str, float]:
    """The part of a training step before `finish_update`, as `spacy train` does it."""
    return nlp.update(examples, sgd=False, **options)


def step(nlp: Language, optimizer: Adam) -> None:
    for _, pipe in nlp.pipeline:
        pipe.finish_update(optimizer)


def fit(nlp: Language, examples: list[Example], steps: int = 60, **options: Any) -> Language:
    initialize(nlp, examples)
    optimizer = Adam(2e-3)
    for _ in range(steps):
        accumulate(nlp, examples, **options)
        for name, pipe in nlp.pipeline:
            if name not in options.get("exclude", []):
                pipe.finish_update(optimizer)
    return nlp


def network_of(nlp: Language) -> torch.nn.Module:
    return nlp.get_pipe("transformer").model.transformer


def weights_of(nlp: Language) -> list[torch.Tensor]:
    return [p.detach().clone() for p in network_of(nlp).parameters()]


def gradients_of(nlp: Language) -> dict[str, torch.Tensor]:
    named = network_of(nlp).named_parameters()
    return {name: p.grad.clone() for name, p in named if p.grad is not None}


def moved(before: list[torch.Tensor], nlp: Language) -> list[bool]:
    return [not torch.equal(a, b) for a, b in zip(before, weights_of(nlp), strict=True)]


def lattice_of(nlp: Language, texts: list[str]) -> Lattice:
    docs = []
    for text in texts:
        doc = nlp.make_doc(text)
        docs.append(nlp.get_pipe("transformer")(doc))
    return nlp.get_pipe("bio_ner").lattice(docs)


# Learning -----------------------------------------------------------------------------------------


def test_a_tagger_and_a_bio_ner_learn_on_one_transformer(quiet_encoder: Path, tmp_path: Path):
    nlp = shared(quiet_encoder, tagger=True, window=6)
    examples = tagged_examples(nlp)
    fit(nlp, examples)

    def assert_learned(pipeline: Language) -> None:
        for doc, example in zip(pipeline.pipe(TEXTS), examples, strict=True):
            assert spans_of(doc) == spans_of(example.reference)
            assert [t.tag_ for t in doc] == [t.tag_ for t in example.reference]

    assert_learned(nlp)
    nlp.to_disk(tmp_path)
    assert not (tmp_path / "bio_ner" / "encoder").exists()
    loaded = spacy.load(tmp_path)
    assert_learned(loaded)
    for a, b in zip(lattice_of(nlp, TEXTS).scores, lattice_of(loaded, TEXTS).scores, strict=True):
        assert torch.equal(a, b)


def test_the_transformer_learns_from_bio_ner_alone(quiet_encoder: Path):
    nlp = shared(quiet_encoder, window=6)
    examples = make_examples(nlp)
    initialize(nlp, examples)
    before = weights_of(nlp)
    accumulate(nlp, examples)
    assert not any(moved(before, nlp))
    step(nlp, Adam(1e-3))
    parameters = dict(network_of(nlp).named_parameters())
    still = [n for n, m in zip(parameters, moved(before, nlp), strict=True) if not m]
    assert [name for name in still if not name.startswith("pooler")] == []


def test_gradients_are_those_of_an_encoder_of_its_own(quiet_encoder: Path):
    """One window a document: the same network sees the same sub-words either way."""
    nlp = shared(quiet_encoder)
    examples = make_examples(nlp)
    initialize(nlp, examples)
    own = make_tagger(quiet_encoder, n_tags=5)
    ner = nlp.get_pipe("bio_ner")
    state = ner.model.layers[1].shims[0].network.state_dict()
    own.layers[1].shims[0].network.load_state_dict(state)

    losses = accumulate(nlp, examples)
    lattice, backprop = own.begin_update([example.predicted for example in examples])
    loss, d_lattice = ner.get_loss(examples, lattice)
    backprop(d_lattice)
    assert losses["bio_ner"] == pytest.approx(loss, rel=1e-4)
    expected = {n: p.grad for n, p in transformer_shim(own.layers[0]).trained()}
    found = gradients_of(nlp)
    assert {n for n in found if not n.startswith("pooler")} == set(expected)
    for name, gradient in expected.items():
        atol = 1e-5 * max(float(g.abs().max()) for g in expected.values())
        torch.testing.assert_close(found[name], gradient, atol=atol, rtol=1e-3)


def test_grad_factor_scales_what_reaches_the_transformer(quiet_encoder: Path):
    gradients = {}
    for factor in (1.0, 0.25, 0.0):
        nlp = shared(quiet_encoder, grad_factor=factor, window=6)
        initialize(nlp, make_examples(nlp))
        accumulate(nlp, make_examples(nlp))
        gradients[factor] = gradients_of(nlp)
        emitter = nlp.get_pipe("bio_ner").model.layers[1].shims[0]
        assert all(p.grad.abs().max() > 0 for _, p in emitter.trained())
    for name, gradient in gradients[1.0].items():
        torch.testing.assert_close(gradients[0.25][name], 0.25 * gradient, atol=1e-6, rtol=1e-3)
        assert not gradients[0.0][name].any()


def test_grad_factor_0_leaves_the_transformer_alone(quiet_encoder: Path):
    nlp = shared(quiet_encoder, grad_factor=0.0)
    examples = make_examples(nlp)
    initialize(nlp, examples)
    before = weights_of(nlp)
    accumulate(nlp, examples)
    step(nlp, Adam(1e-2))
    assert not any(moved(before, nlp))


def test_a_frozen_transformer_that_annotates(quiet_encoder: Path):
    nlp = shared(quiet_encoder, window=6)
    examples = make_examples(nlp)
    initialize(nlp, examples)
    before = weights_of(nlp)
    first = accumulate(nlp, examples, exclude=["transformer"], annotates=["transformer"])
    optimizer = Adam(2e-2)
    for _ in range(20):
        nlp.get_pipe("bio_ner").finish_update(optimizer)
        losses = accumulate(nlp, examples, exclude=["transformer"], annotates=["transformer"])
    assert losses["bio_ner"] < first["bio_ner"] / 2
    assert not any(moved(before, nlp))
    assert all(p.grad is None for p in network_of(nlp).parameters())


def test_documents_without_tokens_in_the_middle_of_a_batch(quiet_encoder: Path):
    nlp = shared(quiet_encoder, tagger=True, window=6)
    examples = tagged_examples(nlp)
    initialize(nlp, examples)
    space = make_example(nlp, [" ", "\n"], [])
    empty = make_example(nlp, [], [])
    accumulate(nlp, [examples[0], examples[1]])
    expected = {
        n: p.grad.clone() for n, p in network_of(nlp).named_parameters() if p.grad is not None
    }
    network_of(nlp).zero_grad()
    losses = accumulate(nlp, [examples[0], empty, examples[1], empty])
    assert np.isfinite(losses["bio_ner"])
    found = gradients_of(nlp)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-3)
    assert np.isfinite(accumulate(nlp, [space, examples[0], empty, space])["bio_ner"])
    docs = list(nlp.pipe([TEXTS[0], "", " \n", TEXTS[1], ""]))
    assert [spans_of(doc) for doc in docs] == [
        spans_of(nlp(TEXTS[0])), [], [], spans_of(nlp(TEXTS[1])), [],
    ]  # fmt: skip


# No upstream --------------------------------------------------------------------------------------


def test_no_transformer_at_initialization():
    nlp = spacy.blank("en")
    add_ner(nlp)
    with pytest.raises(BioError, match=NO_UPSTREAM):
        nlp.initialize(lambda: make_examples(nlp))


def test_a_transformer_of_another_name(quiet_encoder: Path):
    nlp = shared(quiet_encoder, upstream="other")
    with pytest.raises(BioError, match=r"TransformerListener \(upstream = 'other'\)"):
        nlp.initialize(lambda: make_examples(nlp))


def test_no_transformer_in_prediction(quiet_encoder: Path):
    nlp = shared(quiet_encoder)
    initialize(nlp, make_examples(nlp))
    with nlp.select_pipes(disable=["transformer"]):
        with pytest.raises(BioError, match=NO_UPSTREAM):
            nlp(TEXTS[0])
        assert spans_of(nlp("")) == []
    assert nlp(TEXTS[0]).has_annotation("ENT_IOB")


def test_no_transformer_in_training(quiet_encoder: Path):
    nlp = shared(quiet_encoder)
    initialize(nlp, make_examples(nlp))
    with pytest.raises(BioError, match=NO_UPSTREAM):
        accumulate(nlp, make_examples(nlp), exclude=["transformer"])


# Rows ---------------------------------------------------------------------------------------------


def rows_by_hand(doc: Doc, data: TransformerData) -> list[list[int]]:
    """For each token all its rows in one window: that in which its first row is furthest from the
    nearer edge, the earlier of two."""
    if not len(doc):
        return []
    width = data.model_output["last_hidden_state"].shape[1]
    result = []
    ends = np.cumsum(data.align.lengths)
    for token, end, n in zip(doc, ends, data.align.lengths, strict=True):
        rows = data.align.dataXd.reshape(-1)[end - n : end].tolist()
        best: tuple[int, list[int]] = (-1, [])
        for window, length in enumerate(data.wordpieces.lengths):
            own = [row for row in rows if row // width == window]
            if own and not token.is_space:
                context = min(own[0] % width, length - 1 - own[0] % width)
                best = max(best, (context, own), key=lambda pair: pair[0])
        result.append(best[1])
    return result


def assert_picked(doc: Doc, data: TransformerData) -> None:
    rows, lengths = pick_rows(doc, data)
    expected = rows_by_hand(doc, data)
    assert lengths.tolist() == [len(own) for own in expected]
    assert rows.tolist() == [row for own in expected for row in own]


@pytest.mark.parametrize(("window", "stride"), [(128, 96), (6, 4), (6, 1), (3, 2), (1, 1)])
def test_picked_rows_of_a_real_transformer(quiet_encoder: Path, window: int, stride: int):
    nlp = spacy.blank("en")
    add_transformer(nlp, quiet_encoder, window=window, stride=stride)
    nlp.initialize()
    texts = [*TEXTS, "", "Ana  Ruiz \n met\tBo", " ", " ".join(TEXTS[:2])]
    for doc in nlp.pipe(texts):
        data = doc._.trf_data
        assert_picked(doc, data)
        rows, lengths = pick_rows(doc, data)
        # They are the token's own sub-words: put together they spell it.
        starts = np.cumsum(lengths) - lengths
        strings = [s for window_strings in data.wordpieces.strings for s in window_strings]
        for token, start, n in zip(doc, starts, lengths, strict=True):
            pieces = [strings[row].removeprefix("##") for row in rows[start : start + n]]
            assert "".join(pieces) == token.text.strip()


def fake_data(lengths: list[int], align: list[list[int]]) -> TransformerData:
    width = max(lengths, default=0)
    flat = np.array([row for rows in align for row in rows], dtype="int32")
    return TransformerData(
        wordpieces=WordpieceBatch(
            strings=[["x"] * n for n in lengths],
            input_ids=np.zeros((len(lengths), width), dtype="int64"),
            attention_mask=np.ones((len(lengths), width)),
            lengths=lengths,
            token_type_ids=None,
        ),
        model_output=ModelOutput(last_hidden_state=np.zeros((len(lengths), width, 2), dtype="f")),
        align=Ragged(flat, np.array([len(rows) for rows in align], dtype="int32")),
    )


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.data())
def test_picked_rows_of_any_alignment(lengths: list[int], data: st.DataObject):
    width = max(lengths)
    real = [b * width + t for b, n in enumerate(lengths) for t in range(n)]
    n_tokens = data.draw(st.integers(0, 6))
    align = [sorted(data.draw(st.sets(st.sampled_from(real), max_size=5))) for _ in range(n_tokens)]
    words = [data.draw(st.sampled_from(["a", "\n"])) for _ in range(n_tokens)]
    doc = Doc(VOCAB, words=words, spaces=[False] * n_tokens)
    assert_picked(doc, fake_data(lengths, align))


def test_the_example_of_the_docstring():
    words = ["the", "cat", "sat", "on", "the", "mat", "and", "saw", "it"]
    doc = Doc(VOCAB, words=words)
    align = [[1], [2], [3], [4, 9], [5, 10], [6, 11], [12], [13], [14]]
    rows, lengths = pick_rows(doc, fake_data([8, 8], align))
    assert rows.tolist() == [1, 2, 3, 4, 5, 11, 12, 13, 14]
    assert lengths.tolist() == [1] * 9


def test_a_token_keeps_all_its_rows_of_one_window():
    doc = Doc(VOCAB, words=["a", "walking"])
    # window 0: [CLS] a walk ##ing [SEP]; window 1: [CLS] walk ##ing [SEP]
    rows, lengths = pick_rows(doc, fake_data([5, 4], [[1], [2, 3, 6, 7]]))
    assert rows.tolist() == [1, 2, 3] and lengths.tolist() == [1, 2]


def test_a_row_that_serves_two_tokens_gets_both_gradients():
    """As "don" does, which overlaps both "do" and "n't"."""
    docs = [Doc(VOCAB, words=["do", "n't", "\n"]), Doc(VOCAB), Doc(VOCAB, words=["x"])]
    datas = [fake_data([4], [[1], [1, 2], []]), TransformerData.empty(), fake_data([3], [[1]])]
    datas[0].model_output["last_hidden_state"][0, 1:3] = [[1, 2], [3, 4]]
    given: list[list[TransformerData]] = []
    encoder = build_transformer_listener(grad_factor=0.5)
    listener: Any = encoder.layers[0]
    listener.set_dim("nO", 2)
    encoder.initialize()
    listener.receive(listener.get_batch_id(docs), datas, given.append)

    vectors, backprop = encoder.begin_update(docs)
    assert [v.dataXd.tolist() for v in vectors] == [[[1, 2], [1, 2], [3, 4]], [], [[0, 0]]]
    assert [v.lengths.tolist() for v in vectors] == [[1, 2, 0], [], [1]]
    gradients = [[[1, 10], [2, 20], [3, 30]], np.zeros((0, 2)), [[7, 70]]]
    backprop(
        [Ragged(np.array(g, dtype="f"), v.lengths) for g, v in zip(gradients, vectors, strict=True)]
    )
    # The document without a token has no output, and its gradient is left out.
    ((first, last),) = given
    assert first.model_output["last_hidden_state"].tolist() == [
        [[0, 0], [1.5, 15], [1.5, 15], [0, 0]]
    ]
    assert last.model_output["last_hidden_state"].tolist() == [[[0, 0], [3.5, 35], [0, 0]]]


# The shipped configuration --------------------------------------------------------------------


def test_shared_cfg_teaches_both_components(tiny_encoder: Path):
    path = ROOT / "configs" / "shared.cfg"
    config = spacy.util.load_config(path, overrides={"paths.encoder": str(tiny_encoder)})
    nlp = spacy.util.load_model_from_config(config, auto_fill=True)
    plain = config.interpolate()
    factor = plain["components"]["bio_ner"]["model"]["encoder"]["grad_factor"]
    assert factor == plain["training"]["batcher"]["size"] == 400
    spacy.util.fix_random_seed(0)
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 2e-3
    for _ in range(80):
        nlp.update(examples, sgd=optimizer)
    gold = [spans_of(example.reference) for example in examples]
    for other in ("ner", "bio_ner"):
        with nlp.select_pipes(disable=[other]):
            docs = [Doc(nlp.vocab, words=words) for words, _ in SENTENCES]
            assert [spans_of(doc) for doc in nlp.pipe(docs)] == gold, f"without {other}"


# Listeners replaced by a copy ---------------------------------------------------------------------


def answers(nlp: Language) -> np.ndarray:
    docs = list(nlp.pipe(["", *TEXTS]))
    found = [nlp.get_pipe("bio_ner").marginals([doc])[0] for doc in docs]
    return np.concatenate(found)


def assert_equal(nlp: Language, expected: np.ndarray) -> None:
    """Up to rounding, which depends on the padding of a batch."""
    np.testing.assert_allclose(answers(nlp), expected, atol=1e-5)


def test_the_listener_is_replaced_by_a_copy(quiet_encoder: Path, tmp_path: Path):
    nlp = shared(quiet_encoder, tagger=True, window=6, grad_factor=0.5)
    examples = tagged_examples(nlp)
    fit(nlp, examples, steps=3)
    expected = answers(nlp)
    nlp.to_disk(tmp_path / "shared")
    nlp.replace_listeners("transformer", "bio_ner", ["model.encoder"])
    assert_equal(nlp, expected)
    nlp.to_disk(tmp_path / "replaced")
    loaded = spacy.load(tmp_path / "replaced")
    settings = loaded.config["components"]["bio_ner"]["model"]["encoder"]
    assert settings["grad_factor"] == 0.5 and settings["transformer"]["name"] == str(quiet_encoder)
    as_bytes = spacy.util.load_model_from_config(nlp.config).from_bytes(nlp.to_bytes())
    for other in (loaded, as_bytes):
        # It stands alone: the transformer may go, and the other listeners stay with it.
        other.remove_pipe("tagger")
        other.remove_pipe("transformer")
        assert_equal(other, expected)
        optimizer = other.resume_training()
        weights = [p.detach().clone() for p in own_network(other).parameters()]
        losses = [other.update(make_examples(other), sgd=optimizer)["bio_ner"] for _ in range(9)]
        assert losses[-1] < losses[0]
        assert not all(
            torch.equal(a, b) for a, b in zip(weights, own_network(other).parameters(), strict=True)
        )


def own_network(nlp: Language) -> torch.nn.Module:
    encoder: Any = nlp.get_pipe("bio_ner").model.get_ref("encoder")
    return encoder.layers[0].layers[0].transformer


def test_a_config_may_replace_the_listener_of_a_sourced_component(
    quiet_encoder: Path, tmp_path: Path
):
    nlp = shared(quiet_encoder)
    fit(nlp, make_examples(nlp), steps=3)
    nlp.to_disk(tmp_path / "source")
    config = {
        "nlp": {"lang": "en", "pipeline": ["bio_ner"]},
        "components": {
            "bio_ner": {"source": str(tmp_path / "source"), "replace_listeners": ["model.encoder"]}
        },
    }
    other = spacy.util.load_model_from_config(config, auto_fill=True)
    assert other.pipe_names == ["bio_ner"]
    assert_equal(other, answers(nlp))


def test_a_copy_can_be_trained_from_the_start(quiet_encoder: Path):
    nlp = spacy.blank("en")
    add_transformer(nlp, quiet_encoder)
    model = nlp.get_pipe_config("transformer")["model"]
    nlp.remove_pipe("transformer")
    add_ner(nlp, transformer=model)
    fit(nlp, make_examples(nlp))
    assert [spans_of(doc) for doc in nlp.pipe(TEXTS)] == [ents for _, ents in SENTENCES]


def test_other_components_and_wrong_places_are_spacys(quiet_encoder: Path):
    nlp = shared(quiet_encoder, tagger=True)
    initialize(nlp, tagged_examples(nlp))
    for paths in (["model.tok2vec"], ["model.encoder.tok2vec"]):
        with pytest.raises(ValueError, match="E886"):
            nlp.replace_listeners("transformer", "bio_ner", paths)
    with pytest.raises(ValueError, match="E887"):
        nlp.replace_listeners("transformer", "bio_ner", ["model.encoder", "model.head"])
    nlp.replace_listeners("transformer", "bio_ner", [])
    assert "tok2vec" not in nlp.get_pipe_config("bio_ner")["model"]
    nlp.replace_listeners("transformer", "tagger", ["model.tok2vec"])
    nlp(TEXTS[0])


POOLED = {
    "@architectures": "spacy-bio-crf.Tok2VecEncoder.v1",
    "tok2vec": {
        "@architectures": "spacy-transformers.TransformerListener.v1",
        "grad_factor": 1.0,
        "pooling": {"@layers": "reduce_mean.v1"},
    },
}


def test_a_listener_of_spacy_transformers_within_a_tok2vec(quiet_encoder: Path):
    nlp = spacy.blank("en")
    add_transformer(nlp, quiet_encoder)
    nlp.add_pipe("bio_ner", config={"model": {"encoder": POOLED}})
    initialize(nlp, make_examples(nlp))
    expected = answers(nlp)
    with (
        nlp.select_pipes(disable=["transformer"]),
        pytest.raises(BioError, match=r"TransformerListener .* of \d+ tokens, got none; its"),
    ):
        nlp(TEXTS[0])
    nlp.replace_listeners("transformer", "bio_ner", ["model.encoder.tok2vec"])
    nlp.remove_pipe("transformer")
    assert_equal(nlp, expected)
