"""Calibration and the commands around a CRF's scores."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from typer.testing import CliRunner

from spacy_bio_crf import temperature as calibration
from spacy_bio_crf.cli import app
from spacy_bio_crf.report.transition_table import transition_table
from spacy_bio_crf.tags.tagset import TagSet
from spacy_bio_crf.temperature import (
    Outcomes,
    expected_calibration_error,
    fit_temperature,
    log_loss,
    outcomes,
    reliability,
    take_sample,
)
from tests.support.pipelines import MakeNlp, make_examples, spans_of, train

RESULTS = Outcomes(
    confidence=np.array([0.05, 0.55, 0.59, 0.95, 0.97, 1.0]),
    correct=np.array([False, True, False, True, True, True]),
)


def test_reliability_by_hand():
    bins = reliability(RESULTS, bins=10)
    assert [b.count for b in bins] == [1, 0, 0, 0, 0, 2, 0, 0, 0, 3]
    assert (bins[5].confidence, bins[5].precision) == (pytest.approx(0.57), 0.5)
    assert math.isnan(bins[1].precision)
    gaps = [abs(0.05 - 0.0), 2 * abs(0.57 - 0.5), 3 * abs(2.92 / 3 - 1.0)]
    assert expected_calibration_error(bins) == pytest.approx(sum(gaps) / 6)
    assert expected_calibration_error(reliability(Outcomes(np.zeros(0), np.zeros(0, bool)))) == 0.0


def test_log_loss_by_hand():
    results = Outcomes(np.array([0.8, 0.4]), np.array([True, False]))
    assert log_loss(results) == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2)


@pytest.fixture(scope="module")
def nlp(make_nlp: MakeNlp):
    nlp = make_nlp("crf", encoder_options={"dropout": 0.0})
    return train(nlp, make_examples(nlp), steps=25)


@pytest.fixture(scope="module")
def held_out(nlp) -> list[Example]:
    """Sentences in which some of what the model finds is wrong."""
    examples = make_examples(nlp)
    for words, ents in [
        (["Bo", "Ruiz", "moved", "to", "Washington"], [(0, 2, "PER"), (4, 5, "LOC")]),
        (["Silva", "met", "York", "in", "Ana"], [(0, 1, "PER"), (2, 3, "PER"), (4, 5, "LOC")]),
        (["Maria", "da", "Lisbon", "flew", "Bo"], [(0, 3, "PER")]),
    ]:
        reference = Doc(nlp.vocab, words=words)
        reference.set_ents([Span(reference, s, e, label=label) for s, e, label in ents])
        examples.append(Example(Doc(nlp.vocab, words=words), reference))
    return examples


def test_the_fitted_temperature_is_the_best_of_a_grid(nlp, held_out):
    bio_ner = nlp.get_pipe("bio_ner")
    sample = take_sample(bio_ner, held_out, batch_size=4)
    temperature = fit_temperature(sample)
    best = log_loss(outcomes(sample, temperature))
    for other in np.geomspace(calibration.COLDEST, calibration.HOTTEST, 60):
        assert best <= log_loss(outcomes(sample, float(other))) + 1e-4
    right = outcomes(sample, 1.0).correct
    assert 0 < right.sum() < len(right)


def test_tokens_without_annotation_do_not_count(nlp):
    bio_ner = nlp.get_pipe("bio_ner")
    (first, *_rest) = make_examples(nlp)
    reference = first.reference
    reference.set_ents([], missing=[reference[5:8]], default="outside")
    results = outcomes(take_sample(bio_ner, [Example(first.predicted, reference)]), 1.0)
    found = spans_of(nlp(first.predicted.text))
    assert (5, 8, "LOC") in found
    assert len(results.correct) == len(found) - 1
    assert not results.correct.any()


def test_no_entity_to_calibrate_on(nlp):
    doc = nlp.make_doc("Nobody works today .")
    with pytest.raises(ValueError, match="'bio_ner' predicts no entity in the documents"):
        fit_temperature(take_sample(nlp.get_pipe("bio_ner"), [Example(doc, doc.copy())]))


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_temperature_out_of_range(nlp, value):
    with pytest.raises(ValueError, match="The temperature of 'bio_ner' can't be"):
        nlp.get_pipe("bio_ner").temperature = value


def write(examples: list[Example], path: Path) -> Path:
    DocBin(docs=[eg.reference for eg in examples]).to_disk(path)
    return path


def test_calibrate_command(nlp, held_out, tmp_path):
    nlp.to_disk(tmp_path / "model")
    corpus = write(held_out, tmp_path / "dev.spacy")
    arguments = ["calibrate", str(tmp_path / "model"), str(corpus), "--bins", "5"]
    figures, plot = tmp_path / "figures.json", tmp_path / "plot.svg"
    run = CliRunner().invoke(app, [*arguments, "--dry-run"])
    assert run.exit_code == 0, run.output
    assert spacy.load(tmp_path / "model").get_pipe("bio_ner").temperature == 1.0
    out = tmp_path / "calibrated"
    run = CliRunner().invoke(
        app, [*arguments, "-o", str(out), "--json", str(figures), "--plot", str(plot)]
    )
    assert run.exit_code == 0, run.output
    before, after = (json.loads(figures.read_text())[key] for key in ("before", "after"))
    assert before["temperature"] == 1.0
    assert after["log_loss"] < before["log_loss"]
    assert [b["count"] for b in after["bins"]] and len(after["bins"]) == 5
    assert plot.read_text().lstrip().startswith("<?xml")
    again = spacy.load(out)
    assert again.get_pipe("bio_ner").temperature == pytest.approx(after["temperature"])
    for eg in held_out:
        assert spans_of(again(eg.reference.text)) == spans_of(nlp(eg.reference.text))


def test_transition_table_leaves_out_what_is_illegal():
    tags = TagSet(("A",))
    start, end = np.arange(3.0), np.arange(3.0) + 20
    between = np.arange(9.0).reshape(3, 3) + 10
    table = transition_table(tags, start, between, end, constrained=True)
    assert table.rows == ["start", "O", "B-A", "I-A"]
    assert table.columns == ["O", "B-A", "I-A", "end"]
    assert table.scores == [
        [0.0, 1.0, None, None],
        [10.0, 11.0, None, 20.0],
        [13.0, 14.0, 15.0, 21.0],
        [16.0, 17.0, 18.0, 22.0],
    ]
    open_table = transition_table(tags, start, between, end, constrained=False)
    assert open_table.scores[1] == [10.0, 11.0, 12.0, 20.0]


def test_transitions_command(nlp, make_nlp: MakeNlp, tmp_path):
    nlp.to_disk(tmp_path / "model")
    figures, plot = tmp_path / "scores.json", tmp_path / "heat.svg"
    arguments = ["transitions", str(tmp_path / "model")]
    run = CliRunner().invoke(app, [*arguments, "--json", str(figures), "--plot", str(plot)])
    assert run.exit_code == 0, run.output
    assert "B-PER" in run.output
    assert plot.exists()
    scores = json.loads(figures.read_text())
    _, transitions, _ = nlp.get_pipe("bio_ner").transition_scores()
    ids = nlp.get_pipe("bio_ner").tagset.ids
    row, column = scores["rows"].index("B-PER"), scores["columns"].index("I-PER")
    assert scores["scores"][row][column] == pytest.approx(transitions[ids["B-PER"], ids["I-PER"]])
    softmax = make_nlp("softmax")
    softmax.initialize(lambda: make_examples(softmax))
    softmax.to_disk(tmp_path / "softmax")
    run = CliRunner().invoke(app, ["transitions", str(tmp_path / "softmax")])
    assert run.exit_code == 1
    assert "has a softmax head" in run.output


@pytest.mark.parametrize("command", ["transitions", "calibrate"])
def test_which_component(nlp, make_nlp: MakeNlp, held_out, tmp_path, command):
    both = make_nlp("crf")
    make_nlp("crf", name="second", nlp=both)
    both.initialize(lambda: make_examples(both))
    both.to_disk(tmp_path / "both")
    corpus = [str(write(held_out, tmp_path / "dev.spacy"))] if command == "calibrate" else []
    run = CliRunner().invoke(app, [command, str(tmp_path / "both"), *corpus])
    assert run.exit_code == 1
    assert "Expected one bio_ner, found bio_ner, second" in run.output
    run = CliRunner().invoke(app, [command, str(tmp_path / "both"), *corpus, "-c", "third"])
    assert run.exit_code == 1
    assert "No bio_ner is called 'third'; found bio_ner, second" in run.output
    run = CliRunner().invoke(app, [command, str(tmp_path / "nowhere"), *corpus])
    assert run.exit_code == 1
    assert "expected a pipeline" in run.output
