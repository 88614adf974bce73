"""Entities that do not fit tokens, given in characters or on other tokens."""

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc, Span
from spacy.training import Example, biluo_tags_to_offsets

from spacy_bio_crf.errors import BioError
from spacy_bio_crf.gold.misfits import (
    POLICIES,
    carry_over,
    carry_spans,
    fit_to_tokens,
)
from tests.support.many import PROFILE

# White space is told by the language's lexical attributes.
VOCAB = spacy.blank("xx").vocab


def make_doc(words, spaces=None, ents=(), missing=()):
    doc = Doc(VOCAB, words=words, spaces=spaces)
    if ents or missing:
        missing = [doc[i : i + 1] for i in missing]
        doc.set_ents([Span(doc, *ent) for ent in ents], missing=missing)
    return doc


#            0         8     14  17  21
TEXT = make_doc(["Anabela", "lives", "in", "New", "York-City"])


@pytest.mark.parametrize(
    ("chars", "expand", "contract", "missing"),
    [
        ((0, 3), [(0, 1)], [], [0]),  # the beginning of a token
        ((3, 7), [(0, 1)], [], [0]),  # the end of one
        ((17, 25), [(3, 5)], [(3, 4)], [3, 4]),  # one token and half of the next
        ((15, 25), [(2, 5)], [(3, 4)], [2, 3, 4]),  # half, one, half
        ((5, 10), [(0, 2)], [], [0, 1]),  # two halves
    ],
)
def test_entities_that_do_not_fit(chars, expand, contract, missing):
    span = (*chars, "X")
    for policy, tokens in ("expand", expand), ("contract", contract), ("missing", []):
        fit = fit_to_tokens(TEXT, [span], policy=policy)
        assert fit.spans == [(*t, "X") for t in tokens]
        assert fit.origins == [0] * len(tokens)
        assert fit.missing == ([] if tokens else missing)
        assert fit.misaligned == [0] and fit.trimmed == fit.blank == []
    place = rf"\(X, characters {chars[0]} to {chars[1]}\)"
    with pytest.raises(BioError, match=f"entity '.*' {place}: expected borders of tokens, got"):
        fit_to_tokens(TEXT, [span], policy="strict")


@pytest.mark.parametrize("policy", POLICIES)
def test_entities_that_fit_stay_as_they_are(policy):
    spans = [(17, 30, "B"), (0, 7, "A"), (17, 20, "C"), (0, 30, "D")]
    fit = fit_to_tokens(TEXT, spans, policy=policy)
    assert fit.spans == [(3, 5, "B"), (0, 1, "A"), (3, 4, "C"), (0, 5, "D")]
    assert fit.origins == [0, 1, 2, 3]
    assert fit.missing == fit.misaligned == fit.trimmed == fit.blank == []


def test_white_space_at_a_border_belongs_to_nobody():
    doc = make_doc([" ", "Ana", "\n\n", "Bo", "\u2003"], [False, True, False, False, False])
    assert doc.text == " Ana \n\nBo\u2003"
    spans = [(0, 5, "A"), (4, 10, "B"), (4, 7, "C"), (9, 10, "D"), (1, 9, "E")]
    fit = fit_to_tokens(doc, spans, policy="strict")
    assert fit.spans == [(1, 2, "A"), (3, 4, "B"), (1, 4, "E")]
    assert fit.origins == [0, 1, 4]
    assert fit.trimmed == [0, 1] and fit.blank == [2, 3]


def test_a_contracted_entity_does_not_end_on_white_space():
    doc = make_doc(["Ana", "\n", "Bob"], [False, False, False])
    assert fit_to_tokens(doc, [(0, 5, "X")], policy="contract").spans == [(0, 1, "X")]
    assert fit_to_tokens(doc, [(2, 7, "X")], policy="contract").spans == [(2, 3, "X")]
    fit = fit_to_tokens(doc, [(2, 5, "X")], policy="contract")
    assert fit.spans == [] and fit.missing == [0, 1, 2]


@pytest.mark.parametrize("chars", [(-1, 2), (3, 3), (4, 3), (25, 32)])
def test_spans_that_are_none(chars):
    with pytest.raises(BioError, match=f"0 <= .*, got characters {chars[0]} to {chars[1]}"):
        fit_to_tokens(TEXT, [(*chars, "X")])


def test_unknown_policy():
    with pytest.raises(ValueError, match="misaligned: expected one of 'strict', .*, got 'lax'"):
        fit_to_tokens(TEXT, [], policy="lax")


