"""Sub-words of tokens, from the definition and by hand, for every family of tokenizers."""

import pickle
from collections import Counter
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from spacy.tokens import Doc

from spacy_bio_crf.subwords import chunks
from spacy_bio_crf.subwords import tokenizer as subwords_module
from spacy_bio_crf.subwords.tokenizer import SubwordTokenizer, sequence_rows
from tests.support.many import PROFILE, some_of
from tests.support.paths import CORPORA, needs_corpora
from tests.support.subword_tools import (
    MARKERS,
    assert_equal,
    doc_from,
    docs,
    make_doc,
    subword_tokenizer,
    words,
)
from tests.support.tokenizers_zoo import FAST, SENTENCES, SLOW, tokenizer


def ids_by_token(name: str, doc: Doc) -> list[list[int]]:
    """The ids of each token's sub-words."""
    [subwords] = subword_tokenizer(name)([doc])
    ids = iter(subwords.ids[subwords.rows].tolist())
    return [[next(ids) for _ in range(n)] for n in subwords.lengths]


def names_by_token(name: str, doc: Doc) -> list[list[str]]:
    return [tokenizer(name).convert_ids_to_tokens(ids) for ids in ids_by_token(name, doc)]


def names_alone(name: str, text: str) -> list[str]:
    """The sub-words of a text by itself, without the marks of spaces."""
    tok = tokenizer(name)
    return [p for p in tok.tokenize(text, split_special_tokens=True) if p not in MARKERS]


def without_special(tok: Any, ids: list[int]) -> list[int]:
    return [tok.unk_token_id if i in tok.all_special_ids else i for i in ids]


@st.composite
def cut_up(draw: st.DrawFn) -> Doc:
    """A sentence of any script whose tokens begin and end anywhere: in words, clusters, spaces."""
    text = draw(st.sampled_from(SENTENCES))
    cuts = draw(st.sets(st.integers(1, len(text) - 1), max_size=16))
    edges = sorted({0, len(text), *cuts})
    return make_doc([text[a:b] for a, b in pairwise(edges)], [False] * (len(edges) - 1))


# What a sub-word is, from the definition ---------------------------------------------------------


def by_characters(name: str, doc: Doc) -> tuple[list[int], list[list[int]], list[bool]]:
    """Ids, the sub-words of each token and which sub-words begin one, by comparing sets of
    characters. A piece that is nothing but the mark of a space stands for no character, unless that
    mark itself is in the text."""
    tok = tokenizer(name)
    text = doc.text
    normalizer = tok.backend_tokenizer.normalizer
    # The library moves all offsets of a text when the first characters are deleted from it.
    skip = 0
    while normalizer and skip < len(text) and not normalizer.normalize_str(text[skip]):
        skip += 1
    encoding = tok(
        text[skip:],
        add_special_tokens=False,
        return_offsets_mapping=True,
        split_special_tokens=True,
    )
    ids = encoding["input_ids"]
    characters = []
    for i, (start, end) in zip(ids, encoding["offset_mapping"], strict=True):
        start, end = start + skip, end + skip
        piece = tok.convert_ids_to_tokens(i)
        if piece in MARKERS and text[start:end][:1] != piece:
            end = start
        characters.append({c for c in range(start, end) if not text[c].isspace()})
    rows = []
    for token in doc:
        own = set(range(token.idx, token.idx + len(token.text)))
        rows.append([] if token.is_space else [i for i, c in enumerate(characters) if c & own])
    begins = []
    for i in range(len(ids)):
        owners = [row for row in rows if i in row]
        begins.append(bool(owners) and owners[0][0] == i)
    return without_special(tok, ids), rows, begins


