"""Losses beyond full annotation: class weights, spans known to be wrong, annotation with holes."""

import itertools
import math

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_bio_crf.gold.annotation import Annotation, read_example
from spacy_bio_crf.heads import losses
from spacy_bio_crf.heads.emitter import Head, Lattice
from spacy_bio_crf.heads.learning import annotated_tokens, batch_loss
from spacy_bio_crf.tags.tagset import TagSet
from tests.support.pipelines import MakeNlp, make_examples, spans_of, train

TAGS = TagSet(("A", "B"))
K = len(TAGS.tags)


def make_lattice(lengths: list[int], *, crf: bool, seed: int = 0) -> Lattice:
    g = torch.Generator().manual_seed(seed)
    chain = (torch.randn(K, generator=g), torch.randn(K, K, generator=g), torch.randn(K))
    if not crf:
        chain = (torch.zeros(K), torch.zeros(K, K), torch.zeros(K))
    emissions = torch.randn(sum(lengths), K, generator=g)
    return Lattice(emissions, *chain, tokens=[np.arange(n) for n in lengths])


def path_score(lattice: Lattice, first: int, path: tuple[int, ...]) -> float:
    score = float(lattice.start[path[0]]) + float(lattice.end[path[-1]])
    score += sum(float(lattice.emissions[first + i, tag]) for i, tag in enumerate(path))
    return score + sum(float(lattice.transitions[a, b]) for a, b in itertools.pairwise(path))


def all_paths(n: int) -> list[tuple[int, ...]]:
    return list(itertools.product(range(K), repeat=n))


def one_hot(tags: list[int]) -> np.ndarray:
    return np.eye(K, dtype=bool)[tags]


def test_weights_of_the_softmax_multiply_each_row():
    lattice = make_lattice([3, 2], crf=False)
    tags = [0, 1, 2, 3, 0]  # O B-A I-A, B-B O
    head = Head(crf=False, class_weights=(("A", 3.0), ("O", 0.5)))
    loss, _ = losses.loss(head, TAGS, lattice, one_hot(tags), size=2)
    expected = 0.0
    for row, tag, weight in zip(lattice.emissions, tags, [0.5, 3.0, 3.0, 1.0, 0.5], strict=True):
        expected -= weight * float(row[tag] - row.logsumexp(0))
    assert loss == pytest.approx(expected / 2, rel=1e-5)


def test_weights_of_the_crf_are_costs_of_wrong_tags():
    """Softmax-margin: log Σ_y exp(score(y) + Σ_{i: y_i ≠ gold_i} log w(gold_i)) - score(gold)."""
    lattice = make_lattice([3, 1], crf=True)
    golds = [(0, 1, 2), (3,)]
    weights = {0: 0.5, 1: 3.0, 2: 3.0, 3: 1.0}
    head = Head(crf=True, class_weights=(("A", 3.0), ("O", 0.5)))
    loss, _ = losses.loss(head, TAGS, lattice, one_hot([0, 1, 2, 3]), size=1)
    expected = 0.0
    for first, gold in zip((0, 3), golds, strict=True):
        z = 0.0
        for path in all_paths(len(gold)):
            cost = sum(math.log(weights[g]) for g, y in zip(gold, path, strict=True) if g != y)
            z += math.exp(path_score(lattice, first, path) + cost)
        expected += math.log(z) - path_score(lattice, first, gold)
    assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("crf", [True, False])
