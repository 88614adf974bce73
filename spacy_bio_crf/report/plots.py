"""Plots of a report and of the command line, drawn by matplotlib."""

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape, unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import matplotlib
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..io import replacing

INK = "#1c1c1d"  # in a page, the color of its text replaces it
# These stand out from white and from a dark page. Each line also has dashes of its own.
COLORS = ("#3f7fc4", "#c4702a", "#38945f", "#a565ad", "#8b8120", "#c9536f")
DASHES = ("-", "--", ":", "-.", (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))
FAINT = "#80808066"
STYLE: dict[Any, Any] = {
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.prop_cycle": cycler(color=COLORS) + cycler(linestyle=DASHES),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": "medium",
    "figure.constrained_layout.use": True,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "grid.color": FAINT,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,  # a label may contain dollar signs
    "xtick.color": INK,
    "ytick.color": INK,
}
UNDATED = {"svg": dict.fromkeys(("Date", "Creator", "Format", "Type"))}
PLOT_FORMATS = tuple(FigureCanvasBase.get_supported_filetypes())
SIDE = 3.75  # inches of a square diagram
LONG_NAME = 14  # characters
PREFERRED_SCORES = ("ents_f", "ents_p", "ents_r", "ner_token_f")


@dataclass(frozen=True)
class Plot:
    """A figure with its description.

    name (str): An identifier, unique on a page.
    title (str): The caption.
    text (str): The figure in words, for readers who can't see it.
    figure (Figure): The figure.
    links (Mapping[str, str]): Names of the figure's links, by address.
    """

    name: str
    title: str
    text: str
    figure: Figure
    links: Mapping[str, str] = field(default_factory=dict)

    def svg(self) -> str:
        """The figure as an element of a page, in the color of the page's text.

        RETURNS (str): SVG. The same figure has the same text every time.
        """
        file = io.StringIO()
        self._write(file, "svg", "none")
        attributes, body = file.getvalue().split("<svg ", 1)[1].split(">", 1)
        # Nothing refers to these identifiers, and other figures of the page have the same.
        body = re.sub(r' id="[\w.]+_\d+"', "", body).replace(INK, "currentColor")
        body = re.sub(r'<a xlink:href="([^"]*)"[^>]*>', self._link, body)
        return (
            f'<svg class="chart" role="group" aria-labelledby="{self.name}-t {self.name}-d"'
            f' {attributes}><title id="{self.name}-t">{escape(self.title)}</title>'
            f'<desc id="{self.name}-d">{escape(self.text)}</desc>{body}'
        )

    def _link(self, found: re.Match[str]) -> str:
        name = self.links[unescape(found[1])]
        return f'<a xlink:href="{found[1]}" aria-label="{escape(name)}">'

    def save(self, path: Path) -> None:
        """Write the figure to a file, on a white ground.

        path (Path): The file; its suffix is one of `PLOT_FORMATS`.
        """
        with replacing(path) as aside:
            self._write(aside, path.suffix[1:], "white")

    def _write(self, file: Any, kind: str, ground: str) -> None:
        style = {**STYLE, "svg.hashsalt": self.name}
        with matplotlib.rc_context(style), warnings.catch_warnings():
            # The text of an SVG is drawn in the reader's fonts.
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            metadata = UNDATED.get(kind)
            self.figure.savefig(file, format=kind, facecolor=ground, metadata=metadata)


