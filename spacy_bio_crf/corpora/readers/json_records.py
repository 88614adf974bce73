"""Records of JSON files: one object a line, one array, or one object after another."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import ConvertError, Plain, describe
from ...io import UTF8, Tick, numbered_lines, read_text

_SHOWN = 60
# A ValueError alone stands for a number of thousands of digits.
_JSON_ERRORS = (ValueError, RecursionError)
_BLANK = re.compile(r"\s*")
_STRING = r'"(?:[^"\\]|\\.)*"'
_PAIR = rf"\[\s*{_STRING}\s*,\s*[{{\[]"
# An object with a key, or a pair, alone or in an array. A bracket alone is no sign of JSON, because
# it may be the first token of a column file.
_FIRST_RECORD = re.compile(rf"(\[\s*)?(\{{\s*{_STRING}\s*:|{_PAIR})")
_NO_RECORD = re.compile(r"\[\s*\]\s*")
_FIRST_PAIR = re.compile(_PAIR)


class JsonRecord(NamedTuple):
    """One record of a file.

    data (dict[str, Any]): The JSON object.
    number (int): The line on which it begins, or its number in an array; both from 1.
    place (str): The same for messages: "file, line 3" or "file, record 3".
    """

    data: dict[str, Any]
    number: int
    place: str

    def name(self, *keys: str) -> str:
        """RETURNS (str): The value of the first of these keys that has one; empty without any."""
        found = (self.data.get(key) for key in keys)
        return str(next((value for value in found if value is not None), ""))

    def error(self, expected: str, got: Any, *, remedy: str | None = None) -> ConvertError:
        """RETURNS (ConvertError): An error at the record's place, in the form of `describe`."""
        return ConvertError(describe(self.place, expected=expected, got=got, remedy=remedy))


def looks_like_json(text: str) -> bool:
    """RETURNS (bool): Whether the beginning of a file is one of JSON records, or an array without
    any."""
    return _FIRST_RECORD.match(text) is not None or _NO_RECORD.fullmatch(text) is not None


def json_records(
    path: Path,
    tick: Tick | None = None,
    *,
    encoding: str = UTF8,
    bad: list[ConvertError] | None = None,
) -> Iterator[JsonRecord]:
    """Read the objects in a file, the form of which is detected by its beginning.

    "[" begins an array. "{" begins one object a line if the first line is a whole one, and else
    objects that may each take several lines. A pair `["text", {…}]`, as spaCy 2 has them, stands
    for an object with that "text". Lines are streamed; other forms are held in memory as text, from
    which one record is parsed at a time.

    path (Path): The file.
    tick (Tick | None): Called with the number of bytes dealt with since the last call.
    encoding (str): The file's encoding.
    bad (list[ConvertError] | None): Gets the errors of lines, instead of raising them.
    YIELDS (JsonRecord): The objects, in order.
    RAISES: ConvertError if the file is no JSON or has anything but objects.
    """
    by_line = _is_by_line(path, encoding)
    values = enumerate(_values(path, tick, encoding), start=1)
    for number, value in _lines(path, tick, encoding, bad) if by_line else values:
        place = f"{path}, {'line' if by_line else 'record'} {number}"
        value = as_object(value)
        if not isinstance(value, dict):
            got = Plain(_cut(json.dumps(value, ensure_ascii=False)))
            error = ConvertError(describe(place, expected="a JSON object {…}", got=got))
            if bad is None or not by_line:
                raise error
            bad.append(error)
            continue
        yield JsonRecord(value, number, place)


def as_object(value: Any) -> Any:
    """RETURNS (Any): The value, or an object for a pair of a text and entities, as in spaCy 2."""
    match value:
        case [str(text), dict(data)]:
            return {"text": text, **data}
        case [str(text), list(entities)]:
            return {"text": text, "entities": entities}
    return value


def _is_by_line(path: Path, encoding: str) -> bool:
    """Whether the first line that is not empty is a record; so for a file without one."""
    numbered = numbered_lines(path, ConvertError, encoding=encoding)
    lines = (text.strip() for _, text in numbered)
    first = next(filter(None, lines), "{}")
    if first[0] == "[" and not _FIRST_PAIR.match(first):
        return False
    try:
        json.loads(first)
    except _JSON_ERRORS:
        return False
    return True


def _lines(
    path: Path, tick: Tick | None, encoding: str, bad: list[ConvertError] | None
) -> Iterator[tuple[int, Any]]:
    for line, text in numbered_lines(path, ConvertError, tick, encoding=encoding):
        if text.strip():
            try:
                value = json.loads(text)
            except _JSON_ERRORS as err:
                where = f" at column {err.colno}" if isinstance(err, json.JSONDecodeError) else ""
                expected = f"a JSON object ({_reason(err)}{where})"
                place = f"{path}, line {line}"
                error = ConvertError(describe(place, expected=expected, got=_cut(text)))
                if bad is None:
                    raise error from None
                bad.append(error)
                continue
            yield line, value


def _values(path: Path, tick: Tick | None, encoding: str) -> Iterator[Any]:
    """The values of an array, or values one after another."""
    text = read_text(path, ConvertError, encoding=encoding).removeprefix("\ufeff")
    size, told = path.stat().st_size, 0
    decode = json.JSONDecoder().raw_decode

    def skip_blanks(at: int) -> int:
        found = _BLANK.match(text, at)
        return found.end() if found else at

    def error(at: int, expected: str) -> ConvertError:
        place = f"{path}, line {text.count(chr(10), 0, at) + 1}"
        return ConvertError(describe(place, expected=expected, got=text[at : at + _SHOWN]))

    at = skip_blanks(0)
    in_array = text[at] == "["
    if in_array:
        at = skip_blanks(at + 1)
    more = not (in_array and text.startswith("]", at))
    while more:
        try:
            value, end = decode(text, at)
        except _JSON_ERRORS as err:
            raise error(at, f"a JSON value ({_reason(err)})") from None
        if tick is not None:
            done = size * end // len(text)
            tick(done - told)
            told = done
        yield value
        at = skip_blanks(end)
        more = at < len(text)
        if in_array and text.startswith(",", at):
            at, more = skip_blanks(at + 1), True
        elif in_array and text.startswith("]", at):
            more = False
        elif in_array:
            raise error(at, "',' or ']' after a value of the array")
    if in_array:
        at = skip_blanks(at + 1)
        if at < len(text):
            raise error(at, "the end of the file after the array")
    if tick is not None:
        tick(size - told)


def _reason(err: Exception) -> str:
    return err.msg if isinstance(err, json.JSONDecodeError) else str(err)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
