"""Metrics of entities that may overlap, against spaCy's scorer and worked examples."""

import random

import numpy as np
import pytest
import spacy
from spacy.scorer import Scorer
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_bio_crf.metrics import analyze, read_documents
from spacy_bio_crf.metrics.layered import Layers, depth, make_layers
from spacy_bio_crf.metrics.mistakes import find_mistakes
from spacy_bio_crf.metrics.scorer import score_examples
from spacy_bio_crf.metrics.tables import tables

VOCAB = spacy.blank("en").vocab
GROUPS = {"outer": ["ORG", "PER"], "inner": ["LOC"]}
LAYERS = make_layers(GROUPS, spans_key="found", gold_spans_key="gold")
KEYS = {"groups": GROUPS, "spans_key": "found", "gold_spans_key": "gold"}


def example(
    gold: list, found: list, *, n: int = 8, missing: list | None = None, scores: list | None = None
) -> Example:
    reference, predicted = (Doc(VOCAB, words=[f"w{i}" for i in range(n)]) for _ in range(2))
    reference.spans["gold"] = [Span(reference, *span) for span in gold]
    reference.spans["gold_missing"] = [Span(reference, *span) for span in missing or ()]
    predicted.spans["found"] = [Span(predicted, *span) for span in found]
    if scores is not None:
        predicted.spans["found"].attrs["scores"] = scores
    return Example(predicted, reference)


def random_example(rng: random.Random) -> Example:
    def side() -> list:
        spans = set()
        for _ in range(rng.randint(0, 6)):
            start = rng.randrange(8)
            spans.add((start, rng.randint(start + 1, 8), rng.choice(["ORG", "PER", "LOC"])))
        return sorted(spans)

    gold = side()
    return example(gold, gold if rng.random() < 0.2 else [*side(), *gold[:2]])


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_spacys_score_spans(seed: int):
    rng = random.Random(seed)
    examples = [random_example(rng) for _ in range(30)]
    # spaCy reads one group on both sides.
    for eg in examples:
        eg.reference.spans["found"] = [*eg.reference.spans["gold"]]
    expected = Scorer.score_spans(
        examples,
        "spans_found",
        getter=lambda doc, _: doc.spans["found"],
        allow_overlap=True,
    )
    scores = score_examples(examples, **KEYS)
    assert {key: scores[key] for key in expected} == expected


def test_other_tokens_are_aligned():
    reference = Doc(VOCAB, words=["New", "York", "City"])
    reference.spans["gold"] = [Span(reference, 0, 2, "LOC"), Span(reference, 0, 3, "ORG")]
    predicted = Doc(VOCAB, words=["Ne", "w", "York", "City"], spaces=[False, True, True, False])
    predicted.spans["found"] = [Span(predicted, 0, 3, "LOC"), Span(predicted, 0, 4, "ORG")]
    assert score_examples([Example(predicted, reference)], **KEYS)["spans_found_f"] == 1.0


def test_entities_in_doc_ents_alone_count_too():
    gold = [(0, 3, "ORG"), (1, 2, "LOC"), (5, 6, "MISC")]
    eg = example(gold, [(0, 3, "ORG"), (1, 2, "LOC")], scores=[0.9, 0.8])
    doc = eg.predicted
    # The second one overlaps another found one; no gold nor group has the label of the last one.
    ents = [(0, 3, "ORG"), (4, 5, "PER"), (5, 6, "MISC"), (6, 7, "DATE")]
    doc.ents = [Span(doc, *span) for span in ents]
    (document,) = read_documents([eg], LAYERS)
    assert document.predicted == [(0, 3, "ORG"), (1, 2, "LOC"), (4, 5, "PER"), (5, 6, "MISC")]
    assert document.confidence == [0.9, 0.8, None, None]
    scores = score_examples([eg], **KEYS)
    assert (scores["spans_found_p"], scores["spans_found_r"]) == (0.75, 1.0)
    # Without a list of labels all count.
    (document,) = read_documents([eg], make_layers("per_label", **dict(list(KEYS.items())[1:])))
    assert (6, 7, "DATE") in document.predicted


