"""Versions that can't be installed side by side."""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from spacy_bio_crf.installed import find_clash


def versions(**installed: str) -> Callable[[str], str]:
    def version_of(name: str) -> str:
        if name not in installed:
            raise PackageNotFoundError(name)
        return installed[name]

    return version_of


@pytest.mark.parametrize(
    "installed",
    [
        {"transformers": "5.24.0"},
        {"transformers": "4.53.2", "spacy-transformers": "1.4.0"},
        {"transformers": "4.57.6", "spacy-transformers": "1.4.0"},
        {"transformers": "5.24.0", "spacy-transformers": "2.0.0.dev1"},
        {"spacy-transformers": "1.4.0"},
        {},
    ],
)
def test_what_goes_together(installed: dict[str, str]):
    assert find_clash(versions(**installed)) is None


def test_what_does_not():
    message = find_clash(versions(**{"transformers": "5.24.0", "spacy-transformers": "1.4.0"}))
    assert message is not None
    assert "expected a version below 4.53.3 beside spacy-transformers 1.4.0, got 5.24.0" in message
    assert "pip uninstall spacy-transformers" in message


def test_what_is_installed_here():
    assert find_clash() is None


@pytest.mark.parametrize("module", ["pipes", "cli"])
def test_a_clash_is_told_before_spacy_fails(
    run_python: Callable[..., str], tmp_path: Path, module: str
):
    for name, version in [("spacy_transformers", "1.4.0"), ("transformers", "5.0.0")]:
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}")
    code = """if True:
        import importlib, sys, warnings
        sys.path.insert(0, sys.argv[1])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                importlib.import_module(sys.argv[2])
            except ImportError:
                pass
        print([str(warning.message) for warning in caught])
    """
    assert "beside spacy-transformers 1.4.0" in run_python(
        code, tmp_path, f"spacy_bio_crf.{module}"
    )
