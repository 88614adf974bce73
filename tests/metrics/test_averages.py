"""Strict figures against seqeval and figures made by hand."""

import random

import numpy as np
import pytest
from seqeval.metrics import classification_report, f1_score, precision_score, recall_score
from seqeval.scheme import IOB2

from spacy_bio_crf.metrics.averages import averages, count_entities, strict_table
from tests.support.evaluation_tools import document, random_tags, spans

LABELS = ("PER", "cell-line", "LOC")


def tag_pairs(seed: int, count: int) -> tuple[list[list[str]], list[list[str]]]:
    """Sequences of any tags, legal or not; predictions are the gold with some tags changed."""
    rng = random.Random(seed)
    gold, predicted = [], []
    for _ in range(count):
        tags = random_tags(rng, LABELS, rng.randint(1, 20))
        gold.append(tags)
        rate = rng.choice([0.0, 0.2, 0.5, 1.0])
        changed = [random_tags(rng, LABELS, 1)[0] if rng.random() < rate else t for t in tags]
        predicted.append(changed)
    return gold, predicted


def check_against_seqeval(gold: list[list[str]], predicted: list[list[str]]) -> None:
    """Every strict figure is seqeval's to the last digit."""
    documents = [
        document(spans(g), spans(p), n=len(g)) for g, p in zip(gold, predicted, strict=True)
    ]
    ours = strict_table(count_entities(documents))
    strict = {"mode": "strict", "scheme": IOB2, "zero_division": 0}
    functions = {"p": precision_score, "r": recall_score, "f": f1_score}
    for name, average in (("all", "micro"), ("macro", "macro"), ("weighted", "weighted")):
        theirs = {
            k: float(f(gold, predicted, average=average, **strict)) for k, f in functions.items()
        }
        assert {key: ours[name][key] for key in "prf"} == theirs
    report = classification_report(gold, predicted, output_dict=True, **strict)
    for label, row in ours["per_type"].items():
        wanted = [report[label][k] for k in ("precision", "recall", "f1-score", "support")]
        assert [row[k] for k in ("p", "r", "f", "gold")] == wanted
    assert set(ours["per_type"]) == set(report) - {"micro avg", "macro avg", "weighted avg"}


def test_equal_to_seqeval_on_a_thousand_random_sequences():
    gold, predicted = tag_pairs(seed=0, count=1000)
    check_against_seqeval(gold, predicted)
    # And single sequences by themselves, where labels are absent and figures are 0.
    for g, p in zip(gold[:200], predicted, strict=False):
        if spans(g):
            check_against_seqeval([g], [p])


def test_averages_by_hand():
    # A: 1 right, 1 spurious; B: 2 right, 2 missed; C: 1 spurious.
    counts = np.array([[1, 1, 0], [2, 0, 2], [0, 1, 0]])
    means = averages(counts)
    assert means["micro"] == pytest.approx([3 / 5, 3 / 5, 3 / 5])
    assert means["macro"] == pytest.approx([(1 / 2 + 1) / 3, (1 + 1 / 2) / 3, (2 / 3 + 2 / 3) / 3])
    assert means["weighted"] == pytest.approx(
        [(1 / 2 + 4) / 5, (1 + 4 / 2) / 5, (2 / 3 + 4 * 2 / 3) / 5]
    )


def test_no_entity_at_all():
    table = strict_table(count_entities([document([], [])]))
    assert table["all"] == {"p": None, "r": None, "f": None, "gold": 0, "predicted": 0}
    assert table["macro"] is table["weighted"] is None
    assert table["per_type"] == {}
