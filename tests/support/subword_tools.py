"""Tools for tests of sub-words: Docs of any script, and tokenizers by their names."""

from functools import cache

import numpy as np
import spacy
from hypothesis import strategies as st
from spacy.tokens import Doc

from spacy_bio_crf.subwords.tokenizer import Subwords, SubwordTokenizer
from tests.support.tokenizers_zoo import tokenizer

VOCAB = spacy.blank("xx").vocab
MARKERS = ("\u2581", "\u0120")


@cache
def subword_tokenizer(name: str) -> SubwordTokenizer:
    return SubwordTokenizer(tokenizer(name))


def make_doc(words: list[str], spaces: list[bool] | None = None) -> Doc:
    return Doc(VOCAB, words=words, spaces=spaces)


def doc_from(text: str, sep: str = "|") -> Doc:
    """Tokens end at `sep`; a space behind it is white space between tokens."""
    words, spaces = [], []
    for part in text.split(sep):
        if part.startswith(" ") and words and part.strip():
            spaces[-1] = True
            part = part[1:]
        words.append(part)
        spaces.append(False)
    return make_doc(words, spaces)


def assert_equal(got: Subwords, expected: Subwords) -> None:
    for field in ("ids", "rows", "lengths", "word_starts"):
        np.testing.assert_array_equal(getattr(got, field), getattr(expected, field), field)
        assert getattr(got, field).dtype == getattr(expected, field).dtype


WORDS = [
    *("do", "n't", "don", "'t", "won", "can", "not", "Maria", "da", "Silva", "na", "noite", "S.A."),
    *("informação", "informac\u0327a\u0303o", "São", "Sa\u0303o", "à", "a\u0300", "ﬁsh", "½", "…"),
    *("Straße", "Donaudampfschifffahrtsgesellschaft", "järvenranta", "İstanbul", "Å", "A\u030a"),
    *("北京", "東京タワー", "ﾀﾜｰ", "か\u3099", "สวัสดีครับ", "한국어", "\u1112\u1161\u11ab"),
    *("السلام", "مُحَمَّد", "\u0600١", "שָׁלוֹם", "हिन्दी", "दुनिया", "Привет", "Αθήνα"),
    *("😀", "❤️", "❤", "\ufe0f", "👨‍👩‍👧", "🇧🇷", "👍🏽", "\u200d", "1️⃣", "𝔘𝔫𝔦"),
    *("\u200b", "\u200c", "\u200e", "\u2060", "\ufeff", "\ufffd", "\x00", "\x01", "\x7f", "\x85"),
    *("x\u200by", "a\u00adb", "\u0301", "e\u0301\u0323", "\uf0be", "\u2028", "\u00a0", "\u3000"),
    *(" ", "  ", "\t", "\n", "\r\n", "\n\n ", "34 470", "New York", " a", "b ", "a  b", " \n x"),
    *("[SEP]", "[CLS]", "[UNK]", "[MASK]", "</s>", "<s>", "<mask>", "<unk>", "<|endoftext|>"),
    *("▁", "▁a", "Ġ", "Ġa", "##a", "``", "''", "@user", "#tag", "https://x.org/a?b=1", "1,234.56"),
]
RANGES = [
    *((0x00, 0x7F), (0xA0, 0x17F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x45F), (0x591, 0x5EA)),
    *((0x600, 0x65F), (0x900, 0x94D), (0xE01, 0xE5B), (0x1100, 0x11FF), (0x1E00, 0x1EFF)),
    *((0x2000, 0x206F), (0x2581, 0x2581), (0x3000, 0x30FF), (0x4E00, 0x4E40), (0xAC00, 0xAC40)),
    *((0xFB00, 0xFB06), (0xFE00, 0xFE0F), (0xFF00, 0xFFEF), (0xFFF9, 0xFFFD), (0x1D400, 0x1D420)),
    *((0x1F1E6, 0x1F1FF), (0x1F3FB, 0x1F3FF), (0x1F600, 0x1F640), (0xE0020, 0xE007F)),
]
CHARS = st.one_of([st.integers(low, high).map(chr) for low, high in RANGES])
words = st.one_of(
    st.sampled_from(WORDS),
    st.text("aeinorstçã' ", min_size=1, max_size=6),
    st.text(CHARS, min_size=1, max_size=5),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=3),
)


@st.composite
def docs(draw: st.DrawFn, max_size: int = 12, words: st.SearchStrategy[str] = words) -> Doc:
    tokens = draw(st.lists(st.tuples(words, st.booleans()), max_size=max_size))
    return make_doc([word for word, _ in tokens], [space for _, space in tokens])
