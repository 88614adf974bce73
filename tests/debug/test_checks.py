"""The table of checks, its copy in the documentation, and its tests."""

from pathlib import Path

from spacy_bio_crf.debug import CHECKS, EXIT_CODES, SEVERITIES
from spacy_bio_crf.debug.checks import GROUPS
from tests.support.paths import ROOT


def test_every_check_has_a_severity_and_one_group():
    assert sum(map(len, GROUPS.values())) == len(CHECKS)
    assert {check.severity for check in CHECKS.values()} == set(SEVERITIES) == set(EXIT_CODES)


def test_every_check_is_seen_by_a_test():
    text = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.py"))
    assert [name for name in CHECKS if f'"{name}"' not in text] == []


def test_the_docs_list_every_exit_code():
    text = (ROOT / "docs" / "debug.md").read_text(encoding="utf-8")
    for severity, code in EXIT_CODES.items():
        assert f"| {code} | {severity}" in text
