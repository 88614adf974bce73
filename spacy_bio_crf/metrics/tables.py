"""The figures as tables, for the terminal and for the page."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from wasabi import table

from .mistakes import KINDS

ALL = "all"  # the micro average in every table
PRF = ("P", "R", "F1")
AVERAGES = {"all": "micro (all)", "macro": "macro", "weighted": "weighted"}
SCHEMAS = {
    "strict": "boundaries and label",
    "exact": "boundaries",
    "partial": "boundaries, half for an overlap",
    "type": "label, given an overlap",
}
BREAKDOWNS = {
    "entity_length": "length of the entity",
    "document_length": "length of the document",
    "surface": "name in the training data",
}
Row = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table of text: the first column names a row, the others are numbers.

    title (str): What stands above.
    header (Row): Names of the columns; the first one is empty.
    rows (Sequence[Row]): As many cells each.
    note (str): What stands below, if anything.
    """

    title: str
    header: Row
    rows: Sequence[Row]
    note: str = ""

    def text(self) -> str:
        """RETURNS (str): The table for a terminal."""
        aligns: list[Literal["l", "r"]] = ["l"]
        aligns += ["r"] * (len(self.header) - 1)
        body = table(self.rows, header=self.header, aligns=aligns, divider=True, max_col=60)
        return self.title + body + (f"{self.note}\n" if self.note else "")


def percent(score: float | None) -> str:
    """A score from 0 to 1 as people print it: 0.8 is "80.00"; "-" for None."""
    return "-" if score is None else f"{100 * score:.2f}"


def tables(metrics: Mapping[str, Any]) -> list[Table]:
    """The tables of one pipeline.

    metrics (Mapping[str, Any]): From `analysis.analyse`.
    RETURNS (list[Table]): One for each view.
    """
    return [
        entity_table(metrics["entity"]),
        partial_table(metrics["partial"]),
        token_table(metrics["token"]),
        *breakdown_tables(metrics["breakdowns"]),
        *confidence_tables(metrics["confidence"]),
        error_table(metrics["errors"]),
    ]


def entity_table(scores: Mapping[str, Any]) -> Table:
    """Strict figures by label, and their averages, with the intervals of F1.

    scores (Mapping[str, Any]): `entity` of the metrics.
    RETURNS (Table): The table.
    """
    chance = scores.get("intervals")
    rows = [
        (label, *_prf(row), _ends(chance and chance["per_type"][label]), *_sizes(row))
        for label, row in scores["per_type"].items()
    ]
    for key, name in AVERAGES.items():
        if scores[key] is not None:
            row = scores[key]
            rows.append((name, *_prf(row), _ends(chance and chance[key]), *_sizes(row)))
    note = ""
    if chance:
        note = (
            f"Intervals: bootstrap over documents, {chance['level']:.0%}, {chance['resamples']:,}"
            f" samples, seed {chance['seed']}."
        )
    header = ("", *PRF, "interval of F1", "gold", "predicted")
    return Table("Per entity: boundaries and label right", header, rows, note)


def partial_table(scores: Mapping[str, Any]) -> Table:
    """Partial credit by schema.

    scores (Mapping[str, Any]): `partial` of the metrics.
    RETURNS (Table): The table.
    """
    verdicts = ("correct", "incorrect", "partial", "missed", "spurious")
    rows = [
        (f"{name}: {SCHEMAS[name]}", *_prf(row), *(str(row[v]) for v in verdicts))
        for name, row in scores.items()
    ]
    return Table("Partial credit (SemEval-2013 task 9)", ("", *PRF, *verdicts), rows)


def token_table(scores: Mapping[str, Any]) -> Table:
    """Figures per token.

    scores (Mapping[str, Any]): `token` of the metrics.
    RETURNS (Table): The table.
    """
    rows = [
        (label, *_prf(row), str(row["gold"]))
        for label, row in (*scores["per_type"].items(), (ALL, scores[ALL]))
    ]
    title = f"Per token, accuracy {percent(scores['acc'])}"
    return Table(title, ("", *PRF, "gold"), rows)


