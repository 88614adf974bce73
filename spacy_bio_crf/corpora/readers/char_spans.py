"""Entities as JSON records give them: start, end and label in some of several forms."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..passages import Summary, TextSpan
from .json_records import JsonRecord
from .offsets import in_characters

SEVERAL_LABELS = "entities have several labels, of which the first was taken"
OTHER_UNITS = "texts have offsets in UTF-16 units or with line ends of one character"


class Given(NamedTuple):
    """An entity before its offsets are known to count characters.

    start (int): Its start.
    end (int): Its exclusive end.
    label (str): Its label.
    text (str | None): The text it is said to have.
    """

    start: int
    end: int
    label: str
    text: str | None


def read_span(value: Any, record: JsonRecord, summary: Summary) -> Given:
    """Read `[start, end, label]` or an object with "start" or "start_offset", "end" or "end_offset"
    and "label" or "labels", and maybe "text".

    value (Any): The entity.
    record (JsonRecord): The record it belongs to.
    summary (Summary): Gets a remark if there are several labels.
    RETURNS (Given): The entity.
    RAISES: ConvertError if it has none of these forms.
    """
    text = None
    if isinstance(value, list) and len(value) == 3:
        start, end, label = value
    elif isinstance(value, dict):
        start = value.get("start", value.get("start_offset"))
        end = value.get("end", value.get("end_offset"))
        label = value.get("label", value.get("labels"))
        text = value.get("text")
    else:
        start = end = label = None
    if isinstance(label, list) and label:
        if len(label) > 1:
            summary.remarks[SEVERAL_LABELS] += 1
        label = label[0]
    # A bool is an int, to Python.
    if type(start) is not int or type(end) is not int or not isinstance(label, str) or not label:
        raise record.error(
            "expected an entity as [start, end, label] or with the keys 'start', 'end' and "
            f"'label', found {value!r}"
        )
    return Given(start, end, label, text if isinstance(text, str) else None)


def located(
    text: str, given: Sequence[Given], record: JsonRecord, summary: Summary
) -> list[TextSpan]:
    """Check entities against the text, in characters.

    text (str): The text.
    given (Sequence[Given]): The entities.
    record (JsonRecord): The record they belong to.
    summary (Summary): Gets a remark if the offsets count something else than characters.
    RETURNS (list[TextSpan]): The entities, in the same order.
    RAISES: ConvertError if offsets leave the text or do not give the text they are said to.
    """
    offsets = [(g.start, g.end) for g in given]
    if given and all(g.text is not None for g in given):
        found = in_characters(text, [(g.start, g.end, g.text or "") for g in given])
        if found is None:
            wrong = next(
                (g for g in given if text[g.start : g.end].split() != (g.text or "").split()),
                given[0],
            )
            raise record.error(
                f"expected {wrong.text!r} ({wrong.label}) at characters {wrong.start} to "
                f"{wrong.end}, found {text[wrong.start : wrong.end]!r}"
            )
        summary.remarks[OTHER_UNITS] += found != offsets
        offsets = found
    spans = []
    for (start, end), g in zip(offsets, given, strict=True):
        if not 0 <= start < end <= len(text):
            raise record.error(
                f"entity of label {g.label!r} with characters {start} to {end}: expected "
                f"0 <= start < end <= {len(text)}, the length of the text"
            )
        spans.append(TextSpan(start, end, g.label, record.place))
    return spans


def checked_text(value: Any, key: str, record: JsonRecord) -> str:
    """RETURNS (str): The text of a record, if it can be one. RAISES: ConvertError."""
    if not isinstance(value, str):
        raise record.error(f"expected a text under {key!r}, found {value!r}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as err:
        raise record.error(
            f"the text has half a surrogate pair, {value[err.start]!r}, at character {err.start}"
        ) from None
    return value
