"""Scores against the definitions, spaCy's own scorer and seqeval."""

from fractions import Fraction

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.scheme import IOB2
from spacy.scorer import get_ner_prf
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_bio_crf.metrics.scorer import make_bio_ner_scorer, token_scores
from spacy_bio_crf.tags.schemes import spans_of_tags

NLP = spacy.blank("xx")
LABELS = ("PER", "cell-line")

# What a labelling tool gives: any mixture of outside and entities of one to three tokens.
_PIECES = st.one_of(
    st.just(["O"]),
    st.builds(
        lambda label, n: [f"B-{label}"] + [f"I-{label}"] * (n - 1),
        st.sampled_from(LABELS),
        st.integers(1, 3),
    ),
)


@st.composite
def tag_pairs(draw, *, max_documents=4):
    """Documents as pairs of gold and predicted tags of the same length, legal BIO both."""
    pairs = []
    for _ in range(draw(st.integers(1, max_documents))):
        n = draw(st.integers(0, 9))
        # Cutting a legal sequence at its end leaves it legal.
        both = [sum(draw(st.lists(_PIECES, min_size=n, max_size=n)), [])[:n] for _ in range(2)]
        pairs.append(tuple(both))
    return [gold for gold, _ in pairs], [predicted for _, predicted in pairs]


def spans(tags):
    return spans_of_tags(tags, scheme="BIO", repair="discard")[0]


def make_doc(words, ents, *, blocked=(), missing=(), spaces=None):
    doc = Doc(NLP.vocab, words=words, spaces=spaces)
    doc.set_ents(
        [Span(doc, start, end, label=label) for start, end, label in ents],
        blocked=[doc[i : i + 1] for i in blocked],
        missing=[doc[i : i + 1] for i in missing],
        default="outside",
    )
    return doc


def examples_of(gold, predicted):
    examples = []
    for gold_tags, predicted_tags in zip(gold, predicted, strict=True):
        words = [f"w{i}" for i in range(len(gold_tags))]
        examples.append(
            Example(make_doc(words, spans(predicted_tags)), make_doc(words, spans(gold_tags)))
        )
    return examples


def bio_tags(doc):
    return [f"{t.ent_iob_}-{t.ent_type_}" if t.ent_type_ else "O" for t in doc]


def score(*pairs):
    return make_bio_ner_scorer()([Example(predicted, gold) for predicted, gold in pairs])


def test_worked_example():
    gold = ["O", "B-ORG", "O", "O", "O", "B-PROD", "O", "B-LOC"]
    predicted = ["O", "B-ORG", "O", "O", "O", "I-PROD", "O", "B-LOC"]

    tokens = token_scores([gold], [predicted])
    assert tokens["ner_token_acc"] == pytest.approx(7 / 8)
    assert tokens["ner_token_p"] == pytest.approx(2 / 3)
    assert tokens["ner_token_r"] == pytest.approx(2 / 3)
    assert tokens["ner_token_f"] == pytest.approx(2 / 3)
    assert tokens["ner_token_per_type"] == {
        "LOC": pytest.approx({"p": 1, "r": 1, "f": 1}),
        "ORG": pytest.approx({"p": 1, "r": 1, "f": 1}),
        "PROD": pytest.approx({"p": 0, "r": 0, "f": 0}),
    }

    words = [f"w{i}" for i in range(len(gold))]
    entities = score((make_doc(words, spans(predicted)), make_doc(words, spans(gold))))
    assert entities["ents_p"] == pytest.approx(2 / 2)
    assert entities["ents_r"] == pytest.approx(2 / 3)
    assert entities["ents_f"] == pytest.approx(0.8)
    assert entities["ents_per_type"]["PROD"] == pytest.approx({"p": 0, "r": 0, "f": 0})


def test_token_precision_counts_predicted_tokens_and_recall_gold_ones():
    gold = ["B-PER", "I-PER", "O", "B-ORG", "O"]
    predicted = ["B-PER", "B-PER", "B-ORG", "B-PER", "B-PER"]
    tokens = token_scores([gold], [predicted])
    # Only the first tag is right: of five predicted inside an entity, of three gold ones.
    assert tokens["ner_token_acc"] == pytest.approx(1 / 5)
    assert tokens["ner_token_p"] == pytest.approx(1 / 5)
    assert tokens["ner_token_r"] == pytest.approx(1 / 3)
    assert tokens["ner_token_per_type"]["PER"] == pytest.approx(
        {"p": 1 / 4, "r": 1 / 2, "f": 1 / 3}
    )
    assert tokens["ner_token_per_type"]["ORG"] == pytest.approx({"p": 0, "r": 0, "f": 0})


@given(tag_pairs())
def test_token_scores_equal_their_definition(pair):
    gold, predicted = pair
    tokens = token_scores(gold, predicted)
    both = [
        (g, p) for gs, ps in zip(gold, predicted, strict=True) for g, p in zip(gs, ps, strict=True)
    ]

    def share(right, of):
        counted = [x for x in both if of(x)]
        return float(Fraction(sum(map(right, counted)), len(counted))) if counted else 0.0

    def is_right(x):
        return x[0] == x[1]

    def check(name, expected):
        assert (tokens[name] or 0.0) == pytest.approx(expected)

    check("ner_token_acc", share(is_right, lambda x: True))
    check("ner_token_p", share(is_right, lambda x: x[1] != "O"))
    check("ner_token_r", share(is_right, lambda x: x[0] != "O"))
    seen = {tag[2:] for x in both for tag in x if tag != "O"}
    assert set(tokens["ner_token_per_type"] or {}) == seen
    for label in seen:
        row = tokens["ner_token_per_type"][label]
        assert row["p"] == pytest.approx(share(is_right, lambda x, w=label: x[1][2:] == w))
        assert row["r"] == pytest.approx(share(is_right, lambda x, w=label: x[0][2:] == w))


