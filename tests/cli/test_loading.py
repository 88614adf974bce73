"""Pipelines and components that commands look for, and messages that name their options."""

import errno
import io
from pathlib import Path

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import DocBin
from typer.testing import CliRunner

from spacy_bio_crf.cli import app
from spacy_bio_crf.cli.convert import convert_cli
from spacy_bio_crf.cli.debug import debug_cli
from spacy_bio_crf.cli.loading import choose_component, load_pipeline, name_options, show_table
from spacy_bio_crf.metrics.tables import Table
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
    assert "--component: expected one bio_ner or bio_tagger, got bio_ner, second;" in run.output
    run = CliRunner().invoke(app, [command, str(tmp_path / "both"), *corpus, "-c", "third"])
    assert run.exit_code == 1
    assert "--component: expected a bio_ner or bio_tagger of bio_ner, second, got" in run.output
    run = CliRunner().invoke(app, [command, str(tmp_path / "nowhere"), *corpus])
    assert run.exit_code == 1
    assert "expected a pipeline" in " ".join(run.output.split())


def test_a_pipeline_and_its_component(make_nlp: MakeNlp, tmp_path: Path):
    spacy.blank("pt").to_disk(tmp_path / "model")
    assert load_pipeline(tmp_path / "model").lang == "pt"
    nlp = make_nlp()
    assert choose_component(nlp, None) is nlp.get_pipe("bio_ner")
    make_nlp(name="other", nlp=nlp)
    assert choose_component(nlp, "other") is nlp.get_pipe("other")


@pytest.mark.parametrize(
    "command",
    [
        "ensemble a b FILE -F",
        "trim a FILE --texts t.txt -F",
        "from-hf a FILE --lang en -F",
        "to-hf a FILE -F",
        "calibrate a b.spacy -o FILE",
        "train CONFIG -o FILE",
    ],
)
def test_no_folder_takes_the_place_of_a_file(command: str, tmp_path: Path):
    (tmp_path / "a.json").write_text("mine")
    (tmp_path / "a.cfg").write_text("[nlp]")
    names = {"FILE": str(tmp_path / "a.json"), "CONFIG": str(tmp_path / "a.cfg")}
    run = CliRunner().invoke(app, [names.get(word, word) for word in command.split()])
    assert run.exit_code == 1
    printed = " ".join(run.output.split())
    option = "--output" if "-o" in command else "OUT"
    assert f"{option}: expected a folder, got {tmp_path / 'a.json'}, a file" in printed
    assert (tmp_path / "a.json").read_text() == "mine"


@pytest.mark.parametrize(
    "command", ["train CONFIG", "distill t CONFIG", "suspects CONFIG -c CONFIG -o o.jsonl"]
)
def test_unknown_options_are_named(command: str, tmp_path: Path):
    """Beside values of a config, of which spaCy's parser raises an error of another click."""
    (tmp_path / "a.cfg").write_text("[nlp]")
    words = command.replace("CONFIG", str(tmp_path / "a.cfg")).split()
    run = CliRunner().invoke(app, [*words, "--gpuid", "0"])
    assert run.exit_code == 2, run.exception
    expected = "expected an option of this command or --section.key, got --gpuid"
    assert expected in " ".join(run.output.split())


@pytest.mark.parametrize(
    ("message", "command", "expected"),
    [
        ("n_examples: expected 1, got 2", debug_cli, "--examples: expected 1, got 2"),
        ("alternatives: expected a: b", convert_cli, "--alt: expected a: b"),
        ("file.txt, line 3: expected a", convert_cli, "file.txt, line 3: expected a"),
        ("paths: expected files", convert_cli, "paths: expected files"),
        ("no place", convert_cli, "no place"),
    ],
)
def test_messages_name_options(message: str, command, expected: str):
    assert name_options(message, command) == expected


@pytest.mark.parametrize(
    ("command", "option", "rest"),
    [
        ("evaluate MODEL CORPUS", "--output", "OUT.json"),
        ("evaluate MODEL CORPUS", "--report", "OUT.html"),
        ("evaluate MODEL CORPUS", "--to-meta", ""),
        ("calibrate MODEL CORPUS", "--json", "OUT.json"),
        ("calibrate MODEL CORPUS", "--output", "OUT"),
        ("calibrate MODEL CORPUS --dry-run", "--plot", "OUT.svg"),
        ("transitions MODEL", "--json", "OUT.json"),
        ("transitions MODEL", "--plot", "OUT.svg"),
        ("debug CORPUS", "--json", "OUT.json"),
    ],
)
def test_a_full_disk_is_one_clear_error(
    trained, tmp_path, monkeypatch, command: str, option: str, rest: str
):
    arguments = [*command.split(), option, *rest.split()]
    trained.to_disk(tmp_path / "MODEL")
    docs = [eg.reference for eg in make_examples(trained)]
    DocBin(docs=docs).to_disk(tmp_path / "CORPUS.spacy")
    monkeypatch.chdir(tmp_path)

    def fail(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    if "OUT" in arguments:
        monkeypatch.setattr(Language, "to_disk", fail)
    given = ["CORPUS.spacy" if a == "CORPUS" else a for a in arguments]
    run = CliRunner().invoke(app, given)
    assert (run.exit_code, type(run.exception)) == (1, SystemExit)
    printed = " ".join(run.output.split())
    assert f"{option}: expected a file that can be written, got" in printed
    assert "No space left on device" in printed and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("command", ["agree", "suspects"])
def test_a_language_that_spacy_lacks(command: str, tmp_path: Path):
    texts = tmp_path / "a.jsonl"
    texts.write_text('{"text": "Ana ran", "spans": [[0, 3, "PER"]]}\n', "utf-8")
    (tmp_path / "none.jsonl").write_text("", "utf-8")
    own = [tmp_path / "none.jsonl"] if command == "agree" else ["--apply", tmp_path / "none.jsonl"]
    own += [] if command == "agree" else ["--output", tmp_path / "b.spacy"]
    arguments = [command, texts, *own, "--lang", "qq"]
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert done.exit_code == 1
    printed = " ".join(done.output.split())
    assert "--lang: expected the code of a language of spaCy, such as en or xx, got 'qq'" in printed


def test_a_table_on_an_output_that_lacks_its_characters(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    show_table(Table("Título", ("", "F"), [("ÓRGÃO", "99")], "→"))
    assert "T?tulo" in raw.getvalue().decode() and "?RG?O   99" in raw.getvalue().decode()
