"""Strict, partial and averaged figures against seqeval, nervaluate and figures made by hand."""

import itertools
import random
from collections import Counter

import numpy as np
import pytest
from seqeval.metrics import classification_report, f1_score, precision_score, recall_score
from seqeval.scheme import IOB2

from spacy_bio_crf.metrics.averages import averages, entity_table, tally
from spacy_bio_crf.metrics.confusion import confusion
from spacy_bio_crf.metrics.matching import match, strict_match
from spacy_bio_crf.metrics.mistakes import KINDS, find_errors
from spacy_bio_crf.metrics.partial import SCHEMAS, VERDICTS, semeval_table
from tests.support.evaluation_tools import document, of_tags, random_documents, random_tags, spans

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
    ours = entity_table(tally(documents))
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
    table = entity_table(tally([document([], [])]))
    assert table["all"] == {"p": None, "r": None, "f": None, "gold": 0, "predicted": 0}
    assert table["macro"] is table["weighted"] is None
    assert table["per_type"] == {}
    assert semeval_table([document([], [])])["partial"]["f"] is None


# Pairing


def brute_force(gold, predicted, prefer):
    """The worth of the best of all pairings: exact matches, then the preference, then the rest."""
    best = (0, 0, 0, 0)
    n = min(len(gold), len(predicted))
    for size in range(n + 1):
        for left in itertools.combinations(range(len(gold)), size):
            for right in itertools.permutations(range(len(predicted)), size):
                pairs = [(gold[g], predicted[p]) for g, p in zip(left, right, strict=True)]
                shared = [len(set(range(*g[:2])) & set(range(*p[:2]))) for g, p in pairs]
                if all(shared):
                    exact = sum((g[:2] == p[:2]) + (g == p) for g, p in pairs)
                    same = sum(g[2] == p[2] for g, p in pairs)
                    first, second = (same, size) if prefer == "label" else (size, same)
                    best = max(best, (exact, first, second, sum(shared)))
    return best


@pytest.mark.parametrize("prefer", ["label", "pairs"])
def test_pairs_are_the_best_of_all(prefer):
    inexact = 0
    for doc in random_documents(1, 300, labels=("A", "B"), n=8):
        rng = random.Random(len(doc.gold))
        gold, predicted = doc.gold[:], doc.predicted[:]
        rng.shuffle(gold)
        pairs = match(gold, predicted, prefer=prefer)
        assert len({g for g, _ in pairs}) == len({p for _, p in pairs}) == len(pairs)
        both = [(gold[g], predicted[p]) for g, p in pairs]
        shared = [len(set(range(*g[:2])) & set(range(*p[:2]))) for g, p in both]
        assert all(shared)
        exact = sum((g[:2] == p[:2]) + (g == p) for g, p in both)
        same = sum(g[2] == p[2] for g, p in both)
        first, second = (same, len(both)) if prefer == "label" else (len(both), same)
        assert (exact, first, second, sum(shared)) == brute_force(gold, predicted, prefer)
        inexact += len(both) > exact / 2
    assert inexact > 50


def test_a_greedy_pairing_is_not_the_best():
    gold = [(0, 3, "LOC"), (4, 8, "PER")]
    predicted = [(0, 2, "PER"), (2, 5, "LOC"), (6, 8, "PER")]
    assert match(gold, predicted, prefer="label") == [(0, 1), (1, 2)]
    # The other way round, too: what is right to left is no other text.
    turned = [[(8 - e, 8 - s, x) for s, e, x in reversed(side)] for side in (gold, predicted)]
    assert match(*turned, prefer="label") == [(0, 0), (1, 1)]
    with pytest.raises(ValueError, match="prefer is 'boundary'; expected one of label, pairs"):
        match(gold, predicted, prefer="boundary")


def test_a_gold_entity_is_right_once():
    # Two predictions on the one gold token that both are a part of.
    assert strict_match([(0, 1, "LOC")], [(0, 1, "LOC"), (0, 1, "LOC")]) == [True, False]
    assert len(match([(0, 1, "LOC")], [(0, 1, "LOC"), (0, 1, "LOC")], prefer="pairs")) == 1
    # Of predictions that overlap, the one that fits answers.
    for prefer in ("label", "pairs"):
        assert match([(0, 2, "A")], [(0, 1, "A"), (0, 2, "B")], prefer=prefer) == [(0, 1)]


# Partial credit

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
    strict = entity_table(tally(documents))
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


def test_schemas_are_those_of_the_definition():
    assert list(SCHEMAS) == ["strict", "exact", "partial", "type"]


# Confusion and errors


def test_confusion_by_hand():
    doc = of_tags(
        "B-A I-A O B-B O B-A O O",
        "B-A O   O B-A O O   O B-B",
    )
    matrix = confusion([doc])
    assert matrix.names == ["A", "B", "O"]
    # Rows are gold: A as A (another boundary), A missed; B as A; a spurious B.
    assert matrix.entities.tolist() == [[1, 0, 1], [1, 0, 0], [0, 1, 0]]
    assert matrix.tokens.tolist() == [[1, 0, 2], [1, 0, 0], [0, 1, 3]]


def test_unannotated_tokens_confuse_nobody():
    doc = document([(0, 1, "A")], [(0, 1, "A")], n=4, missing=(2, 3))
    assert confusion([doc]).tokens.tolist() == [[1, 0], [0, 1]]


def test_errors_by_hand():
    doc = document(
        [(0, 2, "A"), (3, 4, "A"), (5, 7, "A"), (8, 9, "B"), (10, 11, "B")],
        [(0, 1, "A"), (3, 4, "B"), (6, 8, "B"), (9, 10, "A"), (10, 11, "B")],
        n=12,
        confidence=[0.9, 0.8, 0.7, 0.6, 0.5],
    )
    found = [(e.kind, e.document, e.gold, e.predicted, e.confidence) for e in find_errors([doc])]
    assert found == [
        ("boundary", 0, (0, 2, "A"), (0, 1, "A"), 0.9),
        ("label", 0, (3, 4, "A"), (3, 4, "B"), 0.8),
        ("both", 0, (5, 7, "A"), (6, 8, "B"), 0.7),
        ("missed", 0, (8, 9, "B"), None, None),
        ("spurious", 0, None, (9, 10, "A"), 0.6),
    ]
    assert {kind for kind, *_ in found} == set(KINDS)


def test_errors_and_figures_agree():
    documents = random_documents(4, 200)
    totals = tally(documents).counts.sum((0, 1))
    errors = find_errors(documents)
    kinds = Counter(error.kind for error in errors)
    pairs = kinds["label"] + kinds["boundary"] + kinds["both"]
    assert kinds["spurious"] + pairs == totals[1]
    assert kinds["missed"] + pairs == totals[2]
    matrix = confusion(documents)
    assert matrix.entities[-1].sum() == kinds["spurious"]
    assert matrix.entities[:, -1].sum() == kinds["missed"]
