"""Input files: their formats, their parts, and the records of a part."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import AnnotateError, Plain, describe
from ..io import files_below, open_parquet
from .records import VALUE_SHOWN, BadRecord, find_problem, plain

PART_BYTES = 1 << 22  # of a part, or a little more
_TEXTS = 1000  # of a part that is read for its texts alone
TAIL = 1 << 16  # bytes at the end of a Parquet file: places and statistics of all its columns
BOM = b"\xef\xbb\xbf"
SUFFIXES = {
    ".txt": "text",
    ".text": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
READ_FORMATS = ("text", "jsonl", "parquet")


class InputPart(NamedTuple):
    """Neighboring records, found without reading what comes before them."""

    number: int  # of the part, from 0
    name: str  # of the file, relative to the input; of a folder of texts, the first one
    first: int  # records of the file before them
    records: int  # blank lines count
    start: int  # a byte of the file, a row group of Parquet, or a file of a folder of texts
    size: int  # in bytes; of Parquet, in rows
    digest: str  # a hash of the content; of Parquet, of the file's end

    def __str__(self) -> str:
        return f"{self.name}, records {self.first + 1} to {self.first + self.records}"


@dataclass
class PartRows:
    """The records of a part."""

    rows: Any = field(default_factory=list)  # the good ones: a list of dicts or a pyarrow.Table
    places: list[str] = field(default_factory=list)  # of the rows
    bad: list[BadRecord] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)  # rows of JSON as they were written


class Input:
    """A file or a folder.

    A text file has a document on each line, which LF or CR LF ends. A folder of text files has one
    in each file. A folder of JSONL or Parquet stands for its files, one after another. Folders are
    read with all that is below them, in the order of the names, without hidden files.

    path (Path): The file or the folder.
    format (str): "text", "jsonl" or "parquet"; "auto" goes by the suffix, and takes the files of a
        folder that have one of the known suffixes.
    text_key (str): Key or column of the text.
    entities_key (str): Key or column that the entities get.
    remedy (str | None): What to do about a format that the suffix does not tell.
    RAISES: AnnotateError if there is no such input, or it is of no format or of several.
    """

    def __init__(
        self,
        path: Path,
        format: str,
        text_key: str,
        entities_key: str,
        *,
        remedy: str | None = "name the format with `format`",
    ) -> None:
        if format not in ("auto", *READ_FORMATS):
            raise AnnotateError(f"format: expected auto, {', '.join(READ_FORMATS)}, got {format!r}")
        if not path.exists():
            raise AnnotateError(f"{path}: there is no such file or folder")
        if not (path.is_dir() or path.is_file()):
            expected = "a file or a folder, which can be read again"
            pipe = Plain("a pipe or device")
            raise AnnotateError(describe(str(path), expected=expected, got=pipe))
        self.root = path if path.is_dir() else path.parent
        self.names = _names(path) if path.is_dir() else [path.name]
        if format == "auto":
            known = {
                n: SUFFIXES[s] for n in self.names if (s := Path(n).suffix.lower()) in SUFFIXES
            }
            formats = sorted(set(known.values()))
            if len(formats) != 1:
                none = "no such file in it" if path.is_dir() else f"the suffix {path.suffix!r}"
                got = f"files of {', '.join(formats)}" if formats else none
                wanted = ", ".join(SUFFIXES)
                message = describe(str(path), expected=wanted, got=Plain(got), remedy=remedy)
                raise AnnotateError(message)
            format, self.names = formats[0], list(known)
        if not self.names:
            raise AnnotateError(f"{path}: expected files, got an empty folder")
        self.format, self.text_key, self.entities_key = format, text_key, entities_key
        self.unit = "rows" if format == "parquet" else "B"
        self.has_text_files = format == "text" and path.is_dir()
        self.schema = self._common_schema() if format == "parquet" else None

    def parts(self, most: int) -> Iterator[InputPart]:
        """Cut the input into parts of at most so many records."""
        for number, found in enumerate(self._cut(most)):
            yield InputPart(number, *found)

    def read(self, part: InputPart) -> PartRows:
        """Read a part.

        RAISES: AnnotateError if its content has changed.
        """
        path = self.root / part.name
        found = PartRows()
        if self.schema is not None:
            _check_digest(part, _end_of(path))
            found.rows = _rows_of(path, part)
            numbers = range(part.first + 1, part.first + part.records + 1)
            found.places = [f"{path}, row {number}" for number in numbers]
            return found
        for place, raw, fields in self._raw_records(part):
            try:
                text = _decode(raw)
                if self.format == "text":
                    fields[self.text_key] = text
                elif line := text.strip():
                    fields = _json_object(line)
                    found.lines.append(line)
                else:
                    continue
                found.rows.append(fields)
                found.places.append(place)
            except AnnotateError as err:
                found.bad.append(BadRecord(place, str(err)))
        return found

    def texts(self) -> Iterator[str]:
        """Stream the texts alone.

        YIELDS (str): Each text.
        RAISES: AnnotateError for the first bad record.
        """
        for part in self.parts(_TEXTS):
            found = self.read(part)
            rows = found.rows if isinstance(found.rows, list) else to_rows(found.rows)
            bad = found.bad[:1]
            for place, row in zip(found.places, rows, strict=True):
                if problem := find_problem(row, self.text_key, self.entities_key):
                    bad.append(BadRecord(place, problem))
                    break
                yield row[self.text_key]
            if bad:
                raise AnnotateError(f"{bad[0].place}: {bad[0].reason}")

    def stamps(self) -> list[list[Any]]:
        """RETURNS (list[list[Any]]): Name, size and time of change of each file."""
        stats = [(name, (self.root / name).stat()) for name in self.names]
        return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]

    def _cut(self, most: int) -> Iterator[tuple]:
        if self.has_text_files:
            start = 0
            while texts := self._texts(start, most):
                size = sum(map(len, texts.values()))
                digest = _digest(repr(texts).encode())
                yield self.names[start], 0, len(texts), start, size, digest
                start += len(texts)
            return
        cut = _cut_lines if self.schema is None else _cut_rows
        for name in self.names:
            yield from ((name, *found) for found in cut(self.root / name, most))

    def _texts(self, start: int, most: int) -> dict[str, bytes]:
        names = self.names[start : start + most]
        texts = _limited((self.root / name).read_bytes() for name in names)
        return dict(zip(names, texts, strict=False))

    def _raw_records(self, part: InputPart) -> Iterator[tuple[str, bytes, dict[str, Any]]]:
        if self.has_text_files:
            texts = self._texts(part.start, part.records)
            _check_digest(part, repr(texts).encode())
            for name, content in texts.items():
                yield str(self.root / name), content.removeprefix(BOM), {"source": plain(name)}
            return
        path = self.root / part.name
        with path.open("rb") as file:
            file.seek(part.start)
            content = file.read(part.size)
        _check_digest(part, content)
        for number, raw in enumerate(content.removesuffix(b"\n").split(b"\n"), part.first + 1):
            raw = raw.removeprefix(BOM) if number == 1 else raw
            yield f"{path}, line {number}", raw.removesuffix(b"\r"), {}

    def _common_schema(self) -> Any:
        paths = [self.root / name for name in self.names]
        first, *others = [_schema_of(path) for path in paths]
        for path, schema in zip(paths[1:], others, strict=True):
            if not schema.equals(first):
                wanted = f"the columns {_columns(first)} of {paths[0]}"
                raise AnnotateError(f"{path}: expected {wanted}, got {_columns(schema)}")
        if len(set(first.names)) < len(first.names):
            wanted = "columns with names of their own"
            raise AnnotateError(f"{paths[0]}: expected {wanted}, got {_columns(first)}")
        row = {
            name: "" if "string" in str(first.field(name).type) else first.field(name).type
            for name in first.names
        }
        problem = find_problem(row, self.text_key, self.entities_key)
        if problem:
            raise AnnotateError(f"{paths[0]}: {problem}")
        return first


def to_rows(table: Any) -> list[dict[str, Any]]:
    """RETURNS (list[dict[str, Any]]): The rows of a pyarrow.Table, in JSON's types."""
    # Arrow makes strings of dates and times, because Python has no nanoseconds.
    columns = [column.cast(_without_times(column.type)).to_pylist() for column in table.columns]
    rows = zip(*columns, strict=True)
    return plain([dict(zip(table.column_names, row, strict=True)) for row in rows])


