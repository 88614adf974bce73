"""Stream documents from Parquet files, from any row on. Needs pyarrow."""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from .lines import changed
from .records import AnnotateError, Bad, Mark, Record

BATCH = 256  # rows read at once
TAIL = 1 << 16  # bytes at a file's end, where Parquet keeps sizes, places and statistics


class Row(NamedTuple):
    """A row of a record batch.

    batch (pyarrow.RecordBatch): The batch.
    number (int): The row's number in it, from 0.
    """

    batch: Any
    number: int

    def values(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): Its columns as Python values; dates and times are strings, as
        Python has no nanoseconds."""
        row = self.batch.slice(self.number, 1)
        return {
            field.name: column.cast(_without_times(field.type)).to_pylist()[0]
            for field, column in zip(row.schema, row.columns, strict=True)
        }


class ParquetSource:
    """Parquet files with a column of texts.

    files (Sequence[Path]): The files, in order, all with the same columns.
    names (Sequence[str]): What to call each file in the hash.
    text_key (str): The column of texts.
    entities_key (str): The column that entities are to get, which must be free.
    RAISES: AnnotateError if a file is no Parquet or has other columns.
    """

    unit = "rows"

    def __init__(
        self, files: Sequence[Path], *, names: Sequence[str], text_key: str, entities_key: str
    ) -> None:
        self.files, self.names, self.text_key = files, names, text_key
        self.total = 0
        self.schema: Any = None
        for path in files:
            with open_parquet(path) as file:
                self.total += file.metadata.num_rows
                schema = file.schema_arrow
            if self.schema is None:
                self.schema = schema
            elif not schema.equals(self.schema):
                raise AnnotateError(
                    f"{path}: expected the columns of {files[0]} ({_columns(self.schema)}), "
                    f"found {_columns(schema)}"
                )
        _check_columns(files[0], self.schema, text_key, entities_key)
        self.done = 0
        self._file = self._row = 0
        self._hash = blake2b(digest_size=16)

    def mark(self) -> Mark:
        """RETURNS (Mark): How far the input has been read."""
        return Mark(self._file, self._row, self._row, self._hash.hexdigest())

    def records(self, start: Mark) -> Iterator[Record | Bad]:
        """Stream the rows. What `mark` says holds for the one yielded last.

        start (Mark): Where to begin.
        YIELDS (Record | Bad): The rows, in order.
        RAISES: AnnotateError if a file that has been read is not what it was: by its name, its size
            and its end, where Parquet keeps sizes and statistics of all columns.
        """
        if start.file >= len(self.files) and start.digest:
            raise changed(self.files[-1])
        for number, path in enumerate(self.files):
            resumed = bool(start.digest) and number == start.file
            self._file, self._row = number, start.offset if resumed else 0
            self._hash.update(f"\0{self.names[number]}\0".encode("utf-8", "surrogateescape"))
            self._hash.update(_end_of(path))
            if resumed and self._hash.hexdigest() != start.digest:
                raise changed(path)
            with open_parquet(path) as file:
                if number < start.file:
                    self.done += file.metadata.num_rows
                    continue
                self.done += self._row
                yield from self._rows(file, path, self._row)

    def _rows(self, file: Any, path: Path, first: int) -> Iterator[Record | Bad]:
        base = 0  # rows before the batch
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            if base + size <= first:
                base += size
                continue
            for batch in file.iter_batches(batch_size=BATCH, row_groups=[group]):
                texts = batch.column(self.text_key).to_pylist()
                for index in range(max(0, first - base), len(texts)):
                    self._row = base + index + 1
                    self.done += 1
                    place = f"{path}, row {self._row}"
                    text = texts[index]
                    if text is None:
                        yield Bad(
                            place, f"expected a string in column {self.text_key!r}, found null"
                        )
                    else:
                        yield Record(text, place, row=Row(batch, index))
                base += len(texts)


def import_pyarrow() -> None:
    """RAISES: AnnotateError if pyarrow is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as err:
        raise AnnotateError(
            f"Parquet needs pyarrow, which is not installed ({err}): pip install pyarrow"
        ) from None


def open_parquet(path: Path) -> Any:
    """Open a Parquet file.

    path (Path): The file.
    RETURNS (pyarrow.parquet.ParquetFile): The file, a context manager.
    RAISES: AnnotateError if it is none.
    """
    import_pyarrow()
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        return ParquetFile(path)
    except (ArrowException, OSError) as err:
        raise AnnotateError(f"{path}: expected a Parquet file: {err}") from None


def _check_columns(path: Path, schema: Any, text_key: str, entities_key: str) -> None:
    from pyarrow import types

    if schema.names.count(text_key) != 1:
        raise AnnotateError(
            f"{path}: expected one column {text_key!r} with texts (--text-key), "
            f"found {_columns(schema)}"
        )
    kind = schema.field(text_key).type
    values = kind.value_type if types.is_dictionary(kind) else kind
    if not any(
        is_kind(values)
        for is_kind in (types.is_string, types.is_large_string, types.is_string_view)
    ):
        raise AnnotateError(f"{path}: expected strings in column {text_key!r}, found {kind}")
    if entities_key in schema.names:
        raise AnnotateError(
            f"{path}: expected no column {entities_key!r}: name another one with --entities-key"
        )


def _without_times(kind: Any) -> Any:
    """A type with strings in place of dates and times, inside of lists and structs too."""
    import pyarrow as pa
    from pyarrow import types

    if types.is_temporal(kind) and not types.is_duration(kind) and not types.is_interval(kind):
        return pa.string()
    if types.is_list(kind):
        return pa.list_(_without_times(kind.value_type))
    if types.is_large_list(kind):
        return pa.large_list(_without_times(kind.value_type))
    if types.is_struct(kind):
        return pa.struct([(field.name, _without_times(field.type)) for field in kind.fields])
    return kind


def _columns(schema: Any) -> str:
    return ", ".join(f"{field.name!r} ({field.type})" for field in schema)


def _end_of(path: Path) -> bytes:
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - TAIL))
        return str(size).encode() + file.read()
