"""`bio-ner push`: what it says."""

from pathlib import Path

import pytest
from huggingface_hub import constants
from spacy.language import Language
from typer.testing import CliRunner

from spacy_bio_crf.cli import app
from tests.support.hub import serve_hub


def test_an_upload(trained: Language, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    trained.to_disk(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    with serve_hub() as hub:
        monkeypatch.setenv("HF_TOKEN", hub.token)
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        result = CliRunner().invoke(app, ["push", str(tmp_path), "someone/ner", "-m", "First"])
    assert result.exit_code == 0, result.output
    assert f"Uploaded: {hub.url}/someone/ner/commit/1234567" in " ".join(result.output.split())
    assert "config.cfg" in hub.files["someone/ner"]
    assert hub.commits[0]["summary"] == "First"
    result = CliRunner().invoke(app, ["push", str(tmp_path / "vocab"), "someone/ner"])
    assert result.exit_code == 1
    assert "expected an exported checkpoint" in " ".join(result.output.split())
