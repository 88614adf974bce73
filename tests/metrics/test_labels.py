"""Figures of labels against the definition and spaCy's scorer."""

import pytest
import spacy
from spacy.scorer import Scorer
from spacy.tokens import Doc
from spacy.training import Example

from spacy_bio_crf.metrics.chance import Chance
from spacy_bio_crf.metrics.labels import (
    MOST_CONFUSIONS,
    analyze_labels,
    compare_accuracy,
    label_tables,
)

VOCAB = spacy.blank("en").vocab


def pair(gold: list[str], predicted: list[str]) -> Example:
    words = [f"w{i}" for i in range(len(gold))]
    docs = [Doc(VOCAB, words=words, tags=tags) for tags in (predicted, gold)]
    return Example(*docs)


EXAMPLES = [
    pair(["A", "B", "", "A", "B"], ["A", "A", "A", "A", ""]),
    pair(["C", "A"], ["A", "A"]),
]


def test_figures_by_hand():
    figures = analyze_labels(EXAMPLES, target="tag")
    assert figures["target"] == "tag"
    assert (figures["tokens"], figures["right"]) == (6, 3)
    assert figures["accuracy"] == 0.5
    assert figures["per_label"] == {
        "A": {"p": 0.6, "r": 1.0, "f": pytest.approx(0.75), "support": 3},
        "B": {"p": 0.0, "r": 0.0, "f": 0.0, "support": 2},
        "C": {"p": 0.0, "r": 0.0, "f": 0.0, "support": 1},
    }
    confusions = [["B", "A", 1], ["B", None, 1], ["C", "A", 1]]
    assert sorted(figures["confusions"], key=str) == sorted(confusions, key=str)


def test_accuracy_is_that_of_spacy():
    examples = [pair(["A", "B", "", "A"], ["A", "A", "A", "A"])]
    expected = Scorer.score_token_attr(examples, "tag")["tag_acc"]
    assert analyze_labels(examples, target="tag")["accuracy"] == expected


def test_tokens_that_are_cut_otherwise_are_wrong_and_white_space_does_not_count():
    gold = Doc(VOCAB, words=["ab", "c", "d", " "], spaces=[False] * 4, tags=["A", "B", "C", "_SP"])
    predicted = Doc(
        VOCAB, words=["a", "b", "cd", " "], spaces=[False] * 4, tags=["A", "A", "B", "X"]
    )
    figures = analyze_labels([Example(predicted, gold)], target="tag")
    assert (figures["tokens"], figures["right"]) == (3, 0)
    assert figures["confusions"] == [["A", None, 1], ["B", None, 1], ["C", None, 1]]


def test_nothing_to_count():
    figures = analyze_labels([pair(["", ""], ["A", "A"])], target="tag")
    assert figures["accuracy"] is None and figures["per_label"] == {}
    (table,) = label_tables("x", figures)
    assert table.title == "Labels of x, tag: - % of 0 tokens right" and not table.rows


def test_tables():
    scores, confusions = label_tables("bio_tagger", analyze_labels(EXAMPLES, target="tag"))
    assert scores.title == "Labels of bio_tagger, tag: 50.00 % of 6 tokens right"
    assert scores.rows[0] == ("A", "60.00", "100.00", "75.00", "3")
    assert ("B", "-", "1") in confusions.rows and not confusions.note


def test_only_the_most_frequent_confusions_are_shown():
    n = MOST_CONFUSIONS + 1
    figures = analyze_labels(
        [pair([f"g{i}" for i in range(n)] + ["g5"], ["x"] * (n + 1))], target="tag"
    )
    table = label_tables("t", figures)[1]
    assert table.rows[0] == ("g5", "x", "2") and len(table.rows) == MOST_CONFUSIONS
    assert table.note == "And 1 pair more."


def test_comparison():
    others = [
        pair(["A", "B", "", "A", "B"], ["A", "B", "A", "A", "B"]),
        pair(["C", "A"], ["A", ""]),
    ]
    figures = compare_accuracy(EXAMPLES, others, target="tag", chance=Chance(resamples=200))
    assert figures["accuracy"] == pytest.approx(4 / 6)
    assert figures["difference"] == pytest.approx(-1 / 6)
    assert figures["resamples"] == 200 and 0.4 < figures["p_value"] <= 1.0
    ours = {**analyze_labels(EXAMPLES, target="tag"), "comparison": {"model": "other", **figures}}
    table = label_tables("bio_tagger", ours)[-1]
    assert table.title == "Accuracy of bio_tagger beside other"
    assert table.rows[0][:4] == ("all", "50.00", "66.67", "-16.67")
    assert "200 samples, seed 0" in table.note
    blank = [pair(["", ""], ["A", "A"])]
    assert compare_accuracy(blank, blank, target="tag", chance=Chance()) is None
