"""Agreement of annotators against the definitions, and figures of nltk and scikit-learn."""

import itertools
import math

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, Span

from spacy_bio_crf.errors import BioError
from spacy_bio_crf.metrics.agreement import (
    UNKNOWN,
    agreement,
    cohen_kappa,
    disagreements,
    krippendorff_alpha,
    read_sides,
)

NLP = spacy.blank("en")
WORDS = ["Ana", "Ruiz", "met", "Bo", "in", "New", "York", "."]


def make_doc(ents: list, *, words: list[str] = WORDS, missing: tuple[int, ...] = ()) -> Doc:
    doc = Doc(NLP.vocab, words=words)
    doc.set_ents(
        [Span(doc, s, e, label=x) for s, e, x in ents], missing=[doc[i : i + 1] for i in missing]
    )
    return doc


def random_ids(seed: int, shape: tuple[int, int], *, missing: float = 0.0) -> np.ndarray:
    """Labels that agree more often than chance has it."""
    rng = np.random.default_rng(seed)
    ids = np.tile(rng.integers(4, size=shape[1]), (shape[0], 1))
    ids = np.where(rng.random(shape) < 0.4, rng.integers(4, size=shape), ids)
    return np.where(rng.random(shape) < missing, UNKNOWN, ids)


@pytest.mark.parametrize("seed", range(5))
def test_kappa_by_its_definition(seed):
    first, second = ids = random_ids(seed, (2, 50))
    same = sum(a == b for a, b in zip(first, second, strict=True)) / 50
    chance = sum((first == k).mean() * (second == k).mean() for k in range(4))
    assert cohen_kappa(ids) == pytest.approx((same - chance) / (1 - chance))


@pytest.mark.parametrize("seed", range(5))
def test_kappa_of_scikit_learn(seed):
    first, second = ids = random_ids(seed, (2, 50))
    metrics = pytest.importorskip("sklearn.metrics")
    assert cohen_kappa(ids) == pytest.approx(metrics.cohen_kappa_score(first, second))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_alpha_by_its_definition(seed, missing):
    ids = random_ids(seed, (3, 40), missing=missing)
    units = [[x for x in unit if x != UNKNOWN] for unit in ids.T.tolist()]
    units = [unit for unit in units if len(unit) > 1]
    # Differing pairs of each token, and of all values that can be paired.
    within = math.fsum(
        sum(a != b for a, b in itertools.permutations(unit, 2)) / (len(unit) - 1) for unit in units
    )
    pool = [x for unit in units for x in unit]
    between = sum(a != b for a, b in itertools.permutations(pool, 2)) / (len(pool) - 1)
    assert krippendorff_alpha(ids) == pytest.approx(1 - within / between)


# AnnotationTask(…).alpha() of nltk 3.9 for the same labels.
@pytest.mark.parametrize(
    ("seed", "missing", "expected"),
    [
        (0, 0.0, 0.37250470809792846),
        (1, 0.0, 0.47506712696586106),
        (0, 0.3, 0.3647301478171193),
        (1, 0.3, 0.5116279069767442),
    ],
)
def test_alpha_of_nltk(seed, missing, expected):
    assert krippendorff_alpha(random_ids(seed, (3, 40), missing=missing)) == pytest.approx(expected)


def test_nothing_but_one_label():
    assert cohen_kappa(np.ones((2, 4), dtype=np.int64)) is None
    assert cohen_kappa(np.zeros((2, 0), dtype=np.int64)) is None
    assert krippendorff_alpha(np.zeros((2, 4), dtype=np.int64)) is None
    assert krippendorff_alpha(np.array([[0, 1], [UNKNOWN, UNKNOWN]])) is None
    assert cohen_kappa(np.array([[0, 1], [0, 1]])) == 1.0
    assert krippendorff_alpha(np.array([[0, 1], [0, 1]])) == 1.0


def test_figures_of_two_annotators():
    one = [make_doc([(0, 2, "PER"), (3, 4, "PER"), (5, 7, "LOC")]), make_doc([])]
    two = [make_doc([(0, 2, "PER"), (3, 4, "LOC"), (5, 6, "LOC")]), make_doc([])]
    sides = read_sides({"one": one, "two": two})
    figures = agreement(sides)
    assert figures["annotators"] == ["one", "two"]
    assert (figures["documents"], figures["tokens"]) == (2, 16)
    (pair,) = figures["pairs"]
    assert pair["entity"]["all"]["f"] == pytest.approx(1 / 3)
    assert pair["entity"]["per_type"]["PER"]["p"] == 1.0
    # Of 5 and 4 tokens in entities 3 have the same label.
    assert pair["token"] == pytest.approx({"p": 3 / 4, "r": 3 / 5, "f": 6 / 9})
    ids = sides.token_ids(["LOC", "PER"])
    assert ids[0, :8].tolist() == [2, 2, 0, 2, 0, 1, 1, 0]
    assert pair["cohen"] == cohen_kappa(ids)
    assert pair["cohen_of_entities"] == cohen_kappa(ids[:, [0, 1, 3, 5, 6]])
    assert figures["krippendorff"]["all"] == krippendorff_alpha(ids)
    own = (ids == 2).astype(np.int64)
    assert figures["krippendorff"]["per_type"]["PER"] == krippendorff_alpha(own)
    ((a, b, documents, mistakes),) = disagreements(sides)
    assert (a, b, len(documents)) == (0, 1, 2)
    assert [(m.kind, m.gold, m.predicted) for m in mistakes] == [
        ("label", (3, 4, "PER"), (3, 4, "LOC")),
        ("boundary", (5, 7, "LOC"), (5, 6, "LOC")),
    ]
    assert pair["disagreements"] == 2


