"""The config of `bio-ner train`: files, values of the command line, and slips that are named."""

from pathlib import Path

import pytest
from thinc.api import Config, ConfigValidationError
from typer.testing import CliRunner

from spacy_bio_crf.cli import app
from spacy_bio_crf.cli.training_config import find_slips, read_training_config
from spacy_bio_crf.errors import SettingsError

TEXT = """
[nlp]
lang = "en"
pipeline = ["bio_ner"]

[training]
max_steps = 3
dropout = 0.2
"""


def read(folder: Path, text: str | bytes, *given: str) -> Config:
    path = folder / "config.cfg"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_training_config(path, list(given))


def test_values_of_the_command_line(tmp_path: Path):
    given = ["--training.max_steps", "4", "--checkpoint.steps=2", "--nlp.lang", "pt"]
    config = read(tmp_path, TEXT, *given)
    assert config["training"] == {"max_steps": 4, "dropout": 0.2}
    assert config["checkpoint"] == {"steps": 2} and config["nlp"]["lang"] == "pt"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"config.cfg: expected a config .* \[training\], got an empty one; `.* init config`"),
        ("[nlp]\nlang = 'en'", r"config.cfg: expected a config .*, got \[nlp\]; "),
        (f"{TEXT}[training]\n", "config.cfg: expected a config: .* section 'training' already"),
        ("[a.b]\n[a]\n[training]", r"config.cfg: expected the block \[a\] before those in it, got"),
        (TEXT.encode("utf-16"), "config.cfg: expected a config: 'utf-8' codec can't decode"),
        (f"{TEXT}eval_frequency = 0", "training.eval_frequency: expected 1 or more, got 0"),
        (f"{TEXT}accumulate_gradient = 0", "training.accumulate_gradient: expected 1 or more, got"),
        (f'{TEXT}dev_corpus = "dev"', "training.dev_corpus: expected a corpus .*, got 'dev'"),
    ],
)
def test_what_is_no_config_of_a_training(tmp_path: Path, text: str | bytes, message: str):
    with pytest.raises(SettingsError, match=message):
        read(tmp_path, text)


def test_errors_of_forms_are_those_of_thinc(tmp_path: Path):
    with pytest.raises(ConfigValidationError, match=r"interpolation key 'vars.none'"):
        read(tmp_path, TEXT.replace("0.2", "${vars.none}"))
    done = CliRunner().invoke(app, ["train", str(tmp_path / "config.cfg")])
    assert isinstance(done.exception, SystemExit) and "vars.none" in done.output


def test_options_that_are_none(tmp_path: Path):
    message = "options: expected those of the command, and values .*, got --max_steps"
    with pytest.raises(SettingsError, match=message):
        read(tmp_path, TEXT, "--max_steps", "3")


def test_blocks_that_may_be_mistyped_are_named(tmp_path: Path):
    known = "[vars]\n[project]\n[variable]\nn = 1\n[corpora2]\n[corpora2.train]\n[my_company]\n"
    text = TEXT.replace(
        "max_steps = 3", 'max_steps = ${variable.n}\ntrain_corpus = "corpora2.train"'
    )
    wrong = "[trainning]\nmax_steps = 9\n[checkpoints]\nsteps = 4\n[Corpora]\n"
    found = find_slips(read(tmp_path, known + wrong + text))
    expected = {"trainning": "training", "checkpoints": "checkpoint", "Corpora": "corpora"}
    assert found == [
        f"[{name}]: no block of spaCy or bio-ner, and nothing refers to it; did you mean [{meant}]?"
        for name, meant in expected.items()
    ]


def test_components_that_are_not_in_the_pipeline_cannot_annotate(tmp_path: Path):
    assert find_slips(read(tmp_path, f'{TEXT}annotating_components = ["bio_ner"]')) == []
    (found,) = find_slips(read(tmp_path, f'{TEXT}annotating_components = ["bio_nre", "bio_ner"]'))
    assert (
        found.startswith("training.annotating_components: without effect, ") and "bio_nre" in found
    )
