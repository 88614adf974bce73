"""Smaller vocabularies of tiny encoders: the same sub-words and vectors for the texts, the ids that
have a role, and words that no text has."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models
from torch import nn
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from spacy_bio_crf.encoders.transformer.pretrained import Pretrained, load_folder, save_folder
from spacy_bio_crf.encoders.transformer.trimming import PieceCounts
from spacy_bio_crf.errors import BioError
from spacy_bio_crf.subwords.tokenizer import SubwordTokenizer
from tests.support.encoder_tools import all_rows, docs_of
from tests.support.tiny_models import FAMILIES, make_encoder, write_checkpoint
from tests.support.tokenizers_zoo import FAST, SENTENCES, SLOW, tokenizer

# Unknown text of several kinds is among them, special sub-words as text, and runs of spaces.
TEXTS = [*SENTENCES[1:4], "naïve façade — ﬁm  de   semana", "Xx☃yz ☃ aaa☃", "[SEP] <s> </s> [UNK]"]


def counted(pretrained: Pretrained, texts: list[str], **options: Any) -> PieceCounts:
    counts = PieceCounts(pretrained, **options)
    docs = docs_of(texts)
    counts.add(docs, SubwordTokenizer(pretrained.tokenizer)(docs))
    return counts


def network_for(words: Any) -> Any:
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        pad_token_id=words.pad_token_id,
    )
    return BertModel(config, add_pooling_layer=False)


def encoder_of(name: str) -> Pretrained:
    words = tokenizer(name)
    return Pretrained(network_for(words), words)


def assert_same_subwords(old: Any, new: Any, old_ids: np.ndarray, texts: list[str]) -> None:
    docs = docs_of(texts)
    for a, b in zip(SubwordTokenizer(old)(docs), SubwordTokenizer(new)(docs), strict=True):
        np.testing.assert_array_equal(a.ids, old_ids[b.ids])
        np.testing.assert_array_equal(a.rows, b.rows)
        np.testing.assert_array_equal(a.lengths, b.lengths)
        np.testing.assert_array_equal(a.word_starts, b.word_starts)


@pytest.mark.parametrize("name", FAST)
@pytest.mark.parametrize("characters", ["seen", "all", "none"])
def test_texts_have_the_same_subwords(name: str, characters: str):
    pretrained = encoder_of(name)
    words = pretrained.tokenizer
    trimmed, old_ids = counted(pretrained, TEXTS, characters=characters).trim()
    assert len(old_ids) == len(trimmed.tokenizer) < len(words)
    assert_same_subwords(words, trimmed.tokenizer, old_ids, TEXTS)
    names = words.convert_ids_to_tokens(old_ids.tolist())
    assert trimmed.tokenizer.convert_ids_to_tokens(list(range(len(old_ids)))) == names


@pytest.mark.parametrize("name", FAST)
def test_any_texts_have_the_same_subwords(name: str):
    words = tokenizer(name)
    random = np.random.default_rng(0)
    pieces = [p for s in SENTENCES for p in s.split()] + [*"".join(SENTENCES)]
    for _ in range(5):
        texts = [
            "".join(f"{p}{gap}" for p, gap in zip(chosen, random.choice(["", " "], 8), strict=True))
            for chosen in random.choice(pieces, (6, 8))
        ]
        trimmed, old_ids = counted(Pretrained(network_for(words), words), texts).trim()
        assert_same_subwords(words, trimmed.tokenizer, old_ids, texts)


@pytest.mark.parametrize("name", ["bert_cased", "xlm_roberta", "llama", "roberta"])
def test_words_of_seen_characters_stay_known(name: str):
    pretrained = encoder_of(name)
    texts = ["Maria mora em São Paulo", "soirãp aluaP me arom airaM"]
    unseen = "Paulo mora em maris pãlau"
    (known,) = SubwordTokenizer(pretrained.tokenizer)(docs_of([unseen]))
    unknown = pretrained.tokenizer.unk_token_id
    assert unknown not in known.ids
    for characters in ("seen", "all"):
        trimmed, old_ids = counted(pretrained, texts, characters=characters).trim()
        (own,) = SubwordTokenizer(trimmed.tokenizer)(docs_of([unseen]))
        assert unknown not in old_ids[own.ids]
        if name in ("bert_cased", "xlm_roberta"):
            (other,) = SubwordTokenizer(trimmed.tokenizer)(docs_of(["我"]))
            assert (unknown in old_ids[other.ids]) == (characters == "seen")


def test_without_characters_words_may_become_unknown():
    pretrained = encoder_of("bert_cased")
    trimmed, old_ids = counted(pretrained, ["Maria mora em São Paulo"], characters="none").trim()
    (own,) = SubwordTokenizer(trimmed.tokenizer)(docs_of(["arom"]))
    assert pretrained.tokenizer.unk_token_id in old_ids[own.ids]


def test_pieces_of_unknown_words_stay():
    # "abcX" is unknown for its last character; without "abc" it would be "ab" and "##cX".
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "ab", "abc", "##cX"]
    engine = Tokenizer(models.WordPiece({p: i for i, p in enumerate(names)}, unk_token="[UNK]"))
    words = PreTrainedTokenizerFast(tokenizer_object=engine, unk_token="[UNK]", pad_token="[PAD]")
    texts = ["ab", "abcX"]
    pretrained = Pretrained(network_for(words), words)
    trimmed, old_ids = counted(pretrained, [*texts, "xcX"], characters="none").trim()
    assert_same_subwords(words, trimmed.tokenizer, old_ids, texts)
    assert "abc" in trimmed.tokenizer.get_vocab()


def test_rare_subwords_go():
    pretrained = encoder_of("bert_cased")
    texts = ["Maria mora em Maria", "mora", "panic"]
    whole, _ = counted(pretrained, texts, characters="none").trim()
    trimmed, _ = counted(pretrained, texts, characters="none").trim(min_count=2)
    gone = {*whole.tokenizer.get_vocab()} - {*trimmed.tokenizer.get_vocab()}
    docs = docs_of(["Maria mora", "em panic"])
    often, rare = (
        {*pretrained.tokenizer.convert_ids_to_tokens(own.ids.tolist())}
        for own in SubwordTokenizer(pretrained.tokenizer)(docs)
    )
    assert gone == rare - often and gone


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_and_roles_stay(family: str, tmp_path: Path):
    _, shim = make_encoder(write_checkpoint(tmp_path / "whole", family), dropout=0.0)
    old = Pretrained(shim.network, shim.text.tokenizer)
    docs = docs_of(TEXTS)
    counts = PieceCounts(old)
    subwords = shim.text.cut(docs)
    counts.add(docs, subwords)
    vectors, _ = shim.run(subwords, all_rows(subwords), train=False)
    trimmed, old_ids = counts.trim()
    save_folder(trimmed, tmp_path / "trimmed")
    for own in (trimmed, load_folder(tmp_path / "trimmed")):
        network, words = own.network, own.tokenizer
        rows = network.get_input_embeddings()
        assert rows.weight.shape[0] == rows.num_embeddings == network.config.vocab_size
        assert rows.num_embeddings == len(words) == len(old_ids) < len(old.tokenizer)
        assert words.special_tokens_map == old.tokenizer.special_tokens_map
        for role in ("pad", "cls", "sep", "mask", "unk"):
            name = f"{role}_token_id"
            assert old_ids[getattr(words, name)] == getattr(old.tokenizer, name)
            if (given := getattr(old.network.config, name, None)) is not None:
                assert old_ids[getattr(network.config, name)] == given
        before = old.network.get_input_embeddings().padding_idx
        assert rows.padding_idx is None or old_ids[rows.padding_idx] == before
        assert shim.exchange(own).tokenizer is not None
        again = shim.text.cut(docs)
        assert_same_subwords(old.tokenizer, words, old_ids, TEXTS)
        assert torch.equal(shim.run(again, all_rows(again), train=False)[0], vectors)
    former = shim.exchange(old)
    assert former.tokenizer is own.tokenizer and shim.network is old.network
    assert torch.equal(shim.run(subwords, all_rows(subwords), train=False)[0], vectors)


def test_positions_are_counted_from_the_same_padding(tmp_path: Path):
    options = {"pad_token_id": 29, "max_position_embeddings": 80}
    folder = write_checkpoint(tmp_path, "xlm-roberta", **options)
    _, shim = make_encoder(folder, dropout=0.0)
    counts = PieceCounts(Pretrained(shim.network, shim.text.tokenizer))
    docs = docs_of(["Maria"])
    counts.add(docs, shim.text.cut(docs))
    trimmed, old_ids = counts.trim()
    assert trimmed.network.config.pad_token_id == 29 == trimmed.network.embeddings.padding_idx
    assert old_ids[:30].tolist() == [*range(30)] and old_ids[30] > 30


def test_weights_stay_shared_and_lists_of_ids_are_renumbered():
    pretrained = encoder_of("bert_cased")
    network = pretrained.network
    words = network.get_input_embeddings()
    network.output = nn.Linear(8, len(words.weight), bias=False)
    network.output.weight = words.weight
    words.weight.requires_grad_(False)
    network.config.eos_token_id = [300, 2]
    network.config.bos_token_id = 301
    words.padding_idx = 300
    before = words.weight.clone()
    trimmed, old_ids = counted(pretrained, ["Maria"]).trim()
    own = trimmed.network
    assert own.output.weight is own.get_input_embeddings().weight
    assert not own.output.weight.requires_grad
    assert torch.equal(own.output.weight, before[old_ids])
    assert old_ids[own.config.eos_token_id].tolist() == [300, 2]
    assert old_ids[own.config.bos_token_id] == 301
    assert old_ids[own.get_input_embeddings().padding_idx] == 300
    # The given network is as it was, and all other weights are its own.
    assert torch.equal(words.weight, before) and network.config.vocab_size == len(before)
    assert own.encoder.layer[0].output.dense.weight is network.encoder.layer[0].output.dense.weight


def test_special_subwords_without_a_row_stay_without():
    words = FAST["bert_cased"]()
    network = network_for(words)
    words.add_special_tokens({"additional_special_tokens": ["[E1]", "[E2]"]})
    trimmed, old_ids = counted(Pretrained(network, words), ["Maria"]).trim()
    rows = trimmed.network.get_input_embeddings().num_embeddings
    assert len(trimmed.tokenizer) == len(old_ids) == rows + 2
    assert trimmed.tokenizer.convert_tokens_to_ids(["[E1]", "[E2]"]) == [rows, rows + 1]


def test_other_tokenizers_and_networks_are_refused():
    assert "bert_slow" in SLOW
    words = tokenizer("bert_slow")
    with pytest.raises(BioError, match="tokenizer: expected a fast one, with its file, got"):
        PieceCounts(Pretrained(None, words))
    pretrained = encoder_of("bert_cased")
    pretrained.network.set_input_embeddings(nn.Linear(1, 1))
    with pytest.raises(BioError, match="family bert: expected an embedding of sub-words"):
        counted(pretrained, ["Maria"]).trim()