@given(tag_pairs())
def test_entity_figures_equal_seqeval_in_strict_mode(pair):
    gold, predicted = pair
    ours = make_bio_ner_scorer()(examples_of(gold, predicted))
    for key, function in {
        "ents_p": precision_score,
        "ents_r": recall_score,
        "ents_f": f1_score,
    }.items():
        # Without a scheme seqeval's strict mode is not strict.
        theirs = function(gold, predicted, mode="strict", scheme=IOB2, zero_division=0)
        assert (ours[key] or 0.0) == pytest.approx(float(theirs)), key


@given(tag_pairs())
def test_examples_score_as_spacy_and_as_tags(pair):
    gold, predicted = pair
    examples = examples_of(gold, predicted)
    ours = make_bio_ner_scorer()(examples)
    spacys = get_ner_prf(examples)
    assert {key: ours[key] for key in spacys} == spacys
    tokens = token_scores(gold, predicted)
    assert {key: ours[key] for key in tokens} == tokens


def test_unannotated_tokens_count_nowhere():
    words = ["Ana", "met", "Bo", "in", "Rome"]
    gold = make_doc(words, [(0, 1, "PER")], missing=[2, 3, 4])
    # Right on Ana; Bo and Rome are neither right nor wrong.
    predicted = make_doc(words, [(0, 1, "PER"), (2, 3, "ORG"), (4, 5, "PER")])
    scores = score((predicted, gold))
    assert scores["ents_p"] == scores["ents_r"] == pytest.approx(1)
    assert scores["ner_token_acc"] == pytest.approx(1)
    assert scores["ner_token_p"] == scores["ner_token_r"] == pytest.approx(1)
    assert list(scores["ner_token_per_type"]) == ["PER"]
    tokens = token_scores([["B-PER", "O", None, None, None]], [bio_tags(predicted)])
    assert {key: scores[key] for key in tokens} == tokens


def test_blocked_gold_tokens_are_outside():
    words = ["Ana", "met", "Bo"]
    gold = make_doc(words, [(0, 1, "PER")], blocked=[2], missing=[1])
    predicted = make_doc(words, [(0, 1, "PER"), (2, 3, "PER")])
    scores = score((predicted, gold))
    assert scores["ents_p"] == pytest.approx(1 / 2)
    assert scores["ner_token_p"] == pytest.approx(1 / 2)
    assert scores["ner_token_acc"] == pytest.approx(1 / 2)


@pytest.mark.parametrize(
    ("predicted_words", "gold_words", "gold_ents", "expected"),
    [
        # One gold token is three predicted ones: all three are inside its entity.
        (["New", "-", "York", "!"], ["New-York", "!"], [(0, 1, "LOC")], "B-LOC I-LOC I-LOC O"),
        # Two gold tokens are one predicted token: the entity covers it whole.
        (["NewYork", "!"], ["New", "York", "!"], [(0, 2, "LOC")], "B-LOC O"),
        # The entity ends inside a predicted token: nothing is known of that token.
        (["New", "York's", "!"], ["New", "York", "'s", "!"], [(0, 2, "LOC")], "- - O"),
        # A predicted token covers two entities: nothing is known of it.
        (["PTES", "!"], ["PT", "ES", "!"], [(0, 1, "LOC"), (1, 2, "ORG")], "- O"),
    ],
)
def test_other_tokenisation(predicted_words, gold_words, gold_ents, expected):
    n = len(predicted_words)
    gold = make_doc(gold_words, gold_ents, spaces=[False] * len(gold_words))
    known_ents = spans(expected.split())
    for ents in [[], [(0, n, "LOC")], known_ents, *[[(i, i + 1, "LOC")] for i in range(n)]]:
        predicted = make_doc(predicted_words, ents, spaces=[False] * n)
        known = [None if tag == "-" else tag for tag in expected.split()]
        tokens = token_scores([known], [bio_tags(predicted)])
        scores = score((predicted, gold))
        assert {key: scores[key] for key in tokens} == tokens
        if ents == known_ents:
            assert scores["ner_token_acc"] == 1


def test_documents_without_tokens_or_annotation():
    empty = Doc(NLP.vocab, words=[])
    words = ["Ana", "sang"]
    unannotated = Doc(NLP.vocab, words=words)
    predicted = make_doc(words, [(0, 1, "PER")])
    scores = score((empty, empty), (predicted, unannotated))
    assert set(scores.values()) == {None}
    gold = make_doc(words, [(0, 1, "PER")])
    scores = score((empty, empty), (predicted, unannotated), (predicted, gold))
    assert scores["ents_f"] == scores["ner_token_f"] == pytest.approx(1)


def test_documents_without_entities():
    doc = make_doc(["nothing", "here"], [])
    scores = score((doc, doc))
    assert scores["ner_token_acc"] == 1
    assert scores["ner_token_p"] is None and scores["ner_token_per_type"] is None
