"""Changes to a network, and what is read off it."""

import copy
import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import spacy
import torch
from tokenizers import Tokenizer
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    GPT2Config,
    IBertConfig,
    LlamaConfig,
    LongformerConfig,
    PretrainedConfig,
    XLMConfig,
    YosoConfig,
)

from spacy_bio_crf.encoders.transformer.pretrained import fetch, load_folder, save_folder
from spacy_bio_crf.encoders.transformer.surgery import (
    CASING,
    add_casing,
    check_vocabulary_size,
    find_limit,
    find_special_ids,
    has_layers,
    keep_layers,
    prepare,
)
from spacy_bio_crf.subwords.batches import SpecialIds
from spacy_bio_crf.subwords.casing import Shape
from tests.support.encoder_tools import LONG, all_rows, checkpoints, docs_of
from tests.support.pipelines import MakeNlp, make_examples, spans_of, train
from tests.support.tiny_models import FAMILIES, framed, make_encoder, write_checkpoint
from tests.support.tokenizers_zoo import tokenizer

SMALL = {
    "vocab_size": 30,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 8,
}


@pytest.mark.parametrize("layers", [1, -1])
def test_the_first_layers_alone(tiny_encoder: Path, tmp_path: Path, layers: int):
    _, whole = make_encoder(tiny_encoder, dropout=0.0)
    encoder, shim = make_encoder(tiny_encoder, dropout=0.0, layers=layers)
    subwords = shim.text.cut(docs_of([LONG[:40]]))
    found, _ = shim.run(subwords, all_rows(subwords), train=False)
    ids = torch.tensor(
        [[*whole.text.special.prefix, *subwords[0].ids.tolist(), *whole.text.special.suffix]]
    )
    with torch.inference_mode():
        hidden = whole.network.eval()(input_ids=ids, output_hidden_states=True).hidden_states
    torch.testing.assert_close(found, hidden[1][0, 1:-1][subwords[0].rows], atol=1e-6, rtol=1e-5)
    assert not torch.allclose(hidden[1], hidden[2], atol=1e-2)
    # What is saved has one layer; under the same options it is read again and keeps it.
    save_folder(shim.pretrained, tmp_path / "encoder")
    again = load_folder(tmp_path / "encoder")
    assert again.network.config.num_hidden_layers == 1
    shim.set_pretrained(again)
    assert torch.equal(shim.run(subwords, all_rows(subwords), train=False)[0], found)
    assert encoder.get_dim("nO") == 32


# Special sub-words and limits ---------------------------------------------------------------------


def test_settings_of_each_layer_go_with_their_layer(tmp_path: Path):
    config = LongformerConfig(attention_window=[8, 4], max_position_embeddings=40, **SMALL)
    network = AutoModel.from_config(config)
    keep_layers(network, 1)
    network.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path)
    assert again.config.attention_window == [8] and len(again.encoder.layer) == 1


def test_layers_in_parts():
    network = AutoModel.from_config(XLMConfig(vocab_size=30, emb_dim=8, n_layers=2, n_heads=2))
    assert not has_layers(network)
    with pytest.raises(ValueError, match=r"layers: expected null for .*, got xlm, .* in parts"):
        keep_layers(network, 1)
    with pytest.raises(ValueError, match=r"frozen_layers: expected 0 or -1 for .*, got xlm"):
        prepare(network, frozen_layers=1, casing=False, checkpoints=False)


def test_special_sub_words_are_those_around_an_example():
    words = framed(tokenizer("bert_cased"))
    special = find_special_ids(words, BertConfig(pad_token_id=7))
    assert special == SpecialIds((words.cls_token_id,), (words.sep_token_id,), 7)
    assert find_special_ids(words, BertConfig(pad_token_id=None)).padding == words.pad_token_id


def test_a_tokenizer_that_changes_the_text_beside_special_sub_words():
    def odd(text: str, add_special_tokens: bool) -> dict[str, list[int]]:
        return {"input_ids": [1, 6, 2] if add_special_tokens else [5]}

    with pytest.raises(
        ValueError, match=r"special .* this function: expected those of 'a' alone, \[5\], .*\[1, 6"
    ):
        find_special_ids(odd, BertConfig())