def _without_times(kind: Any) -> Any:
    import pyarrow as pa
    from pyarrow import types

    if types.is_date(kind) or types.is_time(kind) or types.is_timestamp(kind):
        return pa.string()
    if types.is_list(kind) or types.is_large_list(kind):
        return pa.large_list(_without_times(kind.value_type))
    if types.is_struct(kind):
        return pa.struct([(field.name, _without_times(field.type)) for field in kind.fields])
    return kind


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in files_below(folder))


def _limited(contents: Iterable[bytes]) -> Iterator[bytes]:
    size = 0
    for content in contents:
        yield content
        size += len(content)
        if size >= PART_BYTES:
            return


def _cut_lines(path: Path, most: int) -> Iterator[tuple]:
    first = start = 0
    with path.open("rb") as file:
        while lines := list(_limited(islice(file, most))):
            content = b"".join(lines)
            yield first, len(lines), start, len(content), _digest(content)
            first, start = first + len(lines), start + len(content)


def _cut_rows(path: Path, most: int) -> Iterator[tuple]:
    first, digest = 0, _digest(_end_of(path))
    with open_parquet(path, AnnotateError) as file:
        groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    for number, rows in enumerate(groups):
        for begin in range(0, rows, most):
            records = min(most, rows - begin)
            yield first + begin, records, number, records, digest
        first += rows


