"""What the drawings share: elements, a frame with axes, colours that follow light and dark."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

# A colour of its own and a dash of its own for each line: no one has to tell colours apart.
STYLE = """
.chart { --ink: #1c1c1c; --faint: #d5d8dc; --soft: #5a6270; --fill: #3b6fb6;
  --c0: #1f5fa8; --c1: #b3541e; --c2: #24744a; --c3: #8a3a8f; --c4: #6b6100; --c5: #a02c4c;
  font: 12px system-ui, sans-serif; max-width: 100%; height: auto; }
@media (prefers-color-scheme: dark) {
  .chart { --ink: #e8e8e8; --faint: #3d434c; --soft: #a9b1bd; --fill: #5b93de;
    --c0: #7db2f0; --c1: #f0a06a; --c2: #6fcf97; --c3: #d79bdc; --c4: #d6c94f; --c5: #f08ba8; }
}
.chart text { fill: var(--ink); }
.chart .soft { fill: var(--soft); }
.chart .axis { stroke: var(--soft); fill: none; }
.chart .grid { stroke: var(--faint); fill: none; }
.chart .bar { fill: var(--fill); fill-opacity: 0.6; }
.chart .ideal { stroke: var(--ink); stroke-dasharray: 4 4; fill: none; }
.chart .line { fill: none; stroke-width: 2; }
.chart .c0 { stroke: var(--c0); } .chart .c1 { stroke: var(--c1); stroke-dasharray: 7 3; }
.chart .c2 { stroke: var(--c2); stroke-dasharray: 2 3; }
.chart .c3 { stroke: var(--c3); stroke-dasharray: 9 3 2 3; }
.chart .c4 { stroke: var(--c4); stroke-dasharray: 12 4; }
.chart .c5 { stroke: var(--c5); stroke-dasharray: 4 2; }
.chart .dot { fill: var(--ink); stroke: none; }
.chart .cell { fill: var(--fill); }
.chart a:focus-visible rect { stroke: var(--ink); stroke-width: 2; outline: none; }
.chart a { outline: none; cursor: pointer; }
"""
N_COLOURS = 6


@dataclass(frozen=True)
class Drawing:
    """A drawing.

    name (str): An identifier that no other drawing of the page has.
    title (str): What it shows, in a few words.
    text (str): What there is to see, for those who do not see it.
    width (float), height (float): Its size, in pixels if nobody scales it.
    body (list[str]): SVG elements.
    """

    name: str
    title: str
    text: str
    width: float
    height: float
    body: list[str]

    def svg(self, *, alone: bool = False) -> str:
        """The drawing as an element.

        alone (bool): For a file of its own, with the style in it.
        RETURNS (str): SVG.
        """
        name = escape(self.name)
        space = ' xmlns="http://www.w3.org/2000/svg"' if alone else ""
        style = f"<style>{STYLE}</style>" if alone else ""
        return (
            f'<svg{space} class="chart" role="group" aria-labelledby="{name}-t {name}-d"'
            f' viewBox="0 0 {number(self.width)} {number(self.height)}"'
            f' width="{number(self.width)}" height="{number(self.height)}">'
            f'<title id="{name}-t">{escape(self.title)}</title>'
            f'<desc id="{name}-d">{escape(self.text)}</desc>{style}{"".join(self.body)}</svg>'
        )


@dataclass(frozen=True)
class Frame:
    """An area with a scale on each side, from (left, top) to (left + width, top + height).

    left (float), top (float), width (float), height (float): Where it is.
    x (tuple[float, float]), y (tuple[float, float]): The values at its ends.
    """

    left: float
    top: float
    width: float
    height: float
    x: tuple[float, float] = (0.0, 1.0)
    y: tuple[float, float] = (0.0, 1.0)

    def at_x(self, value: float) -> float:
        """Where a value is, from left to right."""
        low, high = self.x
        return self.left + self.width * (value - low) / ((high - low) or 1.0)

    def at_y(self, value: float) -> float:
        """Where a value is, from top to bottom: the greatest is at the top."""
        low, high = self.y
        return self.top + self.height * (1 - (value - low) / ((high - low) or 1.0))

    def axes(
        self, x_ticks: Sequence[float], y_ticks: Sequence[float], x_name: str, y_name: str
    ) -> list[str]:
        """Grid, ticks and names.

        x_ticks (Sequence[float]), y_ticks (Sequence[float]): Values to mark.
        x_name (str), y_name (str): What the axes are.
        RETURNS (list[str]): SVG elements.
        """
        bottom, right = self.top + self.height, self.left + self.width
        parts = []
        for value in y_ticks:
            y = self.at_y(value)
            parts.append(line([(self.left, y), (right, y)], "grid"))
            parts.append(text(self.left - 6, y + 4, tick(value), "soft", anchor="end"))
        for value in x_ticks:
            x = self.at_x(value)
            parts.append(line([(x, bottom), (x, bottom + 4)], "axis"))
            parts.append(text(x, bottom + 18, tick(value), "soft", anchor="middle"))
        parts.append(line([(self.left, self.top), (self.left, bottom), (right, bottom)], "axis"))
        parts.append(text((self.left + right) / 2, bottom + 36, x_name, anchor="middle"))
        middle = (self.top + bottom) / 2
        x = self.left - 42
        parts.append(
            f'<text x="{number(x)}" y="{number(middle)}" text-anchor="middle"'
            f' transform="rotate(-90 {number(x)} {number(middle)})">{escape(y_name)}</text>'
        )
        return parts

    def points(self, xs: Iterable[float], ys: Iterable[float]) -> list[tuple[float, float]]:
        """Where pairs of values are."""
        return [(self.at_x(x), self.at_y(y)) for x, y in zip(xs, ys, strict=True)]


def line(points: Sequence[tuple[float, float]], style: str) -> str:
    """A line through some points."""
    path = " ".join(f"{number(x)},{number(y)}" for x, y in points)
    return f'<polyline class="{style}" points="{path}"/>'


def text(x: float, y: float, words: str, style: str = "", *, anchor: str = "start") -> str:
    """Some words; `anchor` is start, middle or end."""
    kind = f' class="{style}"' if style else ""
    return (
        f'<text x="{number(x)}" y="{number(y)}" text-anchor="{anchor}"{kind}>{escape(words)}</text>'
    )


def legend(x: float, y: float, names: Sequence[str]) -> list[str]:
    """A line of each style beside its name, one below the other."""
    parts = []
    for i, name in enumerate(names):
        row = y + 16 * i
        parts.append(line([(x, row), (x + 26, row)], f"line c{i % N_COLOURS}"))
        parts.append(text(x + 32, row + 4, name))
    return parts


def nice_ticks(low: float, high: float, *, about: int = 5) -> list[float]:
    """Round values from low to high, about as many as asked for.

    low (float), high (float): The ends; the ticks lie between them.
    about (int): How many.
    RETURNS (list[float]): At least one.
    """
    if high <= low:
        return [low]
    raw = (high - low) / about
    power = 10.0 ** floor(log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * (1 - 1e-9))
    first = ceil(low / step - 1e-9)
    last = floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)] or [low]


def tick(value: float) -> str:
    """A value beside an axis: 0.2, 500, 1,500."""
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.3g}"


def number(value: float) -> str:
    """A coordinate, short."""
    return f"{value:.1f}".rstrip("0").rstrip(".")
