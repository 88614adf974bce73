"""Entities in characters, as JSON records and standoff files give them.

Tools count offsets in characters, or as JavaScript does (UTF-16 units), or with line ends of one
character each, as browsers do. Where entities come with their texts, these tell which.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ...errors import Plain
from ..passages import Summary, TextSpan
from .json_records import JsonRecord

SEVERAL_LABELS = "entities have several labels, of which the first was taken"
OTHER_UNITS = "texts have offsets in UTF-16 units or with line ends of one character"
# Units of offsets, most likely first: whether characters beyond U+FFFF count as two (UTF-16), and
# whether CR LF counts as one.
_UNITS = ((False, False), (True, False), (False, True), (True, True))

Offsets = tuple[int, int]


class Given(NamedTuple):
    """An entity whose offsets are in unknown units.

    start (int): Its start.
    end (int): Its exclusive end.
    label (str): Its label.
    text (str | None): Its text, if the record gives it.
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
        expected = "an entity as [start, end, label] or with the keys 'start', 'end' and 'label'"
        raise record.error(expected, value)
    checked_text(label, "label", record)
    return Given(start, end, label, text if isinstance(text, str) else None)


def locate(
    text: str, given: Sequence[Given], record: JsonRecord, summary: Summary
) -> list[TextSpan]:
    """Check entities against the text, and convert their offsets to characters.

    text (str): The text.
    given (Sequence[Given]): The entities.
    record (JsonRecord): The record they belong to.
    summary (Summary): Gets a remark if the offsets do not count characters.
    RETURNS (list[TextSpan]): The entities, in the same order.
    RAISES: ConvertError if offsets leave the text or do not match the entities' texts.
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
                f"{wrong.text!r} ({wrong.label}) at characters {wrong.start} to {wrong.end}",
                text[wrong.start : wrong.end],
            )
        if found != offsets:
            summary.remarks[OTHER_UNITS] += 1
            offsets = found
    spans = []
    for (start, end), g in zip(offsets, given, strict=True):
        if not 0 <= start < end <= len(text):
            raise record.error(
                f"an entity with 0 <= start < end <= {len(text)}, the length of the text",
                Plain(f"{start} to {end} for label {g.label!r}"),
            )
        spans.append(TextSpan(start, end, g.label, record.place))
    return spans


def checked_text(value: Any, key: str, record: JsonRecord) -> str:
    """RETURNS (str): The text of a record, if it can be one. RAISES: ConvertError."""
    if not isinstance(value, str):
        raise record.error(f"a text under {key!r}", value)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as err:
        got = Plain(f"half a surrogate pair, {value[err.start]!r}, at character {err.start}")
        raise record.error(f"Unicode text under {key!r}", got) from None
    return value


def in_characters(text: str, spans: Sequence[tuple[int, int, str]]) -> list[Offsets] | None:
    """Convert offsets to characters, in the first units that give each span its text.

    text (str): The text.
    spans (Sequence[tuple[int, int, str]]): Start, exclusive end and the text between, with which
        white space is not compared.
    RETURNS (list[tuple[int, int]] | None): Starts and exclusive ends in characters; None if no
        units give every span its text.
    """
    for utf16, crlf in _UNITS:
        if utf16 and text.isascii() or crlf and "\r\n" not in text:
            continue
        found = _converted(text, spans, utf16=utf16, crlf=crlf)
        if found is not None:
            return found
    return None


def _converted(
    text: str, spans: Sequence[tuple[int, int, str]], *, utf16: bool, crlf: bool
) -> list[Offsets] | None:
    place: dict[int, int] | None = None  # unit -> character
    if utf16 or crlf:
        place, unit = {}, 0
        for i, char in enumerate(text):
            place[unit] = i
            if not (crlf and char == "\r" and text.startswith("\n", i + 1)):
                unit += 2 if utf16 and char > "\uffff" else 1
        place[unit] = len(text)
    found = []
    for start, end, expected in spans:
        first, last = (start, end) if place is None else (place.get(start), place.get(end))
        if first is None or last is None or not 0 <= first < last <= len(text):
            return None
        if text[first:last].split() != expected.split():
            return None
        found.append((first, last))
    return found