@pytest.mark.parametrize(
    ("positions", "special", "limit"), [(40, 2, 38), (3, 2, 1), (None, 2, None), (-1, 2, None)]
)
def test_limits(positions: int | None, special: int, limit: int | None):
    network = SimpleNamespace(
        config=SimpleNamespace(max_position_embeddings=positions), named_modules=lambda: []
    )
    assert find_limit(network, special) == limit


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        # Two rows more than positions; a table of another class, which counts from the padding id.
        (YosoConfig(max_position_embeddings=20, **SMALL), 20),
        (IBertConfig(max_position_embeddings=20, pad_token_id=1, **SMALL), 18),
    ],
    ids=["yoso", "ibert"],
)
def test_the_limit_is_no_more_than_a_network_takes(config: PretrainedConfig, limit: int):
    network = AutoModel.from_config(config)
    assert find_limit(network, 2) == limit - 2
    with torch.inference_mode():
        assert network(input_ids=torch.full((1, limit), 5))[0].shape[1] == limit


def test_positions_that_special_sub_words_take():
    network = SimpleNamespace(
        config=SimpleNamespace(max_position_embeddings=2), named_modules=lambda: []
    )
    with pytest.raises(ValueError, match="more positions than its 2 special sub-words, got 2"):
        find_limit(network, 2)


# Tokenizer and network ----------------------------------------------------------------------------


