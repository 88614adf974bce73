"""All checks together."""

import pytest

from spacy_bio_crf.corpora import Summary
from spacy_bio_crf.debug import CorpusPart, diagnose
from tests.support.debug_tools import PLENTY, found, make_doc


def test_nothing_is_found_where_nothing_is_odd(settings):
    report = diagnose(
        [CorpusPart("train", PLENTY), CorpusPart("dev", [make_doc(["Li", "ran"], [(0, 1, "PER")])])]
    )
    assert found(report) == {("dev", "absent_labels"): 1}
    assert (report.severity, report.exit_code) == ("info", 0)
    assert diagnose([CorpusPart("train", PLENTY)], settings()).findings == []


def test_parts_have_an_order():
    with pytest.raises(ValueError, match="parts: expected 'train' as the first one, got dev"):
        diagnose([CorpusPart("dev", PLENTY, Summary())])
