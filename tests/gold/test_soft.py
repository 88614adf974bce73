"""Chances of tags from spans with probabilities, reading these, and weights of documents."""

from typing import Any

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span, SpanGroup
from spacy.training import Example

from spacy_bio_crf.errors import BioError
from spacy_bio_crf.gold.layers import read_layers
from spacy_bio_crf.gold.soft import WEIGHT, SoftAnnotation, read_probabilities, read_weight
from spacy_bio_crf.tags.spans import LABELS_ANNOTATED
from spacy_bio_crf.tags.tagset import TagSet
from tests.support.soft_gold import analyses

BIO = TagSet(("PER", "LOC"), "BIO")
VOCAB = spacy.blank("en").vocab
WORDS = ["University", "of", "Porto", "and", "Ana", "Ruiz", "Costa"]


def annotation(spans: dict[Any, float], n: int, known: Any = None) -> SoftAnnotation:
    all_known = np.ones(n, dtype=bool) if known is None else np.array(known, dtype=bool)
    return SoftAnnotation(list(spans), all_known, probabilities=tuple(spans.values()))


def chances_by_hand(spans: dict[Any, float], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Of tags at each row, and of pairs of neighbors."""
    tags, pairs = np.zeros((n, 5)), np.zeros((5, 5))
    for found, p in analyses(list(spans), list(spans.values()), n):
        path = BIO.encode(found, n)
        tags[np.arange(n), path] += p
        for a, b in zip(path, path[1:], strict=False):
            pairs[a, b] += p
    return tags, pairs


CASES: dict[str, dict[Any, float]] = {
    "none": {},
    "one": {(1, 3, "PER"): 0.7},
    "apart": {(0, 2, "PER"): 0.7, (2, 3, "LOC"): 0.4, (4, 6, "PER"): 1.0},
    "labels": {(1, 3, "PER"): 0.5, (1, 3, "LOC"): 0.3},
    "borders": {(1, 4, "PER"): 0.5, (2, 4, "PER"): 0.25, (1, 2, "PER"): 0.25},
    "in a row": {(0, 2, "PER"): 0.9, (1, 4, "LOC"): 0.1, (3, 6, "PER"): 0.8},
}


@pytest.mark.parametrize("name", CASES)
def test_chances_are_sums_over_all_analyses(name: str):
    spans = CASES[name]
    found = annotation(spans, 6).chances(BIO, np.arange(6))
    tags, pairs = chances_by_hand(spans, 6)
    np.testing.assert_allclose(found.tags, tags, atol=1e-12)
    np.testing.assert_allclose(found.pairs, pairs, atol=1e-12)
    np.testing.assert_allclose(found.start, tags[0], atol=1e-12)
    np.testing.assert_allclose(found.end, tags[-1], atol=1e-12)
    assert found.gaps == []
    # Each span has its probability.
    for own, p in spans.items():
        chance = sum(
            q for chosen, q in analyses(list(spans), list(spans.values()), 6) if own in chosen
        )
        assert chance == pytest.approx(p)


def test_probabilities_of_one_place_are_at_most_one_together():
    spans = {(0, 2, "PER"): 0.8, (1, 3, "LOC"): 0.8, (4, 5, "PER"): 0.8}
    found = annotation(spans, 6).chances(BIO, np.arange(6))
    even = {(0, 2, "PER"): 0.5, (1, 3, "LOC"): 0.5, (4, 5, "PER"): 0.8}
    other = annotation(even, 6).chances(BIO, np.arange(6))
    np.testing.assert_allclose(found.tags, other.tags, atol=1e-12)
    np.testing.assert_allclose(found.pairs, other.pairs, atol=1e-12)


def test_certain_spans_are_tags():
    spans = [(0, 2, "PER"), (2, 3, "LOC"), (4, 6, "PER")]
    found = annotation(dict.fromkeys(spans, 1.0), 6).chances(BIO, np.arange(6))
    np.testing.assert_array_equal(found.tags.argmax(axis=1), BIO.encode(spans, 6))
    assert {*found.tags.ravel()} == {0.0, 1.0} and found.pairs.sum() == 5.0


def test_tokens_without_a_row_and_other_labels_are_left_out():
    spans = {(0, 2, "PER"): 0.5, (2, 3, "LOC"): 0.5, (4, 6, "ORG"): 0.9}
    found = annotation(spans, 6).chances(BIO, np.array([1, 3, 4, 5]))
    np.testing.assert_allclose(found.tags[:, 0], [0.5, 1, 1, 1])
    assert found.tags[0, 1] == 0.5


def test_rows_without_annotation_are_gaps():
    known = [False, True, False, True, False, False, False]
    words = np.array([0, 1, 2, 4, 5, 6])
    found = annotation({(1, 2, "PER"): 0.5}, 7, known).chances(BIO, words)
    first, second = found.gaps
    assert [(gap.start, gap.end) for gap in found.gaps] == [(0, 1), (2, 6)]
    assert first.before is None and first.after is not None and not first.parted.any()
    np.testing.assert_allclose(first.after, [0.5, 0.5, 0, 0, 0])
    assert second.after is None and second.before is not None
    np.testing.assert_allclose(second.before, [0.5, 0.5, 0, 0, 0])
    # The third token is annotated, and has no row.
    assert second.parted.tolist() == [False, True, False, False]
    assert found.tags.sum() == 1.0 and not found.pairs.any()


def example(
    spans: list[tuple[int, int, str]], scores: Any = None, words: list[str] = WORDS, **user: Any
) -> Example:
    reference = Doc(VOCAB, words=WORDS)
    attrs = {} if scores is None else {"scores": scores}
    found = [Span(reference, s, e, label=label) for s, e, label in spans]
    reference.spans["gold"] = SpanGroup(reference, name="gold", spans=found, attrs=attrs)
    reference.user_data.update(user)
    return Example(Doc(VOCAB, words=words), reference)


def read(own: Example, labels: Any = (("ORG", "PER", "LOC"),), **options: Any) -> list[Any]:
    return list(read_layers(own, labels, gold_key="gold", soft=True, **options).layers)


def test_probabilities_are_read():
    own = [(0, 3, "ORG"), (2, 3, "LOC"), (4, 6, "PER"), (4, 7, "PER"), (2, 3, "LOC"), (1, 2, "LOC")]
    scores = np.array([0.5, 0.25, 0.5, 0.25, 0.125, 0.0], dtype=np.float32)
    (layer,) = read(example(own, scores))
    assert dict(zip(layer.spans, layer.probabilities, strict=True)) == {
        (0, 3, "ORG"): 0.5,
        (2, 3, "LOC"): 0.25,
        (4, 6, "PER"): 0.5,
        (4, 7, "PER"): 0.25,
    }
    assert layer.known.all() and not layer.misfits
    one, two = read(example(own, scores), [("ORG", "PER"), ("LOC",)])
    assert two.spans == [(2, 3, "LOC")] and len(one.spans) == 3
    # Gold without scores is certain.
    (layer,) = read(example(own[:2]))
    assert layer.probabilities == (1.0, 1.0)


def test_documents_and_spans_without_annotation():
    blank = Doc(VOCAB, words=WORDS)
    (layer,) = read(Example(Doc(VOCAB, words=WORDS), blank))
    assert not layer.known.any() and layer.spans == []
    own = example([(2, 3, "LOC")], [0.5])
    own.reference.spans["gold_missing"] = [own.reference[2:5]]
    (layer,) = read(own)
    assert layer.known.tolist() == [True, True, True, False, False, True, True]


def test_labels_that_are_not_annotated_are_refused():
    own = example([(2, 3, "LOC")], [0.5], **{LABELS_ANNOTATED: ["LOC"]})
    assert read(own, [("LOC",)])[0].spans == [(2, 3, "LOC")]
    with pytest.raises(BioError, match="labels_annotated: expected all of .* with `soft_gold`"):
        read(own)


def test_probabilities_on_other_tokens():
    words = ["University", "of", "Porto", "and", "Ana Ruiz", "Costa"]
    own = [(0, 3, "ORG"), (4, 5, "PER"), (4, 6, "PER"), (4, 7, "PER")]
    text = example(own, [0.5, 0.125, 0.25, 0.5], words)
    (layer,) = read(text)
    assert dict(zip(layer.spans, layer.probabilities, strict=True)) == {
        (0, 3, "ORG"): 0.5,
        (4, 5, "PER"): 0.25,
        (4, 6, "PER"): 0.5,
    }
    assert layer.misfits == [(4, 5, "PER")] and layer.known.all()
    (layer,) = read(example(own[:2], [0.5, 0.125], words))
    assert layer.known.tolist() == [True] * 4 + [False, True]
    (layer,) = read(example(own[:2], [0.5, 0.125], words), misaligned="expand")
    assert layer.spans == [(0, 3, "ORG"), (4, 5, "PER")] and layer.known.all()
    with pytest.raises(BioError, match="expected borders of tokens"):
        read(text, misaligned="strict")


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([0.5], "expected 2 probabilities, one for each span, got 1"),
        ([0.5, 1.5], "expected probabilities, 0 to 1, got 1.5"),
        ([0.5, float("nan")], "expected probabilities, 0 to 1, got nan"),
        ([0.5, "high"], "expected probabilities, 0 to 1, got 'high'"),
    ],
)
def test_other_scores_are_refused(scores: Any, message: str):
    with pytest.raises(BioError, match=message):
        read(example([(0, 3, "ORG"), (2, 3, "LOC")], scores))


def test_scores_and_weights_survive_files():
    doc = example([(0, 3, "ORG")], [0.25], **{WEIGHT: 0.5}).reference
    data = DocBin(docs=[doc], store_user_data=True).to_bytes()
    (again,) = DocBin().from_bytes(data).get_docs(VOCAB)
    assert read_probabilities(again, "gold") == {(0, 3, "ORG"): 0.25}
    assert read_weight(again) == 0.5 and read_weight(Doc(VOCAB, words=["a"])) == 1.0
    doc.user_data[WEIGHT] = np.float32(0.5)
    assert read_weight(doc) == 0.5
    for bad in (-1, float("inf"), "half", True):
        doc.user_data[WEIGHT] = bad
        with pytest.raises(BioError, match="expected a number, 0 or more, got"):
            read_weight(doc)
