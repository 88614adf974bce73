"""Stream documents from text files and JSON lines, from any record on."""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path

from .records import AnnotateError, Bad, Mark, Record

CHUNK = 1 << 20  # bytes read at once where nothing but their hash is wanted
_SHOWN = 60

# From a record's text, its place and its file's name to a document; None: no record at all.
Parse = Callable[[str, str, str], Record | Bad | None]


class LineSource:
    """Files whose records are lines, or whole files.

    files (Sequence[Path]): The files, in order.
    parse (Parse): Makes a document of a record.
    names (Sequence[str]): What to call each file in the output and in the hash.
    whole (bool): A record is a whole file, not a line.
    """

    unit = "B"

    def __init__(
        self, files: Sequence[Path], parse: Parse, *, names: Sequence[str], whole: bool = False
    ) -> None:
        self.files, self.names, self.parse, self.whole = files, names, parse, whole
        self.total = sum(path.stat().st_size for path in files)
        self.done = 0
        self._file = self._offset = self._record = 0
        self._hash = blake2b(digest_size=16)

    def mark(self) -> Mark:
        """RETURNS (Mark): How far the input has been read."""
        return Mark(self._file, self._offset, self._record, self._hash.hexdigest())

    def records(self, start: Mark) -> Iterator[Record | Bad]:
        """Stream the records. What `mark` says holds for the one yielded last.

        start (Mark): Where to begin. What lies before is read for its hash.
        YIELDS (Record | Bad): The records, in order. Only LF and CR LF end a line.
        RAISES: AnnotateError if what lies before is not what it was.
        """
        if start.file >= len(self.files) and start.digest:
            raise changed(self.files[-1])
        for number in range(start.file, len(self.files)):
            resumed = start.digest and number == start.file
            if resumed:
                self._replay(start)
            else:
                self._begin(number)
            path = self.files[number]
            with path.open("rb") as file:
                file.seek(self._offset)
                for raw in iter(file.read if self.whole else file.readline, b""):
                    self._hash.update(raw)
                    self._record += 1
                    self._offset += len(raw)
                    self.done += len(raw)
                    found = self._read(raw, number)
                    if found is not None:
                        yield found
            # An empty file is a document too.
            if self.whole and not self._record:
                self._record = 1
                yield from filter(None, [self._read(b"", number)])

    def _begin(self, number: int) -> None:
        self._file, self._offset, self._record = number, 0, 0
        self._hash.update(f"\0{self.names[number]}\0".encode("utf-8", "surrogateescape"))

    def _replay(self, start: Mark) -> None:
        """Hash what has been dealt with, and see that it is what it was then."""
        for number in range(start.file + 1):
            self._begin(number)
            left = start.offset if number == start.file else None
            with self.files[number].open("rb") as file:
                while raw := file.read(CHUNK if left is None else min(CHUNK, left)):
                    self._hash.update(raw)
                    self.done += len(raw)
                    left = None if left is None else left - len(raw)
        self._offset, self._record = start.offset, start.record
        if self._hash.hexdigest() != start.digest:
            raise changed(self.files[start.file])

    def _read(self, raw: bytes, number: int) -> Record | Bad | None:
        path = self.files[number]
        place = str(path) if self.whole else f"{path}, line {self._record}"
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as err:
            line = f" on line {raw.count(10, 0, err.start) + 1}" if self.whole else ""
            return Bad(place, f"expected UTF-8, found byte 0x{raw[err.start]:02x}{line}")
        if self._record == 1:
            text = text.removeprefix("\ufeff")
        if not self.whole:
            text = text.removesuffix("\n").removesuffix("\r")
        return self.parse(text, place, self.names[number])


def changed(path: Path) -> AnnotateError:
    """RETURNS (AnnotateError): For input that is another than when a run was interrupted."""
    return AnnotateError(
        f"{path}: expected the input that the interrupted run has annotated in part, found other "
        "content in that part; --restart begins anew"
    )


def text_line(text: str, place: str, name: str) -> Record:
    """A line is a document, an empty one too: line n of the output is line n of the input."""
    return Record(text, place)


def text_file(text: str, place: str, name: str) -> Record:
    """A file is a document."""
    return Record(text, place, source=name)


def json_line(*, text_key: str, entities_key: str) -> Parse:
    """How lines of JSON are read.

    text_key (str): The key of the text.
    entities_key (str): The key that entities are to get, which must be free.
    RETURNS (Parse): Makes documents of lines; lines of white space are none.
    """
    return partial(_json_line, text_key, entities_key)


def _json_line(
    text_key: str, entities_key: str, line: str, place: str, name: str
) -> Record | Bad | None:
    if not line.strip():
        return None
    try:
        data = json.loads(line)
    except json.JSONDecodeError as err:
        found = f"{line[:_SHOWN]!r}: {err.msg} at column {err.colno}"
        return Bad(place, f"expected a JSON object, found {found}")
    # Numbers of thousands of digits, and thousands of brackets.
    except (ValueError, RecursionError) as err:
        return Bad(place, f"expected a JSON object, found {line[:_SHOWN]!r}: {err}")
    if not isinstance(data, dict):
        return Bad(place, f"expected a JSON object {{…}}, found {line.strip()[:_SHOWN]!r}")
    if text_key not in data:
        keys = ", ".join(map(repr, list(data)[:8])) or "none"
        return Bad(place, f"expected a text under {text_key!r} (--text-key), found the keys {keys}")
    text = data[text_key]
    if not isinstance(text, str):
        return Bad(place, f"expected a string under {text_key!r}, found {text!r:.{_SHOWN}}")
    if entities_key in data:
        return Bad(place, f"expected no key {entities_key!r}: name another one with --entities-key")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as err:
        half = text[err.start]
        return Bad(place, f"expected Unicode text, found half a surrogate pair in it: {half!r}")
    return Record(text, place, json=line.strip())