@PROFILE
@given(st.data())
def test_against_spacys_char_span(data):
    words = data.draw(st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=6))
    spaces = data.draw(st.lists(st.booleans(), min_size=len(words), max_size=len(words)))
    doc = make_doc(words, [*spaces[:-1], False])
    start = data.draw(st.integers(0, len(doc.text) - 1))
    end = data.draw(st.integers(start + 1, len(doc.text)))
    chars = doc.text[start:end]
    if chars.strip() != chars:
        return
    for policy, mode in ("expand", "expand"), ("contract", "contract"), ("missing", "strict"):
        expected = doc.char_span(start, end, label="X", alignment_mode=mode)
        fit = fit_to_tokens(doc, [(start, end, "X")], policy=policy)
        touched = doc.char_span(start, end, alignment_mode="expand")
        if expected is None or not len(expected):
            assert fit.spans == []
            assert fit.missing == list(range(touched.start, touched.end))
        else:
            assert fit.spans == [(expected.start, expected.end, "X")]
            assert fit.missing == []
        assert bool(fit.misaligned) == (doc.char_span(start, end) is None)


# -- on other tokens ------------------------------------------------------------------------------


def carried(predicted, reference, policy="missing"):
    other = make_doc(predicted, [False] * len(predicted))
    found, known, misfits = carry_over(reference, other, policy=policy)
    ents = [(ent.start, ent.end, ent.label_) for ent in reference.ents]
    return found, known.tolist(), [ents[i] for i in misfits]


JUNE = make_doc(
    ["On", "Mon", "-", "day", "June", "16"], [False] * 6, [(1, 4, "DAY"), (4, 5, "DATE")]
)
T, F = True, False


@pytest.mark.parametrize(
    ("predicted", "expand", "contract", "known", "misfits"),
    [
        # A token reaches over the left edge of one entity.
        (["OnMon", "-", "day", "June", "16"], (0, 3), (1, 3), [F, F, F, T, T], ["DAY"]),
        # Over the right edge.
        (["On", "Mon", "-", "day", "June16"], (4, 5), None, [T, T, T, T, F], ["DATE"]),
        # Over both, and nothing lies inside.
        (["OnMon-dayJu", "ne", "16"], None, None, None, ["DAY", "DATE"]),
    ],
)
def test_policies(predicted, expand, contract, known, misfits):
    spans, got_known, got = carried(predicted, JUNE, "missing")
    assert [label for _, _, label in got] == misfits
    assert got == [ent for ent in [(1, 4, "DAY"), (4, 5, "DATE")] if ent[2] in misfits]
    if known is None:
        assert spans == [] and got_known == [F, F, T]
        # Two entities would take the same token: the first one has it.
        assert carried(predicted, JUNE, "expand") == ([(0, 1, "DAY")], [T, F, T], got)
        # "ne" lies inside the second one.
        assert carried(predicted, JUNE, "contract") == ([(1, 2, "DATE")], [F, T, T], got)
        return
    assert got_known == known and len(spans) == 1
    for policy, expected in ("expand", expand), ("contract", contract):
        moved, known_then, _ = carried(predicted, JUNE, policy)
        mine = [] if expected is None else [(*expected, misfits[0])]
        assert sorted([*spans, *mine]) == moved
        wanted = np.array(known)
        for start, end, _ in mine:
            wanted[start:end] = True
        assert known_then == wanted.tolist()


def test_strict_names_the_entity_and_the_tokens():
    message = r"entity 'June' \(DATE, characters 9 to 13\): expected borders of .* \['June16'\]"
    with pytest.raises(BioError, match=message):
        carried(["On", "Mon", "-", "day", "June16"], JUNE, "strict")
    assert carried(["On", "Mon", "-day", "June", "16"], JUNE, "strict")[2] == []


def test_white_space_is_no_edge_of_an_entity():
    reference = make_doc(["a\nb", "c"], [False, False], [(0, 1, "X")])
    assert carried(["a", "\n", "bc"], reference, "expand")[0] == [(0, 3, "X")]
    assert carried(["a", "\n", "bc"], reference, "contract")[0] == [(0, 1, "X")]
    reference = make_doc(["a", "\n", "b", "\n"], [False] * 4, [(0, 2, "X"), (3, 4, "Y")])
    # The second entity is white space alone.
    found = carried(["a\n", "b", "\n"], reference)
    assert found == ([], [False, True, True], [(0, 2, "X"), (3, 4, "Y")])
    assert carried(["a", "\nb", "\n"], reference)[::2] == ([(0, 1, "X")], [(3, 4, "Y")])


def test_texts_may_differ_in_white_space_and_case():
    reference = make_doc(
        ["STRASSE", "  ", "İz", "mir", "x"],
        [True, False, False, True, False],
        ents=[(0, 1, "A"), (2, 4, "B")],
        missing=[4],
    )
    spans, known, misfits = carry_over(
        reference, make_doc(["Straße", "izmir".replace("i", "i̇", 1), "X"])
    )
    assert spans == [(0, 1, "A"), (1, 2, "B")] and misfits == []
    assert known.tolist() == [True, True, False]
    with pytest.raises(BioError, match="expected the text 'STRASSE.*' but for .*, got 'Stra"):
        carry_over(reference, make_doc(["Strasse"]))


