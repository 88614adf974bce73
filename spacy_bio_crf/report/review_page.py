"""The page of a review: a list of doubtful annotation, each with a correction to copy."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..metrics.mistakes import outside_name
from ..metrics.tables import Table
from ..tags.spans import Span
from .page import (
    ENVIRONMENT,
    KIND_TITLES,
    MARGIN,
    color_labels,
    cut_text,
    digest_of_script,
    read_resource,
)


@dataclass(frozen=True)
class Entry:
    """Annotation on one side, and on the other what could be there instead.

    kind (str): A key of `mistakes.KINDS`.
    place (str): Where it is.
    words (Sequence[str]): The tokens of the document, with the white space after them.
    sides (tuple[Sequence[Span], Sequence[Span]]): All entities of the document, on both sides.
    own (tuple[Sequence[Span], Sequence[Span]]): Those that differ here.
    correction (Mapping[str, Any]): From `corrections.correction_data`.
    notes (Sequence[str]): Remarks.
    score (float | None): What the list can be ordered by.
    """

    kind: str
    place: str
    words: Sequence[str]
    sides: tuple[Sequence[Span], Sequence[Span]]
    own: tuple[Sequence[Span], Sequence[Span]]
    correction: Mapping[str, Any]
    notes: Sequence[str] = ()
    score: float | None = None


@dataclass(frozen=True)
class Wording:
    """The texts of a page.

    title, summary (str): At the top.
    heading (str): Of the list's part of the page.
    listing (str): Of the list itself.
    explanation (str): Above the list.
    noun (str): What the list has, in the plural.
    sides (tuple[str, str]): Names of both sides.
    orders (Mapping[str, str]): Orders of the list: "text" as it is, "sure" and "unsure" by score.
    """

    title: str
    summary: str
    heading: str
    listing: str
    explanation: str
    noun: str
    sides: tuple[str, str]
    orders: Mapping[str, str]


def render_review(entries: Sequence[Entry], tables: Sequence[Table], wording: Wording) -> str:
    """Make a page with tables and a list of entries. It is complete without a network.

    entries (Sequence[Entry]): The list, in order.
    tables (Sequence[Table]): The tables above it.
    wording (Wording): The page's texts.
    RETURNS (str): HTML.
    """
    labels = sorted({span[2] for entry in entries for side in entry.sides for span in side})
    outside = outside_name(labels)
    scripts = [read_resource(name) for name in ("script.js", "copy.js")]
    digests = " ".join(f"'sha256-{digest_of_script(script)}'" for script in scripts)
    kinds = {
        kind: title for kind, title in KIND_TITLES.items() if any(e.kind == kind for e in entries)
    }
    return ENVIRONMENT.get_template("review.html.j2").render(
        **vars(wording),
        tables=tables,
        items=[_show(entry, wording.sides, outside) for entry in entries],
        labels=labels,
        kinds=kinds,
        outside=outside,
        colors=color_labels(labels),
        style=read_resource("style.css"),
        scripts=scripts,
        digests=digests,
    )


def _show(entry: Entry, names: tuple[str, str], outside: str) -> dict[str, Any]:
    spans = [span for own in entry.own for span in own]
    low = max(min(span[0] for span in spans) - MARGIN, 0)
    high = min(max(span[1] for span in spans) + MARGIN, len(entry.words))
    first, second = (own[0][2] if own else outside for own in entry.own)
    return {
        "kind": entry.kind,
        "gold": first,
        "predicted": second,
        "score": entry.score,
        "notes": entry.notes,
        "place": entry.place,
        "line": json.dumps(entry.correction, ensure_ascii=False),
        "sides": {
            name: list(cut_text(entry.words, sorted(side), own, low, high))
            for name, side, own in zip(names, entry.sides, entry.own, strict=True)
        },
    }
