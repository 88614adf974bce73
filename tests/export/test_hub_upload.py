"""Uploads to a stand-in of the hub."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants
from spacy.cli.package import package
from spacy.language import Language

from spacy_bio_crf.errors import BioError
from spacy_bio_crf.export.exporting import export_pipeline
from spacy_bio_crf.export.hub_upload import upload_folder
from tests.support.hub import Hub, serve_hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    # Its uploads go by another protocol than HTTP.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    with serve_hub() as hub:
        monkeypatch.setenv("HF_TOKEN", hub.token)
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        yield hub


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_checkpoint(trained: Language, hub: Hub, tmp_path: Path):
    export_pipeline(trained, tmp_path)
    expected = contents(tmp_path)
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "token").write_text("secret")
    (tmp_path / ".env").write_text("secret")
    url, wheels = upload_folder(tmp_path, "someone/ner", private=True, message="First")
    assert url == f"{hub.url}/someone/ner/commit/1234567" and wheels == []
    assert hub.files == {"someone/ner": expected}
    assert len(hub.blobs) == 2  # weights, and the scores of the CRF
    # Each version of the library has another word for it.
    made = hub.repos["someone/ner"]
    assert made.get("private") or made.get("visibility") == "private"
    (commit,) = hub.commits
    assert (commit["summary"], commit["revision"]) == ("First", "main")


def test_a_pipeline_on_a_branch(trained: Language, hub: Hub, tmp_path: Path):
    trained.to_disk(tmp_path / "model-best")
    upload_folder(tmp_path / "model-best", "ner", revision="next")
    # Folders of components as well.
    assert hub.files == {"someone/ner": contents(tmp_path / "model-best")}
    assert hub.commits[0]["summary"] == "Upload model-best"
    assert hub.commits[0]["revision"] == "next"


def test_a_package_with_its_wheel(trained: Language, hub: Hub, tmp_path: Path):
    trained.to_disk(tmp_path / "model")
    package(
        tmp_path / "model", tmp_path, name="x", version="1.0.0", create_sdist=False, silent=True
    )
    folder = tmp_path / "xx_x-1.0.0"
    (folder / "dist").mkdir(exist_ok=True)
    (folder / "dist" / "xx_x-1.0.0-py3-none-any.whl").write_bytes(b"wheel")
    (folder / "build").mkdir(exist_ok=True)
    (folder / "build" / "left.txt").write_text("left")
    _, wheels = upload_folder(folder, "someone/x")
    wheel = "dist/xx_x-1.0.0-py3-none-any.whl"
    assert wheels == [f"{hub.url}/someone/x/resolve/main/{wheel}"]
    files = hub.files["someone/x"]
    assert files[wheel] == b"wheel" and "setup.py" in files
    assert "xx_x/xx_x-1.0.0/config.cfg" in files and "build/left.txt" not in files


def test_what_is_refused(
    trained: Language, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "model.safetensors").write_text("")
    with pytest.raises(BioError, match="expected an exported checkpoint, a pipeline, .*, got none"):
        upload_folder(tmp_path, "someone/ner")
    trained.to_disk(tmp_path)
    with pytest.raises(BioError, match="repository 'no such/name': expected .*; log in by"):
        upload_folder(tmp_path, "no such/name")
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    with pytest.raises(BioError, match="repository 'someone/ner': .* the reason given: .*401"):
        upload_folder(tmp_path, "someone/ner")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(BioError, match="repository 'someone/ner': expected a repository that can"):
        upload_folder(tmp_path, "someone/ner")
    assert hub.files == {}
