"""Pipelines and components that a command can't find."""

import pytest
from typer.testing import CliRunner

from spacy_bio_crf.cli import app
from tests.support.pipelines import MakeNlp, make_examples


@pytest.mark.parametrize("command", ["transitions", "calibrate"])
def test_which_component(make_nlp: MakeNlp, tmp_path, command):
    both = make_nlp("crf")
    make_nlp("crf", name="second", nlp=both)
    both.initialize(lambda: make_examples(both))
    both.to_disk(tmp_path / "both")
    corpus = [str(tmp_path / "dev.spacy")] if command == "calibrate" else []
    run = CliRunner().invoke(app, [command, str(tmp_path / "both"), *corpus])
    assert run.exit_code == 1
    assert "--component: expected one bio_ner, got bio_ner, second; name one" in run.output
    run = CliRunner().invoke(app, [command, str(tmp_path / "both"), *corpus, "-c", "third"])
    assert run.exit_code == 1
    assert "--component: expected a bio_ner of bio_ner, second, got 'third'" in run.output
    run = CliRunner().invoke(app, [command, str(tmp_path / "nowhere"), *corpus])
    assert run.exit_code == 1
    assert "expected a pipeline" in " ".join(run.output.split())
