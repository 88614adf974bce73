"""Checks of characters, each on a corpus with that oddity alone."""

import pytest
from spacy.tokens import Doc

from spacy_bio_crf.debug import CorpusPart, diagnose
from tests.support.debug_tools import PLENTY, check_one, make_doc


@pytest.mark.parametrize(
    ("check", "doc", "count", "start", "note"),
    [
        ("tokens_with_spaces", make_doc(["a", "34 470"]), 1, 1, ""),
        ("white_space_tokens", make_doc(["a", "\n", "\u3000"]), 2, 1, "U+000A"),
        ("invisible_tokens", make_doc(["a", "\ufe0f", "\u200e"]), 2, 1, "U+FE0F"),
        # U+0378 is not assigned.
        ("invisible_tokens", make_doc(["a", "\u0378"]), 1, 1, "U+0378"),
        ("hidden_characters", make_doc(["a", "x\u200by", "Aus\u00adtria"]), 2, 1, "U+200B"),
        ("undecodable_tokens", make_doc(["a", "\ufffds", "\uf0be"]), 2, 1, "U+FFFD"),
    ],
)
def test_checks_of_documents(check: str, doc: Doc, count: int, start: int | None, note: str):
    check_one(check, doc, count, start, note)


def test_emoji_and_marks_that_are_spelling_are_not_odd():
    words = ["👨‍👩‍👧", "❤️", "نمی‌خواهم", "हिन्दी", "e\u0301", "…", "naïve", "日本"]
    assert diagnose([CorpusPart("train", [*PLENTY, make_doc(words)])]).findings == []
