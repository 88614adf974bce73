"""Policies for entities whose borders are no borders of tokens.

    text      A n a b e l a   l i v e s
    tokens    0 . . . . . .   1 . . . .     starts 0, 8; ends 7, 13
    (0, 3)    begins with token 0 and ends inside it: it does not fit

A named policy decides about an entity that does not fit:

    strict    an error
    expand    it takes in every token it touches
    contract  it keeps the tokens that lie wholly inside; if there are none, the tokens it touches
              count as unannotated
    missing   it is no entity, and the tokens it touches count as unannotated, never as O

White space at the border of an entity is cut off first, under every policy.

Entities are given in characters, as in a corpus, or on other tokens. `spacy train` tokenizes texts
with the pipeline's tokenizer, so the tokens of a predicted Doc may differ from those of the
reference, and its text in white space and case.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from spacy.tokens import Doc

from ..errors import BioError, Plain, check_choice, describe
from ..tags.spans import EntIob, Span

CharSpan = tuple[int, int, str]  # start, end (exclusive), label; in characters
POLICIES = ("strict", "expand", "contract", "missing")


@dataclass(frozen=True)
class Fit:
    """Entities in tokens, made from entities in characters. Indices refer to the given spans.

    spans (list[Span]): The entities, in the order of the given ones; they may overlap.
    origins (list[int]): For each entity, the index of its given span.
    missing (list[int]): Tokens touched by spans that are no entity now, in order. If such a token
        also lies in one of `spans`, that entity stands.
    misaligned (list[int]): The spans that do not fit, under every policy.
    trimmed (list[int]): The spans that lost white space.
    blank (list[int]): The spans of white space alone, which are left out.
    """

    spans: list[Span]
    origins: list[int]
    missing: list[int]
    misaligned: list[int]
    trimmed: list[int]
    blank: list[int]


def fit_to_tokens(doc: Doc, spans: Sequence[CharSpan], *, policy: str = "missing") -> Fit:
    """Convert entities in characters to entities in tokens.

    doc (Doc): The tokens; only its text and the offsets of its tokens are read.
    spans (Sequence[tuple[int, int, str]]): Start, exclusive end (in characters of the text) and
        label.
    policy (str): The rule for spans that do not fit: one of `POLICIES`.
    RETURNS (Fit): The entities, and an account of the spans that did not fit.
    RAISES: ValueError for a span that is empty or leaves the text, for an unknown policy and, under
        "strict", for a span that does not fit.
    """
    check_choice("misaligned", policy, POLICIES)
    text = doc.text
    starts, ends = _offsets(doc)
    fit = Fit([], [], [], [], [], [])
    missing: set[int] = set()
    for i, (given_start, given_end, label) in enumerate(spans):
        start, end = _trimmed(text, given_start, given_end, label)
        if start == end:
            fit.blank.append(i)
            continue
        if (start, end) != (given_start, given_end):
            fit.trimmed.append(i)
        # Each character that is no white space belongs to a token, so there is at least one.
        first = int(np.searchsorted(ends, start, side="right"))
        last = int(np.searchsorted(starts, end, side="left"))  # exclusive
        fits = starts[first] == start and ends[last - 1] == end
        if not fits:
            fit.misaligned.append(i)
            if policy == "strict":
                place = f"entity {text[start:end]!r} ({label}, characters {start} to {end})"
                got = Plain(f"the tokens {[token.text for token in doc[first:last]]}")
                raise BioError(describe(place, expected="borders of tokens", got=got))
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


def carry_over(
    reference: Doc,
    predicted: Doc,
    *,
    policy: str = "missing",
    layer: tuple[Sequence[Span], np.ndarray] | None = None,
) -> tuple[list[Span], np.ndarray, list[int]]:
    """Put the entities of one document on the tokens of another.

    A token is known if it lies in an entity, if it is white space, or if all of its characters are
    annotated as outside. If two entities would share a token, one that fits precedes one that was
    made to fit, and the first precedes the second. The other one counts as unannotated.

    reference (Doc): The annotated document.
    predicted (Doc): The same text in other tokens; white space and case may differ.
    policy (str): The rule for entities that do not fit: one of `POLICIES`.
    layer (tuple | None): Entities in tokens of `reference`, without overlap, and the value of
        `EntIob` for each of its tokens, int64 [n_tokens]; None takes those of `doc.ents`.
    RETURNS (tuple): On the tokens of `predicted` the entities, in order, without overlap, and
        whether a token is known, bool [n_tokens]; and the indices of the entities that do not fit,
        under every policy.
    RAISES: ValueError for texts that differ in more, for an unknown policy and, under "strict", for
        an entity that does not fit.
    """
    theirs, ours = _match_characters(reference.text, predicted.text)
    if layer is None:
        spans = [(ent.start_char, ent.end_char, ent.label_) for ent in reference.ents]
        iob = np.array([token.ent_iob for token in reference], dtype=np.int64)
    else:
        given, iob = layer
        spans = [(reference[s].idx, reference[s:e].end_char, label) for s, e, label in given]
    chars, origins = _moved(spans, theirs, ours)
    fit = fit_to_tokens(predicted, chars, policy=policy)
    misaligned = set(fit.misaligned)
    taken = np.zeros(len(predicted), dtype=bool)
    kept: list[Span] = []
    for (start, end, label), _ in sorted(
        zip(fit.spans, fit.origins, strict=True), key=lambda pair: pair[1] in misaligned
    ):
        if not taken[start:end].any():
            taken[start:end] = True
            kept.append((start, end, label))
    known = taken | _outside(iob, reference, predicted, theirs, ours)
    fitting = {origin for i, origin in enumerate(origins) if i not in misaligned}
    return sorted(kept), known, [i for i in range(len(spans)) if i not in fitting]


def carry_alternatives(
    reference: Doc, predicted: Doc, layer: tuple[Sequence[Span], np.ndarray], *, policy: str
) -> tuple[list[Span], list[int], np.ndarray, list[int]]:
    """Put entities that may overlap on the tokens of another document, as `carry_over` does those
    without overlap: all that fit, or are made to fit, stay.

    reference, predicted (Doc), layer (tuple), policy (str): As for `carry_over`.
    RETURNS (tuple): On the tokens of `predicted` the entities, the index of each among those given,
        and whether a token is known, bool [n_tokens]; and the indices of those that do not fit.
    RAISES: ValueError as `carry_over`.
    """
    given, iob = layer
    theirs, ours = _match_characters(reference.text, predicted.text)
    spans = [(reference[s].idx, reference[s:e].end_char, label) for s, e, label in given]
    chars, moved = _moved(spans, theirs, ours)
    fit = fit_to_tokens(predicted, chars, policy=policy)
    known = _outside(iob, reference, predicted, theirs, ours)
    for start, end, _ in fit.spans:
        known[start:end] = True
    fitting = {origin for i, origin in enumerate(moved) if i not in {*fit.misaligned}}
    unfit = [i for i in range(len(spans)) if i not in fitting]
    return fit.spans, [moved[i] for i in fit.origins], known, unfit


def carry_spans(reference: Doc, predicted: Doc, spans: Sequence[CharSpan]) -> list[Span]:
    """Put spans in characters of `reference`, which may overlap, on the tokens of `predicted`, as
    `carry_over` does. Those that do not fit are left out."""
    chars, _ = _moved(spans, *_match_characters(reference.text, predicted.text))
    return fit_to_tokens(predicted, chars).spans


def _match_characters(source: str, target: str) -> tuple[np.ndarray, np.ndarray]:
    """Find the offsets in each text of the characters that are no white space; int64 [n] both.

    A character that case folding makes several occurs as often.
    """
    folded, offsets = _folded(source)
    if source == target:
        return offsets, offsets
    other, others = _folded(target)
    if folded != other:
        expected = f"the text {source[:40]!r} but for white space and case"
        raise BioError(describe("predicted document", expected=expected, got=target[:40]))
    return offsets, others


def _folded(text: str) -> tuple[str, np.ndarray]:
    solid = [(char.casefold(), i) for i, char in enumerate(text) if not char.isspace()]
    offsets = [i for folded, i in solid for _ in folded]
    return "".join(folded for folded, _ in solid), np.array(offsets, dtype=np.int64)


def _moved(
    spans: Sequence[CharSpan], theirs: np.ndarray, ours: np.ndarray
) -> tuple[list[CharSpan], list[int]]:
    """Move spans from one text to the other; those of white space alone are left out."""
    moved, origins = [], []
    for i, (start, end, label) in enumerate(spans):
        first, last = np.searchsorted(theirs, [start, end])
        if first < last:
            moved.append((int(ours[first]), int(ours[last - 1]) + 1, label))
            origins.append(i)
    return moved, origins


def _outside(
    iob: np.ndarray, reference: Doc, predicted: Doc, theirs: np.ndarray, ours: np.ndarray
) -> np.ndarray:
    """Find the tokens whose characters are all annotated as outside; bool [n_tokens]."""
    outside = np.full(len(predicted), bool((iob != EntIob.MISSING).any()))
    # shape: [n], the reference token of each character
    owners = np.searchsorted(_offsets(reference)[1], theirs, side="right")
    others = ours[iob[owners] != EntIob.OUTSIDE]
    outside[np.searchsorted(_offsets(predicted)[1], others, side="right")] = False
    return outside


def _offsets(doc: Doc) -> tuple[np.ndarray, np.ndarray]:
    """The start and the exclusive end of each token, in characters; int64 [n_tokens] both."""
    starts = np.array([token.idx for token in doc], dtype=np.int64)
    return starts, starts + np.array([len(token) for token in doc], dtype=np.int64)


def _trimmed(text: str, start: int, end: int, label: str) -> tuple[int, int]:
    """Cut off white space at the borders of a span; start == end if nothing is left."""
    if not 0 <= start < end <= len(text):
        raise BioError(
            describe(
                f"entity of label {label!r}",
                expected=f"0 <= start < end <= {len(text)}, the length of the text {text[:40]!r}",
                got=Plain(f"characters {start} to {end}"),
            )
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
