"""The algorithms of the CRF engine, one after the other."""

import pytest

from spacy_bio_crf.crf.batch import TUNING


@pytest.fixture(params=["steps", "sections", "tree"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test with the CRF engine's algorithms for a CPU, with those for long sequences, here of
    every two time steps, and with those for a GPU."""
    monkeypatch.setattr(TUNING, "tree", request.param == "tree")
    if request.param == "sections":
        monkeypatch.setattr(TUNING, "section_rows", 1)
        monkeypatch.setattr(TUNING, "section_steps", 2)
    return request.param