@matplotlib.rc_context(STYLE)
def draw_confusion(names: Sequence[str], counts: Sequence[Sequence[int]]) -> Plot:
    """Draw counts of gold (rows) against predicted (columns) labels.

    A cell off the diagonal is a link to its errors, "#gold=…&predicted=…".

    names (Sequence[str]): The labels, and that of no entity at the end.
    counts (Sequence[Sequence[int]]): As many rows and columns.
    RETURNS (Plot): The plot.
    """
    short = [name if len(name) <= LONG_NAME else f"{name[: LONG_NAME - 1]}…" for name in names]
    side = 0.8 + 0.46 * len(names) + 0.09 * max(map(len, short))
    figure = Figure((side, side))
    ax = figure.subplots()
    texts, links = [], {}
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            if not count:
                continue
            texts.append(f"{names[i]} as {names[j]}: {count:,}")
            url = None
            if i != j:
                url = "#" + urlencode({"gold": names[i], "predicted": names[j]})
                links[url] = f"{count:,} errors: gold {names[i]}, predicted {names[j]}"
            alpha = 0.1 + 0.6 * count / sum(row)
            ax.add_patch(Rectangle((j, i), 1, 1, color=COLORS[0], alpha=alpha, url=url))
            ax.text(j + 0.5, i + 0.5, f"{count:,}", ha="center", va="center")
    ax.set(xlim=(0, len(names)), ylim=(len(names), 0), aspect="equal")
    _name_cells(ax, short, short)
    ax.xaxis.tick_top()
    ax.xaxis.set_label_position("top")
    ax.set(xlabel="predicted", ylabel="gold")
    title = "Confusion: gold in rows, predicted in columns"
    return Plot("confusion", title, "; ".join(texts) or "no entity", figure, links)


@matplotlib.rc_context(STYLE)
def draw_reliability(diagrams: Sequence[tuple[str, Mapping[str, Any]]]) -> Plot:
    """Draw reliability diagrams side by side. On the diagonal, confidence equals precision.

    diagrams (Sequence[tuple[str, Mapping]]): Title and `calibration_table` of each.
    RETURNS (Plot): The plot.
    """
    figure = Figure((SIDE * len(diagrams), SIDE))
    axes = figure.subplots(1, len(diagrams), squeeze=False)[0]
    texts = []
    for ax, (title, table) in zip(axes, diagrams, strict=True):
        for b in table["bins"]:
            if not b["count"]:
                ax.axvspan(b["low"], b["high"], color=FAINT, linewidth=0)
                continue
            bar = ax.bar(b["low"], b["precision"], b["high"] - b["low"], align="edge")
            bar[0].set(facecolor=COLORS[0], edgecolor=INK, linewidth=0.3, alpha=0.7)
            ax.bar_label(bar, [f"{b['count']:,}"], padding=1, fontsize=7)
            texts.append(
                f"{b['low']:.2f} to {b['high']:.2f}: {b['precision']:.2f} of {b['count']:,} right"
            )
        ax.plot([0, 1], [0, 1], color=INK, linestyle="--", linewidth=1)
        ax.set(xlabel="confidence (shaded: no entity)", ylabel="precision", title=title)
        ax.set(xlim=(0, 1), ylim=(0, 1.08))
    errors = [f"{table['expected_calibration_error']:.3f}" for _, table in diagrams]
    title = f"Reliability, expected calibration error {', '.join(errors)}"
    return Plot("reliability", title, "; ".join(texts) or "no entity", figure)


@matplotlib.rc_context(STYLE)
def draw_threshold(curve: Sequence[Mapping[str, float]]) -> Plot:
    """Draw precision, recall and F1 over the threshold, and precision over recall beside it.

    curve (Sequence[Mapping[str, float]]): `threshold`, `p`, `r` and `f` of each point.
    RETURNS (Plot): The plot.
    """
    figure, (left, right) = _two_axes("threshold", "share", "recall", "precision")
    thresholds = [0.0, *(point["threshold"] for point in curve)]
    for key, name in (("p", "precision"), ("r", "recall"), ("f", "F1")):
        values = [point[key] for point in curve]
        # A threshold drops the entities below it: a value holds up to its threshold.
        left.plot(thresholds, [values[0], *values], drawstyle="steps-pre", label=name)
    left.set(xlim=(0, 1), ylim=(0, 1.02))
    left.legend(loc="lower left")
    right.plot([point["r"] for point in curve], [point["p"] for point in curve])
    best = max(curve, key=lambda point: point["f"])
    right.plot(best["r"], best["p"], "o", color=INK)
    name = f"F1 {best['f']:.3f} at {best['threshold']:.2f}"
    side = "right" if best["r"] > 0.5 else "left"
    right.annotate(
        name, (best["r"], best["p"]), (0, -18), textcoords="offset points", ha=side, va="top"
    )
    right.set(xlim=(0, 1.02), ylim=(0, 1.02))
    text = (
        f"Without a threshold precision is {curve[0]['p']:.3f} and recall {curve[0]['r']:.3f};"
        f" the highest F1, {best['f']:.3f}, is at {best['threshold']:.3f}."
    )
    title = "Precision and recall, if entities below a threshold were dropped"
    return Plot("threshold", title, text, figure)