@PROFILE
@given(st.one_of(docs(), cut_up()), some_of([*FAST], 2))
@example(doc_from("do|n't| |panic"), [*FAST])
@example(doc_from("São| São|\n|\n|  |x"), [*FAST])
@example(doc_from("\ufeff|\ufe0f|\ufffd"), [*FAST])
@example(doc_from("\u00b8|\ufe0f|do"), [*FAST])
@example(make_doc(["\u00b8\x1f", "do"], [False, False]), [*FAST])
@example(make_doc(["a", "\u0301 ", "do"], [False, False, False]), [*FAST])
@example(doc_from("e|\u0301|t"), [*FAST])
@example(doc_from("x|'|'|`|`|y"), [*FAST])
def test_sub_words_of_a_token_are_those_that_share_a_character(doc, names):
    for name in names:
        [subwords] = subword_tokenizer(name)([doc])
        ids, rows, begins = by_characters(name, doc)
        assert subwords.ids.tolist() == ids, name
        tokens = [ascii(token.text) for token in doc]
        assert subwords.lengths.tolist() == [len(row) for row in rows], (name, tokens)
        assert subwords.rows.tolist() == [i for row in rows for i in row], name
        assert subwords.word_starts.tolist() == begins, name
        assert subwords.ids.dtype == subwords.rows.dtype == np.int64
        assert subwords.lengths.dtype == np.int32
        assert subwords.word_starts.dtype == bool
        assert all(row == sorted(set(row)) for row in rows)
        special = {*tokenizer(name).all_special_ids} - {tokenizer(name).unk_token_id}
        assert not special & {*subwords.ids.tolist()}, name


@PROFILE
@given(
    st.lists(words.filter(lambda word: not any(c.isspace() for c in word)), max_size=8),
    some_of([*FAST], 2),
)
def test_a_word_between_spaces_has_the_sub_words_it_has_alone(texts, names):
    """Characters that normalizers delete, expand, compose or decompose shift no offset."""
    doc = make_doc(texts)
    for name in names:
        tok = tokenizer(name)
        markers = {*tok.convert_tokens_to_ids(MARKERS)} - {tok.unk_token_id}
        got = ids_by_token(name, doc)
        for i, word in enumerate(texts):
            if any(mark in word for mark in MARKERS):
                continue
            alone = tok.tokenize(word if i == 0 else f" {word}", split_special_tokens=True)
            ids = [tok.convert_tokens_to_ids(piece) for piece in alone]
            expected = [i for i in ids if i not in markers]
            assert got[i] == without_special(tok, expected), (name, i, alone)


@PROFILE
@given(st.lists(docs(max_size=4), max_size=4), some_of([*FAST, *SLOW], 2))
def test_a_doc_has_the_same_sub_words_in_any_company(batch, names):
    for name in names:
        tok = subword_tokenizer(name)
        with pytest.MonkeyPatch.context() as patch:
            # Few enough that even such a batch takes several calls.
            patch.setattr(subwords_module, "CALL_TEXTS", 2)
            patch.setattr(subwords_module, "CALL_CHARACTERS", 20)
            patch.setattr(subwords_module, "GROUP_CHARACTERS", 30)
            together = tok(batch)
        assert len(together) == len(batch)
        for doc, got in zip(batch, together, strict=True):
            assert_equal(got, tok([doc])[0])


def test_a_call_of_the_tokenizer_is_bounded(monkeypatch):
    monkeypatch.setattr(subwords_module, "CALL_TEXTS", 4)
    monkeypatch.setattr(subwords_module, "CALL_CHARACTERS", 100)
    parts = chunks.make_chunks(["x" * n for n in (40, 40, 40, 500, 1, 1, 1, 1, 1, 1)], set())
    assert list(subwords_module._calls(parts)) == [(0, 3), (3, 4), (4, 8), (8, 10)]
    assert list(subwords_module._calls([])) == []


