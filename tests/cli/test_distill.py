"""`bio-ner distill`: it trains, goes on after an interruption, and says what is wrong."""

from pathlib import Path

import pytest
import spacy
from typer.testing import CliRunner

from spacy_bio_crf.cli import app
from tests.support.tiny_models import write_checkpoint
from tests.support.trainings import assert_same, bio_ner, contents, run_command, write_training


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained teacher, the configuration of a smaller student, and texts."""
    folder = tmp_path_factory.mktemp("distill")
    large = write_checkpoint(folder / "large", "bert")
    small = write_checkpoint(folder / "small", "roberta", num_hidden_layers=1)
    run_command(write_training(folder / "t", {"bio_ner": bio_ner(large)}), folder / "training")
    write_training(folder / "s", {"bio_ner": bio_ner(small)})
    (folder / "texts.txt").write_text("Bo met Ana Ruiz in Lisbon\nAna flew to New York\n" * 3)
    return folder


def distill(folder: Path, output: Path, *options: object) -> tuple[int, str]:
    teacher, config = folder / "training" / "model-last", folder / "s" / "config.cfg"
    given = ["distill", teacher, config, "--output", output, *options]
    done = CliRunner().invoke(app, list(map(str, given)))
    return done.exit_code, " ".join(done.output.split())


def test_a_student_is_trained_and_an_interruption_changes_nothing(folder: Path, tmp_path: Path):
    options = ["--texts", folder / "texts.txt", "--distillation.weight", "0.75"]
    options += ["--checkpoint.steps", 5]
    code, printed = distill(folder, tmp_path / "whole", *options)
    assert code == 0, printed
    assert "Teacher: " in printed and "Saved pipeline to output" in printed
    nlp = spacy.load(tmp_path / "whole" / "model-last")
    assert nlp.config["distillation"]["weight"] == 0.75
    assert nlp.get_pipe("bio_ner").labels == ("LOC", "PER")  # type: ignore[attr-defined]
    # A shorter training, and on from there.
    steps = ["--training.max_steps", 9]
    assert distill(folder, tmp_path / "parts", *options, *steps)[0] == 0
    code, printed = distill(folder, tmp_path / "parts", *options, "--resume")
    assert code == 0 and "Going on after step" in printed
    assert_same(tmp_path / "whole", tmp_path / "parts")
    code, printed = distill(folder, tmp_path / "parts", "--resume", *options[2:])
    assert code == 1 and "distillation.texts = not set (was" in printed


def test_the_block_in_a_configuration_does_the_same(folder: Path, tmp_path: Path):
    steps = ["--training.max_steps", "4"]
    assert distill(folder, tmp_path / "one", *steps)[0] == 0
    config = tmp_path / "config.cfg"
    text = (folder / "s" / "config.cfg").read_text()
    config.write_text(f'{text}\n[distillation]\nteacher = "{folder}/training/model-last"\n')
    run_command(config, tmp_path / "two", *steps)
    assert_same(tmp_path / "one", tmp_path / "two")
    plain = folder / "s" / "config.cfg"
    run_command(plain, tmp_path / "alone", *steps)
    models = [contents(tmp_path / name / "model-last") for name in ("one", "alone")]
    assert models[0]["bio_ner/model"] != models[1]["bio_ner/model"]


def test_messages(folder: Path, tmp_path: Path):
    code, printed = distill(folder, tmp_path / "x", "--distillation.weight", 2)
    assert code == 1 and "distillation.weight: expected a number above 0, and 1" in printed
    code, printed = distill(folder, tmp_path / "x", "--texts", tmp_path / "none.txt")
    assert code == 1 and "distillation.texts: " in printed
    # Before the training, whose models of before would be gone.
    assert "Training pipeline" not in printed
    for name in ("component", "student"):
        code, printed = distill(folder, tmp_path / "x", f"--distillation.{name}", "y")
        assert code == 1 and f"distillation.{name}: expected a bio_ner of bio_ner" in printed
    code, printed = distill(folder, tmp_path / "x", "--training.max_epochs", -1)
    assert code == 1 and "training.max_epochs: expected a corpus in memory" in printed
