"""The confusion matrix: a cell is the darker the larger its share of the row is."""

from collections.abc import Sequence
from html import escape
from urllib.parse import urlencode

from .frame import Drawing, number, text

CELL = 44
LONGEST = 14  # characters of a label


def draw_confusion(names: Sequence[str], counts: Sequence[Sequence[int]]) -> Drawing:
    """Draw counts of gold (rows) against predicted (columns).

    A cell off the diagonal is a link to the errors it counts, "#gold=…&predicted=…".

    names (Sequence[str]): The labels, and "O" at the end.
    counts (Sequence[Sequence[int]]): As many rows and columns.
    RETURNS (Drawing): The drawing.
    """
    shown = [name if len(name) <= LONGEST else name[: LONGEST - 1] + "…" for name in names]
    left = 40 + 7.5 * max(map(len, shown))
    # The names of the columns stand upright.
    top = left
    body = [
        text(left + CELL * len(names) / 2, 14, "predicted", "soft", anchor="middle"),
        text(4, top + CELL * len(names) / 2, "gold", "soft"),
    ]
    for i, name in enumerate(shown):
        x = left + CELL * (i + 0.5) + 4
        body.append(text(left - 8, top + CELL * (i + 0.5) + 4, name, anchor="end"))
        body.append(
            f'<text transform="translate({number(x)} {number(top - 8)}) rotate(-90)">'
            f"{escape(name)}</text>"
        )
    said = []
    for i, row in enumerate(counts):
        total = sum(row)
        for j, count in enumerate(row):
            share = count / total if total else 0.0
            x, y = left + CELL * j, top + CELL * i
            cell = (
                f'<rect class="cell" fill-opacity="{0.04 + 0.6 * share:.2f}" x="{number(x + 1)}"'
                f' y="{number(y + 1)}" width="{CELL - 2}" height="{CELL - 2}"/>'
            )
            if count:
                cell += text(x + CELL / 2, y + CELL / 2 + 4, f"{count:,}", anchor="middle")
                said.append(f"{names[i]} as {names[j]}: {count:,}")
            if count and i != j:
                query = urlencode({"gold": names[i], "predicted": names[j]})
                name = f"{count:,} errors: gold {names[i]}, predicted {names[j]}"
                cell = f'<a href="#{escape(query)}" aria-label="{escape(name)}">{cell}</a>'
            body.append(cell)
    size = left + CELL * len(names) + 8
    title = "Confusion: gold in rows, predicted in columns"
    return Drawing("confusion", title, "; ".join(said) or "no entity", size, size, body)