# Traps, by hand -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        # One sub-word over two tokens counts for both.
        ("bert_cased", "do|n't", [["don"], ["don", "'", "t"]]),
        # White space between tokens, and white space that is a token.
        ("bert_cased", "don|'t| | don|\n\n|t", [["don"], ["'", "t"], [], ["don"], [], ["t"]]),
        # The space in front of a word, which its sub-word's offsets include, is not a space token.
        ("roberta_untrimmed", "São| |São", [["S", "Ã£o"], [], ["ĠSÃ£o"]]),
        ("gpt2", "São|\n|don", [["S", "Ã£o"], [], ["d", "on"]]),
        # A sub-word that is only a space is no sub-word of the first word, as of no other.
        ("xlm_roberta", "São| São", [["S", "ão"], ["S", "ão"]]),
        ("camembert", "São| São", [["S", "ão"], ["S", "ão"]]),
        # A character that takes four sub-words.
        ("gpt2", "𝔘|x", [["ð", "Ŀ", "Ķ", "ĺ"], ["x"]]),
        # A character that becomes three, and two that become one.
        ("xlm_roberta", "½| a\u0303|x", [["1", "⁄", "2"], ["ã"], ["x"]]),
        # Tokens with spaces inside, at the beginning and at the end.
        ("bert_cased", "São Paulo| na ", [["São", "Paulo"], ["na"]]),
        # Nothing is left of these.
        ("bert_uncased", "x| \ufe0f| \u200b| \ufffd| \uf0be| x", [["x"], [], [], [], [], ["x"]]),
    ],
)
def test_traps(name, text, expected):
    assert names_by_token(name, doc_from(text)) == expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        # "ã", and a quotation mark that this small vocabulary lacks.
        ("xlm_roberta", "a|\u0303|t", [["\u00e3"], [], ["t"]]),
        ("albert", "x|'|'", [["x"], [], ["<unk>"]]),
    ],
)
def test_characters_rewritten_with_their_neighbors_leave_a_token_without_a_sub_word(
    name, text, expected
):
    assert names_by_token(name, doc_from(text)) == expected


@pytest.mark.parametrize("name", [*FAST, *SLOW])
def test_docs_without_sub_words_in_the_middle_of_a_batch(name):
    batch = [doc_from(text) for text in ("do|n't", " ", "\n| |\t", "São| na| noite")]
    batch.insert(1, make_doc([]))
    results = subword_tokenizer(name)(batch)
    assert [len(result.lengths) for result in results] == [2, 0, 1, 3, 3]
    assert [int(result.lengths.sum()) for result in results[1:4]] == [0, 0, 0]
    assert (results[0].lengths > 0).all() and (results[4].lengths > 0).all()
    assert subword_tokenizer(name)([]) == []


