"""Partial credit against nervaluate and figures made by hand."""

from collections import Counter

import pytest

from spacy_bio_crf.metrics.averages import count_entities, strict_table
from spacy_bio_crf.metrics.partial import VERDICTS, semeval_table
from tests.support.evaluation_tools import document, of_tags, random_documents

HAND = [
    # gold, predicted, verdicts of strict, exact, partial and type
    ("B-A I-A O", "B-A I-A O", "correct correct correct correct"),
    ("B-A I-A O", "B-B I-B O", "incorrect correct correct incorrect"),
    ("B-A I-A O", "B-A O O", "incorrect incorrect partial correct"),
    ("B-A I-A O", "O B-B I-B", "incorrect incorrect partial incorrect"),
    ("B-A I-A O", "O O O", "missed missed missed missed"),
    ("O O O", "B-A I-A O", "spurious spurious spurious spurious"),
    ("B-A O O", "O B-A O", "missed,spurious missed,spurious missed,spurious missed,spurious"),
    # One prediction over two gold entities answers one of them.
    (
        "B-A B-A O",
        "B-A I-A O",
        "incorrect,missed incorrect,missed partial,missed correct,missed",
    ),
    # It is the one of its label, whatever stands first.
    (
        "B-B B-A O",
        "B-A I-A O",
        "incorrect,missed incorrect,missed partial,missed correct,missed",
    ),
    # Two predictions in one gold entity: one answers it.
    (
        "B-A I-A I-A",
        "B-A O B-A",
        "incorrect,spurious incorrect,spurious partial,spurious correct,spurious",
    ),
]


@pytest.mark.parametrize(("gold", "predicted", "verdicts"), HAND)
def test_partial_credit_by_hand(gold, predicted, verdicts):
    table = semeval_table([of_tags(gold, predicted)])
    for schema, wanted in zip(
        ("strict", "exact", "partial", "type"), verdicts.split(), strict=True
    ):
        counts = Counter(wanted.split(","))
        assert {v: table[schema][v] for v in VERDICTS} == {v: counts[v] for v in VERDICTS}, schema


def test_partial_scores_by_hand():
    # 1 correct, 2 partial, 1 missed, 1 spurious: POS = 4, ACT = 4, credit 2.
    doc = of_tags("B-A O B-A I-A O B-B I-B O B-B O O", "B-A O B-A O O O B-B O O O B-A")
    row = semeval_table([doc])["partial"]
    assert [row[v] for v in VERDICTS] == [1, 0, 2, 1, 1]
    assert (row["p"], row["r"], row["f"]) == (2 / 4, 2 / 4, 2 / 4)
    # A: predicted 3, of which 1.5 right; gold 2. B: predicted 1, gold 2, half a one right.
    assert row["per_type"]["A"] == pytest.approx({"p": 1.5 / 3, "r": 1.5 / 2, "f": 0.6})
    assert row["per_type"]["B"] == pytest.approx({"p": 0.5, "r": 0.25, "f": 1 / 3})


def test_partial_counts_hang_together():
    documents = random_documents(2, 200)
    table = semeval_table(documents)
    gold = sum(len(doc.gold) for doc in documents)
    predicted = sum(len(doc.predicted) for doc in documents)
    for row in table.values():
        judged = row["correct"] + row["incorrect"] + row["partial"]
        assert (judged + row["missed"], judged + row["spurious"]) == (gold, predicted)
    strict = strict_table(count_entities(documents))
    assert {k: table["strict"][k] for k in "prf"} == {k: strict["all"][k] for k in "prf"}
    for label, row in strict["per_type"].items():
        assert table["strict"]["per_type"][label] == {k: row[k] for k in "prf"}
    # What is right strictly is right in every other way.
    for name in ("exact", "partial", "type"):
        assert table[name]["f"] >= table["strict"]["f"]


def test_equal_to_nervaluate_but_where_that_is_greedy():
    nervaluate = pytest.importorskip("nervaluate")
    documents = random_documents(3, 400, n=12)

    def dicts(side):
        return [
            [{"label": x, "start": s, "end": e - 1} for s, e, x in getattr(doc, side)]
            for doc in documents
        ]

    theirs = nervaluate.Evaluator(
        dicts("gold"), dicts("predicted"), tags=["A", "B", "C"], loader="dict"
    ).evaluate()["overall"]
    ours = semeval_table(documents)
    for name in ("strict", "exact", "partial"):
        assert [ours[name][v] for v in VERDICTS] == [getattr(theirs[name], v) for v in VERDICTS]
        assert ours[name]["f"] == pytest.approx(theirs[name].f1)
    # It pairs from left to right by the label of the moment: never better, and here worse.
    assert ours["type"]["correct"] > theirs["ent_type"].correct


def test_no_entity_at_all():
    assert semeval_table([document([], [])])["partial"]["f"] is None
