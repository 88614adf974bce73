"""Stream the records of a JSON file: one object a line, one array, or one object after another."""

import codecs
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..passages import ConvertError, no_tick
from .layout import numbered_lines

CHUNK = 1 << 18  # bytes
_SHOWN = 60


class JsonRecord(NamedTuple):
    """One record of a file.

    data (dict[str, Any]): The JSON object.
    line (int): The line on which it begins, counted from 1.
    place (str): Where it stands, for messages.
    """

    data: dict[str, Any]
    line: int
    place: str

    def error(self, message: str) -> ConvertError:
        """RETURNS (ConvertError): An error that names the record's place."""
        return ConvertError(f"{self.place}: {message}")


def json_records(path: Path, tick: Callable[[int], None] = no_tick) -> Iterator[JsonRecord]:
    """Stream the objects in a file, whose first character that is no white space decides: "[" is an
    array; "{" is one object a line if the first line is a whole one, else objects that may each
    take several lines.

    path (Path): The file.
    tick (Callable[[int], None]): Is called with the number of bytes read since the last call.
    YIELDS (JsonRecord): The objects, in order.
    RAISES: ConvertError if the file is no JSON or has anything but objects.
    """
    line, text = first_line(path)
    if not text:
        return
    whole = text[0] == "[" or not _is_whole(text)
    records = _values(path, tick) if whole else _lines(path, tick)
    for value, line, place in records:
        if not isinstance(value, dict):
            raise ConvertError(f"{place}: expected a JSON object {{…}}, found {_cut(value)}")
        yield JsonRecord(value, line, place)


def first_line(path: Path) -> tuple[int, str]:
    """RETURNS (tuple[int, str]): The first line that is no white space, with its number; (0, "")
    if there is none."""
    for line, text in numbered_lines(path):
        if text.strip():
            return line, text.strip()
    return 0, ""


def _is_whole(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _lines(path: Path, tick: Callable[[int], None]) -> Iterator[tuple[Any, int, str]]:
    for line, text in numbered_lines(path, tick):
        if text.strip():
            place = f"{path}, line {line}"
            try:
                yield json.loads(text), line, place
            except json.JSONDecodeError as err:
                raise ConvertError(
                    f"{place}: expected a JSON object, found {text[:_SHOWN]!r}: {err.msg} at "
                    f"column {err.colno}"
                ) from None


def _values(path: Path, tick: Callable[[int], None]) -> Iterator[tuple[Any, int, str]]:
    """The values of an array, or values one after another. The buffer holds one value at least;
    what is cut off by its end is tried again with twice as much."""
    source = _Buffer(path, tick)
    in_array = source.peek() == "["
    if in_array:
        source.skip()
    number = 0
    while True:
        after_comma = False
        if in_array and number and source.peek() == ",":
            source.skip()
            after_comma = True
        char = source.peek()
        if in_array and char == "]" and not after_comma:
            source.skip()
            if source.peek():
                raise source.error("expected the end of the file after the array")
            return
        if not char and not in_array:
            return
        if in_array and number and not after_comma:
            raise source.error("expected ',' or ']' after a value of the array")
        line = source.line
        number += 1
        yield source.value(), line, f"{path}, line {line} (record {number})"


class _Buffer:
    """The text of a file, from the position to which it has been read."""

    def __init__(self, path: Path, tick: Callable[[int], None]) -> None:
        self.path, self.tick = path, tick
        self.line = 1
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._json = json.JSONDecoder()
        self._text, self._at, self._ended = "", 0, False
        self._chunks = self._read()

    def _read(self) -> Iterator[str]:
        with self.path.open("rb") as file:
            while raw := file.read(CHUNK):
                self.tick(len(raw))
                yield self._decoded(raw)
        yield self._decoded(b"", final=True)

    def _decoded(self, raw: bytes, *, final: bool = False) -> str:
        try:
            return self._decode(raw, final)
        except UnicodeDecodeError as err:
            line = self.line + self._text.count("\n", self._at)
            line += err.object.count(b"\n", 0, err.start)
            raise ConvertError(
                f"{self.path}, line {line}: expected UTF-8, got byte 0x{err.object[err.start]:02x}"
            ) from None

    def _more(self) -> bool:
        """Read as much as there is already, a chunk at the least; False at the end of the file."""
        wanted = len(self._text) - self._at
        parts, length = [self._text[self._at :]], 0
        while length <= wanted:
            part = next(self._chunks, None)
            if part is None:
                self._ended = True
                break
            parts.append(part)
            length += len(part)
        self._text, self._at = "".join(parts), 0
        return not self._ended or length > 0

    def peek(self) -> str:
        """The next character that is no white space; empty at the end of the file."""
        while True:
            while self._at < len(self._text):
                char = self._text[self._at]
                if not char.isspace():
                    return char
                self.skip()
            if not self._more():
                return ""

    def skip(self) -> None:
        self.line += self._text[self._at] == "\n"
        self._at += 1

    def value(self) -> Any:
        """Read the value at the position."""
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._at)
            except json.JSONDecodeError as err:
                if self._more():
                    continue
                raise self.error(f"expected a JSON value ({err.msg})") from None
            self.line += self._text.count("\n", self._at, end)
            self._at = end
            return value

    def error(self, message: str) -> ConvertError:
        found = self._text[self._at : self._at + _SHOWN]
        return ConvertError(f"{self.path}, line {self.line}: {message}, found {found!r}")


def _cut(value: Any) -> str:
    shown = json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"
