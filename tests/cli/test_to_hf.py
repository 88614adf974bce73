"""`bio-ner to-hf`: the checkpoint it writes, and its messages."""

from pathlib import Path

from spacy.language import Language
from spacy.tokens import DocBin
from typer.testing import CliRunner

from spacy_bio_crf.cli import app
from tests.support.classifiers import load_reference
from tests.support.components import component
from tests.support.pipelines import make_examples


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["to-hf", *map(str, arguments)])
    return result.exit_code, " ".join(result.output.split())


def test_a_checkpoint_is_written(trained: Language, tmp_path: Path):
    trained.to_disk(tmp_path / "model")
    DocBin(docs=[eg.reference for eg in make_examples(trained)]).to_disk(tmp_path / "dev.spacy")
    out = tmp_path / "out"
    options = ["--corpus", tmp_path / "dev.spacy", "--license", "MIT"]
    code, output = run(tmp_path / "model", out, *options)
    assert code == 0, output
    assert "crf.safetensors" in output
    assert "Entity F1 on dev.spacy: 100.00 as decoded here, 100.00 by the best tag" in output
    labels = load_reference(out)[0].config.id2label
    assert tuple(labels.values()) == component(trained).tagset.tags
    assert "license: mit" in (out / "README.md").read_text()
    code, output = run(tmp_path / "model", out)
    assert code == 1 and "OUT: expected a new file or folder, got" in output


def test_the_checkpoint_of_before_goes(trained: Language, tmp_path: Path):
    trained.to_disk(tmp_path / "model")
    out = tmp_path / "out"
    former = "model-00001-of-00002.safetensors", "adapter_config.json", "vocab.txt"
    for name in (*former, "notes.txt", ".gitattributes"):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("{}")
    code, output = run(tmp_path / "model", out, "--component", "x", "--force")
    assert code == 1 and all((out / name).exists() for name in former)
    code, output = run(tmp_path / "model", out, "--force")
    assert code == 0, output
    found = {path.name for path in out.iterdir()}
    assert found >= {"model.safetensors", "notes.txt", ".gitattributes"}
    assert found.isdisjoint(former) and load_reference(out)
    assert {path.name for path in tmp_path.iterdir()} == {"model", "out"}


def test_a_failed_export_leaves_the_one_of_before(trained: Language, tmp_path: Path, monkeypatch):
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    trained.to_disk(tmp_path / "model")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").write_text("{}")
    monkeypatch.setattr("spacy_bio_crf.export.exporting.write_card", full)
    code, output = run(tmp_path / "model", tmp_path / "out", "--force")
    assert code == 1 and "No space left on device" in output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["config.json"]
    assert (tmp_path / "out" / "config.json").read_text() == "{}"


def test_messages_name_the_options(trained: Language, tmp_path: Path):
    trained.to_disk(tmp_path / "model")
    code, output = run(tmp_path / "model", tmp_path / "out", "--component", "x")
    expected = "--component: expected a bio_ner or bio_tagger of bio_ner, got 'x'"
    assert code == 1 and expected in output
    code, output = run(tmp_path / "model", tmp_path / "out", "--corpus", tmp_path / "dev.conll")
    assert (
        code == 1 and "expected annotated documents (.spacy, or a folder of such files)" in output
    )
