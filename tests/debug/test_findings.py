"""Counts, examples, severities and JSON of findings."""

import json

from spacy_bio_crf.debug import CHECKS, EXIT_CODES, SEVERITIES, CorpusPart, Report, diagnose
from spacy_bio_crf.debug.findings import Finding
from tests.support.debug_tools import PLENTY, make_doc


def test_examples_are_few_and_counts_are_not():
    odd = [make_doc([f"a{i}", "\ufe0f"]) for i in range(7)]
    for n in (0, 2, 100):
        finding = diagnose([CorpusPart("train", [*PLENTY, *odd])], n_examples=n).findings[0]
        assert (finding.count, len(finding.examples)) == (7, min(n, 7))


def test_json_holds_everything():
    report = diagnose([CorpusPart("train", [*PLENTY, make_doc(["a", "\ufe0f"])])])
    data = json.loads(json.dumps(report.to_json()))
    assert (data["severity"], data["exit_code"], data["model"]) == ("info", 0, {})
    assert data["figures"]["train"]["documents"] == 12
    assert data["figures"]["train"]["labels"] == {"LOC": 10, "PER": 11}
    (finding,) = data["findings"]
    assert finding == {
        "severity": "info",
        "check": "invisible_tokens",
        "part": "train",
        "count": 1,
        "detail": "",
        "examples": [
            {"place": "a:1", "text": "\ufe0f", "start": 1, "end": 2, "label": "", "note": "U+FE0F"}
        ],
        "meaning": CHECKS["invisible_tokens"].meaning,
        "advice": CHECKS["invisible_tokens"].advice,
    }


def test_the_worst_severity_decides():
    checks = {severity: n for n, c in CHECKS.items() for severity in [c.severity]}
    assert set(checks) == set(SEVERITIES)
    for severity in SEVERITIES:
        worst = SEVERITIES.index(severity)
        findings = [Finding(checks[s], "train", 1) for s in SEVERITIES[: worst + 1]]
        assert Report({}, findings).exit_code == EXIT_CODES[severity]
