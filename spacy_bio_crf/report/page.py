"""The page of a report: figures, plots, errors and documents."""

import base64
import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.resources import files
from operator import itemgetter
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..errors import counted
from ..metrics.documents import Document, labels_of
from ..metrics.labels import label_tables
from ..metrics.mistakes import KINDS, Mistake, find_mistakes, outside_name
from ..metrics.tables import comparison_tables, percent, tables
from ..tags.spans import Span

try:
    from . import plots
except ModuleNotFoundError as error:
    if error.name != "matplotlib":
        raise
    plots = None  # type: ignore[assignment]

KIND_TITLES = {
    "missed": "Missed",
    "spurious": "Spurious",
    "label": "Wrong label",
    "boundary": "Wrong boundary",
    "both": "Wrong label and boundary",
}
MARGIN = 24  # tokens shown on each side of an error
LABEL_STYLES = 8  # classes l0 to l7 of the style sheet

ENVIRONMENT = Environment(
    loader=PackageLoader(__package__, ""),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.filters["number"] = "{:,}".format
ENVIRONMENT.filters["counted"] = counted

Sides = tuple[list[Span], list[Span]]  # gold and predicted entities, from left to right


class Fragment(NamedTuple):
    """Text on the page, inside or outside of an entity."""

    text: str
    label: str | None = None  # None outside
    differs: bool = False  # whether the entity stands out


def render_report(
    metrics: Mapping[str, Any],
    documents: Sequence[Document],
    *,
    log: Sequence[Mapping[str, Any]] = (),
    max_errors: int = 300,
    all_documents: bool = False,
) -> str:
    """Make a page of figures, plots and errors. It is complete without a network.

    The plots are left out where matplotlib is missing, and the page says so.

    metrics (Mapping[str, Any]): From `analysis.analyze`, with `model` and `corpus`, and
        `comparison` and `labels` (from `analyze_labels`, by component) if there are any. Without an
        entity anywhere, the page is about these labels alone.
    documents (Sequence[Document]): The documents of the figures.
    log (Sequence[Mapping[str, Any]]): A training log, from `read_log`.
    max_errors (int): Show at most this many errors of each kind; 0 shows all.
    all_documents (bool): Also show each document, gold beside predicted.
    RETURNS (str): HTML.
    """
    labels = labels_of(documents)
    # Left to right, so that the entities near an error are found by bisection.
    sides = [(sorted(doc.gold), sorted(doc.predicted)) for doc in documents]
    shown = None
    of_labels = metrics.get("labels", {})
    only_labels = bool(of_labels) and not labels
    shown_tables = [] if only_labels else tables(metrics)
    found_tables = [table for name, own in of_labels.items() for table in label_tables(name, own)]
    if all_documents:
        shown = [_show_document(*both) for both in zip(documents, sides, strict=True)]
    script = read_resource("script.js")
    return ENVIRONMENT.get_template("page.html.j2").render(
        title=f"{metrics['model']} on {metrics['corpus']}",
        metrics=metrics,
        cards=list(_cards(metrics, only_labels)),
        only_labels=only_labels,
        first_tables=[*comparison_tables(metrics), *shown_tables[:1], *found_tables],
        other_tables=shown_tables[1:],
        plots=None if plots is None else list(_draw(metrics, log, only_labels)),
        labels=labels,
        outside=outside_name(labels),
        kind_titles=KIND_TITLES,
        kinds=list(_kinds(documents, sides, outside_name(labels), max_errors)),
        documents=shown,
        colors=color_labels(labels),
        style=read_resource("style.css"),
        script=script,
        digest=digest_of_script(script),
    )


def color_labels(labels: Sequence[str]) -> dict[str, str]:
    """RETURNS (dict[str, str]): The class of each label in the style sheet."""
    return {label: f"l{i % LABEL_STYLES}" for i, label in enumerate(labels)}


def digest_of_script(script: str) -> str:
    """RETURNS (str): The digest by which a page's policy allows a script."""
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


def read_resource(name: str) -> str:
    """RETURNS (str): The text of a file of this room."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _cards(metrics: Mapping[str, Any], only_labels: bool) -> Iterator[tuple[str, str, str]]:
    """The figures at the top: name, value and note."""
    for name, own in metrics.get("labels", {}).items():
        yield f"accuracy of {name}", percent(own["accuracy"]), f"labels of tokens, {own['target']}"
    if only_labels:
        return
    entity, chance = metrics["entity"], metrics["entity"]["intervals"]
    for key, name in (("f", "F1"), ("p", "precision"), ("r", "recall")):
        ends = ""
        if chance:
            low, high = chance["all"][key]
            ends = f"{percent(low)} to {percent(high)} ({chance['level']:.0%} interval)"
        yield f"entity {name}", percent(entity["all"][key]), ends
    yield "token F1", percent(metrics["token"]["all"]["f"]), ""
    yield "partial F1", percent(metrics["partial"]["partial"]["f"]), "half for an overlap"
    if metrics["confidence"]:
        error = metrics["confidence"]["expected_calibration_error"]
        yield "calibration error", f"{error:.3f}", "0: confidence is the share that is right"


def _draw(
    metrics: Mapping[str, Any], log: Sequence[Mapping[str, Any]], only_labels: bool
) -> Iterator[tuple[str, str]]:
    confidence, confusion = metrics["confidence"], metrics["confusion"]
    drawn = []
    if not only_labels:
        drawn.append(plots.draw_confusion(confusion["names"], confusion["entities"]))
    if confidence:
        drawn.append(plots.draw_reliability([("", confidence)]))
        drawn.append(plots.draw_threshold(confidence["curve"]))
    if log:
        drawn.append(plots.draw_learning(log))
    return ((plot.title, plot.svg()) for plot in drawn)


def _kinds(
    documents: Sequence[Document], sides: Sequence[Sides], outside: str, max_errors: int
) -> Iterator[dict[str, Any]]:
    mistakes = find_mistakes(documents)
    for kind, meaning in KINDS.items():
        of_kind = [mistake for mistake in mistakes if mistake.kind == kind]
        shown = _surest(of_kind, max_errors)
        if shown:
            errors = [
                _show_mistake(m, documents[m.document], sides[m.document], outside) for m in shown
            ]
            yield {"name": kind, "meaning": meaning, "total": len(of_kind), "errors": errors}


def _surest(mistakes: Sequence[Mistake], most: int) -> list[Mistake]:
    """The mistakes of the highest confidence, in the order of the text."""
    if not most:
        return list(mistakes)
    order = sorted(range(len(mistakes)), key=lambda i: -(mistakes[i].confidence or 0.0))
    return [mistakes[i] for i in sorted(order[:most])]


def _show_mistake(
    mistake: Mistake, document: Document, sides: Sides, outside: str
) -> dict[str, Any]:
    low = max(min(span[0] for span in mistake.spans) - MARGIN, 0)
    high = min(max(span[1] for span in mistake.spans) + MARGIN, len(document.words))
    owns = (mistake.gold, mistake.predicted)
    return {
        "gold": mistake.gold[2] if mistake.gold else outside,
        "predicted": mistake.predicted[2] if mistake.predicted else outside,
        "confidence": mistake.confidence,
        "place": f"document {mistake.document + 1}, token {mistake.spans[0][0] + 1}",
        "sides": _show_sides(
            document,
            sides,
            [[own] if own else [] for own in owns],
            low,
            high,
            [document.group_of(mistake.spans[0][2])],
        ),
    }


def _show_document(document: Document, sides: Sides) -> dict[str, Any]:
    gold, predicted = map(set, sides)
    differing = (gold - predicted, predicted - gold)
    return {
        "differs": sides[0] != sides[1],
        "sides": _show_sides(
            document, sides, differing, 0, len(document.words), document.group_names
        ),
    }


def _show_sides(
    document: Document,
    sides: Sides,
    differing: Sequence[Collection[Span]],
    low: int,
    high: int,
    groups: Sequence[str],
) -> dict[str, list[Fragment]]:
    """Both sides of a text, for each group of labels, because those of different ones overlap."""
    shown = {}
    for group in groups:
        for name, spans, own in zip(("gold", "predicted"), sides, differing, strict=True):
            title = name if len(groups) == 1 else f"{name}, {group}"
            among = document.of_group(spans, group)
            shown[title] = list(cut_text(document.words, among, own, low, high))
    return shown


def cut_text(
    words: Sequence[str], spans: Sequence[Span], differing: Collection[Span], low: int, high: int
) -> Iterator[Fragment]:
    """Cut the text from token `low` to `high` at the ends of entities, which are in order.

    Of entities that overlap one is shown, a differing one if there is one.
    """
    first = bisect_right(spans, low, key=itemgetter(1))
    near = spans[first : bisect_left(spans, high, key=itemgetter(0))]
    at = low
    if low:
        yield Fragment("… ")
    for start, end, label in _without_overlaps(near, differing):
        begin, stop = max(start, low), min(end, high)
        text = "".join(words[begin:stop])
        inside = text.rstrip()
        yield Fragment("".join(words[at:begin]))
        yield Fragment(inside, label, (start, end, label) in differing)
        yield Fragment(text[len(inside) :])
        at = stop
    yield Fragment("".join(words[at:high]))
    if high < len(words):
        yield Fragment(" …")


def _without_overlaps(spans: Sequence[Span], preferred: Collection[Span]) -> list[Span]:
    """Spans from left to right, of those that overlap a preferred one or else the first."""
    kept: list[Span] = []
    for span in spans:
        if not kept or span[0] >= kept[-1][1]:
            kept.append(span)
        elif span in preferred and kept[-1] not in preferred:
            kept[-1] = span
    return kept