@pytest.fixture
def folder(tiny_encoder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny encoder that a test may change."""
    return Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))


def test_sub_words_beyond_the_embedding_are_named(folder: Path, make_nlp: MakeNlp, tmp_path: Path):
    words = AutoTokenizer.from_pretrained(folder)
    rows = len(words)
    words.add_tokens(["EMAILX", "@USER"])
    words.save_pretrained(folder)
    message = f"at most {rows}, the rows of .*, got {rows + 2}, of which 2 .*: 'EMAILX', '@USER'; g"
    nlp = make_nlp(encoder_options={"name": str(folder)})
    with pytest.raises(ValueError, match=message):
        nlp.initialize(lambda: make_examples(nlp))
    # A copy: with old versions the weights are a view of the file that is written next.
    network = copy.deepcopy(AutoModel.from_pretrained(folder))
    network.resize_token_embeddings(rows + 1)
    network.save_pretrained(folder)
    with pytest.raises(ValueError, match=f"at most {rows + 1}, .*, of which 1 .*: '@USER'; give"):
        nlp.initialize(lambda: make_examples(nlp))
    network.resize_token_embeddings(rows + 64)
    network.save_pretrained(folder)
    nlp.initialize(lambda: make_examples(nlp))
    nlp("Ana met @USER at EMAILX .")
    # In a saved pipeline, whose tokenizer is replaced by another one.
    nlp.to_disk(tmp_path / "pipeline")
    many = AutoTokenizer.from_pretrained(folder)
    many.add_tokens([f"word{i}" for i in range(70)])
    many.save_pretrained(tmp_path / "pipeline" / "bio_ner" / "encoder")
    (tmp_path / "pipeline" / "bio_ner" / "checksums.json").unlink()
    with pytest.raises(ValueError, match=f"at most {rows + 64}, .* 8 have no row: 'word62', .* …"):
        spacy.load(tmp_path / "pipeline")


def test_special_sub_words_need_a_row_only_where_they_are_used(folder: Path):
    network, words = fetch(str(folder)).network, AutoTokenizer.from_pretrained(folder)
    rows = len(words)
    words.add_special_tokens({"additional_special_tokens": ["<ent>"]})
    special = find_special_ids(words, network.config)
    check_vocabulary_size(words, network, special)
    with pytest.raises(ValueError, match="1 have no row: '<ent>'"):
        check_vocabulary_size(words, network, replace(special, suffix=(rows,)))
    with pytest.raises(ValueError, match=f"1 have no row: 'id {rows + 9}'"):
        check_vocabulary_size(words, network, replace(special, padding=rows + 9))


def test_a_vocabulary_with_gaps(folder: Path):
    network, words = fetch(str(folder)).network, AutoTokenizer.from_pretrained(folder)
    state = json.loads(words.backend_tokenizer.to_str())
    state["model"]["vocab"]["rest"] = 9999
    words._tokenizer = Tokenizer.from_str(json.dumps(state))
    with pytest.raises(ValueError, match="1 have no row: 'rest'"):
        check_vocabulary_size(words, network, find_special_ids(words, network.config))


SIZES = {"vocab_size": 120, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.mark.parametrize(
    "config",
    [
        GPT2Config(**SIZES, n_positions=64),
        LlamaConfig(**SIZES, intermediate_size=64, max_position_embeddings=64),
        BertConfig(**SIZES, intermediate_size=64, is_decoder=True),
    ],
    ids=lambda config: config.model_type,
)
def test_networks_that_see_to_the_left_only(folder: Path, config: PretrainedConfig):
    AutoModel.from_config(config).save_pretrained(folder)
    with pytest.warns(UserWarning, match=rf"{folder}' \({config.model_type}\) sees only what stan"):
        make_encoder(folder)


@pytest.mark.parametrize("family", FAMILIES)
def test_all_others_see_both_sides(tmp_path: Path, family: str):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*sees only")
        make_encoder(write_checkpoint(tmp_path, family))


def test_prepared_networks(tiny_encoder: Path):
    network = fetch(str(tiny_encoder)).network
    prepare(network, frozen_layers=1, casing=True, checkpoints=True)
    assert checkpoints(network)
    trained = {n.split(".")[0] for n, p in network.named_parameters() if p.requires_grad}
    assert trained == {"encoder", CASING}
    weight = network.get_submodule(CASING).weight
    assert weight.shape == (len(Shape), 32) and not weight.any()
    with torch.no_grad():
        weight.fill_(1.0)
    add_casing(network)  # keeps what is there
    assert bool((network.get_submodule(CASING).weight == 1.0).all())


# Casing -------------------------------------------------------------------------------------------


@pytest.fixture
def nlp(make_nlp: MakeNlp):
    return make_nlp(encoder_options={"casing": True, "dropout": 0.0})


def emissions(nlp, text: str) -> torch.Tensor:
    return nlp.get_pipe("bio_ner").lattice([nlp.make_doc(text)]).emissions


def test_an_untrained_embedding_changes_nothing_and_a_trained_one_tells_cases_apart(
    make_nlp: MakeNlp,
):
    tagger = make_nlp(encoder_options={"casing": True, "dropout": 0.0})
    plain = make_nlp(encoder_options={"dropout": 0.0})
    for pipeline in (tagger, plain):
        torch.manual_seed(0)
        pipeline.initialize(lambda p=pipeline: make_examples(p))
    text = "Ana Ruiz met Bo ."
    torch.testing.assert_close(emissions(tagger, text), emissions(plain, text))
    network = tagger.get_pipe("bio_ner").model.get_ref("encoder").shims[0].network
    with torch.no_grad():
        # No constant: the layer norm after it would take that away.
        network.casing.weight[Shape.TITLE] = torch.linspace(-1, 1, network.config.hidden_size)
    assert not torch.allclose(emissions(tagger, text), emissions(plain, text), atol=1e-3)


def test_casing_learns_and_is_saved(nlp, tmp_path):
    train(nlp, make_examples(nlp), steps=40)
    network = nlp.get_pipe("bio_ner").model.get_ref("encoder").shims[0].network
    weight = network.casing.weight.detach()
    assert bool(weight[Shape.TITLE].abs().sum() > 0)
    assert bool((weight[Shape.DIGITS] == 0).all())  # no word of the examples has a digit
    nlp.to_disk(tmp_path / "model")
    again = spacy.load(tmp_path / "model")
    copy = spacy.util.load_model_from_config(nlp.config).from_bytes(nlp.to_bytes())
    for text in ("Ana Ruiz met Bo in New York City .", "ana ruiz MET bo"):
        assert spans_of(again(text)) == spans_of(copy(text)) == spans_of(nlp(text))
        assert torch.equal(emissions(again, text), emissions(nlp, text))
        assert torch.equal(emissions(copy, text), emissions(nlp, text))


def test_casing_beside_an_embedding_of_another_build():
    network = AutoModel.from_config(IBertConfig(max_position_embeddings=20, **SMALL))
    with pytest.raises(ValueError, match="casing: expected false for a ibert, .* got True"):
        add_casing(network)