@matplotlib.rc_context(STYLE)
def draw_learning(rows: Sequence[Mapping[str, Any]]) -> Plot:
    """Draw the loss of each component and the scores on the development data over the steps.

    rows (Sequence[Mapping]): `step`, `loss_per_step` by component and `scores` by name, from
        `read_log`; at least one. A loss or score may be None.
    RETURNS (Plot): The plot.
    """
    figure, (left, right) = _two_axes(
        "step", "loss of a step", "step", "score on the development data"
    )
    scores = {
        name: points
        for name, points in _points(rows, "scores").items()
        if all(0 <= score <= 1 for _, score in points)
    }
    scores = {name: scores[name] for name in PREFERRED_SCORES if name in scores} or scores
    for ax, lines in ((left, _points(rows, "loss_per_step")), (right, scores)):
        for name, points in list(lines.items())[: len(COLORS)]:
            ax.plot(*zip(*points, strict=True), marker=".", label=name)
        if lines:
            ax.legend()
    left.set_ylim(bottom=0)
    right.set_ylim(0, 1.02)
    last = ", ".join(f"{name} {points[-1][1]:.3f}" for name, points in scores.items())
    step = rows[-1]["step"]
    text = f"{len(rows)} evaluations, the last one at step {step}: {last or 'no score'}."
    return Plot("learning", "Learning curve", text, figure)


@matplotlib.rc_context(STYLE)
def draw_transitions(table: Mapping[str, Any]) -> Plot:
    """Draw transition scores: favored in blue, avoided in red, impossible in gray.

    table (Mapping[str, Any]): From `transition_table`.
    RETURNS (Plot): The plot.
    """
    scores = [[float("nan") if s is None else s for s in row] for row in table["scores"]]
    strength = max((abs(s) for row in table["scores"] for s in row if s is not None), default=1.0)
    rows, columns = table["rows"], table["columns"]
    side = 2.5 + 0.45 * len(columns)
    figure = Figure((side, side))
    ax = figure.subplots()
    ax.set_facecolor("#b0b0b0")
    extent = (0, len(columns), len(rows), 0)
    image = ax.imshow(scores, cmap="RdBu", vmin=-strength, vmax=strength, extent=extent)
    _name_cells(ax, rows, columns)
    ax.set(xlabel="to", ylabel="from", title="transition scores (nats); gray: never taken")
    figure.colorbar(image, shrink=0.7)
    return Plot("transitions", "Transition scores", "", figure)


def _two_axes(*names: str) -> tuple[Figure, Sequence[Axes]]:
    """Two diagrams side by side, with the names of their x and y axes."""
    figure = Figure((2 * SIDE, SIDE))
    axes = figure.subplots(1, 2)
    for ax, x, y in zip(axes, names[::2], names[1::2], strict=True):
        ax.set(xlabel=x, ylabel=y)
        ax.grid()
    return figure, axes


def _name_cells(ax: Axes, rows: Sequence[str], columns: Sequence[str]) -> None:
    """Put names beside cells of the size 1, and lines between them."""
    for axis, names, turn in ((ax.xaxis, columns, 90), (ax.yaxis, rows, 0)):
        axis.set_ticks([i + 0.5 for i in range(len(names))], names, rotation=turn)
        axis.set_ticks(range(len(names) + 1), minor=True)
    ax.grid(which="minor")
    ax.tick_params(which="both", length=0)


def _points(rows: Sequence[Mapping[str, Any]], key: str) -> dict[str, list[tuple[int, float]]]:
    """Steps and values of each name in a log, without names that never have a value."""
    found: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        for name, value in row[key].items():
            if value is not None:
                found.setdefault(name, []).append((row["step"], value))
    return found
