"""An error as it stands in its text: gold beside predicted, in displaCy's style."""

from collections.abc import Mapping, Sequence
from html import escape

from ..metrics.documents import Document
from ..metrics.mistakes import Mistake
from ..tags.schemes import OUTSIDE
from ..tags.spans import Span

CONTEXT = 24  # tokens shown on each side of an error
N_COLOURS = 8


def colours_of(labels: Sequence[str]) -> dict[str, str]:
    """A class of the style sheet for each label.

    labels (Sequence[str]): The labels.
    RETURNS (dict[str, str]): "l0" to "l7", and again from "l0".
    """
    return {label: f"l{i % N_COLOURS}" for i, label in enumerate(labels)}


def render_error(error: Mistake, document: Document, colours: Mapping[str, str]) -> str:
    """An item of the list of errors.

    error (Error): The error.
    document (Document): The document it is in.
    colours (Mapping[str, str]): From `colours_of`.
    RETURNS (str): HTML. What the script filters and sorts by stands in data attributes.
    """
    gold = error.gold[2] if error.gold else OUTSIDE
    predicted = error.predicted[2] if error.predicted else OUTSIDE
    score = "" if error.confidence is None else f"{error.confidence:.6f}"
    place = error.gold or error.predicted or (0, 0, "")
    data = {
        "kind": error.kind,
        "gold": gold,
        "predicted": predicted,
        "confidence": score,
    }
    attributes = "".join(f' data-{key}="{escape(value)}"' for key, value in data.items())
    parts = [f"<span>{_badge(gold, colours)} → {_badge(predicted, colours)}</span>"]
    if error.confidence is not None:
        parts.append(f'<span class="score">confidence {error.confidence:.3f}</span>')
    parts.append(f'<span class="place">document {error.document + 1}, token {place[0] + 1}</span>')
    sides = "".join(
        f'<div class="side"><h4>{name}</h4>'
        f'<p dir="auto">{_marked(document, spans, own, error, colours)}</p></div>'
        for name, spans, own in (
            ("gold", document.gold, error.gold),
            ("predicted", document.predicted, error.predicted),
        )
    )
    return (
        f'<li class="error"{attributes}><p class="what">{" ".join(parts)}</p>'
        f'<div class="pair">{sides}</div></li>'
    )


def _badge(label: str, colours: Mapping[str, str]) -> str:
    if label not in colours:
        return '<span class="none">none</span>'
    return f'<span class="badge {colours[label]}">{escape(label)}</span>'


def _marked(
    document: Document,
    spans: Sequence[Span],
    own: Span | None,
    error: Mistake,
    colours: Mapping[str, str],
) -> str:
    """The text around an error with the entities of one side; its own one stands out."""
    around = [span for span in (error.gold, error.predicted) if span is not None]
    low = max(min(span[0] for span in around) - CONTEXT, 0)
    high = min(max(span[1] for span in around) + CONTEXT, len(document.words))
    shown = _apart([span for span in spans if span[0] < high and span[1] > low], own)
    parts = ["… " if low else ""]
    at = low
    for start, end, label in shown:
        start, stop = max(start, low), min(end, high)
        parts.append(escape("".join(document.words[at:start])))
        text = "".join(document.words[start:stop])
        inside = text.rstrip()
        strong = " own" if (start, end, label) == own else ""
        parts.append(
            f'<mark class="entity {colours[label]}{strong}">{escape(inside)}'
            f'<span class="label">{escape(label)}</span></mark>{escape(text[len(inside) :])}'
        )
        at = stop
    parts.append(escape("".join(document.words[at:high])))
    parts.append(" …" if high < len(document.words) else "")
    return "".join(parts)


def _apart(spans: Sequence[Span], own: Span | None) -> list[Span]:
    """Spans without those that overlap another one: its own one is kept in any case."""
    kept: list[Span] = [] if own is None else [own]
    for span in spans:
        if all(span[0] >= other[1] or span[1] <= other[0] for other in kept):
            kept.append(span)
    return sorted(kept)
