"""Targets: labels read, written and checked on spaCy's own tokens."""

import pytest
import spacy
from spacy.tokens import Doc, Token

from spacy_bio_crf.errors import BioError
from spacy_bio_crf.tags.targets import (
    check_target,
    extension_name,
    has_own_label,
    normal_label,
    read_labels,
    score_name,
    set_label,
    space_label,
)

NLP = spacy.blank("en")


@pytest.fixture(autouse=True)
def _extensions():
    Token.set_extension("kind", default=None)
    Token.set_extension("chunk", default="O")
    Token.set_extension("upper", getter=lambda t: t.text.upper() if t.i else None)
    yield
    for name in ("kind", "chunk", "upper"):
        Token.remove_extension(name)


def test_names():
    for target in ("tag", "pos", "morph", "_.kind"):
        check_target(target)
    assert [extension_name(x) for x in ("tag", "_.kind")] == [None, "kind"]
    assert [score_name(x) for x in ("tag", "_.kind")] == ["tag_acc", "kind_acc"]
    assert [space_label(x) for x in ("tag", "pos", "morph", "_.kind")] == [
        "_SP",
        "SPACE",
        "_",
        None,
    ]


@pytest.mark.parametrize("target", ["lemma", "", "_.", "_.a b", "kind", None, 3, ["tag"], "TAG"])
def test_other_targets_are_refused(target):
    with pytest.raises(
        ValueError, match=r"^target: expected one of 'tag', 'pos', 'morph' or '_\.'"
    ):
        check_target(target)


@pytest.mark.parametrize("name", ["tag", "pos", "morph", "token", "lemma"])
def test_an_extension_leaves_spacys_scores_alone(name: str):
    with pytest.raises(ValueError, match=f"^target: expected an extension .* spaCy's {name}_acc"):
        check_target(f"_.{name}")


def test_labels_come_from_where_they_were_written():
    doc = Doc(
        NLP.vocab,
        words=["a", "b", "c"],
        tags=["X", "", "Y"],
        pos=["NOUN", "", "VERB"],
        morphs=["Number=Sing|Gender=Fem", "", "Case=Nom"],
    )
    bare = Doc(NLP.vocab, words=["a", "b"])
    doc[1]._.kind = "k"
    assert read_labels(doc, "tag") == ["X", None, "Y"]
    assert read_labels(doc, "pos") == ["NOUN", None, "VERB"]
    assert read_labels(doc, "morph") == ["Gender=Fem|Number=Sing", "_", "Case=Nom"]
    assert read_labels(doc, "_.kind") == [None, "k", None]
    assert read_labels(doc, "_.chunk") == ["O", "O", "O"]
    assert [read_labels(bare, x) for x in ("tag", "pos", "morph")] == [[None, None]] * 3


def test_what_is_set_is_read():
    doc = Doc(NLP.vocab, words=["a", "b"])
    for target, label in [("tag", "X"), ("pos", "NOUN"), ("morph", "A=B"), ("_.kind", "k")]:
        set_label(doc[0], target, label)
        assert read_labels(doc, target) == [label, None]
    set_label(doc[1], "morph", "_")
    assert doc[1].has_morph() and str(doc[1].morph) == ""


def test_defaults_and_empty_strings_are_no_labels_of_their_own():
    doc = Doc(NLP.vocab, words=["a", "b", "c"], tags=["X", "", ""])
    doc[0]._.chunk, doc[1]._.chunk = "O", ""
    assert [has_own_label(t, "_.chunk") for t in doc] == [True, False, False]
    assert [has_own_label(t, "tag") for t in doc] == [True, False, False]
    assert [has_own_label(t, "_.upper") for t in doc] == [False, True, True]


def test_a_value_that_is_no_string_is_named_with_its_token():
    doc = Doc(NLP.vocab, words=["a", "b"])
    doc[1]._.kind = 7
    with pytest.raises(BioError, match=r"token\._\.kind of 'b': expected a string or None, got 7"):
        read_labels(doc, "_.kind")


def test_labels_are_written_as_tokens_have_them():
    assert normal_label("morph", "Number=Sing|Gender=Fem") == "Gender=Fem|Number=Sing"
    assert normal_label("morph", "_") == "_" == normal_label("morph", "")
    assert normal_label("pos", "NOUN") == "NOUN" and normal_label("tag", "b|a") == "b|a"
    with pytest.raises(ValueError, match=r"^label: expected one of ADJ, .*, got 'NN'"):
        normal_label("pos", "NN")
