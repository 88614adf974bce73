import pytest
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_bio_crf.gold.misfits import POLICIES, fit_to_tokens
from tests.support.many import PROFILE


def make_doc(words, spaces=None):
    return Doc(Vocab(), words=words, spaces=spaces)


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
    with pytest.raises(ValueError, match=rf"\(X, characters {chars[0]} to {chars[1]}\) does not"):
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
    with pytest.raises(ValueError, match=rf"characters {chars[0]} to {chars[1]}: expected 0 <= "):
        fit_to_tokens(TEXT, [(*chars, "X")])


def test_unknown_policy():
    with pytest.raises(ValueError, match="policy .lax. .*: expected one of strict, expand"):
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
