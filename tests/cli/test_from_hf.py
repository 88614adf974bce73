"""`bio-ner from-hf`: the pipeline it writes, and its messages."""

from pathlib import Path

import pytest
import spacy
from typer.testing import CliRunner

from spacy_bio_crf.cli import app
from tests.support.classifiers import write_classifier_checkpoint


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["from-hf", *map(str, arguments)])
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_classifier_checkpoint(tmp_path / "checkpoint", names=("O", "I-A", "B-B", "I-B"))


def test_a_pipeline_is_written(checkpoint: Path, tmp_path: Path):
    code, output = run(checkpoint, tmp_path / "out", "--lang", "pt", "--head", "crf")
    assert code == 0, output
    assert "Labels in IOB1: A, B" in output
    assert "Tags that the checkpoint lacks, never found before training: B-A" in output
    nlp = spacy.load(tmp_path / "out")
    assert nlp.lang == "pt" and nlp.get_pipe("bio_ner").head.crf
    code, output = run(checkpoint, tmp_path / "out", "--lang", "en")
    assert code == 1 and "OUT: expected a new file or folder, got" in output
    code, output = run(checkpoint, tmp_path / "out", "--lang", "en", "--force")
    assert code == 0 and spacy.load(tmp_path / "out").lang == "en"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    code, output = run(checkpoint, tmp_path / "mine", "--lang", "en", "--force")
    assert code == 1 and "OUT: expected a folder that is new, empty or a pipeline's" in output
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_labels_from_a_file(checkpoint: Path, tmp_path: Path):
    (tmp_path / "labels.txt").write_text("\ufeffO\nfirst name\n-\n\nlast name\n", "utf-8")
    options = ["--lang", "xx", "--labels", tmp_path / "labels.txt"]
    code, output = run(checkpoint, tmp_path / "out", *options)
    assert code == 0, output
    assert "Labels in IO: first name, last name" in output
    assert "Rows of the classifier left out, so that others win there: 1" in output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--lang", "qq"], "--lang: expected the code of a language of spaCy"),
        # Japanese needs a package, which no test has.
        (["--lang", "ja"], "the reason given: Japanese support requires SudachiPy"),
        (["--lang", "xx", "--head", "x"], "--head: expected one of 'softmax', 'crf', got 'x'"),
        (["--lang", "xx", "--scheme", "x"], "--scheme: expected one of BIO, IOB1"),
        (["--lang", "xx", "--constrained"], "--constrained: expected false for labels in IOB1"),
        (["--lang", "xx", "--labels", "nowhere.txt"], "nowhere.txt"),
    ],
)
def test_messages_name_the_options(checkpoint: Path, tmp_path: Path, options, message: str):
    code, output = run(checkpoint, tmp_path / "out", *options)
    assert code == 1 and message in output
    assert not (tmp_path / "out").exists()


def test_labels_of_tokens(checkpoint: Path, tmp_path: Path):
    (tmp_path / "labels.txt").write_text("NOUN\nVERB\n-\nADP\n")
    options = ["--lang", "xx", "--target", "pos"]
    code, output = run(checkpoint, tmp_path / "out", *options)
    assert code == 1 and "got 'O'; rename it, or leave it out" in output
    options += ["--labels", tmp_path / "labels.txt"]
    code, output = run(checkpoint, tmp_path / "out", *options, "--scheme", "BIO")
    assert code == 1 and "--scheme: expected none beside --target" in output
    code, output = run(checkpoint, tmp_path / "out", *options)
    assert code == 0 and "Labels of pos: NOUN, VERB, ADP" in output
    assert {t.pos_ for t in spacy.load(tmp_path / "out")("a b c")} <= {"NOUN", "VERB", "ADP"}
