"""Rehearsal of a trained component, and data that is annotated with new labels alone."""

import copy
import gc
import pickle
from pathlib import Path
from typing import Any

import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Adam

from spacy_bio_crf import crf
from spacy_bio_crf.gold.soft import WEIGHT
from spacy_bio_crf.tags.spans import LABELS_ANNOTATED
from tests.support.components import clear, component, gradients, weights
from tests.support.layered import fit_layers, layered_example
from tests.support.pipelines import SENTENCES, MakeNlp, make_example, make_examples, spans_of, train
from tests.support.sharing import make_shared
from tests.support.taggers import make_bio_tagger, tagged_examples

NO_DROPOUT = {"dropout": 0.0}
SIZE = sum(len(words) for words, _ in SENTENCES)


@pytest.fixture(scope="module")
def fitted(make_nlp: MakeNlp) -> Language:
    nlp = make_nlp(encoder_options=NO_DROPOUT)
    return train(nlp, make_examples(nlp), steps=30)


def raw(nlp: Language) -> list[Example]:
    """Texts without annotation."""
    docs = [Doc(nlp.vocab, words=words) for words, _ in SENTENCES]
    return [Example(doc, doc.copy()) for doc in docs]


def is_unchanged(nlp: Language, before: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, before[key]) for key, value in weights(component(nlp)).items())


def test_nothing_happens_before_training_is_resumed(fitted: Language):
    nlp = copy.deepcopy(fitted)
    before = weights(component(nlp))
    assert nlp.rehearse(raw(nlp), sgd=Adam(0.01)) == {"bio_ner": 0.0}
    assert is_unchanged(nlp, before)


def test_at_first_there_is_nothing_to_learn(fitted: Language):
    """The loss is the entropy of the old model, and its gradient zero."""
    nlp = copy.deepcopy(fitted)
    ner = component(nlp)
    nlp.resume_training()
    ner.add_label("TIME")
    losses = ner.rehearse(raw(nlp))
    assert max(float(g.abs().max()) for g in gradients(ner).values()) < 1e-5
    lattice = component(fitted).lattice([eg.predicted for eg in raw(fitted)])
    entropy = float(crf.entropy(*lattice.arguments).sum())
    assert losses["bio_ner"] == pytest.approx(entropy / SIZE, abs=1e-5)
    assert ner.untrained == ("TIME",)


@pytest.mark.parametrize("own", [True, False])
def test_rehearsal_brings_old_predictions_back(fitted: Language, own: bool):
    """By an optimizer that is given, or by the pipeline's: `nlp.rehearse` gives components none."""
    nlp = copy.deepcopy(fitted)
    optimizer = nlp.resume_training(sgd=Adam(2e-3))
    # Everything is outside now.
    empty = [make_example(nlp, words, []) for words, _ in SENTENCES]
    for _ in range(30):
        nlp.update(empty, sgd=optimizer)
    assert not any(nlp(eg.predicted.copy()).ents for eg in empty)
    losses = []
    for _ in range(40):
        if own:
            losses.append(component(nlp).rehearse(raw(nlp), sgd=optimizer)["bio_ner"])
        else:
            losses.append(nlp.rehearse(raw(nlp), sgd=optimizer)["bio_ner"])
    assert losses[-1] < losses[0] / 5
    for words, ents in SENTENCES:
        assert spans_of(nlp(Doc(nlp.vocab, words=words))) == ents


@pytest.mark.parametrize("way", ["source", "collected source", "pickle"])
def test_the_pipeline_at_hand_takes_the_step(fitted: Language, way: str):
    source = copy.deepcopy(fitted)
    source.resume_training()
    if way == "pickle":
        nlp = pickle.loads(pickle.dumps(fitted))
    else:
        nlp = spacy.blank("en")
        nlp.add_pipe("bio_ner", name="mine", source=source)
    if way == "collected source":
        del source
        gc.collect()
    nlp.resume_training(sgd=Adam(0.01))
    name = "bio_ner" if way == "pickle" else "mine"
    nlp.update([make_example(nlp, ["Bo", "met", "Ana"], [])], sgd=Adam(0.01))
    before = weights(component(nlp, name))
    assert nlp.rehearse(raw(nlp))[name] > 0
    after = weights(component(nlp, name))
    assert any(not torch.equal(value, before[key]) for key, value in after.items())
    assert not any(g.any() for g in gradients(component(nlp, name)).values())


