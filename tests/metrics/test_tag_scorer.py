"""Accuracy of labels against the definition and spaCy's own scorers."""

import pytest
import spacy
from spacy.pipeline.morphologizer import morphologizer_score
from spacy.pipeline.tagger import tagger_score
from spacy.tokens import Doc, Token
from spacy.training import Example

from spacy_bio_crf.metrics.tag_scorer import make_bio_tagger_scorer

VOCAB = spacy.blank("en").vocab
WORDS = ["a", "b", "c", "d"]
score = make_bio_tagger_scorer()


def pair(**both: tuple[list[str], list[str]]) -> Example:
    gold, predicted = (
        Doc(VOCAB, words=WORDS, **{name: values[side] for name, values in both.items()})
        for side in (0, 1)
    )
    return Example(predicted, gold)


def test_accuracy_counts_annotated_tokens_alone():
    example = pair(tags=(["X", "Y", "", "X"], ["X", "Z", "X", "X"]))
    assert score([example]) == {"tag_acc": pytest.approx(2 / 3)} == tagger_score([example])


def test_parts_of_speech():
    example = pair(pos=(["NOUN", "VERB", "", "X"], ["NOUN", "X", "X", "X"]))
    assert score([example], target="pos", labels=["X"]) == {"pos_acc": pytest.approx(2 / 3)}


def test_features_as_the_morphologizer_scores_them():
    gold = ["A=1|B=2", "", "A=1", "B=3"]
    example = pair(morphs=(gold, ["A=1|B=3", "", "A=1", ""]))
    found = score([example], target="morph", scheme="none")
    theirs = morphologizer_score([example])
    assert found == {key: value for key, value in theirs.items() if key != "pos_acc"}
    assert found["morph_acc"] == 0.5
    assert found["morph_per_feat"]["A"] == {"p": 1.0, "r": 1.0, "f": 1.0}


def test_an_extension_has_its_name():
    Token.set_extension("kind", default=None)
    try:
        example = pair()
        for token, label in zip(example.reference, ["k", "", None, "l"], strict=True):
            token._.kind = label
        for token, label in zip(example.predicted, ["k", "k", "k", "k"], strict=True):
            token._.kind = label
        assert score([example], target="_.kind") == {"kind_acc": 0.5}
    finally:
        Token.remove_extension("kind")


@pytest.mark.parametrize("target", ["tag", "pos", "morph"])
def test_nothing_to_count(target: str):
    example = Example(Doc(VOCAB, words=WORDS), Doc(VOCAB, words=WORDS))
    assert score([example], target=target)[f"{target}_acc"] is None
    assert score([], target=target)[f"{target}_acc"] is None
