"""What a diagnosis has found, with places that can be looked up."""

from dataclasses import asdict, dataclass, field
from typing import Any

from spacy.tokens import Doc

from .checks import CHECKS, EXIT_CODES, worse

SHOWN = 60  # characters of a text in an example


@dataclass(frozen=True)
class Spot:
    """One place of a finding.

    place (str): The document: the file and, in it, a line or the number of the document.
    text (str): What stands there.
    start (int | None): Its first token in the document, from 0; None if that is not known.
    end (int | None): The exclusive end.
    label (str): An entity's label.
    note (str): What else there is to say.
    """

    place: str
    text: str
    start: int | None = None
    end: int | None = None
    label: str = ""
    note: str = ""


@dataclass
class Finding:
    """What one check has found in one part of the corpus.

    check (str): A key of `CHECKS`.
    part (str): "train" or "dev".
    count (int): How many.
    detail (str): What more precisely, where a check has several kinds.
    examples (list[Spot]): The first ones.
    """

    check: str
    part: str
    count: int = 0
    detail: str = ""
    examples: list[Spot] = field(default_factory=list)

    @property
    def severity(self) -> str:
        """How bad it is."""
        return CHECKS[self.check].severity


@dataclass
class Report:
    """All that was found.

    figures (dict[str, dict[str, Any]]): For each part, numbers that are neither good nor bad.
    findings (list[Finding]): In the order of `CHECKS`, part by part.
    model (dict[str, Any]): What was read from the model: empty without one.
    """

    figures: dict[str, dict[str, Any]]
    findings: list[Finding]
    model: dict[str, Any] = field(default_factory=dict)

    @property
    def severity(self) -> str:
        """The worst severity of all findings; "info" if there are none."""
        worst = "info"
        for finding in self.findings:
            worst = worse(worst, finding.severity)
        return worst

    @property
    def exit_code(self) -> int:
        """The exit code of the worst severity."""
        return EXIT_CODES[self.severity]

    def find(self, check: str, part: str) -> Finding:
        """RETURNS (Finding): The findings of a check in a part put together; a count of 0 if there
        are none."""
        result = Finding(check, part)
        for finding in self.findings:
            if (finding.check, finding.part) == (check, part):
                result.count += finding.count
                result.examples += finding.examples
        return result

    def to_json(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): All of it in types that JSON has."""
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
    """Counts what is found in one part, and keeps the first examples of each kind.

    part (str): The part's name.
    n_examples (int): Most examples of a kind.
    """

    def __init__(self, part: str, n_examples: int):
        self.part = part
        self._n_examples = n_examples
        self._findings: dict[tuple[str, str], Finding] = {}

    def add(
        self, check: str, example: Spot | None = None, *, count: int = 1, detail: str = ""
    ) -> None:
        """Count something.

        check (str): A key of `CHECKS`.
        example (Spot | None): Where it is.
        count (int): How many; with 0 nothing is found.
        detail (str): The kind, where a check has several.
        """
        if check not in CHECKS:
            raise ValueError(f"unknown check {check!r}: expected one of {', '.join(CHECKS)}")
        if not count:
            return
        key = (check, detail)
        finding = self._findings.setdefault(key, Finding(check, self.part, 0, detail))
        finding.count += count
        if example is not None and len(finding.examples) < self._n_examples:
            finding.examples.append(example)

    def _full(self, check: str) -> bool:
        finding = self._findings.get((check, ""))
        return finding is not None and len(finding.examples) >= self._n_examples

    def tokens(
        self, check: str, doc: Doc, start: int, end: int, *, label: str = "", note: str = ""
    ) -> None:
        """Count a stretch of a document's tokens.

        check (str): A key of `CHECKS`.
        doc (Doc): The document; its "source" in `user_data` is the place.
        start (int), end (int): First token and exclusive end.
        label (str): An entity's label.
        note (str): What else there is to say.
        """
        if self._full(check):
            self.add(check)
            return
        self.add(check, Spot(place_of(doc), shown(doc[start:end].text), start, end, label, note))

    def document(self, check: str, doc: Doc, *, note: str = "") -> None:
        """Count a document."""
        self.add(check, Spot(place_of(doc), shown(doc.text), note=note))

    def findings(self) -> list[Finding]:
        """RETURNS (list[Finding]): What was found, in the order of `CHECKS`."""
        order = list(CHECKS)
        return sorted(self._findings.values(), key=lambda finding: order.index(finding.check))


def place_of(doc: Doc) -> str:
    """RETURNS (str): Where a document was read: file and line, or file and number."""
    return str(doc.user_data.get("source", "?"))


def shown(text: str) -> str:
    """RETURNS (str): The beginning of a text."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