def _rows_of(path: Path, part: InputPart) -> Any:
    from pyarrow import ArrowException

    try:
        first, table = _row_group(path, part.start, part.digest)
    except (ArrowException, OSError) as err:
        raise AnnotateError(f"{path}: expected readable rows, got an error: {err}") from err
    return table.slice(part.first - first, part.records)


@lru_cache(maxsize=1)
def _row_group(path: Path, number: int, digest: str) -> tuple[int, Any]:
    """The number of its first row, and its rows: the next part comes from the same group."""
    with open_parquet(path, AnnotateError) as file:
        before = (file.metadata.row_group(i).num_rows for i in range(number))
        return sum(before), file.read_row_group(number)


def _schema_of(path: Path) -> Any:
    with open_parquet(path, AnnotateError) as file:
        return file.schema_arrow


def _columns(schema: Any) -> str:
    return ", ".join(f"{column.name!r} ({column.type})" for column in schema)


def _decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as err:
        line = raw.count(b"\n", 0, err.start)
        place = f" on line {line + 1}" if line else ""
        raise AnnotateError(f"expected UTF-8, got byte 0x{raw[err.start]:02x}{place}") from None


def _json_object(line: str) -> dict[str, Any]:
    reason = ""
    try:
        data = json.loads(line)
        if isinstance(data, dict):
            return data
    # Broken JSON, numbers of thousands of digits, and thousands of brackets.
    except (ValueError, RecursionError) as err:
        reason = f": {err}"
    raise AnnotateError(f"expected a JSON object, got {line[:VALUE_SHOWN]!r}{reason}")


def _end_of(path: Path) -> bytes:
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - TAIL))
        return b"%d %s" % (size, file.read())


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()


def _check_digest(part: InputPart, content: bytes) -> None:
    if _digest(content) != part.digest:
        raise AnnotateError(f"{part}: the content has changed since the run began")
