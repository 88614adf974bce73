"""Docstrings in spaCy's form become Google's for the API reference."""

import importlib.util
import sys
from types import ModuleType

import pytest

from tests.support.paths import ROOT

pytest.importorskip("griffe")


@pytest.fixture(scope="module")
def griffe_spacy() -> ModuleType:
    path = ROOT / "scripts" / "griffe_spacy.py"
    spec = importlib.util.spec_from_file_location("griffe_spacy", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["griffe_spacy"] = module
    spec.loader.exec_module(module)
    return module


def test_all_entries_find_their_section(griffe_spacy: ModuleType) -> None:
    docstring = """Count tags.

        Note: a colon in prose is no entry.

        emissions (Tensor): Scores
            [N, K].
        start, end (int | None): Borders.
        **more (Any): Further options.
        RETURNS (list[int]): One count
            a tag.
        RAISES: ValueError for a negative score.
        """
    assert griffe_spacy.to_google(docstring, "Args") == "\n\n".join(
        [
            "Count tags.\n\nNote: a colon in prose is no entry.",
            "**Raises** ValueError for a negative score.",
            "Args:\n    emissions (Tensor): Scores [N, K].\n    start (int | None): Borders.\n"
            "    end (int | None): Borders.\n    **more (Any): Further options.",
            "Returns:\n    list[int]: One count a tag.",
        ]
    )


def test_fields_of_a_class_need_no_type(griffe_spacy: ModuleType) -> None:
    docstring = "A span.\n\nstart: First token.\nend: Behind the last one."
    assert griffe_spacy.to_google(docstring, "Attributes") == (
        "A span.\n\nAttributes:\n    start: First token.\n    end: Behind the last one."
    )


def test_prose_alone_stays(griffe_spacy: ModuleType) -> None:
    assert griffe_spacy.to_google("One line.", "Args") == "One line."
