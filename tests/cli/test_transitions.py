"""`bio-ner transitions`: the scores it prints, writes and draws."""

import json
import re

import pytest
from typer.testing import CliRunner

from spacy_bio_crf.cli import app
from tests.support.pipelines import MakeNlp, make_examples


def test_transitions_command(trained, make_nlp: MakeNlp, tmp_path):
    trained.to_disk(tmp_path / "model")
    figures, plot = tmp_path / "scores.json", tmp_path / "heat.svg"
    arguments = ["transitions", str(tmp_path / "model")]
    run = CliRunner().invoke(app, [*arguments, "--json", str(figures), "--plot", str(plot)])
    assert run.exit_code == 0, run.output
    assert "B-PER" in run.output
    # Favored transitions are green, avoided ones red.
    colored = re.findall(r"48;5;(\d+)m([+-][\d.]+)", run.output)
    assert {sign[0] for _, sign in colored} == {"+", "-"}
    assert all(shade in ("34", "151") for shade, score in colored if score[0] == "+")
    assert all(shade in ("160", "217") for shade, score in colored if score[0] == "-")
    assert plot.exists()
    scores = json.loads(figures.read_text())
    _, transitions, _ = trained.get_pipe("bio_ner").transition_scores()
    ids = trained.get_pipe("bio_ner").tagset.ids
    row, column = scores["rows"].index("B-PER"), scores["columns"].index("I-PER")
    assert scores["scores"][row][column] == pytest.approx(transitions[ids["B-PER"], ids["I-PER"]])
    softmax = make_nlp("softmax")
    softmax.initialize(lambda: make_examples(softmax))
    softmax.to_disk(tmp_path / "softmax")
    run = CliRunner().invoke(app, ["transitions", str(tmp_path / "softmax")])
    assert run.exit_code == 1
    assert "got a softmax head" in " ".join(run.output.split())


@pytest.mark.parametrize("constrained", [True, False])
def test_forbidden_transitions_have_scores_where_decoding_takes_them(
    make_nlp: MakeNlp, tmp_path, constrained: bool
):
    nlp = make_nlp(head_options={"constrained": constrained})
    nlp.initialize(lambda: make_examples(nlp))
    nlp.to_disk(tmp_path / "model")
    figures = tmp_path / "scores.json"
    arguments = ["transitions", str(tmp_path / "model"), "--json", str(figures)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    table = json.loads(figures.read_text())
    row, column = table["rows"].index("O"), table["columns"].index("I-PER")
    assert (table["scores"][row][column] is None) == constrained
