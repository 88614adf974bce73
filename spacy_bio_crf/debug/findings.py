"""Findings of the checks, with places that can be looked up."""

from dataclasses import asdict, dataclass, field
from typing import Any

from spacy.tokens import Doc

from .checks import CHECKS, EXIT_CODES, SEVERITIES

EXCERPT = 60  # characters of a text in an example


@dataclass(frozen=True)
class Occurrence:
    """One place of a finding.

    place (str): The document: the file and, in it, a line or the number of the document.
    text (str): The text of the document, the tokens, the tag or the label.
    start (int | None): Its first token in the document, from 0; None if that is not known.
    end (int | None): The exclusive end.
    label (str): An entity's label.
    note (str): A remark.
    """

    place: str
    text: str
    start: int | None = None
    end: int | None = None
    label: str = ""
    note: str = ""


@dataclass
class Finding:
    """All findings of one check in one part of the corpus."""

    check: str  # a key of `CHECKS`
    part: str
    count: int = 0
    detail: str = ""  # the kind, where a check has several
    examples: list[Occurrence] = field(default_factory=list)

    @property
    def severity(self) -> str:
        """The severity of its check."""
        return CHECKS[self.check].severity


@dataclass
class Report:
    """Findings and figures of a corpus.

    figures (dict[str, dict[str, Any]]): For each part, numbers that are neither good nor bad.
    findings (list[Finding]): In the order of `CHECKS`, part by part.
    model (dict[str, Any]): The settings of the model; empty without one.
    """

    figures: dict[str, dict[str, Any]]
    findings: list[Finding]
    model: dict[str, Any] = field(default_factory=dict)

    @property
    def severity(self) -> str:
        """The worst severity of all findings; "info" if there are none."""
        severities = (finding.severity for finding in self.findings)
        return max(severities, key=SEVERITIES.index, default="info")

    @property
    def exit_code(self) -> int:
        """The exit code of the worst severity."""
        return EXIT_CODES[self.severity]

    def to_json(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The whole report in types that JSON has."""
        return {
            "severity": self.severity,
            "exit_code": self.exit_code,
            "model": self.model,
            "figures": self.figures,
            "findings": [
                {
                    "severity": finding.severity,
                    **asdict(finding),
                    "meaning": CHECKS[finding.check].meaning,
                    "advice": CHECKS[finding.check].advice,
                }
                for finding in self.findings
            ],
        }


class Recorder:
    """Count the findings in one part, and keep the first `n_examples` of each kind."""

    def __init__(self, part: str, n_examples: int):
        self.part = part
        self._n_examples = n_examples
        self._findings: dict[tuple[str, str], Finding] = {}

    def add(
        self, check: str, example: Occurrence | None = None, *, count: int = 1, detail: str = ""
    ) -> None:
        """Count a finding.

        check (str): A key of `CHECKS`.
        example (Occurrence | None): Where it is.
        count (int): How many; with 0 nothing is found.
        detail (str): The kind, where a check has several.
        """
        if not count:
            return
        default = Finding(check, self.part, 0, detail)
        finding = self._findings.setdefault((check, detail), default)
        finding.count += count
        if example is not None and len(finding.examples) < self._n_examples:
            finding.examples.append(example)

    def tokens(
        self, check: str, doc: Doc, start: int, end: int, *, label: str = "", note: str = ""
    ) -> None:
        """Count the tokens from `start` to `end`, exclusive, of a document."""
        known = self._findings.get((check, ""))
        if known is not None and len(known.examples) >= self._n_examples:
            known.count += 1
            return
        text = excerpt(doc[start:end].text)
        self.add(check, Occurrence(place_of(doc), text, start, end, label, note))

    def document(self, check: str, doc: Doc, *, note: str = "") -> None:
        """Count a document."""
        self.add(check, Occurrence(place_of(doc), excerpt(doc.text), note=note))

    def findings(self) -> list[Finding]:
        """RETURNS (list[Finding]): The findings, in the order of `CHECKS`."""
        order = list(CHECKS)
        return sorted(self._findings.values(), key=lambda finding: order.index(finding.check))


def place_of(doc: Doc) -> str:
    """RETURNS (str): Where a document was read: file and line, or file and number."""
    return str(doc.user_data.get("source", "?"))


def excerpt(text: str) -> str:
    return text if len(text) <= EXCERPT else f"{text[:EXCERPT]}…"