def test_without_its_pipeline_a_component_asks_for_an_optimizer(fitted: Language):
    nlp = copy.deepcopy(fitted)
    nlp.resume_training()
    ner = copy.deepcopy(component(nlp))
    before = weights(ner)
    expected = "^sgd: expected an optimizer, for 'bio_ner' does not know that of its pipeline, got"
    remedy = r"none; call nlp.get_pipe\('bio_ner'\).rehearse\(examples, sgd=optimizer\)$"
    with pytest.raises(ValueError, match=f"{expected} {remedy}"):
        ner.rehearse(raw(nlp), sgd=lambda *given: given)
    assert not any(g.any() for g in gradients(ner).values())
    ner.rehearse(raw(nlp), sgd=Adam(0.01))
    assert any(not torch.equal(value, before[key]) for key, value in weights(ner).items())


def test_new_tags_are_left_to_the_annotation(fitted: Language):
    """Whether they were added before training was resumed or after it."""
    for first in (True, False):
        nlp = copy.deepcopy(fitted)
        ner = component(nlp)
        if first:
            ner.add_label("TIME")
        optimizer = nlp.resume_training(sgd=Adam(1e-2))
        example = make_example(nlp, ["Bo", "left", "yesterday"], [(2, 3, "TIME")])
        nlp.update([example], sgd=optimizer)
        ner.rehearse(raw(nlp))
        found = {name: g for name, g in gradients(ner).items() if name.endswith("dense.bias")}
        (emitter,) = [g for g in found.values() if len(g) == 7]
        assert emitter[:5].any() and not emitter[5:].any()


def test_a_teacher_knows_the_labels_before_the_first_untrained_one(fitted: Language):
    """An average of models may have labels behind it that one of them was trained on."""
    nlp = copy.deepcopy(fitted)
    ner = component(nlp)
    ner.add_label("TIME")
    ner.add_label("EVENT")
    ner.cfg["untrained"] = ["TIME"]
    nlp.resume_training()
    assert ner._teacher is not None and ner._teacher.labels == ("LOC", "PER")


def test_gradients_wait_for_an_optimizer(fitted: Language):
    nlp = copy.deepcopy(fitted)
    ner = component(nlp)
    nlp.resume_training()
    nlp.update(make_examples(nlp), sgd=Adam(1e-2))
    before = weights(ner)
    ner.rehearse(raw(nlp))
    once = gradients(ner)
    clear(ner)
    ner.rehearse(raw(nlp), weight=3.0, sgd=False)
    assert is_unchanged(nlp, before) and any(g.any() for g in once.values())
    for name, gradient in gradients(ner).items():
        torch.testing.assert_close(gradient, 3.0 * once[name], rtol=1e-4, atol=1e-6)
    for weight in (0.0, -1, "1", None):
        with pytest.raises(ValueError, match="weight: expected a number above 0"):
            ner.rehearse(raw(nlp), weight=weight)  # type: ignore[arg-type]


def test_the_gradient_does_not_depend_on_parts(make_nlp: MakeNlp):
    found: list[dict[str, torch.Tensor]] = []
    for budget in (None, 16):
        nlp = make_nlp(
            encoder_options={**NO_DROPOUT, "batch_subwords": budget}, subword_labels="all"
        )
        train(nlp, make_examples(nlp), steps=3)
        nlp.resume_training()
        nlp.update(make_examples(nlp), sgd=Adam(1e-3))
        component(nlp).rehearse(raw(nlp))
        found.append(gradients(component(nlp)))
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], rtol=1e-3, atol=1e-6)