def test_characters_match_in_order():
    reference = make_doc(["a", "B", "\n", "ß"], [True, False, False, False])
    predicted = make_doc([" ", "Ab", "S", "S"], [False, True, False, False])
    spans = [(0, 3, "X"), (0, 2, "-"), (2, 4, "X"), (3, 5, "Y")]
    assert carry_spans(reference, predicted, spans) == [(1, 2, "X"), (2, 4, "Y")]
    assert carry_spans(make_doc([], []), make_doc([" "], [False]), []) == []


def test_spans_that_overlap_are_carried_if_they_fit():
    reference = make_doc(["ab", "c", "d"], [False] * 3)
    spans = [(0, 2, "X"), (0, 3, "X"), (3, 4, "Y")]
    for words, expected in [
        (["a", "b", "c", "d"], [(0, 2, "X"), (0, 3, "X"), (3, 4, "Y")]),
        (["abc", "d"], [(0, 1, "X"), (1, 2, "Y")]),
        (["ab", "cd"], [(0, 1, "X")]),
    ]:
        assert carry_spans(reference, make_doc(words, [False] * len(words)), spans) == expected


@st.composite
def retokenized(draw: st.DrawFn) -> tuple[list[str], Doc]:
    """One text in two tokenisations, with entities on the second."""
    text = draw(st.text("ab", min_size=1, max_size=14))

    def words() -> list[str]:
        cuts = draw(st.lists(st.integers(1, max(len(text) - 1, 1)), max_size=6))
        edges = sorted({0, len(text), *[c for c in cuts if c < len(text)]})
        return [text[a:b] for a, b in zip(edges, edges[1:], strict=False)]

    words_of_reference = words()
    reference = make_doc(words_of_reference, [False] * len(words_of_reference))
    edges = sorted(draw(st.sets(st.integers(0, len(reference)), max_size=6)))
    spans = [
        Span(reference, a, b, draw(st.sampled_from("XY")))
        for a, b in zip(edges, edges[1:], strict=False)
        if draw(st.booleans())
    ]
    missing = [t.i for t in reference if draw(st.integers(0, 5)) == 0]
    taken = {i for span in spans for i in range(span.start, span.end)}
    free = [reference[i : i + 1] for i in missing if i not in taken]
    reference.set_ents(spans, missing=free)
    return words(), reference


@PROFILE
@given(retokenized())
def test_policies_do_what_they_do_to_entities_given_in_characters(case):
    words, reference = case
    predicted = make_doc(words, [False] * len(words))
    chars = [(ent.start_char, ent.end_char, ent.label_) for ent in reference.ents]
    fit = fit_to_tokens(predicted, chars, policy="missing")
    touched = fit_to_tokens(predicted, chars, policy="expand").spans
    for policy in POLICIES:
        if policy == "strict" and fit.misaligned:
            with pytest.raises(BioError, match="expected borders of tokens"):
                carry_over(reference, predicted, policy=policy)
            continue
        carried, known, misfits = carry_over(reference, predicted, policy=policy)
        assert misfits == fit.misaligned
        moved = fit_to_tokens(predicted, chars, policy=policy)
        expected = list(fit.spans)
        for i in fit.misaligned:
            if i in moved.origins:
                span = moved.spans[moved.origins.index(i)]
                if all(span[1] <= s or e <= span[0] for s, e, _ in expected):
                    expected.append(span)
        assert carried == sorted(expected)
        # What an entity touches is part of an entity or unknown, never outside.
        inside = {i for s, e, _ in carried for i in range(s, e)}
        for s, e, _ in touched:
            assert all(i in inside or not known[i] for i in range(s, e))
        assert all(known[i] for i in inside)


@PROFILE
@given(retokenized(), st.booleans(), st.sets(st.integers(0, 13)))
def test_against_spacys_alignment(case, upper, spaced):
    """Under "missing", spans and knowledge are those of `Example.get_aligned_ner`."""
    words, reference = case
    spaces = [i in spaced for i in range(len(words))]
    predicted = make_doc([word.upper() if upper else word for word in words], spaces)
    carried, known, _ = carry_over(reference, predicted)
    tags = Example(predicted, reference).get_aligned_ner()
    assert known.tolist() == [tag is not None for tag in tags]
    chars = [(t.idx, t.idx + len(t)) for t in predicted]
    found = biluo_tags_to_offsets(predicted, [tag or "O" for tag in tags])
    assert [(chars[s][0], chars[e - 1][1], label) for s, e, label in carried] == found
