"""Parts of vocabularies: what each kind of tokenizer needs beside the sub-words of the texts."""

import json
from typing import Any

import pytest
from tokenizers import Tokenizer, models, processors
from tokenizers import pre_tokenizers as pre

from spacy_bio_crf.errors import BioError
from spacy_bio_crf.subwords.vocabulary import Vocabulary
from tests.support.tokenizers_zoo import tokenizer


def content_of(engine: Tokenizer) -> dict[str, Any]:
    return json.loads(engine.to_str())


def vocabulary_of(model: Any) -> Vocabulary:
    return Vocabulary(content_of(Tokenizer(model)))


def pieces_of(engine: Tokenizer, text: str) -> list[str]:
    return engine.encode(text).tokens


def select(engine: Tokenizer, names: set[str]) -> Tokenizer:
    """The tokenizer with pieces of these names, and what it always needs."""
    vocabulary = Vocabulary(content_of(engine))
    ids = {vocabulary.pieces[name] for name in names} | vocabulary.always_needed()
    content, _ = vocabulary.select(vocabulary.needed_with(ids))
    return Tokenizer.from_str(json.dumps(content))


BPE = models.BPE(
    {piece: i for i, piece in enumerate(["<u>", *"abcxd", "ab", "cx", "bc", "abc", "abcx", "dd"])},
    [("a", "b"), ("b", "c"), ("ab", "c"), ("c", "x"), ("ab", "cx"), ("abc", "x"), ("d", "d")],
    unk_token="<u>",
)


def test_merges_that_make_a_piece_are_kept():
    small = select(Tokenizer(BPE), {"abcx"})
    assert pieces_of(small, "abcx") == ["abcx"]
    # All ways to make it, their parts, and no others.
    assert {*small.get_vocab()} == {"<u>", *"abcx", "ab", "cx", "abc", "abcx"}
    assert len(content_of(small)["model"]["merges"]) == 5
    assert pieces_of(small, "abd") == ["ab", "<u>"]


def test_merges_of_continued_pieces():
    # Each piece but the first of a word has the prefix, and the joined one has it once.
    names = ["a", "##b", "##c", "ab", "##bc", "abc"]
    vocab = {piece: i for i, piece in enumerate(names)}
    merges = [("##b", "##c"), ("a", "##bc"), ("a", "##b")]
    model = models.BPE(vocab, merges, continuing_subword_prefix="##")
    small = select(Tokenizer(model), {"abc"})
    assert {*small.get_vocab()} == {"a", "##b", "##c", "##bc", "abc"}
    assert pieces_of(small, "abc") == pieces_of(Tokenizer(model), "abc") == ["abc"]


def test_bytes_are_always_kept():
    byte_level = Vocabulary(content_of(tokenizer("roberta").backend_tokenizer))
    alphabet = {byte_level.pieces[character] for character in pre.ByteLevel.alphabet()}
    assert len(alphabet) == 256 and byte_level.always_needed() >= alphabet
    fallback = Vocabulary(content_of(tokenizer("llama").backend_tokenizer))
    assert fallback.always_needed() >= {fallback.pieces[f"<0x{b:02X}>"] for b in range(256)}
    plain = vocabulary_of(BPE)
    assert plain.always_needed() == {plain.pieces["<u>"]}


WORDPIECE = models.WordPiece(
    {p: i for i, p in enumerate(["[UNK]", "a", "ab", "##b", "##c", "##cd", "##d", "#"])},
    unk_token="[UNK]",
)


def test_pieces_before_unknown_text_are_found():
    vocabulary = vocabulary_of(WORDPIECE)
    names = {i: piece for piece, i in vocabulary.pieces.items()}
    assert [names[i] for i in vocabulary.taken_before_unknown("abcdx")] == ["ab", "##cd"]
    assert vocabulary.taken_before_unknown("xab") == []
    assert vocabulary_of(BPE).taken_before_unknown("abx") == []


def test_spellings_of_characters():
    vocabulary = vocabulary_of(WORDPIECE)

    def named(characters: Any) -> set[str]:
        ids = vocabulary.spellings(characters)
        return {piece for piece, i in vocabulary.pieces.items() if i in ids}

    assert named("abz") == {"a", "##b"}
    assert named(None) == {"a", "##b", "##c", "##d", "#"}
    assert named("") == set()
    suffixed = models.BPE({"a": 0, "a</w>": 1, "b": 2}, [], end_of_word_suffix="</w>")
    assert vocabulary_of(suffixed).spellings("a") == {0, 1}
    assert vocabulary_of(suffixed).spellings(None) == {0, 1, 2}


def test_the_lowest_score_of_a_unigram_model_stays():
    # The score of unknown text is the lowest one less 10. "kkkl" and unknown text come to -41, so
    # the four pieces with -36 are better; without "q" they would not be.
    vocab = [("<unk>", 0.0), ("k", -9.0), ("lx", -9.0), ("kkkl", -1.0), ("q", -30.0), ("r", -20.0)]
    engine = Tokenizer(models.Unigram(vocab, unk_id=0))
    small = select(engine, {"k", "lx", "kkkl"})
    assert pieces_of(engine, "kkklx") == pieces_of(small, "kkklx") == ["k", "k", "k", "lx"]
    assert pieces_of(small, "kkkl") == ["kkkl"]
    assert {*small.get_vocab()} == {"<unk>", "k", "lx", "kkkl", "q"}


def test_unknown_text_of_a_unigram_model_has_its_new_id():
    vocab = [("a", -1.0), ("b", -2.0), ("<unk>", 0.0), ("k", -9.0)]
    engine = Tokenizer(models.Unigram(vocab, unk_id=2))
    small = select(engine, {"k"})
    assert small.encode("kx").ids == [1, 0] and pieces_of(small, "kx") == ["k", "x"]
    assert {*small.get_vocab()} == {"<unk>", "k"}


def test_ids_of_special_subwords_are_written_anew():
    engine = Tokenizer(WORDPIECE)
    engine.add_special_tokens(["[CLS]", "[SEP]", "[PAD]"])
    engine.enable_padding(pad_id=engine.token_to_id("[PAD]"), pad_token="[PAD]")
    cls, sep = (("[CLS]", engine.token_to_id("[CLS]")), ("[SEP]", engine.token_to_id("[SEP]")))
    template = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[cls, sep])
    for processor in (
        template,
        processors.BertProcessing(sep, cls),
        processors.RobertaProcessing(sep, cls),
        processors.Sequence([processors.ByteLevel(), template]),
    ):
        engine.post_processor = processor
        small = select(engine, {"ab"})
        assert small.get_vocab_size() == 5
        encoding = small.encode("ab")
        assert encoding.tokens == ["[CLS]", "ab", "[SEP]"]
        assert encoding.ids == [small.token_to_id(piece) for piece in encoding.tokens]
        assert small.padding is not None
        assert small.padding["pad_id"] == small.token_to_id("[PAD]") == 4


def test_special_subwords_that_only_the_frame_names_are_kept():
    engine = Tokenizer(WORDPIECE)
    engine.post_processor = processors.BertProcessing(("##d", 6), ("#", 7))
    assert {*select(engine, {"ab"}).get_vocab()} == {"[UNK]", "ab", "##d", "#"}


def test_other_models_are_refused():
    with pytest.raises(BioError, match="tokenizer: expected one of 'Unigram', 'WordPiece', 'BPE'"):
        vocabulary_of(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