@pytest.mark.parametrize("length", [505, 10_000])
@pytest.mark.parametrize("name", [*FAST, *SLOW])
def test_a_long_token_keeps_its_sub_words_and_its_neighbors(name, length):
    doc = make_doc(["São", "ab" * (length // 2), "na", "noite"])
    [subwords] = subword_tokenizer(name)([doc])
    alone = ids_by_token(name, make_doc(["São", "na", "noite"]))
    got = ids_by_token(name, doc)
    assert [got[0], *got[2:]] == alone
    # WordPiece gives up on words of more than 100 characters; the others spell them out.
    if name.startswith("bert"):
        assert got[1] == [tokenizer(name).unk_token_id]
    else:
        assert len(got[1]) >= length // 6
    assert subwords.word_starts.sum() == 4


@pytest.mark.parametrize("name", ["xlm_roberta", "deberta_v3", "albert"])
def test_special_text_gives_no_special_sub_word(name):
    tok = tokenizer(name)
    texts = [f"São{special}" for special in tok.all_special_tokens]
    # The vocabulary offers its special pieces even where they are taken for text.
    leaks = [tok(text, split_special_tokens=True, add_special_tokens=False) for text in texts]
    special = {*tok.all_special_ids} - {tok.unk_token_id}
    assert any(special & {*leak["input_ids"]} for leak in leaks)
    for subwords in subword_tokenizer(name)([make_doc([text]) for text in texts]):
        assert not special & {*subwords.ids.tolist()}
        assert subwords.lengths[0] >= 2


@pytest.mark.parametrize("name", [*FAST, *SLOW])
def test_added_sub_words_that_are_special_are_text(name):
    tok = deepcopy(tokenizer(name))
    tok.add_special_tokens({"additional_special_tokens": ["<entity>"]})
    doc = make_doc(["a", "<entity>", "b"])
    [got] = SubwordTokenizer(tok)([doc])
    assert tok.convert_tokens_to_ids("<entity>") not in got.ids
    assert got.lengths[1] >= (1 if name == "bert_slow" else 3)
    if name != "bert_slow":
        assert_equal(got, subword_tokenizer(name)([doc])[0])


@pytest.mark.parametrize("name", ["bert_cased", "roberta", "xlm_roberta"])
def test_the_callers_tokenizer_is_neither_changed_nor_obeyed_in_truncation_and_padding(name):
    tok = deepcopy(tokenizer(name))
    backend = tok.backend_tokenizer
    backend.enable_truncation(4)
    backend.enable_padding(length=32)
    before = backend.to_str()
    batch = [make_doc(["São", "Paulo", "na", "noite", "[SEP]"]), make_doc(["a"])]
    ours = SubwordTokenizer(tok)
    for got, expected in zip(ours(batch), subword_tokenizer(name)(batch), strict=True):
        assert_equal(got, expected)
    assert tok.backend_tokenizer.to_str() == before
    assert backend.encode_special_tokens is False


@pytest.mark.parametrize("name", ["bert_cased", "gpt2", "xlm_roberta", "bert_slow", "gpt2_slow"])
@pytest.mark.parametrize("clone", [deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_do_the_same(name, clone):
    batch = [doc_from("do|n't| [SEP]| São\ufeff</s>|\n|x")]
    got = clone(subword_tokenizer(name))(batch)
    assert_equal(got[0], subword_tokenizer(name)(batch)[0])


def test_sub_words_that_stand_for_the_same_characters_of_two_tokens():
    """Rows are ordered by token, even where the sub-words of two tokens alternate."""
    doc = doc_from("a|bc|d")
    order = np.arange(4)
    encoding = chunks.Encoding(order + 7, np.array([0, 0, 2, 1]), np.array([3, 3, 4, 2]), 0 * order)
    [subwords] = subwords_module._align([doc], subwords_module._codes(doc.text), encoding, {})
    assert subwords.ids.tolist() == [7, 8, 9, 10]
    assert subwords.lengths.tolist() == [2, 4, 1]
    assert subwords.rows.tolist() == [0, 1, 0, 1, 2, 3, 2]
    assert subwords.word_starts.tolist() == [True, False, False, False]


def test_offsets_hold_where_a_text_begins_with_deleted_characters():
    doc = make_doc(["\x01", "\x01\x02", "Maria", "mora", "na", "noite"])
    for name in ("xlm_roberta", "camembert", "deberta_v3", "albert", "bert_cased"):
        got = ids_by_token(name, doc)
        assert got[:2] == [[], []]
        assert got[2:] == ids_by_token(name, make_doc(["Maria", "mora", "na", "noite"])), name


# Tokenizers written in Python ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        # Token by token: "don" is not in sight.
        ("bert_slow", "do|n't| São|\n|São", [["do"], ["n", "'", "t"], ["sao"], [], ["sao"]]),
        ("bert_slow", "\ufe0f| x|[SEP]", [[], ["x"], ["[UNK]"]]),
        # With the space that stands in front, as in a white-space token.
        ("gpt2_slow", "São| São|\n|São", [["S", "Ã£o"], ["ĠSÃ£o"], [], ["ĠSÃ£o"]]),
        # A space that is a sub-word of its own belongs to no token.
        ("gpt2_slow", "x| 𝔘", [["x"], ["ð", "Ŀ", "Ķ", "ĺ"]]),
    ],
)
def test_slow_tokenizers_work_token_by_token(name, text, expected):
    assert names_by_token(name, doc_from(text)) == expected


@PROFILE
@given(docs(), some_of([*SLOW], 1))
def test_slow_tokenizers_are_consistent(doc, names):
    for name in names:
        tok = tokenizer(name)
        [subwords] = subword_tokenizer(name)([doc])
        assert len(subwords.lengths) == len(doc)
        assert subwords.lengths.sum() == len(subwords.rows)
        assert (np.diff(subwords.rows) > 0).all()
        firsts = np.cumsum(subwords.lengths) - subwords.lengths
        firsts = subwords.rows[firsts[subwords.lengths > 0]]
        assert np.flatnonzero(subwords.word_starts).tolist() == firsts.tolist()
        assert not ({*tok.all_special_ids} - {tok.unk_token_id}) & {*subwords.ids.tolist()}
        for token, length in zip(doc, subwords.lengths, strict=True):
            pieces = tok.tokenize(token.text, split_special_tokens=True)
            assert bool(length) == bool(pieces and not token.is_space)


# Long texts ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert_uncased", "xlm_roberta"])
def test_a_million_tokens(name):
    words = ["Maria", "da", "Silva", "mora", "na", "noite", "."]
    doc = make_doc(words * 143_000)
    assert len(doc) > 1_000_000
    [subwords] = subword_tokenizer(name)([doc])
    names = ids_by_token(name, make_doc(["x", "Maria", "da", "Silva", "mora", "na", "noite", "."]))[
        1:
    ]
    # The first word differs in families that treat the beginning of a text on its own.
    later = slice(subwords.lengths[0], None)
    expected = np.tile(np.concatenate(names), 143_000)[len(names[0]) :]
    np.testing.assert_array_equal(subwords.ids[subwords.rows[later]], expected)
    np.testing.assert_array_equal(subwords.lengths[1:], np.tile([*map(len, names)], 143_000)[1:])


# Real corpora ------------------------------------------------------------------------------------


def column(path: Path, separator: str) -> list[list[str]]:
    """First column of a file, by sentences; empty tokens are left out."""
    sentences: list[list[str]] = [[]]
    for line in path.read_text(encoding="utf8").split("\n"):
        token = line.split(separator)[0]
        if not line.strip():
            sentences.append([])
        elif token:
            sentences[-1].append(token)
    return [sentence for sentence in sentences if sentence]


@pytest.mark.slow
@needs_corpora
@pytest.mark.parametrize(
    ("folder", "pattern", "separator", "cased", "uncased"),
    [
        (
            "btc",
            "btc.*",
            "\t",
            {" ": 2, "\u200e": 1, "\ue401" * 4: 1},
            {"\ufe0f": 45, "\u0305": 2, "\u0962": 2},
        ),
        ("lener_br/leNER-Br/train", "train.conll", " ", {"\uf0be": 1}, {}),
        ("sec_filings", "FIN3*", " ", {"\ufffd": 9}, {}),
        ("wnut17", "*dev.conll", "\t", {}, {"\ufe0f": 4}),
    ],
)
def test_tokens_of_real_corpora_without_sub_words(folder, pattern, separator, cased, uncased):
    """Those that the clean-up removes; where accents are stripped, variation selectors as well."""
    paths = sorted((CORPORA / folder).glob(pattern))
    batch = [make_doc(sentence) for path in paths for sentence in column(path, separator)]
    for name, expected in (("bert_cased", cased), ("bert_uncased", {**cased, **uncased})):
        missing = Counter(
            doc[int(i)].text
            for doc, subwords in zip(batch, subword_tokenizer(name)(batch), strict=True)
            for i in np.flatnonzero(subwords.lengths == 0)
        )
        assert missing == expected, name


@pytest.mark.parametrize(
    ("lengths", "every", "rows", "tokens"),
    [
        ([2, 0, 1, 3], False, [0, 2, 3], [0, 2, 3]),
        ([2, 0, 1, 3], True, [0, 1, 2, 3, 4, 5], [0, 0, 2, 3, 3, 3]),
        ([0, 0], False, [], []),
        ([], True, [], []),
        ([1], True, [0], [0]),
    ],
)
def test_pick_rows(lengths: list[int], every: bool, rows: list[int], tokens: list[int]):
    found = sequence_rows(np.array(lengths, dtype=np.int32), every=every)
    assert [f.tolist() for f in found] == [rows, tokens]
    assert all(f.dtype == np.int64 for f in found)
