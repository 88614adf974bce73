"""Checks of invisible, hidden and undecodable characters."""

import unicodedata
from collections.abc import Sequence

from spacy.tokens import Doc

from .findings import Recorder

# Zero-width and direction marks, byte-order marks, soft hyphens. The joiners U+200C and U+200D are
# spelling in some scripts and in emoji.
ZERO_WIDTH = frozenset("\u00ad\u200b\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff")


def check_characters(docs: Sequence[Doc], recorder: Recorder) -> None:
    """Check the characters of every token."""
    kinds: dict[str, tuple[str, ...]] = {}  # token text -> checks that it fails
    for doc in docs:
        for token in doc:
            text = token.text
            if text not in kinds:
                kinds[text] = tuple(_kinds(text))
            for check in kinds[text]:
                note = " ".join(f"U+{ord(char):04X}" for char in text if _odd(char))
                recorder.tokens(check, doc, token.i, token.i + 1, note=note)


def _kinds(text: str) -> list[str]:
    if text.isascii() and text.isalnum():
        return []
    if text.isspace():
        return ["white_space_tokens"]
    found = []
    if any(char.isspace() for char in text):
        found.append("tokens_with_spaces")
    if all(_invisible(char) for char in text):
        found.append("invisible_tokens")
    elif any(map(_hidden, text)):
        found.append("hidden_characters")
    if any(char == "\ufffd" or unicodedata.category(char) == "Co" for char in text):
        found.append("undecodable_tokens")
    return found


def _invisible(char: str) -> bool:
    """Has the character no shape of its own? Variation selectors, format and control characters."""
    return (
        char.isspace()
        or "\ufe00" <= char <= "\ufe0f"
        or unicodedata.category(char) in ("Cf", "Cc", "Cn")
    )


def _hidden(char: str) -> bool:
    """Is the character one that nobody sees between others?"""
    control = unicodedata.category(char) == "Cc" and not char.isspace()
    return char in ZERO_WIDTH or control


def _odd(char: str) -> bool:
    return char not in " " and (
        _invisible(char) or char == "\ufffd" or unicodedata.category(char) == "Co"
    )
