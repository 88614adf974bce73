"""`bio-ner select` as a command: its options, and what it says."""

import inspect
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spacy_bio_crf import selection
from spacy_bio_crf.cli import app
from spacy_bio_crf.cli.select import select_cli

TEXTS = ["Ana Ruiz met Bo in New York City .", "Nobody works today .", "Bo flew to Lisbon ."]


@pytest.fixture
def bio_ner(tmp_path, monkeypatch, trained):
    """Run the command in a folder with a model and texts; return exit code and output."""
    monkeypatch.chdir(tmp_path)
    trained.to_disk("model")
    Path("texts.txt").write_text("\n".join(TEXTS) + "\n")

    def run(*args):
        result = CliRunner().invoke(app, ["select", *args])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.exit_code, " ".join(result.output.split())

    return run


def test_select(bio_ner):
    code, output = bio_ner("model", "texts.txt", "out.jsonl", "-n", "2")
    assert code == 0 and "out.jsonl: 2 of 3 texts" in output
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [row["selection"]["rank"] for row in rows] == [1, 2]
    code, output = bio_ner(
        "model", "texts.txt", "b.json", "--to", "label-studio", "-x", "out.jsonl"
    )
    assert code == 0 and "b.json: 1 of 3 texts, 2 of them annotated already" in output
    (task,) = json.loads(Path("b.json").read_text())
    assert task["data"]["text"] in TEXTS and task["predictions"][0]["model_version"]
    assert sorted(path.name for path in Path().iterdir()) == [
        "b.json", "model", "out.jsonl", "texts.txt",
    ]  # fmt: skip


def test_confident(bio_ner):
    options = ["-n", "9", "--strategy", "confident", "--min-probability"]
    code, output = bio_ner("model", "texts.txt", "some.jsonl", *options, "0")
    assert code == 0 and "some.jsonl: 2 of 3 texts" in output
    code, output = bio_ner("model", "texts.txt", "none.jsonl", *options, "1")
    assert code == 0 and "none.jsonl: 0 of 3 texts" in output
    code, output = bio_ner("model", "texts.txt", "o.jsonl", "--min-probability", "0.5")
    assert (
        code == 1 and "--min-probability: expected 0 for all strategies but 'confident'" in output
    )


def test_every_option_arrives(bio_ner, monkeypatch):
    seen = {}

    def noted(nlp, path, output, **options):
        seen.update(options, nlp=nlp, path=path, output=output)
        return selection.Selection(selection.selecting.Counts(3, 9, 2, 1), 0, 1)

    monkeypatch.setattr("spacy_bio_crf.selection.select", noted)
    Path("code.py").write_text("")
    options = {
        "--number": "7", "--strategy": "rare", "--labels": "PER,LOC", "--pool": "70",
        "--exclude": "a.spacy", "--to": "doccano", "--seed": "3", "--component": "bio_ner",
        "--scores": "s.jsonl", "--format": "text", "--text-key": "body", "--entities-key": "ents",
        "--batch-size": "8", "--n-process": "2", "--max-length": "123", "--code": "code.py",
    }  # fmt: skip
    flags = ["--per-token", "--diverse", "--skip-bad", "--force", "--restart"]
    arguments = [part for pair in options.items() for part in pair]
    code, output = bio_ner("model", "texts.txt", "out.jsonl", *arguments, *flags)
    assert code == 0 and "Skipped: 1 record" in output, output
    strategy = seen.pop("strategy")
    assert strategy == selection.Strategy("rare", True, ("PER", "LOC"), 3)
    assert seen.pop("nlp").max_length == 123 or seen["load"] is not None
    for name in ("path", "output", "report", "load"):
        seen.pop(name)
    assert seen == {
        "n": 7, "component": "bio_ner", "diverse": True, "pool": 70, "exclude": [Path("a.spacy")],
        "form": "doccano", "scores": Path("s.jsonl"), "text_key": "body", "entities_key": "ents",
        "force": True, "format": "text", "batch_size": 8, "n_process": 2, "skip_bad": True,
        "restart": True, "code": Path("code.py"),
    }  # fmt: skip
    known = {*seen, "model", "path", "output", "strategy", "per_token", "labels", "seed"}
    known |= {"max_length", "gpu_id", "min_probability"}
    assert set(inspect.signature(select_cli).parameters) == known


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--strategy", "best"], "--strategy: expected one of 'entropy', 'least-confidence', 'ma"),
        (["--strategy", "rare"], "--labels: expected labels for the strategy 'rare', and for no"),
        (["--pool", "5"], "--pool: expected n or more, with --diverse, got 5 without it"),
        (["--to", "brat"], "--to: expected one of 'jsonl', 'prodigy', 'label-studio', 'doccano'"),
        (["--scores", "s"], "--scores: expected a folder whose name ends in .jsonl, got 's'"),
        (["--exclude", "no.spacy"], "no.spacy: expected a file or folder, got nothing there"),
    ],
)
def test_errors_name_options(bio_ner, arguments, message):
    code, output = bio_ner("model", "texts.txt", "out.jsonl", *arguments)
    assert code == 1 and message in output
    assert not Path("out.jsonl").exists()


def test_the_input_is_not_written_over(bio_ner):
    code, output = bio_ner("model", "texts.txt", "./texts.txt", "--force")
    assert code == 1 and "texts.txt: expected an output outside of the input texts.txt" in output
    assert Path("texts.txt").read_text().splitlines() == TEXTS
