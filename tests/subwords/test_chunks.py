"""Chunks of long texts give the sub-words of the whole text."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_bio_crf.subwords import chunks
from tests.support.many import PROFILE, some_of
from tests.support.subword_tools import assert_equal, docs, make_doc, subword_tokenizer, words
from tests.support.tokenizers_zoo import FAST, SENTENCES

# What a tokenizer makes of these depends on how long they are and where one begins to read.
runs = st.builds(
    lambda unit, n: unit * n,
    st.sampled_from(["a", "ab", "na", "noite", "日本", " ", "  \n", "\u0301", "😀", "12"]),
    st.integers(2, 60),
)


@PROFILE
@given(
    docs(40, st.one_of(words, runs)), st.sampled_from([(64, 104), (250, 128)]), some_of([*FAST], 2)
)
def test_chunks_give_the_sub_words_of_the_whole_text(doc, sizes, names):
    for name in names:
        tok = subword_tokenizer(name)
        [whole] = tok([doc])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(chunks, "CHUNK_CHARACTERS", sizes[0])
            patch.setattr(chunks, "CONTEXT_CHARACTERS", sizes[1])
            [joined] = tok([doc])
        assert_equal(joined, whole)


PROSE = " ".join(SENTENCES) + "\n"


@pytest.mark.parametrize("name", FAST)
@pytest.mark.parametrize("text", [PROSE, PROSE.replace(" ", ""), PROSE.replace(" ", "\n")])
def test_long_texts_go_to_the_tokenizer_in_chunks(name, text, monkeypatch):
    """At the sizes in use, ordinary text is never read as a whole."""
    tok = subword_tokenizer(name)
    text *= 60
    cuts = range(0, len(text), 3)
    doc = make_doc([text[i : i + 3] for i in cuts], [False for _ in cuts])
    size = chunks.CHUNK_CHARACTERS + 2 * chunks.CONTEXT_CHARACTERS
    lengths = []
    engine = tok._engine
    assert engine is not None
    encode = engine.encode

    def spy(parts):
        lengths.append([len(part.text) for part in parts])
        return encode(parts)

    monkeypatch.setattr(engine, "encode", spy)
    [chunked] = tok([doc])
    monkeypatch.setattr(chunks, "CHUNK_CHARACTERS", 10**9)
    [whole] = tok([doc])
    assert_equal(chunked, whole)
    first, *again, last = lengths
    assert len(last) == 1
    assert len(first) > len(text) / size > 4
    assert max(first) <= size
    assert not again


def test_one_sub_word_for_a_word_longer_than_chunks():
    """The chunks see no border of a sub-word near their cuts."""
    texts = ["São", *["ab" * 50] * 300, "na"]
    doc = make_doc(texts, [True, *[False] * 299, True, False])
    [subwords] = subword_tokenizer("bert_cased")([doc])
    assert subwords.rows.tolist() == [0, *[1] * 300, 2]
    assert subwords.word_starts.tolist() == [True, True, True]


GIANTS = [
    "a",
    "ab",
    "7",
    ".",
    "\u200d",
    "\u0301",
    "e\u0301",
    "👨\u200d👩\u200d👧",
    "\ufeff",
    "\x00",
]


@pytest.mark.parametrize("name", FAST)
def test_one_giant_token_is_read_twice_at_the_most(name, monkeypatch):
    """What a tokenizer reads grows with the text. WordPiece never reads all of it at once."""
    tok = subword_tokenizer(name)
    lengths: list[int] = []
    engine = tok._engine
    assert engine is not None
    encode = engine.encode

    def spy(parts):
        lengths.extend(len(part.text) for part in parts)
        return encode(parts)

    monkeypatch.setattr(engine, "encode", spy)
    size = chunks.CHUNK_CHARACTERS + 2 * chunks.CONTEXT_CHARACTERS
    for unit in GIANTS:
        text = (unit * 40_000)[:40_000]
        doc = make_doc(["São", text, "na"], [True, True, False])
        lengths.clear()
        [chunked] = tok([doc])
        assert sum(lengths) <= 2.2 * len(doc.text)
        if name.startswith("bert") and unit.isalnum():
            assert max(lengths) <= size
        with monkeypatch.context() as patch:
            patch.setattr(chunks, "CHUNK_CHARACTERS", 10**9)
            [whole] = tok([doc])
        assert_equal(chunked, whole)


@pytest.mark.parametrize("name", ["bert_uncased", "roberta", "xlm_roberta", "bert_slow"])
@pytest.mark.parametrize("unit", ["a", "\u200d", "e\u0301"])
def test_time_grows_with_a_token_not_with_its_square(name, unit):
    tok = subword_tokenizer(name)

    def seconds(n: int) -> float:
        doc = make_doc([unit * n], [False])
        best = float("inf")
        for _ in range(3):
            begin = time.process_time()
            tok([doc])
            best = min(best, time.process_time() - begin)
        return best

    assert seconds(160_000) < 12 * seconds(40_000)
