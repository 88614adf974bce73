"""Offsets of entities in characters of a text, whatever units a tool counted in.

Tools count characters, or as JavaScript does (UTF-16 units), or bytes of UTF-8, or with line ends
of one character each, as browsers do; an end is exclusive or that of the last character. Where
entities come with their texts, these tell which.
"""

from collections.abc import Callable, Iterator, Sequence

from ...errors import ConvertError, Plain, describe
from ..options import DETECT, ConvertOptions
from ..passages import Summary, TextSpan
from .entity_values import Given
from .json_records import JsonRecord

OTHER_UNITS = "texts have offsets in UTF-16 units, in bytes or with line ends of one character"
OTHER_ENDS = "texts have entities whose ends are their last characters, not exclusive (`ends`)"
UNSURE_UNITS = (
    "texts have characters beyond U+FFFF or CR LF, and entities without their text, whose offsets "
    "were taken to count characters (`offsets`)"
)
_UNITS = ("characters", "utf-16")
_SIZES: dict[str, Callable[[str], int]] = {
    "characters": lambda char: 1,
    "utf-16": lambda char: 1 + (char > "\uffff"),
    "bytes": lambda char: len(char.encode("utf-8")),
}
NO_LABEL = "entity without a label, whose tokens are left unannotated"

Offsets = tuple[int, int]
Stretch = tuple[int, int, str | None]  # start, end and the text between, if it is known


def locate(
    text: str,
    given: Sequence[Given],
    record: JsonRecord,
    options: ConvertOptions,
    summary: Summary,
) -> tuple[list[TextSpan], list[Offsets]]:
    """Check entities against the text, and convert their offsets to characters.

    text (str): The text.
    given (Sequence[Given]): The entities.
    record (JsonRecord): The record they belong to.
    options (ConvertOptions): `offsets` and `ends` are read.
    summary (Summary): Gets a remark if the offsets do not count characters, or may not.
    RETURNS (tuple[list[TextSpan], list[tuple[int, int]]]): The entities in the same order, and the
        stretches of those without a label.
    RAISES: ConvertError if offsets leave the text or do not match the entities' texts.
    """
    stretches: list[Stretch] = [(g.start, g.end, g.text) for g in given]
    readings = list(_readings(text, stretches, options))
    if not readings:
        # Texts under other keys than "text" may have been normalized.
        stretches = [(g.start, g.end, g.text if g.checked else None) for g in given]
        readings = list(_readings(text, stretches, options))
    if not readings:
        raise _misplaced(text, given, record)
    inclusive, offsets = readings[0]
    if inclusive and options.ends == DETECT:
        summary.remarks[OTHER_ENDS] += 1
    if options.offsets == DETECT:
        if offsets != [(g.start, g.end + inclusive) for g in given]:
            summary.remarks[OTHER_UNITS] += 1
        elif any(other != offsets for ends, other in readings if ends == inclusive):
            summary.remarks[UNSURE_UNITS] += 1
    spans, missing = [], []
    for (start, end), g in zip(offsets, given, strict=True):
        if g.label:
            spans.append(TextSpan(start, end, g.label, record.place))
        else:
            missing.append((start, end))
            summary.lose(NO_LABEL, place=record.place, text=text[start:end], label="")
    return spans, missing


def in_characters(text: str, stretches: Sequence[Stretch]) -> list[Offsets] | None:
    """RETURNS (list[tuple[int, int]] | None): The first of `ways_in_characters`; None without."""
    return next(ways_in_characters(text, stretches), None)


def ways_in_characters(text: str, stretches: Sequence[Stretch]) -> Iterator[list[Offsets]]:
    """Convert offsets with exclusive ends to characters, in each of the units that fit the texts.

    text (str): The text.
    stretches (Sequence[tuple[int, int, str | None]]): Start, exclusive end and the text between,
        with which white space is not compared; None fits any.
    YIELDS (list[tuple[int, int]]): Starts and exclusive ends in characters.
    """
    for unit, crlf in _ways(text, _UNITS):
        offsets = _converted(text, stretches, unit, crlf)
        if offsets is not None:
            yield offsets


