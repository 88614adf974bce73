"""The page as a whole."""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from html import escape
from importlib.resources import files
from typing import Any

from ..metrics.documents import Document, labels_of
from ..metrics.mistakes import KINDS, Mistake, find_mistakes
from ..metrics.tables import Table, comparison_tables, percent, tables
from ..tags.schemes import OUTSIDE
from . import charts
from .marks import colours_of, render_error

NAMES = {
    "missed": "Missed",
    "spurious": "Spurious",
    "label": "Wrong label",
    "boundary": "Wrong boundary",
    "both": "Wrong label and boundary",
}
ORDERS = {
    "text": "as in the corpus",
    "sure": "surest first",
    "unsure": "least sure first",
}

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; \
script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<a class="skip" href="#errors">Skip to the errors</a>
<header>
<h1>{title}</h1>
<p>{summary}</p>
<nav aria-label="Parts of the page">
<a href="#figures">Figures</a> <a href="#plots">Plots</a> <a href="#errors">Errors</a></nav>
</header>
<main>
<ul class="cards">{cards}</ul>
<section id="figures"><h2>Figures</h2>
{tables}
</section>
<section id="plots"><h2>Plots</h2>
<div class="plots">{plots}</div>
</section>
<section id="errors" tabindex="-1"><h2>Errors</h2>
{errors}
</section>
</main>
<script>{script}</script>
</body>
</html>
"""


def render_report(
    metrics: Mapping[str, Any],
    documents: Sequence[Document],
    *,
    log: Sequence[Mapping[str, Any]] = (),
    max_errors: int = 300,
) -> str:
    """Make a page of figures, plots and errors. It needs no network and asks for none.

    metrics (Mapping[str, Any]): From `analysis.analyse`, with `model` and `corpus`, and
        `comparison` if there is one.
    documents (Sequence[Document]): The documents the figures are of.
    log (Sequence[Mapping[str, Any]]): A training log, from `training_log.read_log`.
    max_errors (int): Errors of each kind that are shown, at the most; 0 shows all.
    RETURNS (str): HTML.
    """
    script = _resource("script.js")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    counts = metrics["counts"]
    summary = (
        f"{metrics['documents']:,} documents, {counts['tokens']:,} tokens,"
        f" {metrics['entity']['all']['gold']:,} gold and"
        f" {metrics['entity']['all']['predicted']:,} predicted entities."
    )
    if counts["unannotated_tokens"]:
        summary += (
            f" {counts['unannotated_tokens']:,} tokens are not annotated;"
            f" {counts['ignored_predictions']:,} predictions on them do not count."
        )
    return PAGE.format(
        digest=digest,
        title=escape(f"{metrics['model']} on {metrics['corpus']}"),
        style=charts.STYLE + _resource("style.css"),
        summary=escape(summary),
        cards="".join(_cards(metrics)),
        tables="\n".join(map(_table, (*comparison_tables(metrics), *tables(metrics)))),
        plots="\n".join(_figure(drawing) for drawing in _plots(metrics, log)),
        errors=_errors(documents, max_errors),
        script=script,
    )


@lru_cache(maxsize=2)
def _resource(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _cards(metrics: Mapping[str, Any]) -> Iterator[str]:
    entity, chance = metrics["entity"], metrics["entity"]["intervals"]
    for key, name in (("f", "F1"), ("p", "precision"), ("r", "recall")):
        ends = ""
        if chance:
            low, high = chance["all"][key]
            ends = f"{percent(low)} to {percent(high)} ({chance['level']:.0%} interval)"
        yield _card(f"entity {name}", percent(entity["all"][key]), ends)
    yield _card("token F1", percent(metrics["token"]["all"]["f"]), "")
    yield _card("partial F1", percent(metrics["partial"]["partial"]["f"]), "half for an overlap")
    if metrics["confidence"]:
        error = metrics["confidence"]["expected_calibration_error"]
        yield _card("calibration error", f"{error:.3f}", "0 is as good as its word")


def _card(name: str, value: str, note: str) -> str:
    return (
        f"<li><span>{escape(name)}</span><b>{escape(value)}</b><small>{escape(note)}</small></li>"
    )


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.header)
    rows = "\n".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in others)
        + "</tr>"
        for first, *others in table.rows
    )
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    title = escape(table.title)
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{title}"><table>'
        f"<caption>{title}</caption><thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>"
        f"</table></div>{note}"
    )


def _plots(
    metrics: Mapping[str, Any], log: Sequence[Mapping[str, Any]]
) -> Iterator[charts.Drawing]:
    yield charts.draw_confusion(metrics["confusion"]["names"], metrics["confusion"]["entities"])
    confidence = metrics["confidence"]
    if confidence:
        yield charts.draw_reliability(confidence["bins"], confidence["expected_calibration_error"])
        yield charts.draw_threshold(confidence["curve"])
    if log:
        yield charts.draw_learning(log)


def _figure(drawing: charts.Drawing) -> str:
    title = escape(drawing.title)
    return (
        f'<figure><figcaption>{title}</figcaption><div class="wide" role="region" tabindex="0"'
        f' aria-label="{title}">{drawing.svg()}</div></figure>'
    )


def _errors(documents: Sequence[Document], max_errors: int) -> str:
    errors = find_mistakes(documents)
    if not errors:
        return "<p>None.</p>"
    labels = labels_of(documents)
    colours = colours_of(labels)
    parts = [_controls(labels)]
    for kind in KINDS:
        of_kind = [error for error in errors if error.kind == kind]
        if not of_kind:
            continue
        shown = _select(of_kind, max_errors)
        cut = ""
        if len(shown) < len(of_kind):
            which = "the first ones" if kind == "missed" else "those of the highest confidence"
            cut = f" {len(shown):,} of them are shown: {which}."
        items = "\n".join(render_error(e, documents[e.document], colours) for e in shown)
        parts.append(
            f'<section class="kind" id="kind-{kind}"><h3>{NAMES[kind]}'
            f' <span class="count">{len(of_kind):,}</span></h3>'
            f"<p>{escape(KINDS[kind].capitalize())}.{cut}</p>"
            f'<ol class="list">{items}</ol></section>'
        )
    return "\n".join(parts)


def _select(errors: Sequence[Mistake], most: int) -> list[Mistake]:
    """The surest errors, in the order of the text. `sorted` keeps that of equals."""
    if not most:
        return list(errors)
    surest = sorted(range(len(errors)), key=lambda i: -(errors[i].confidence or 0.0))[:most]
    return [errors[i] for i in sorted(surest)]


def _controls(labels: Sequence[str]) -> str:
    either = {label: label for label in labels}
    selects = [
        _choice("kind", "Kind", {"": "all kinds", **NAMES}),
        _choice("label", "Label", {"": "all labels", **either}),
        _choice("gold", "Gold", {"": "any", **either, OUTSIDE: "none (spurious)"}),
        _choice("predicted", "Predicted", {"": "any", **either, OUTSIDE: "none (missed)"}),
        _choice("order", "Order", ORDERS),
    ]
    return (
        '<form id="filters" hidden aria-label="Filter the errors">'
        + "".join(selects)
        + '<label>Text<input type="search" name="text" autocomplete="off"></label>'
        '<button type="button">Show all</button>'
        '<output id="shown" role="status"></output></form>'
    )


def _choice(name: str, title: str, options: Mapping[str, str]) -> str:
    inside = "".join(
        f'<option value="{escape(value)}">{escape(text)}</option>'
        for value, text in options.items()
    )
    return f'<label>{title}<select name="{name}">{inside}</select></label>'
