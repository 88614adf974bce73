"""Components that learn from class weights, spans known to be wrong, and partial annotation."""

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example

from tests.support.pipelines import MakeNlp, make_examples, spans_of, train


def test_wrong_weights_are_errors(make_nlp: MakeNlp):
    with pytest.raises(ValueError, match="class_weights: expected .* above 0, got 0.0 for 'PER'"):
        make_nlp("crf", head_options={"class_weights": {"PER": 0.0}})
    nlp = make_nlp("crf", head_options={"class_weights": {"PERSON": 2.0}})
    with pytest.raises(ValueError, match="class_weights: expected 'O' or labels of .*'PERSON'"):
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


@pytest.mark.parametrize("which", ["bio_ner", "ner"])
def test_wrong_spans_of_labels_that_are_nowhere_teach_nothing(make_nlp: MakeNlp, which: str):
    """As in spaCy's `ner`: there is no label to unlearn."""
    nlp = spacys_ner() if which == "ner" else make_nlp(incorrect_spans_key="wrong")
    examples = make_examples(nlp)
    examples[0].reference.spans["wrong"] = [Span(examples[0].reference, 4, 5, label="ORG")]
    optimizer = nlp.initialize(lambda: examples)
    losses = nlp.update(examples, sgd=optimizer)
    assert nlp.get_pipe(which).labels == ("LOC", "PER")  # type: ignore[attr-defined]
    assert losses[which] > 0.0


def test_wrong_spans_of_other_labels_count_for_nothing_beside_known_ones(make_nlp: MakeNlp):
    nlp = make_nlp(incorrect_spans_key="wrong", encoder_options={"dropout": 0.0})
    nlp.initialize(lambda: make_examples(nlp))
    reference = make_examples(nlp)[0].reference
    losses = []
    for labels in (["LOC"], ["LOC", "ORG"]):
        reference.spans["wrong"] = [Span(reference, 4, 5, label=label) for label in labels]
        example = Example(nlp.make_doc(reference.text), reference)
        losses.append(nlp.update([example], sgd=False)["bio_ner"])  # type: ignore[arg-type]
    assert losses[0] == losses[1]