def placed(
    text: str, entities: Sequence[tuple[TextSpan, str | None]], summary: Summary
) -> list[TextSpan]:
    """Convert the offsets of entities, each with its text if that is known, to characters.

    RAISES: ConvertError at the place of an entity that has another text.
    """
    given = [(s.start, s.end, text[s.start : s.end] if c is None else c) for s, c in entities]
    found = in_characters(text, given)
    if found is None:
        alone = ((s, g) for (s, _), g in zip(entities, given, strict=True))
        first = entities[0][0], given[0]
        span, (start, end, content) = next(
            ((s, g) for s, g in alone if in_characters(text, [g]) is None), first
        )
        expected = f"{content!r} ({span.label}) at characters {start} to {end}"
        raise ConvertError(describe(span.place, expected=expected, got=text[start:end]))
    if found != [(start, end) for start, end, _ in given]:
        summary.remarks[OTHER_UNITS] += 1
    return [s._replace(start=a, end=b) for (a, b), (s, _) in zip(found, entities, strict=True)]


def _readings(
    text: str, stretches: Sequence[Stretch], options: ConvertOptions
) -> Iterator[tuple[bool, list[Offsets]]]:
    """The ways to read offsets that fit the texts, likely ones first: whether ends are inclusive,
    and starts and exclusive ends in characters. Unusual ways need a text that shows them."""
    shown = any(expected is not None for _, _, expected in stretches)
    units: Sequence[str] = (*_UNITS, "bytes") if shown else _UNITS
    if options.offsets != DETECT:
        units = (options.offsets,)
    ends = {DETECT: (False, True) if shown else (False,), "inclusive": (True,)}
    for inclusive in ends.get(options.ends, (False,)):
        exclusive = [(start, end + inclusive, expected) for start, end, expected in stretches]
        for unit, crlf in _ways(text, units):
            offsets = _converted(text, exclusive, unit, crlf)
            if offsets is not None:
                yield inclusive, offsets


def _ways(text: str, units: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """The units that make a difference in a text, and whether CR LF counts as one."""
    for crlf in (False, True) if "\r\n" in text else (False,):
        for unit in units[:1] if text.isascii() else units:
            yield unit, crlf


def _converted(
    text: str, stretches: Sequence[Stretch], unit: str, crlf: bool
) -> list[Offsets] | None:
    place: dict[int, int] | None = None  # unit -> character
    if unit != "characters" or crlf:
        place, at = {}, 0
        for i, char in enumerate(text):
            place[at] = i
            if not (crlf and char == "\r" and text.startswith("\n", i + 1)):
                at += _SIZES[unit](char)
        place[at] = len(text)
    found = []
    for start, end, expected in stretches:
        first, last = (start, end) if place is None else (place.get(start), place.get(end))
        if first is None or last is None or not 0 <= first < last <= len(text):
            return None
        if expected is not None and text[first:last].split() != expected.split():
            return None
        found.append((first, last))
    return found


def _misplaced(text: str, given: Sequence[Given], record: JsonRecord) -> ConvertError:
    for g in given:
        if not 0 <= g.start < g.end <= len(text):
            return record.error(
                f"an entity with 0 <= start < end <= {len(text)}, the length of the text",
                Plain(f"{g.start} to {g.end} for label {g.label!r}"),
                remedy="`offsets` and `ends` name other ways to count",
            )
    checked = [g for g in given if g.text is not None and g.checked]
    wrong = next(
        (g for g in checked if text[g.start : g.end].split() != str(g.text).split()), given[0]
    )
    return record.error(
        f"{wrong.text!r} ({wrong.label}) at characters {wrong.start} to {wrong.end}",
        text[wrong.start : wrong.end],
    )
