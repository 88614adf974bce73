"""Gold on other tokens than the predicted ones, against the same entities given in characters."""

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.vocab import Vocab

from spacy_bio_crf.gold import annotation as gold
from spacy_bio_crf.gold.misfits import POLICIES, fit_to_tokens
from tests.support.many import PROFILE

VOCAB = Vocab()


def make_doc(words, spaces=None, ents=(), missing=()) -> Doc:
    doc = Doc(VOCAB, words=words, spaces=spaces or [False] * len(words))
    doc.set_ents([Span(doc, *ent) for ent in ents], missing=[doc[i : i + 1] for i in missing])
    return doc


def read(predicted, reference, policy):
    example = Example(make_doc(predicted), reference)
    annotation = gold.read_example(example, misaligned=policy)
    return annotation.spans, annotation.known.tolist(), annotation.misfits


JUNE = make_doc(["On", "Mon", "-", "day", "June", "16"], ents=[(1, 4, "DAY"), (4, 5, "DATE")])
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
    spans, got_known, got = read(predicted, JUNE, "missing")
    assert [label for _, _, label in got] == misfits
    assert got == [ent for ent in [(1, 4, "DAY"), (4, 5, "DATE")] if ent[2] in misfits]
    if known is None:
        assert spans == [] and got_known == [F, F, T]
        # Two entities would take the same token: the first one has it.
        assert read(predicted, JUNE, "expand") == ([(0, 1, "DAY")], [T, F, T], got)
        # "ne" lies inside the second one.
        assert read(predicted, JUNE, "contract") == ([(1, 2, "DATE")], [F, T, T], got)
        return
    assert got_known == known and len(spans) == 1
    for policy, expected in ("expand", expand), ("contract", contract):
        moved, known_then, _ = read(predicted, JUNE, policy)
        mine = [] if expected is None else [(*expected, misfits[0])]
        assert sorted([*spans, *mine]) == moved
        wanted = np.array(known)
        for start, end, _ in mine:
            wanted[start:end] = True
        assert known_then == wanted.tolist()


def test_strict_names_document_and_span():
    message = r"'June' \(DATE, tokens 4 to 5 of the document 'OnMon-dayJune16'\).*\['June16'\]"
    with pytest.raises(ValueError, match=message):
        read(["On", "Mon", "-", "day", "June16"], JUNE, "strict")
    assert read(["On", "Mon", "-day", "June", "16"], JUNE, "strict")[2] == []


def test_unknown_policy():
    with pytest.raises(ValueError, match="policy 'lax' .* expected one of strict, expand"):
        read(["On", "Mon", "-", "day", "June16"], JUNE, "lax")


def test_white_space_is_no_edge_of_an_expanded_entity():
    reference = make_doc(["a\nb", "c"], ents=[(0, 1, "X")])
    assert read(["a", "\n", "bc"], reference, "expand")[0] == [(0, 3, "X")]
    assert read(["a", "\n", "bc"], reference, "contract")[0] == [(0, 1, "X")]


@st.composite
def retokenized(draw: st.DrawFn) -> tuple[list[str], Doc]:
    """One text in two tokenisations, with entities on the second."""
    text = draw(st.text("ab", min_size=1, max_size=14))

    def words() -> list[str]:
        cuts = draw(st.lists(st.integers(1, max(len(text) - 1, 1)), max_size=6))
        edges = sorted({0, len(text), *[c for c in cuts if c < len(text)]})
        return [text[a:b] for a, b in zip(edges, edges[1:], strict=False)]

    reference = make_doc(words())
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
    predicted = make_doc(words)
    chars = [(ent.start_char, ent.end_char, ent.label_) for ent in reference.ents]
    fit = fit_to_tokens(predicted, chars, policy="missing")
    touched = fit_to_tokens(predicted, chars, policy="expand").spans
    for policy in POLICIES:
        example = Example(make_doc(words), reference)
        if policy == "strict":
            if fit.misaligned:
                with pytest.raises(ValueError, match="does not fit"):
                    gold.read_example(example, misaligned=policy)
            else:
                assert gold.read_example(example, misaligned=policy).spans == fit.spans
            continue
        annotation = gold.read_example(example, misaligned=policy)
        ents = [(ent.start, ent.end, ent.label_) for ent in reference.ents]
        assert annotation.misfits == [ents[i] for i in fit.misaligned]
        moved = fit_to_tokens(predicted, chars, policy=policy)
        expected = list(fit.spans)
        for i in fit.misaligned:
            if i in moved.origins:
                span = moved.spans[moved.origins.index(i)]
                if all(span[1] <= s or e <= span[0] for s, e, _ in expected):
                    expected.append(span)
        assert annotation.spans == sorted(expected)
        # What an entity touches is part of an entity or unknown, never outside.
        inside = {i for s, e, _ in annotation.spans for i in range(s, e)}
        for s, e, _ in touched:
            assert all(i in inside or not annotation.known[i] for i in range(s, e))
        assert all(annotation.known[i] for i in inside)


def test_the_component_s_policy_arrives(make_nlp):
    nlp = spacy.blank("en")
    for policy, count in ("missing", 0), ("expand", 1), ("contract", 0):
        component = make_nlp(misaligned=policy).get_pipe("bio_ner")
        component.add_label("X")
        component.model.set_dim("nO", 3)
        reference = Doc(nlp.vocab, words=["ab", "c"], spaces=[False, False])
        reference.set_ents([Span(reference, 0, 1, "X")])
        example = Example(Doc(nlp.vocab, words=["abc"]), reference)
        assert len(component._read(example).spans) == count
    with pytest.raises(ValueError, match="'misaligned' of 'bio_ner' is 'lax'; expected one of"):
        make_nlp(misaligned="lax")
