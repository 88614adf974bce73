"""Folders that tests read: the project's own, and the public corpora where they are at hand."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STARTUP = ROOT / "tests" / "support" / "startup"
# PYTHONPATH of a process in another folder that imports the project's modules.
PROJECT_PATH = os.pathsep.join(map(str, (STARTUP, ROOT)))


def find_corpora() -> Path:
    """The folder of public corpora that BIO_NER_CORPORA names; one that does not exist if unset."""
    named = os.environ.get("BIO_NER_CORPORA")
    folder = Path(named) if named else ROOT / "no-corpora"
    if named and not folder.is_dir():
        raise FileNotFoundError(f"BIO_NER_CORPORA: expected a folder, got {named!r}")
    return folder


CORPORA = find_corpora()
needs_corpora = pytest.mark.skipif(
    not CORPORA.is_dir(), reason="BIO_NER_CORPORA names no folder of corpora"
)
