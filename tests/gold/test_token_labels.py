"""Gold labels of tokens against spaCy's own alignment, and the tags that they allow."""

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.training import Example

from spacy_bio_crf.gold.token_labels import (
    TokenLabels,
    read_example_labels,
    read_preset_labels,
)
from spacy_bio_crf.tags.tagset import NO_SCHEME, TagSet

VOCAB = spacy.blank("en").vocab
TAGSET = TagSet(("A", "B"), NO_SCHEME)


def make(words: list[str], spaces: list[bool], tags: list[str] | None = None) -> Doc:
    return Doc(VOCAB, words=words, spaces=spaces, tags=tags)


@st.composite
def cut_texts(draw) -> tuple[Doc, Doc]:
    """A text cut into tokens in two ways, the reference with tags or without."""
    text = draw(st.text(alphabet="abc", min_size=1, max_size=8))

    def cut() -> list[str]:
        ends = sorted({*draw(st.sets(st.integers(1, len(text)))), len(text)})
        return [text[a:b] for a, b in zip([0, *ends], ends, strict=False)]

    ours, theirs = cut(), cut()
    tags = [draw(st.sampled_from(["", "A", "B"])) for _ in theirs]
    return make(ours, [False] * len(ours)), make(theirs, [False] * len(theirs), tags)


@given(cut_texts())
def test_labels_are_those_of_spacys_alignment(docs: tuple[Doc, Doc]):
    predicted, reference = docs
    example = Example(predicted, reference)
    aligned = example.get_aligned("TAG", as_string=True)
    found = read_example_labels(example, "tag")
    assert list(found.labels) == [tag or None for tag in aligned]
    assert found.known.tolist() == [bool(tag) for tag in aligned]
    assert found.spans == found.wrong == []
    assert found.count_given(reference) == sum(bool(t.tag_) for t in reference)
    # A label counts as lost if no token that shares a character with its token has it.
    lost = [
        (t.i, t.i + 1, t.tag_)
        for t in reference
        if t.tag_
        and not any(
            tag and p.idx < t.idx + len(t) and t.idx < p.idx + len(p)
            for tag, p in zip(aligned, predicted, strict=True)
        )
    ]
    assert found.misfits == lost


def test_white_space_is_unknown():
    doc = make(["a", " ", "b"], [False] * 3, ["A", "_SP", "B"])
    found = read_example_labels(Example(make(["a", " ", "b"], [False] * 3), doc), "tag")
    assert found.known.tolist() == [True, False, True]
    assert found.count_given(doc) == 2 and not found.misfits


def test_one_tag_for_a_known_row_and_all_for_others():
    known = np.array([True, False, True, True])
    gold = TokenLabels([], known, labels=["A", "A", "B", "Z"])
    tokens = np.array([0, 0, 1, 2, 3])
    for continued in (False, True):
        allowed = gold.allowed(TAGSET, tokens, continued=continued)
        assert allowed.dtype == bool
        assert allowed.astype(int).tolist() == [[1, 0], [1, 0], [1, 1], [0, 1], [1, 1]]
    assert gold.allowed(TAGSET, tokens[:0], continued=False).shape == (0, 2)


@pytest.mark.parametrize("words", [[], ["a", "b"]])
def test_no_presets(words: list[str]):
    assert read_preset_labels(Doc(VOCAB, words=words), "tag") is None


def test_presets_are_what_is_set():
    doc = make(["a", "b", " "], [False] * 3, ["A", "", "_SP"])
    found = read_preset_labels(doc, "tag")
    assert found is not None
    assert found.labels == ["A", None, "_SP"] and found.known.tolist() == [True, False, True]


def test_a_token_without_a_label_has_none_of_the_annotated_ones():
    reference = make(list("ab"), [False, False], ["A", ""])
    reference.user_data["labels_annotated"] = ["A"]
    found = read_example_labels(Example(make(list("ab"), [False, False]), reference), "tag")
    allowed = found.allowed(TAGSET, np.arange(2), continued=False)
    assert allowed.tolist() == [[True, False], [False, True]]
    assert found.known.tolist() == [True, False]
    # Where all are, a token without one is unknown.
    reference.user_data["labels_annotated"] = ["A", "B"]
    found = read_example_labels(Example(make(list("ab"), [False, False]), reference), "tag")
    assert found.allowed(TAGSET, np.arange(2), continued=False).tolist()[1] == [True, True]


def test_a_token_whose_labels_do_not_fit_may_have_any():
    reference = make(["a", "b", "c", "d", " "], [False] * 5, ["A", "B", "", "", "_SP"])
    reference.user_data["labels_annotated"] = ["A"]
    found = read_example_labels(Example(make(["ab", "c", "d "], [False] * 3), reference), "tag")
    assert found.labels == [None, None, None] and len(found.misfits) == 2
    allowed = found.allowed(TAGSET, np.arange(3), continued=False)
    assert allowed.tolist() == [[True, True], [False, True], [False, True]]
    # The same if other tokens take all of its labels.
    words = ["ab", "cd"], ["a", "bc", "d"]
    reference = make(words[0], [False] * 2, ["A", "B"])
    reference.user_data["labels_annotated"] = ["A"]
    found = read_example_labels(Example(make(words[1], [False] * 3), reference), "tag")
    assert found.labels == ["A", None, "B"] and not found.misfits
    allowed = found.allowed(TAGSET, np.arange(3), continued=False)
    assert allowed.tolist() == [[True, False], [True, True], [False, True]]


def test_white_space_may_have_any_label():
    reference = make(["a", " "], [False] * 2, ["A", ""])
    reference.user_data["labels_annotated"] = ["A"]
    found = read_example_labels(Example(make(["a", " "], [False] * 2), reference), "tag")
    assert found.allowed(TAGSET, np.arange(2), continued=False).tolist()[1] == [True, True]


def test_the_tokens_that_teach():
    reference = make(["a", "b", "c", "d", " "], [False] * 5, ["A", "B", "", "A", ""])
    example = Example(make(["ab", "c", "d", " "], [False] * 4), reference)
    cases = [(None, 1), ([], 1), (["C"], 1), (["A"], 2), (["A", "C"], 2), (["A", "B", "C"], 1)]
    for annotated, n in cases:
        reference.user_data["labels_annotated"] = annotated
        found = read_example_labels(example, "tag")
        assert found.count_taught(TAGSET.labels) == n
        # Rows that do not allow every tag, the misfit and white space apart.
        allowed = found.allowed(TAGSET, np.arange(4), continued=False)
        assert int((~allowed.all(axis=1)).sum()) == n
