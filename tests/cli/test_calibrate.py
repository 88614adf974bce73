"""`bio-ner calibrate`: its figures, the pipeline it saves, and the documents it looks at."""

import json
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.training import Example
from typer.testing import CliRunner

from spacy_bio_crf.cli import app
from tests.support.evaluation_tools import make_held_out
from tests.support.pipelines import spans_of


def write(examples: list[Example], path: Path) -> Path:
    DocBin(docs=[eg.reference for eg in examples]).to_disk(path)
    return path


def test_calibrate_command(trained, tmp_path):
    held_out = make_held_out(trained)
    trained.to_disk(tmp_path / "model")
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
        assert spans_of(again(eg.reference.text)) == spans_of(trained(eg.reference.text))


def test_only_what_runs_before_the_component_presets_entities(trained, tmp_path):
    """A disabled component counts among `component_names`, but not among `pipe_names`."""
    nlp = spacy.blank("en", vocab=trained.vocab)
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("bio_ner", source=trained)
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PER", "pattern": word} for word in ("Ana", "Bo", "York")])
    nlp.to_disk(tmp_path / "enabled")
    nlp.disable_pipe("sentencizer")
    nlp.to_disk(tmp_path / "disabled")
    corpus = write(make_held_out(trained), tmp_path / "dev.spacy")
    figures = []
    for name in ("enabled", "disabled"):
        out = tmp_path / f"{name}.json"
        arguments = ["calibrate", str(tmp_path / name), str(corpus), "--json", str(out)]
        run = CliRunner().invoke(app, [*arguments, "--dry-run"])
        assert run.exit_code == 0, run.output
        figures.append(json.loads(out.read_text()))
    assert figures[0] == figures[1]
