"""Training on entities with probabilities, and on documents with weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span, SpanGroup
from spacy.training import Example

from spacy_bio_crf.errors import BioError
from spacy_bio_crf.gold.soft import WEIGHT
from tests.support.components import component
from tests.support.pipelines import MakeNlp, make_examples, train
from tests.support.taggers import make_bio_tagger, tagged_examples

KEY = "gold"
WORDS = ["Ana", "Ruiz", "met", "Bo", "."]
Given = dict[tuple[int, int, str], float]


def soft_example(nlp: Language, spans: Given, words: list[str] = WORDS, **user: Any) -> Example:
    reference = Doc(nlp.vocab, words=words)
    found = [Span(reference, s, e, label=label) for s, e, label in spans]
    scores = list(spans.values())
    reference.spans[KEY] = SpanGroup(reference, name=KEY, spans=found, attrs={"scores": scores})
    reference.user_data.update(user)
    return Example(Doc(nlp.vocab, words=words), reference)


def make_soft(make_nlp: MakeNlp, head: str = "crf", **options: Any) -> Language:
    own = {"gold_spans_key": KEY, "soft_gold": True, "encoder_options": {"dropout": 0.0}}
    return make_nlp(head, **{**own, **options})


def weights_of(nlp: Language) -> list[np.ndarray]:
    model: Any = component(nlp).model
    return [p.detach().numpy().copy() for layer in model.walk() for shim in layer.shims
            for p in shim.network.parameters()]  # fmt: skip


@pytest.mark.parametrize("head", ["crf", "softmax"])
def test_predictions_take_the_probabilities_of_the_gold(make_nlp: MakeNlp, head: str):
    nlp = make_soft(make_nlp, head)
    spans = {(0, 2, "PER"): 0.75, (0, 1, "PER"): 0.2, (3, 4, "LOC"): 0.4, (3, 4, "PER"): 0.4}
    train(nlp, [soft_example(nlp, spans)], steps=150, lr=1e-3, settle=True)
    doc = Doc(nlp.vocab, words=WORDS)
    (marginals,) = component(nlp).marginals([doc])
    ids = component(nlp).tagset.ids
    for token, tag, p in [
        (0, "O", 0.05),
        (0, "B-PER", 0.95),
        (1, "I-PER", 0.75),
        (1, "O", 0.25),
        (2, "O", 1.0),
        (3, "B-LOC", 0.4),
        (3, "B-PER", 0.4),
        (3, "O", 0.2),
    ]:
        assert marginals[token, ids[tag]] == pytest.approx(p, abs=0.06)
    if head == "crf":
        # The spans of one place exclude each other, and those of two are independent.
        best = {tuple(a.spans): a.probability for a in component(nlp).kbest(doc, 12)}
        for both in [((0, 2, "PER"), (3, 4, "LOC")), ((0, 2, "PER"), (3, 4, "PER"))]:
            assert best[both] == pytest.approx(0.3, abs=0.06)


@pytest.mark.parametrize("groups", [None, "per_label"])
def test_certain_gold_is_gold(make_nlp: MakeNlp, groups: Any):
    losses, weights = [], []
    for soft in (False, True):
        nlp = make_soft(make_nlp, soft_gold=soft, groups=groups)
        examples = make_examples(nlp)
        for eg in examples:
            ents = list(eg.reference.ents)
            scores = {"scores": [1.0] * len(ents)} if len(ents) != 2 else {}
            eg.reference.spans[KEY] = SpanGroup(eg.reference, spans=ents, attrs=scores)
        examples[0].reference.user_data[WEIGHT] = 0.5
        train(nlp, examples, steps=2)
        losses.append(nlp.update(examples)["bio_ner"])
        weights.append(weights_of(nlp))
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("head", ["crf", "softmax"])
@pytest.mark.parametrize("soft", [False, True])
def test_a_weight_is_a_factor_on_the_loss(make_nlp: MakeNlp, head: str, soft: bool):
    nlp = make_soft(make_nlp, head, soft_gold=soft, incorrect_spans_key="wrong")
    spans = {(0, 2, "PER"): 0.75, (3, 4, "LOC"): 0.4}
    one = soft_example(nlp, spans)
    two = soft_example(nlp, {(0, 1, "LOC"): 0.25}, ["Lisbon", "works", "."])
    two.reference.spans["wrong"] = [Span(two.reference, 1, 2, label="PER")]
    train(nlp, [one, two], steps=3)

    def loss(*weights: float) -> tuple[float, torch.Tensor]:
        for eg, weight in zip((one, two), weights, strict=True):
            eg.reference.user_data[WEIGHT] = weight
        pipe = component(nlp)
        found, gradient = pipe.get_loss([one, two], pipe.lattice([one.predicted, two.predicted]))
        return found, gradient.emissions

    first, second, both = loss(1.0, 0.0), loss(0.0, 1.0), loss(0.5, 3.0)
    assert both[0] == pytest.approx(0.5 * first[0] + 3.0 * second[0], rel=1e-5)
    torch.testing.assert_close(both[1], 0.5 * first[1] + 3.0 * second[1])
    assert not first[1][len(WORDS) :].any() and first[1][: len(WORDS)].any()
    for eg in (one, two):
        del eg.reference.user_data[WEIGHT]
    assert loss(1.0, 1.0)[0] == pytest.approx(first[0] + second[0], rel=1e-5)


def test_weights_of_groups_and_of_tokens(make_nlp: MakeNlp, tiny_encoder: Path):
    nlp = make_soft(make_nlp, groups="per_label", soft_gold=False)
    own = [soft_example(nlp, {(0, 2, "PER"): 1.0, (0, 1, "LOC"): 1.0})]
    tagger = make_bio_tagger(tiny_encoder)
    tagged = tagged_examples(tagger)[:1]
    for pipeline, examples in ((nlp, own), (tagger, tagged)):
        train(pipeline, examples, steps=1)
        pipe: Any = pipeline.pipeline[0][1]
        lattice = pipe.lattice([eg.predicted for eg in examples])
        whole, _ = pipe.get_loss(examples, lattice)
        examples[0].reference.user_data[WEIGHT] = 0.25
        assert pipe.get_loss(examples, lattice)[0] == pytest.approx(0.25 * whole, rel=1e-5)


def test_docbin_trains_the_same(make_nlp: MakeNlp):
    nlp = make_soft(make_nlp)
    own = soft_example(nlp, {(0, 2, "PER"): 0.75, (3, 4, "LOC"): 0.4}, **{WEIGHT: 0.5})
    data = DocBin(docs=[own.reference], store_user_data=True).to_bytes()
    (again,) = DocBin().from_bytes(data).get_docs(nlp.vocab)
    train(nlp, [own], steps=1)
    pipe = component(nlp)
    lattice = pipe.lattice([own.predicted])
    other = Example(Doc(nlp.vocab, words=WORDS), again)
    assert pipe.get_loss([own], lattice)[0] == pipe.get_loss([other], lattice)[0] > 0


def test_options_that_do_not_fit(make_nlp: MakeNlp):
    with pytest.raises(ValueError, match="gold_spans_key: expected a name of a group"):
        make_nlp(soft_gold=True)
    with pytest.raises(ValueError, match="soft_gold: expected true or false, got 'yes'"):
        component(make_soft(make_nlp)).soft_gold = "yes"
    nlp = make_soft(make_nlp, head_options={"class_weights": {"O": 0.5}})
    with pytest.raises(ValueError, match="class_weights: expected null with `soft_gold`"):
        nlp.initialize(lambda: [soft_example(nlp, {(0, 2, "PER"): 0.75})])
    nlp = make_soft(make_nlp)
    own = soft_example(nlp, {(0, 2, "PER"): 0.75})
    train(nlp, [own], steps=1)
    own.reference.user_data[WEIGHT] = "high"
    with pytest.raises(BioError, match="bio_ner_weight.*expected a number, 0 or more"):
        nlp.update([own])


def test_confidence_is_rated_by_hard_gold(make_nlp: MakeNlp):
    nlp = make_soft(make_nlp)
    train(nlp, [soft_example(nlp, {(0, 1, "PER"): 1.0})])
    pipe = component(nlp)
    # Of two entities that overlap the longer one is gold, as without probabilities.
    own = soft_example(nlp, {(0, 2, "PER"): 0.75, (0, 1, "PER"): 0.2})
    docs = [own.predicted]
    lattice, presets = pipe.lattice(docs), pipe.presets(docs)
    ((confidence, right),) = pipe.task.rate([own], pipe.labels, lattice, presets, pipe.reading())
    assert confidence > 0.5 and not right