def test_weights_of_documents_are_those_of_their_annotation(fitted: Language):
    """With a weight of 0, what the model knew before is still learned from the text."""
    found = []
    for weight in (0.0, 1.0):
        nlp = copy.deepcopy(fitted)
        nlp.resume_training()
        nlp.update([make_example(nlp, ["Bo", "met", "Ana"], [])], sgd=Adam(1e-2))
        examples = make_examples(nlp)
        for eg in examples:
            eg.reference.user_data[WEIGHT] = weight
        component(nlp).update(examples)
        annotated = any(g.any() for g in gradients(component(nlp)).values())
        assert annotated == bool(weight)
        clear(component(nlp))
        component(nlp).rehearse(examples)
        found.append(gradients(component(nlp)))
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name])
    assert any(g.any() for g in found[0].values())


def test_documents_without_tokens(fitted: Language):
    nlp = copy.deepcopy(fitted)
    nlp.resume_training()
    empty = Doc(nlp.vocab)
    assert nlp.rehearse([Example(empty, empty.copy())]) == {"bio_ner": 0.0}
    nlp.rehearse([Example(empty, empty.copy()), *raw(nlp)])


def test_another_beginning_forgets_the_old_model(fitted: Language):
    nlp = copy.deepcopy(fitted)
    nlp.resume_training()
    nlp.initialize(lambda: make_examples(nlp))
    assert nlp.rehearse(raw(nlp)) == {"bio_ner": 0.0}


def test_a_pipeline_of_another_scheme_forgets_the_old_model(fitted: Language, make_nlp: MakeNlp):
    """Its tags are others; those of the same pipeline, read again, are not."""
    nlp = copy.deepcopy(fitted)
    nlp.resume_training()
    nlp.from_bytes(fitted.to_bytes())
    assert component(nlp).rehearse(raw(nlp))["bio_ner"] > 0.0
    other = make_nlp(scheme="BILUO", encoder_options=NO_DROPOUT)
    other.initialize(lambda: make_examples(other))
    nlp.from_bytes(other.to_bytes())
    assert component(nlp).scheme == "BILUO"
    assert component(nlp).rehearse(raw(nlp)) == {"bio_ner": 0.0}


def test_a_shared_encoder_is_not_copied(tiny_encoder: Path):
    nlp = make_shared(tiny_encoder)
    nlp.initialize(lambda: make_examples(nlp))
    nlp.resume_training()
    assert not hasattr(component(nlp), "_rehearsal_model")
    with pytest.raises(ValueError, match="rehearse: expected an encoder of its own"):
        nlp.rehearse(raw(nlp))
    with pytest.raises(ValueError, match="rehearsal: expected an encoder of its own"):
        component(nlp).rehearsal = 5.0
    component(nlp).rehearsal = 0
    assert component(nlp).rehearsal == 0.0


def test_groups_rehearse(make_nlp: MakeNlp):
    nlp = fit_layers(make_nlp, groups="per_label", steps=20)
    optimizer = nlp.resume_training(sgd=Adam(1e-3))
    component(nlp).add_label("TIME")
    assert max(float(g.abs().max()) for g in gradients(component(nlp)).values()) < 1e-5
    for _ in range(20):
        nlp.update([layered_example(nlp, ["Bo", "met", "Ana"], [])], sgd=optimizer)
    first = nlp.rehearse(raw(nlp), sgd=optimizer)["bio_ner"]
    for _ in range(20):
        last = nlp.rehearse(raw(nlp), sgd=optimizer)["bio_ner"]
    assert last < first


@pytest.mark.parametrize("head", ["crf", "softmax"])
def test_a_tagger_rehearses(tiny_encoder: Path, head: str):
    nlp = make_bio_tagger(tiny_encoder, head)
    train(nlp, tagged_examples(nlp), steps=30)
    optimizer = nlp.resume_training(sgd=Adam(2e-3))
    tagger: Any = nlp.get_pipe("bio_tagger")
    tagger.add_label("SYM")
    examples = tagged_examples(nlp)
    for eg in examples:
        for token in eg.reference:
            token.pos_ = "SYM"
    for _ in range(10):
        nlp.update(examples, sgd=optimizer)
    assert {t.pos_ for t in nlp(examples[0].predicted.copy())} == {"SYM"}
    losses = [tagger.rehearse(examples, sgd=optimizer)["bio_tagger"] for _ in range(60)]
    assert losses[-1] < losses[0] / 2


