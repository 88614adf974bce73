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
from tests.support.pipelines import make_examples, spans_of


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
    nlp = spacy.blank("xx", vocab=trained.vocab)
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


@pytest.fixture
def model(trained, tmp_path) -> list[str]:
    """The command's arguments: a pipeline and held-out documents."""
    trained.to_disk(tmp_path / "model")
    return [str(tmp_path / "model"), str(write(make_held_out(trained), tmp_path / "dev.spacy"))]


def test_plots_are_checked_before_the_work(model, run_python, tmp_path):
    script = """
import sys
sys.modules["matplotlib"] = None
from spacy_bio_crf.cli import app
try:
    app(sys.argv[1:], standalone_mode=False)
except SystemExit as end:
    print("exit", end.code)
"""
    for command in (["calibrate", "nowhere", "nothing"], ["transitions", "nowhere"]):
        printed = " ".join(run_python(script, *command, "--plot", "plot.svg").split())
        assert "--plot: expected matplotlib, got ModuleNotFoundError" in printed
        assert 'pip install "spacy_bio_crf[report]"' in printed
        assert "exit 1" in printed
    run = CliRunner().invoke(app, ["calibrate", *model, "--plot", str(tmp_path / "plot.doc")])
    assert run.exit_code == 1
    assert "--plot: expected a file name that ends in one of" in " ".join(run.output.split())


def test_the_pipeline_is_saved_before_the_plot_is_drawn(model, tmp_path):
    (tmp_path / "file").touch()
    run = CliRunner().invoke(app, ["calibrate", *model, "--plot", str(tmp_path / "file" / "a.svg")])
    assert run.exit_code == 1
    assert "--plot: expected a file that can be written, got" in " ".join(run.output.split())
    assert spacy.load(model[0]).get_pipe("bio_ner").temperature != 1.0


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_in_place_nothing_but_the_temperature_is_written(model, tmp_path):
    """The rest is never open to a kill; the component itself is put in place in one step."""
    (Path(model[0]) / "README.md").write_text("mine")
    before = contents(Path(model[0]))
    run = CliRunner().invoke(app, ["calibrate", *model])
    assert run.exit_code == 0, run.output
    after = contents(Path(model[0]))
    assert before.keys() == after.keys()
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"bio_ner/cfg", "bio_ner/checksums.json"}
    assert sorted(path.name for path in Path(model[0]).parent.iterdir()) == ["dev.spacy", "model"]


def test_another_pipeline_is_replaced_and_a_file_beside_it_stays(model, trained, tmp_path):
    trained.to_disk(tmp_path / "out")
    (tmp_path / "out" / "README.md").write_text("mine")
    run = CliRunner().invoke(app, ["calibrate", *model, "-o", str(tmp_path / "out")])
    assert run.exit_code == 0, run.output
    assert spacy.load(tmp_path / "out").get_pipe("bio_ner").temperature != 1.0
    assert contents(tmp_path / "out").keys() == {*contents(Path(model[0])), "README.md"}


def test_a_damaged_pipeline_is_one_sentence(model):
    path = Path(model[0]) / "bio_ner" / "cfg"
    path.write_text(path.read_text().replace('"LOC",', ""))
    run = CliRunner().invoke(app, ["calibrate", *model])
    assert run.exit_code == 1 and "Traceback" not in run.output
    assert "labels: expected labels for the 5 tags" in " ".join(run.output.split())


def test_a_package_stays_as_it_is(trained, tmp_path, monkeypatch):
    """A folder of its name in the current one would not be what `spacy.load` takes."""
    trained.to_disk(tmp_path / "model")
    site, here = tmp_path / "site", tmp_path / "here"
    (site / "xx_packed-1.0.dist-info").mkdir(parents=True)
    here.mkdir()
    metadata = "Metadata-Version: 2.1\nName: xx_packed\nVersion: 1.0\n"
    (site / "xx_packed-1.0.dist-info" / "METADATA").write_text(metadata)
    folder = str(tmp_path / "model")
    source = f"import spacy\n\ndef load(**options):\n    return spacy.load({folder!r})\n"
    (site / "xx_packed.py").write_text(source)
    monkeypatch.syspath_prepend(site)
    monkeypatch.chdir(here)
    arguments = ["calibrate", "xx_packed", str(write(make_held_out(trained), tmp_path / "d.spacy"))]
    run = CliRunner().invoke(app, arguments)
    assert run.exit_code == 1
    assert "--output: expected a folder, got none; xx_packed is an" in " ".join(run.output.split())
    assert list(here.iterdir()) == []
    assert CliRunner().invoke(app, [*arguments, "--dry-run"]).exit_code == 0
    assert CliRunner().invoke(app, [*arguments, "-o", "out"]).exit_code == 0
    assert spacy.load(here / "out").get_pipe("bio_ner").temperature != 1.0


def test_a_temperature_without_a_limit_is_said(trained, tmp_path):
    """All predictions are right, so no temperature is too low, or all are wrong."""
    trained.to_disk(tmp_path / "model")
    right, wrong = make_examples(trained), make_examples(trained)
    n = sum(len(eg.reference.ents) for eg in right)
    assert all(spans_of(trained(eg.reference.text)) == spans_of(eg.reference) for eg in right)
    for eg in wrong:
        eg.reference.set_ents([])
    for number, examples in ((f"{n} of {n}", right), (f"0 of {n}", wrong)):
        corpus = write(examples, tmp_path / "dev.spacy")
        arguments = ["calibrate", str(tmp_path / "model"), str(corpus), "--dry-run"]
        run = CliRunner().invoke(app, arguments)
        assert f"for {number} predicted entities are right" in " ".join(run.output.split())
    corpus = write(make_held_out(trained), tmp_path / "dev.spacy")
    run = CliRunner().invoke(app, [*arguments[:2], str(corpus), "--dry-run"])
    assert "end of the search" not in run.output


def test_only_a_pipeline_is_replaced(model, tmp_path):
    """`-o` of other commands is a file; and config.cfg is the name of a training's config, too."""
    (tmp_path / "figures.json").write_text("mine")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "config.cfg").write_text("mine")
    for place, got in (
        ("figures.json", "figures.json, a file"),
        ("project", "project, which has other files"),
    ):
        out = tmp_path / place
        run = CliRunner().invoke(app, ["calibrate", *model, "-o", str(out)])
        assert run.exit_code == 1 and "Temperature" not in run.output
        printed = " ".join(run.output.split())
        assert "--output: expected a folder" in printed and got in printed
    assert (tmp_path / "figures.json").read_text() == "mine"
    assert [f.name for f in (tmp_path / "project").iterdir()] == ["config.cfg"]
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "empty"):  # the second time it is a pipeline
        run = CliRunner().invoke(app, ["calibrate", *model, "-o", str(out)])
        assert run.exit_code == 0, run.output


@pytest.mark.parametrize("option", ["--json", "--plot"])
def test_held_out_documents_are_not_written_over(model, option):
    run = CliRunner().invoke(app, ["calibrate", *model, "--dry-run", option, model[1]])
    printed = " ".join(run.output.split())
    assert run.exit_code == 1 and f"{option}: expected another file than what is read" in printed
