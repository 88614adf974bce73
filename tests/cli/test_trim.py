"""`bio-ner trim`: the pipeline it writes, and its messages."""

from pathlib import Path

import spacy
from spacy.language import Language
from typer.testing import CliRunner

from spacy_bio_crf.cli import app


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["trim", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result.exit_code, " ".join(result.output.split())


def test_a_smaller_pipeline_is_written(trained: Language, tmp_path: Path):
    trained.to_disk(tmp_path / "model")
    texts = tmp_path / "texts.txt"
    texts.write_text("Ana Ruiz met Bo\nBo moved to Berlin\n")
    arguments = [tmp_path / "model", tmp_path / "out", "--texts", texts]
    code, output = run(*arguments)
    assert code == 0, output
    assert "MB on disk, before" in output and "bio_ner" in output
    small = spacy.load(tmp_path / "out")
    for text in texts.read_text().splitlines():
        assert small(text).ents and str(small(text).ents) == str(trained(text).ents)
    assert (tmp_path / "out/bio_ner/encoder/model.safetensors").stat().st_size < (
        tmp_path / "model/bio_ner/encoder/model.safetensors"
    ).stat().st_size
    code, output = run(*arguments)
    assert code == 1 and "OUT: expected a new file or folder, got" in output
    code, output = run(*arguments, "--force", "--min-count", 2, "--keep-characters", "none")
    assert code == 0 and "Texts with other sub-words, for the sake of --min-count: 2" in output
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    code, output = run(tmp_path / "model", tmp_path / "mine", "--texts", texts, "--force")
    assert code == 1 and "OUT: expected a folder that is new, empty or a pipeline's" in output
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_messages_name_the_options(trained: Language, tmp_path: Path):
    trained.to_disk(tmp_path / "model")
    texts = tmp_path / "texts.txt"
    texts.write_text("Ana\n")
    arguments = [tmp_path / "model", tmp_path / "out", "--texts", texts]
    code, output = run(*arguments, "--keep-characters", "few")
    assert code == 1 and "--keep-characters: expected one of 'seen', 'all', 'none'" in output
    texts.write_text("")
    code, output = run(*arguments)
    assert code == 1 and "--texts: expected one or more, got none" in output
    assert not (tmp_path / "out").exists()
