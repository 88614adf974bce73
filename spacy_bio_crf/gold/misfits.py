"""Entities given in characters that may not fit the borders of tokens.

    text      A n a b e l a   l i v e s
    tokens    0 . . . . . .   1 . . . .     starts 0, 8; ends 7, 13
    (0, 3)    begins with token 0 and ends inside it: it does not fit

A named policy says what becomes of an entity that does not fit:

    strict    an error
    expand    it takes in every token it touches
    contract  it keeps the tokens that lie wholly inside; if there are none, the tokens it touches
              count as unannotated
    missing   it is no entity, and the tokens it touches count as unannotated, never as O

White space at an entity's border belongs to nobody: it is cut off first, whatever the policy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from spacy.tokens import Doc

from ..tags.spans import Span

CharSpan = tuple[int, int, str]  # start, end (exclusive), label; in characters
POLICIES = ("strict", "expand", "contract", "missing")


@dataclass(frozen=True)
class Fit:
    """Entities in tokens, made from entities in characters. Indices refer to the given spans.

    spans (list[Span]): The entities, in the order of the given ones; they may overlap.
    origins (list[int]): For every entity the index of the span that it was.
    missing (list[int]): Tokens touched by spans that are no entity now, in order. Where such a
        token also lies in one of `spans`, that entity stands.
    misaligned (list[int]): The spans that do not fit, whatever became of them.
    trimmed (list[int]): The spans that had white space cut off.
    blank (list[int]): The spans on nothing but white space, which are left out.
    """

    spans: list[Span]
    origins: list[int]
    missing: list[int]
    misaligned: list[int]
    trimmed: list[int]
    blank: list[int]


def fit_to_tokens(doc: Doc, spans: Sequence[CharSpan], *, policy: str = "missing") -> Fit:
    """Turn entities given in characters into entities in tokens.

    doc (Doc): The tokens; only its text and the tokens' offsets are read.
    spans (Sequence[tuple[int, int, str]]): Start, exclusive end (in characters of the text) and
        label.
    policy (str): What becomes of a span that does not fit: one of `POLICIES`.
    RETURNS (Fit): The entities, and an account of what did not fit.
    RAISES: ValueError if a span leaves the text or is empty, if the policy is unknown or, under
        "strict", if a span does not fit.
    """
    if policy not in POLICIES:
        raise ValueError(
            f"unknown policy {policy!r} for misaligned entities: expected one of "
            f"{', '.join(POLICIES)}"
        )
    text = doc.text
    starts = np.array([token.idx for token in doc], dtype=np.int64)  # [n_tokens]
    ends = starts + np.array([len(token) for token in doc], dtype=np.int64)  # [n_tokens]
    fit = Fit([], [], [], [], [], [])
    missing: set[int] = set()
    for i, (given_start, given_end, label) in enumerate(spans):
        start, end = _trimmed(text, given_start, given_end, label)
        if start == end:
            fit.blank.append(i)
            continue
        if (start, end) != (given_start, given_end):
            fit.trimmed.append(i)
        # Every character that is no white space belongs to a token, so there is one at least.
        first = int(np.searchsorted(ends, start, side="right"))
        last = int(np.searchsorted(starts, end, side="left"))  # exclusive
        fits = starts[first] == start and ends[last - 1] == end
        if not fits:
            fit.misaligned.append(i)
            if policy == "strict":
                raise ValueError(
                    f"entity {text[start:end]!r} ({label}, characters {start} to {end}) does not "
                    f"fit the tokens {[token.text for token in doc[first:last]]}"
                )
        inner = (first, last)
        if policy == "contract" and not fits:
            inner = _contracted(doc, starts, ends, (start, end), (first, last))
        if inner[0] >= inner[1] or (policy == "missing" and not fits):
            missing.update(range(first, last))
        else:
            fit.spans.append((*inner, label))
            fit.origins.append(i)
    fit.missing.extend(sorted(missing))
    return fit


def _trimmed(text: str, start: int, end: int, label: str) -> tuple[int, int]:
    """A span's borders without the white space at its edges; start == end if there is no more."""
    if not 0 <= start < end <= len(text):
        raise ValueError(
            f"entity of label {label!r} with characters {start} to {end}: expected "
            f"0 <= start < end <= {len(text)}, the length of the text {text[:40]!r}"
        )
    content = text[start:end]
    end -= len(content) - len(content.rstrip())
    return min(end, start + len(content) - len(content.lstrip())), end


def _contracted(
    doc: Doc,
    starts: np.ndarray,
    ends: np.ndarray,
    chars: tuple[int, int],
    tokens: tuple[int, int],
) -> tuple[int, int]:
    """The tokens wholly inside a span, less white space at the edges; empty if there are none."""
    first, last = tokens
    first += int(starts[first] < chars[0])
    last -= int(ends[last - 1] > chars[1])
    while first < last and doc[first].text.isspace():
        first += 1
    while first < last and doc[last - 1].text.isspace():
        last -= 1
    return first, last
