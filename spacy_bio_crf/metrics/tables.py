"""Figures as tables of text, for the terminal and for the report."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .mistakes import KINDS
from .partial import VERDICTS

PRF = ("P", "R", "F1")
AVERAGE_TITLES = {"all": "micro (all)", "macro": "macro", "weighted": "weighted"}
SCHEMA_TITLES = {
    "strict": "boundaries and label",
    "exact": "boundaries",
    "partial": "boundaries, half for an overlap",
    "type": "label, given an overlap",
}
BREAKDOWN_TITLES = {
    "entity_length": "length of the entity",
    "document_length": "length of the document",
    "surface": "name in the training data",
    "group": "group of labels",
    "nesting": "nesting",
}
OVERLAP_KEYS = ("group", "nesting")  # breakdowns of entities that may overlap
Cells = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table of text. The first column names the rows, the others are numbers.

    title (str): The line above the table.
    header (Cells): Names of the columns; the first one is empty.
    rows (Sequence[Cells]): As many cells each.
    note (str): The lines below the table, if any.
    """

    title: str
    header: Cells
    rows: Sequence[Cells]
    note: str = ""


def percent(score: float | None) -> str:
    """Write a score from 0 to 1 as a percentage: 0.8 as "80.00", None as "-"."""
    return "-" if score is None else f"{100 * score:.2f}"


def tables(metrics: Mapping[str, Any]) -> list[Table]:
    """RETURNS (list[Table]): All tables of one pipeline, from `analysis.analyze`."""
    return [
        _entity_table(metrics["entity"], metrics["counts"]),
        _partial_table(metrics["partial"]),
        _token_table(metrics["token"]),
        *_breakdown_tables(metrics["breakdowns"]),
        *_confidence_tables(metrics["confidence"]),
        _error_table(metrics["errors"]),
    ]


def _entity_table(scores: Mapping[str, Any], counts: Mapping[str, int]) -> Table:
    chance = scores.get("intervals")
    rows = [
        (label, *_prf(row), _ends(chance and chance["per_type"][label]), *_sizes(row))
        for label, row in scores["per_type"].items()
    ]
    for key, name in AVERAGE_TITLES.items():
        if scores[key] is not None:
            row = scores[key]
            rows.append((name, *_prf(row), _ends(chance and chance[key]), *_sizes(row)))
    notes = []
    if counts["unannotated_tokens"]:
        notes.append(
            f"Not scored: tokens without annotation, {counts['unannotated_tokens']:,} of"
            f" {counts['tokens']:,}, and predictions on them, {counts['ignored_predictions']:,}."
        )
    if counts["left_aside_gold"]:
        notes.append(
            "Not scored: gold entities that fit no tokens and were left aside in reading,"
            f" {counts['left_aside_gold']:,}."
        )
    if counts["unfit_gold"]:
        notes.append(
            f"Gold entities that do not fit the pipeline's tokens and count as missed:"
            f" {counts['unfit_gold']:,}."
        )
    if chance:
        notes.append(
            f"Intervals: bootstrap over documents, {chance['level']:.0%}, {chance['resamples']:,}"
            f" samples, seed {chance['seed']}."
        )
    header = ("", *PRF, "interval of F1", "gold", "predicted")
    return Table("Per entity: boundaries and label right", header, rows, "\n".join(notes))


def _partial_table(scores: Mapping[str, Any]) -> Table:
    rows = [
        (f"{name}: {SCHEMA_TITLES[name]}", *_prf(row), *(str(row[v]) for v in VERDICTS))
        for name, row in scores.items()
    ]
    return Table("Partial credit (SemEval-2013 task 9)", ("", *PRF, *VERDICTS), rows)


def _token_table(scores: Mapping[str, Any]) -> Table:
    rows = [
        (label, *_prf(row), str(row["gold"]))
        for label, row in (*scores["per_type"].items(), ("all", scores["all"]))
    ]
    title = f"Per token, accuracy {percent(scores['acc'])}"
    return Table(title, ("", *PRF, "gold"), rows)


def _breakdown_tables(scores: Mapping[str, Any]) -> list[Table]:
    return [
        Table(
            f"Per entity, by {name}",
            ("", *PRF, "gold", "predicted"),
            [(row["sort"], *_prf(row), *_sizes(row)) for row in scores[key]],
        )
        for key, name in BREAKDOWN_TITLES.items()
        if scores.get(key)
    ]


def _confidence_tables(scores: Mapping[str, Any] | None) -> list[Table]:
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


def _error_table(kinds: Mapping[str, int]) -> Table:
    rows = [(f"{kind}: {KINDS[kind]}", str(n)) for kind, n in kinds.items()]
    return Table("Errors", ("", "number"), rows)


def comparison_tables(metrics: Mapping[str, Any]) -> list[Table]:
    """RETURNS (list[Table]): The comparison of `metrics` with another pipeline, if it has one."""
    comparison = metrics.get("comparison")
    if comparison is None or comparison["difference"] is None:
        return []
    change = comparison["difference"]
    rows = []
    labels = [(label, label) for label in change["per_type"]]
    for key, name in (*labels, *AVERAGE_TITLES.items()):
        ours, theirs, figures = (
            part["per_type"].get(key) if (key, name) in labels else part[key]
            for part in (metrics["entity"], comparison["entity"], change)
        )
        rows.append(paired_row(name, ours and ours["f"], theirs and theirs["f"], figures["f"]))
    return [
        Table(
            f"F1 beside {comparison['model']}",
            ("", "F1", "other F1", "difference", "interval", "p"),
            rows,
            f"{paired_note(change)} Many labels are many tests: look at the first line of the"
            " averages first.",
        )
    ]


def paired_row(
    name: str, ours: float | None, theirs: float | None, tested: Mapping[str, Any]
) -> tuple[str, ...]:
    """RETURNS (tuple[str, ...]): A figure of two pipelines with `difference`, `interval` and
    `p_value` of `tested`, from 0 to 1, as cells in per cent."""
    interval, p = tested["interval"], tested["p_value"]
    return (
        name,
        percent(ours),
        percent(theirs),
        f"{100 * tested['difference']:+.2f}",
        _ends({"f": interval} if interval else None),
        "-" if p is None else f"{p:.4f}",
    )


def paired_note(chance: Mapping[str, Any]) -> str:
    """RETURNS (str): How `p` and the interval of a `paired_row` were computed."""
    return (
        "Two-sided p of a paired test, approximate randomization over documents; interval of the"
        f" difference by bootstrap, {chance['level']:.0%}; {chance['resamples']:,} samples, seed"
        f" {chance['seed']}."
    )


def _prf(row: Mapping[str, Any]) -> Iterable[str]:
    return (percent(row[key]) for key in "prf")


def _sizes(row: Mapping[str, Any]) -> Iterable[str]:
    return (str(row.get(key, "")) for key in ("gold", "predicted"))


def _ends(ends: Mapping[str, Any] | None) -> str:
    return "-" if not ends else f"{percent(ends['f'][0])} to {percent(ends['f'][1])}"
