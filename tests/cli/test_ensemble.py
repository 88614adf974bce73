"""`bio-ner ensemble`: what it writes, and its messages."""

import errno
from pathlib import Path

import pytest
import spacy
from spacy.language import Language
from typer.testing import CliRunner

from spacy_bio_crf.averaging import members_of
from spacy_bio_crf.cli import app
from tests.support.combined import TEXTS, make_member
from tests.support.components import component
from tests.support.pipelines import MakeNlp


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["ensemble", *map(str, arguments)])
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture
def models(make_nlp: MakeNlp, tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"seed-{seed}" for seed in range(2)]
    for seed, path in enumerate(paths):
        make_member(make_nlp, seed=seed).to_disk(path)
    return paths


@pytest.mark.parametrize("options, size, kind", [([], 2, "Ensemble"), (["--soup"], 1, "Soup")])
def test_a_pipeline_is_written(
    models: list[Path], tmp_path: Path, options: list[str], size: int, kind: str
):
    code, output = run(*models, tmp_path / "out", *options)
    assert code == 0 and f"{kind} of 2 models: {tmp_path / 'out'}" in output
    nlp = spacy.load(tmp_path / "out")
    assert len(members_of(component(nlp).model)) == size
    assert len(list(nlp.pipe(TEXTS))) == len(TEXTS)
    code, output = run(*models, tmp_path / "out", *options)
    assert code == 1 and "OUT: expected a new file or folder, got" in output
    assert run(*models, tmp_path / "out", *options, "--force")[0] == 0


def test_messages(models: list[Path], tmp_path: Path):
    code, output = run(models[0], tmp_path / "out")
    assert code == 1 and "models: expected two trained pipelines or more, got" in output
    code, output = run(models[0], models[0], tmp_path / "out")
    assert code == 1 and f"models: expected each pipeline once, got {models[0]} twice" in output
    code, output = run(*models, models[0], tmp_path / "out")
    assert code == 1 and f"models: expected each pipeline once, got {models[0]} twice" in output
    code, output = run(*models, tmp_path / "out", "--component", "x")
    assert code == 1 and "component: expected a bio_ner of bio_ner, got 'x'" in output
    assert not (tmp_path / "out").exists()


def test_an_old_pipeline_stays_whole(models: list[Path], tmp_path: Path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    (out / "meta.json").write_text("old")

    def fail(self, path, **options):
        (Path(path) / "meta.json").write_text("new")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Language, "to_disk", fail)
    code, output = run(*models, out, "--force")
    assert code == 1 and "OUT: expected a file that can be written, got" in output
    assert [path.read_text() for path in out.iterdir()] == ["old"]


def test_other_files_stay(models: list[Path], tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    code, output = run(*models, tmp_path / "mine", "--force")
    assert code == 1 and "OUT: expected a folder that is new, empty or a pipeline's" in output
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
