"""The fitted temperature against a grid, and the entities it is fitted to."""

import math

import numpy as np
import pytest
from spacy.training import Example

from spacy_bio_crf.metrics.calibration import log_loss
from spacy_bio_crf.temperature import COLDEST, HOTTEST, fit_temperature, outcomes, take_sample
from tests.support.evaluation_tools import make_held_out
from tests.support.pipelines import make_examples, spans_of
from tests.support.taggers import make_bio_tagger, tagged_examples, tagger_of


def test_the_fitted_temperature_is_the_best_of_a_grid(trained):
    bio_ner = trained.get_pipe("bio_ner")
    sample = take_sample(bio_ner, make_held_out(trained), batch_size=4)
    temperature = fit_temperature(sample)
    best = log_loss(outcomes(sample, temperature))
    for other in np.geomspace(COLDEST, HOTTEST, 60):
        assert best <= log_loss(outcomes(sample, float(other))) + 1e-4
    right = outcomes(sample, 1.0).correct
    assert 0 < right.sum() < len(right)


def test_tokens_without_annotation_do_not_count(trained):
    bio_ner = trained.get_pipe("bio_ner")
    (first, *_rest) = make_examples(trained)
    reference = first.reference
    reference.set_ents([], missing=[reference[5:8]], default="outside")
    results = outcomes(take_sample(bio_ner, [Example(first.predicted, reference)]), 1.0)
    found = spans_of(trained(first.predicted.text))
    assert (5, 8, "LOC") in found
    assert len(results.correct) == len(found) - 1
    assert not results.correct.any()


def test_no_entity_to_calibrate_on(trained):
    doc = trained.make_doc("Nobody works today .")
    with pytest.raises(ValueError, match="'bio_ner': expected predicted entities in .* got none"):
        fit_temperature(take_sample(trained.get_pipe("bio_ner"), [Example(doc, doc.copy())]))


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_temperature_out_of_range(trained, value):
    with pytest.raises(ValueError, match="temperature: expected a number above 0, got"):
        trained.get_pipe("bio_ner").temperature = value


def test_labels_of_tokens(tiny_encoder):
    """Each annotated token counts, but for those whose label an earlier component has set."""
    nlp = make_bio_tagger(tiny_encoder, "crf")
    examples = tagged_examples(nlp)
    tagger_of(nlp).initialize(lambda: examples)
    examples[0].reference[0].pos_ = ""
    examples[1].predicted[1].pos_ = "VERB"
    results = outcomes(take_sample(tagger_of(nlp), examples), 1.0)
    assert len(results.confidence) == 9
    docs = list(nlp.pipe(eg.predicted.text for eg in examples))
    docs[1] = nlp(examples[1].predicted.copy())
    expected = [
        (token._.confidence, token.pos_ == gold.pos_)
        for doc, eg in zip(docs, examples, strict=True)
        for token, gold in zip(doc, eg.reference, strict=True)
        if gold.pos_ and token._.confidence is not None
    ]
    assert results.confidence.tolist() == pytest.approx([score for score, _ in expected])
    assert results.correct.tolist() == [right for _, right in expected]
    assert 0.0 < fit_temperature(take_sample(tagger_of(nlp), examples)) < HOTTEST