def test_weights_of_one_change_nothing(crf):
    lattice = make_lattice([4], crf=crf)
    plain, weighted = Head(crf=crf), Head(crf=crf, class_weights=(("A", 1.0), ("O", 1.0)))
    allowed = one_hot([0, 1, 2, 0])
    a, da = losses.loss(plain, TAGS, lattice, allowed, size=1)
    b, db = losses.loss(weighted, TAGS, lattice, allowed, size=1)
    assert a == pytest.approx(b, rel=1e-6)
    for x, y in zip(da.scores, db.scores, strict=True):
        torch.testing.assert_close(x, y, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("crf", [True, False])
@pytest.mark.parametrize("span", [(0, 1, "A"), (1, 3, "B"), (2, 4, "A"), (0, 4, "B")])
def test_spans_known_to_be_wrong(crf, span):
    """-log (1 - P(span)), over all sequences, with the span read as the tagger reads it."""
    lattice = make_lattice([2, 4], crf=crf, seed=1)
    allowed = np.ones((6, K), dtype=bool)
    loss, _ = losses.loss(Head(crf=crf), TAGS, lattice, allowed, size=1, barred=[(1, *span)])
    scores = {path: math.exp(path_score(lattice, 2, path)) for path in all_paths(4)}
    start, end, label = span
    begin, inside = TAGS.ids[f"B-{label}"], TAGS.ids[f"I-{label}"]
    inner = (begin, *[inside] * (end - start - 1))
    with_span = sum(
        s
        for path, s in scores.items()
        if path[start:end] == inner and (end == 4 or path[end] != inside)
    )
    assert loss == pytest.approx(-math.log(1 - with_span / sum(scores.values())), rel=1e-4)


@pytest.mark.parametrize("crf", [True, False])
def test_the_gradient_of_a_wrong_span_is_that_of_its_loss(crf):
    head = Head(crf=crf, class_weights=(("A", 2.0),))
    lattice = make_lattice([3], crf=crf, seed=2)
    allowed = one_hot([0, 1, 0])
    _, d = losses.loss(head, TAGS, lattice, allowed, size=1, barred=[(0, 1, 3, "B")])
    step = 1e-3
    for row, tag in [(0, 0), (1, 3), (2, 4), (2, 1)]:
        moved = []
        for sign in (step, -step):
            emissions = lattice.emissions.clone()
            emissions[row, tag] += sign
            other = Lattice(emissions, *lattice.scores[1:], tokens=lattice.tokens)
            barred = [(0, 1, 3, "B")]
            moved.append(losses.loss(head, TAGS, other, allowed, size=1, barred=barred)[0])
        slope = (moved[0] - moved[1]) / (2 * step)
        assert float(d.emissions[row, tag]) == pytest.approx(slope, abs=2e-3)


def test_later_subwords_train_emissions_and_no_transition():
    """Two words of two pieces each: the chain has two rows, the others count as in the softmax."""
    head = Head(crf=True)
    tokens = np.array([0, 0, 1, 1])
    lattice = make_lattice([4], crf=True)
    lattice = Lattice(*lattice.scores, tokens=[tokens])
    annotation = Annotation([(0, 1, "A")], np.ones(2, dtype=bool))
    loss, d = batch_loss([annotation], lattice, head=head, tagset=TAGS, continued=True, size=1)
    e = lattice.emissions
    words = Lattice(e[[0, 2]], *lattice.scores[1:], tokens=[np.arange(2)])
    z = sum(math.exp(path_score(words, 0, path)) for path in all_paths(2))
    expected = math.log(z) - path_score(words, 0, (TAGS.ids["B-A"], 0))
    for row, tag in ((1, TAGS.ids["I-A"]), (3, 0)):
        expected -= float(e[row, tag] - e[row].logsumexp(0))
    assert loss == pytest.approx(expected, rel=1e-5)
    assert bool(d.emissions.abs().sum(dim=1).gt(0).all())


def test_size_counts_annotated_tokens():
    some = Annotation([], np.array([True, False, True]))
    assert annotated_tokens([some, some]) == 4
    assert annotated_tokens([Annotation([], np.zeros(3, dtype=bool))]) == 1


def test_wrong_weights_are_errors(make_nlp: MakeNlp):
    with pytest.raises(ValueError, match="'class_weights' of the head has 0.0 for 'PER'"):
        make_nlp("crf", head_options={"class_weights": {"PER": 0.0}})
    nlp = make_nlp("crf", head_options={"class_weights": {"PERSON": 2.0}})
    with pytest.raises(ValueError, match=r"names \['PERSON'\]; expected 'O' or labels of"):
        nlp.initialize(lambda: make_examples(nlp))


def test_weights_move_what_is_found(make_nlp: MakeNlp):
    """With O made light and entities heavy, a hardly trained model finds more."""
    found = []
    for weights in ({"O": 0.1, "PER": 10.0, "LOC": 10.0}, {"O": 10.0, "PER": 0.1, "LOC": 0.1}):
        nlp = make_nlp(
            "crf", head_options={"class_weights": weights}, encoder_options={"dropout": 0.0}
        )
        train(nlp, make_examples(nlp), steps=5)
        found.append(sum(len(nlp(eg.reference.text).ents) for eg in make_examples(nlp)))
    assert found[0] > found[1]


@pytest.mark.parametrize("head", ["crf", "softmax"])
def test_a_model_unlearns_what_is_known_to_be_wrong(make_nlp: MakeNlp, head: str):
    nlp = make_nlp(head, incorrect_spans_key="wrong", encoder_options={"dropout": 0.0})
    optimizer = None
    train(nlp, make_examples(nlp), steps=60)
    text = "Ana Ruiz met Bo in New York City ."
    assert (3, 4, "PER") in spans_of(nlp(text))
    reference = Doc(nlp.vocab, words=text.split())
    reference.spans["wrong"] = [Span(reference, 3, 4, label="PER")]
    example = Example(nlp.make_doc(text), reference)
    optimizer = nlp.create_optimizer()
    optimizer.learn_rate = 1e-3
    for _ in range(20):
        nlp.update([example], sgd=optimizer)
    assert (3, 4, "PER") not in spans_of(nlp(text))


def test_a_span_can_not_be_right_and_wrong(make_nlp: MakeNlp):
    nlp = make_nlp()
    reference = Doc(nlp.vocab, words=["Bo", "left"])
    reference.set_ents([Span(reference, 0, 1, label="PER")])
    reference.spans["wrong"] = [Span(reference, 0, 1, label="PER")]
    with pytest.raises(ValueError, match=r"no entity in doc.spans.*'Bo' \(PER, tokens 0 to 1\)"):
        read_example(Example(nlp.make_doc("Bo left"), reference), wrong_key="wrong")


@pytest.mark.parametrize("head", ["crf", "softmax"])
def test_half_of_the_annotation_of_entities_is_enough(make_nlp: MakeNlp, head: str):
    """Every other entity token loses its annotation; the model still learns all entities."""
    nlp = make_nlp(head, encoder_options={"dropout": 0.0})
    full = make_examples(nlp)
    holes = []
    removed = 0
    for eg in make_examples(nlp):
        doc = eg.reference
        missing, kept = [], []
        for ent in doc.ents:
            removed += 1
            if removed % 2:
                missing.append(ent)
            else:
                kept.append(ent)
        doc.set_ents(kept, missing=missing)
        holes.append(eg)
    optimizer = nlp.initialize(lambda: full)
    optimizer.learn_rate = 2e-3
    for _ in range(80):
        nlp.update(holes, sgd=optimizer)
    known = [(spans_of(eg.reference), spans_of(nlp(eg.reference.text))) for eg in holes]
    assert all(set(gold) <= set(found) for gold, found in known)
    # Nothing taught the model that the others are no entities: it may find them, and finds some.
    assert sum(len(found) for _, found in known) > sum(len(gold) for gold, _ in known)


def spacys_ner() -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("ner", config={"incorrect_spans_key": "wrong"})
    return nlp


@pytest.mark.parametrize("which", ["bio_ner", "ner"])
def test_wrong_spans_and_missing_tokens_act_as_in_spacys_ner(make_nlp: MakeNlp, which: str):
    """Both unlearn a span that is known to be wrong, and learn nothing from a bare document."""
    if which == "ner":
        nlp = spacys_ner()
        train(nlp, make_examples(nlp), steps=80, lr=5e-3)
    else:
        nlp = make_nlp(incorrect_spans_key="wrong", encoder_options={"dropout": 0.0})
        train(nlp, make_examples(nlp), steps=60)
    text = "Ana Ruiz met Bo in New York City ."
    assert spans_of(nlp(text)) == [(0, 2, "PER"), (3, 4, "PER"), (5, 8, "LOC")]
    bare = Example(nlp.make_doc(text), Doc(nlp.vocab, words=text.split()))
    assert nlp.get_pipe(which).update([bare], losses={})[which] == pytest.approx(0.0, abs=1e-5)
    reference = Doc(nlp.vocab, words=text.split())
    reference.spans["wrong"] = [Span(reference, 3, 4, label="PER")]
    optimizer = nlp.create_optimizer()
    optimizer.learn_rate = 1e-3
    for _ in range(40):
        nlp.update([Example(nlp.make_doc(text), reference)], sgd=optimizer)
    assert (3, 4, "PER") not in spans_of(nlp(text))