def test_predictions_without_annotation_do_not_count():
    eg = example([(0, 2, "LOC")], [(0, 2, "LOC"), (4, 5, "LOC"), (4, 5, "PER"), (6, 7, "PER")],
                 missing=[(4, 5, "LOC"), (6, 7, "")])  # fmt: skip
    (document,) = read_documents([eg], LAYERS)
    assert document.predicted == [(0, 2, "LOC"), (4, 5, "PER")]
    assert document.ignored == 2
    assert np.flatnonzero(~document.known_to("inner")).tolist() == [4, 6]
    assert np.flatnonzero(~document.known_to("outer")).tolist() == [6]
    eg.reference.spans.pop("gold")
    (document,) = read_documents([eg], LAYERS)
    assert (document.predicted, document.ignored) == ([], 4)
    assert score_examples([eg], **KEYS)["spans_found_f"] is None


def test_an_entity_stands_in_a_missing_stretch_for_its_group():
    eg = example([(0, 2, "LOC")], [(0, 2, "LOC"), (0, 2, "PER")], missing=[(0, 8, "")])
    (document,) = read_documents([eg], LAYERS)
    assert (document.predicted, document.ignored) == ([(0, 2, "LOC")], 1)


def test_pairs_are_found_group_by_group():
    gold = [(0, 5, "ORG"), (1, 2, "LOC"), (6, 8, "PER")]
    found = [(0, 4, "ORG"), (1, 2, "LOC"), (6, 8, "ORG"), (6, 7, "LOC")]
    documents = read_documents([example(gold, found)], LAYERS)
    kinds = {(m.kind, m.gold, m.predicted) for m in find_mistakes(documents)}
    assert kinds == {
        ("boundary", (0, 5, "ORG"), (0, 4, "ORG")),
        ("label", (6, 8, "PER"), (6, 8, "ORG")),
        ("spurious", None, (6, 7, "LOC")),
    }


def test_figures_by_group_and_nesting():
    gold = [(0, 5, "ORG"), (1, 4, "LOC"), (2, 3, "PER"), (6, 7, "LOC")]
    found = [(0, 5, "ORG"), (1, 4, "LOC"), (1, 2, "LOC")]
    figures = analyze([example(gold, found, scores=[0.9, 0.8, 0.3])], layers=LAYERS)
    rows = {row["sort"]: row for row in figures["breakdowns"]["group"]}
    assert (rows["outer"]["p"], rows["outer"]["r"]) == (1.0, 0.5)
    assert (rows["inner"]["p"], rows["inner"]["r"]) == (0.5, 0.5)
    rows = {
        row["sort"]: (row["gold"], row["predicted"]) for row in figures["breakdowns"]["nesting"]
    }
    # The spurious one is inside two predictions, the missed PER inside two gold entities.
    assert rows == {"outermost": (2, 1), "inside 1 other": (1, 1), "inside 2 others": (1, 1)}
    assert figures["entity"]["all"] == {
        "p": pytest.approx(2 / 3), "r": 0.5, "f": pytest.approx(4 / 7), "gold": 4, "predicted": 3
    }  # fmt: skip
    assert figures["confidence"]["entities"] == 3
    titles = [table.title for table in tables(figures)]
    assert "Per entity, by group of labels" in titles and "Per entity, by nesting" in titles
    # Of each group, 8 tokens are known.
    tokens = np.array(figures["confusion"]["tokens"])
    assert tokens.sum() == 16
    assert figures["token"]["all"]["gold"] == 5 + 3 + 1 + 1


def test_flat_figures_have_no_groups():
    figures = analyze([example([], [])])
    assert set(figures["breakdowns"]) == {"entity_length", "document_length", "surface"}


def test_depth():
    spans = [(0, 5, "A"), (1, 4, "B"), (1, 4, "C"), (3, 6, "D")]
    assert [depth(span, spans) for span in spans] == [0, 1, 1, 0]


def test_layers_of_options():
    assert make_layers(None, spans_key="x", gold_spans_key=None) is None
    assert make_layers(None, spans_key="x", gold_spans_key="g") == Layers(None, "g")
    assert make_layers("per_label", spans_key="x", gold_spans_key=None).group_of("PER") == "PER"
    assert LAYERS.group_of("LOC") == "inner" and LAYERS.group_of("GPE") == "GPE"


def test_gold_group_without_groups_of_labels():
    eg = example([(0, 2, "LOC")], [])
    eg.predicted.ents = [Span(eg.predicted, 0, 2, "LOC"), Span(eg.predicted, 4, 5, "LOC")]
    scores = score_examples([eg], spans_key="found", gold_spans_key="gold")
    assert (scores["spans_gold_p"], scores["spans_gold_r"]) == (0.5, 1.0)