# -- data with new labels alone -----------------------------------------------------------------


def partly(nlp: Language) -> list[Example]:
    """The new label alone is annotated."""
    found = []
    for words, _ in SENTENCES:
        words = [*words, "yesterday", "twice"]
        example = make_example(nlp, words, [(len(words) - 2, len(words), "TIME")])
        example.reference.user_data[LABELS_ANNOTATED] = ["TIME"]
        found.append(example)
    return found


def extended(nlp: Language) -> list[tuple[Doc, list]]:
    return [
        (Doc(nlp.vocab, words=[*words, "yesterday", "twice"]), ents) for words, ents in SENTENCES
    ]


def old_found(nlp: Language) -> float:
    """The share of sentences whose old entities are found."""
    right = 0
    for doc, ents in extended(nlp):
        right += [span for span in spans_of(nlp(doc)) if span[2] != "TIME"] == ents
    return right / len(SENTENCES)


@pytest.mark.parametrize("rehearses", [True, False])
@pytest.mark.parametrize("head", ["crf", "softmax"])
def test_new_labels_are_learned_and_old_ones_stay(make_nlp: MakeNlp, head: str, rehearses: bool):
    nlp = make_nlp(head, encoder_options=NO_DROPOUT)
    train(nlp, make_examples(nlp), steps=40)
    before = old_found(nlp)
    optimizer = nlp.resume_training(sgd=Adam(2e-3))
    for _ in range(30):
        nlp.update(partly(nlp), sgd=optimizer)
        if rehearses:
            nlp.rehearse(partly(nlp), sgd=optimizer)
    for doc, _ in extended(nlp):
        n = len(doc)
        assert [span for span in spans_of(nlp(doc)) if span[2] == "TIME"] == [(n - 2, n, "TIME")]
    if rehearses:
        assert old_found(nlp) >= before - 0.2
    # Naive training forgets everything.
    for _ in range(15):
        examples = partly(nlp)
        for example in examples:
            del example.reference.user_data[LABELS_ANNOTATED]
        nlp.update(examples, sgd=optimizer)
    assert old_found(nlp) <= 0.4


def test_labels_that_are_not_annotated_do_not_calibrate(fitted: Language):
    examples = make_examples(fitted)
    docs = [eg.predicted for eg in examples]
    ner = component(fitted)

    def rated() -> list[tuple[float, bool]]:
        presets = ner.presets(docs)
        return ner.task.rate(examples, ner.labels, ner.lattice(docs), presets, ner.reading())

    everything = rated()
    for example in examples:
        example.reference.user_data[LABELS_ANNOTATED] = ["PER"]
    persons = sum(label == "PER" for _, ents in SENTENCES for _, _, label in ents)
    assert len(rated()) == persons < len(everything)


def test_a_batch_that_several_processes_share(fitted: Language):
    nlp = copy.deepcopy(fitted)
    ner, texts, whole = component(nlp), raw(nlp), {}
    nlp.resume_training()
    for _ in range(3):
        ner.update(make_examples(nlp)[:1], sgd=Adam(0.01))
    ner.rehearse(texts, losses=whole)
    expected = gradients(ner)
    clear(ner)
    ner.divisors, parts = (1, SIZE), {}
    for share in (texts[:1], texts[1:]):
        ner.rehearse(share, losses=parts)
    assert parts["bio_ner"] == pytest.approx(whole["bio_ner"], abs=1e-5)
    for name, gradient in gradients(ner).items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-6, rtol=1e-3)
    example = make_example(nlp, ["Bo", "left", "today"], [(2, 3, "DATE")])
    ner.meet([example])
    assert "DATE" in ner.labels