def test_three_annotators_and_tokens_that_one_has_not_annotated():
    docs = {
        "a": [make_doc([(0, 2, "PER")])],
        "b": [make_doc([(0, 2, "PER"), (5, 7, "LOC")])],
        "c": [make_doc([(5, 7, "LOC")], missing=(0, 1))],
    }
    sides = read_sides(docs)
    figures = agreement(sides)
    f = {tuple(pair["annotators"]): pair["entity"]["all"]["f"] for pair in figures["pairs"]}
    assert f == {("a", "b"): pytest.approx(2 / 3), ("a", "c"): 0.0, ("b", "c"): 1.0}
    assert sides.token_ids(["LOC", "PER"])[2, :2].tolist() == [UNKNOWN, UNKNOWN]


def test_other_tokens_of_the_same_text():
    spaces = [True] * 4 + [True, False, False, False]
    one = Doc(NLP.vocab, words=WORDS, spaces=spaces)
    one.set_ents([Span(one, 5, 7, label="LOC")])
    words = ["Ana", "Ruiz", "met", "Bo", "in", "Ne", "w", "York."]
    other = Doc(NLP.vocab, words=words, spaces=[True] * 5 + [False] * 3)
    assert other.text == one.text
    other.set_ents([Span(other, 6, 8, label="LOC"), Span(other, 5, 6, label="ORG")])
    sides = read_sides({"one": [one], "two": [other]})
    # The second one shares a token with the first one, which stays.
    assert sides.spans[1] == [[(5, 6, "ORG")]]
    other.set_ents([Span(other, 6, 8, label="LOC")], missing=[other[0:1]], default="outside")
    sides = read_sides({"one": [one], "two": [other]})
    assert sides.spans[1] == [[(5, 8, "LOC")]]
    assert sides.known[1][0].tolist() == [False] + [True] * 7


def test_neighboring_entities_on_other_tokens_stay_two():
    spaces = [True] * 6 + [False] * 2
    one = Doc(NLP.vocab, words=WORDS, spaces=spaces)
    other = Doc(NLP.vocab, words=[*WORDS[:6], "York."], spaces=[True] * 6 + [False])
    assert other.text == one.text
    other.set_ents([Span(other, 0, 1, label="PER"), Span(other, 1, 2, label="ORG")])
    sides = read_sides({"one": [one], "two": [other]})
    assert sides.spans[1] == [[(0, 1, "PER"), (1, 2, "ORG")]]


def test_documents_that_do_not_belong_together():
    docs = [make_doc([]), make_doc([], words=["Bo"])]
    with pytest.raises(BioError, match="^two, document 2: expected the text of one, 'Bo ', got 'B"):
        read_sides({"one": docs, "two": [docs[0], make_doc([], words=["Ben"])]})
    with pytest.raises(BioError, match="^two: expected 2 documents as in one, got 1$"):
        read_sides({"one": docs, "two": docs[:1]})


def test_labels_that_one_has_not_annotated():
    """Without LOC, tokens of Bruno may be a LOC or not; PER is what both can agree on."""
    ents = [(0, 2, "PER"), (5, 7, "LOC")]
    anna, bruno, carla = make_doc(ents), make_doc(ents[:1]), make_doc(ents)
    bruno.user_data["labels_annotated"] = ["PER"]
    figures = agreement(read_sides({"anna": [anna], "bruno": [bruno], "carla": [carla]}))
    for pair, n in zip(figures["pairs"], (1, 2, 1), strict=True):
        assert pair["entity"]["all"]["gold"] == pair["entity"]["all"]["predicted"] == n
        assert (pair["disagreements"], pair["token"]["f"], pair["cohen"]) == (0, 1.0, 1.0)
    assert figures["krippendorff"] == {"all": 1.0, "per_type": {"LOC": 1.0, "PER": 1.0}}
    figures = agreement(read_sides({"anna": [anna], "bruno": [bruno]}))
    assert figures["krippendorff"] == {"all": 1.0, "per_type": {"LOC": None, "PER": 1.0}}