def breakdown_tables(scores: Mapping[str, Any]) -> list[Table]:
    """Strict figures of entities of one sort.

    scores (Mapping[str, Any]): `breakdowns` of the metrics.
    RETURNS (list[Table]): A table for each breakdown that was made.
    """
    return [
        Table(
            f"Per entity, by {name}",
            ("", *PRF, "gold", "predicted"),
            [(row["sort"], *_prf(row), *_sizes(row)) for row in scores[key]],
        )
        for key, name in BREAKDOWNS.items()
        if scores[key]
    ]


def confidence_tables(scores: Mapping[str, Any] | None) -> list[Table]:
    """Calibration.

    scores (Mapping[str, Any] | None): `confidence` of the metrics.
    RETURNS (list[Table]): One table, or none where there is no confidence.
    """
    if scores is None:
        return []
    rows = [
        (
            f"{b['low']:.2f} to {b['high']:.2f}",
            str(b["count"]),
            percent(b["confidence"]),
            percent(b["precision"]),
        )
        for b in scores["bins"]
    ]
    best = max(scores["curve"], key=lambda point: point["f"])
    note = (
        f"Expected calibration error {scores['expected_calibration_error']:.4f}, log-loss"
        f" {scores['log_loss']:.4f}. Highest F1, {percent(best['f'])}, at the threshold"
        f" {best['threshold']:.3f}: choose it on other data than these."
    )
    return [Table("Confidence", ("", "entities", "mean", "right"), rows, note)]


def error_table(kinds: Mapping[str, int]) -> Table:
    """How many errors of each kind.

    kinds (Mapping[str, int]): `errors` of the metrics.
    RETURNS (Table): The table.
    """
    rows = [(f"{kind}: {KINDS[kind]}", str(n)) for kind, n in kinds.items()]
    return Table("Errors", ("", "number"), rows)


def comparison_tables(metrics: Mapping[str, Any]) -> list[Table]:
    """Another pipeline beside this one.

    metrics (Mapping[str, Any]): With `comparison`, if there is another one.
    RETURNS (list[Table]): One table, or none.
    """
    comparison = metrics.get("comparison")
    if comparison is None or comparison["difference"] is None:
        return []
    change = comparison["difference"]
    rows = []
    labels = [(label, label) for label in change["per_type"]]
    for key, name in (*labels, *AVERAGES.items()):
        ours, theirs, figures = (
            part["per_type"].get(key) if (key, name) in labels else part[key]
            for part in (metrics["entity"], comparison["entity"], change)
        )
        f = figures["f"]
        p = f["p_value"]
        rows.append(
            (
                name,
                percent(ours and ours["f"]),
                percent(theirs and theirs["f"]),
                f"{100 * f['difference']:+.2f}",
                _ends({"f": f["interval"]} if f["interval"] else None),
                "-" if p is None else f"{p:.4f}",
            )
        )
    return [
        Table(
            f"F1 beside {comparison['model']}",
            ("", "F1", "other F1", "difference", "interval", "p"),
            rows,
            f"Two-sided p of a paired test, approximate randomisation over documents; interval of"
            f" the difference by bootstrap, {change['level']:.0%}; {change['resamples']:,} samples,"
            f" seed {change['seed']}. Many labels are many tests: look at the first line of the"
            " averages first.",
        )
    ]


def _prf(row: Mapping[str, Any]) -> Iterable[str]:
    return (percent(row[key]) for key in "prf")


def _sizes(row: Mapping[str, Any]) -> Iterable[str]:
    return (str(row.get(key, "")) for key in ("gold", "predicted"))


def _ends(ends: Mapping[str, Any] | None) -> str:
    """The interval of F1."""
    return "-" if not ends else f"{percent(ends['f'][0])} to {percent(ends['f'][1])}"
