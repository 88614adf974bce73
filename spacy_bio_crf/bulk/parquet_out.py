"""Write documents as Parquet. Needs pyarrow."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from .parquet import Row
from .records import Entity

ROW_GROUP = 10_000  # rows of the output's row groups, at the least
ROW_GROUP_BYTES = 1 << 26  # or so many bytes
LINES = 1000  # of JSON that become columns at once


def _entities_type() -> Any:
    import pyarrow as pa

    return pa.list_(
        pa.struct(
            [
                pa.field("start", pa.int64()),
                pa.field("end", pa.int64()),
                pa.field("label", pa.string()),
                pa.field("score", pa.float64()),
            ]
        )
    )


def arrow_rows(rows: Sequence[Row], entities: Sequence[Sequence[Entity]], *, key: str) -> bytes:
    """Rows of a Parquet file with their entities, as one piece that stands alone.

    rows (Sequence[Row]): The rows.
    entities (Sequence[Sequence[Entity]]): The entities of each.
    key (str): The column they get.
    RETURNS (bytes): Arrow's stream format.
    """
    import pyarrow as pa

    # Rows that follow one another in a batch stay together. Batches are told apart by identity: to
    # compare them compares all that is in them.
    runs = groupby(enumerate(rows), key=lambda pair: (id(pair[1].batch), pair[1].number - pair[0]))
    tables = []
    for _, run in runs:
        _, (batch, first), *others = [None, *(row for _, row in run)]
        tables.append(pa.Table.from_batches([batch.slice(first, 1 + len(others))]))
    column = pa.array([[e._asdict() for e in found] for found in entities], _entities_type())
    table = pa.concat_tables(tables).append_column(key, column)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def parquet_of_frames(frames: Iterable[bytes], target: Path, *, key: str, schema: Any) -> None:
    """Make a Parquet file of pieces, in bounded memory.

    frames (Iterable[bytes]): What `arrow_rows` gave.
    target (Path): The file.
    key (str): The column of the entities.
    schema (pyarrow.Schema): The columns of the input, without the entities.
    """
    import pyarrow as pa

    def tables() -> Iterator[Any]:
        for frame in frames:
            with pa.ipc.open_stream(frame) as reader:
                yield reader.read_all()

    _write(tables(), target, schema.append(pa.field(key, _entities_type())))


def parquet_of_json(lines: Path, target: Path, *, key: str) -> None:
    """Make a Parquet file of JSON lines, in bounded memory. Every key becomes a column, in the
    order in which keys first occur; where a key is absent, there is null. Integers and floats in
    one column are floats. Other mixtures of types become strings of JSON.

    lines (Path): The file of JSON lines.
    target (Path): The file.
    key (str): The column of the entities.
    """
    import pyarrow as pa

    types: dict[str, Any] = {}  # column -> type; None: JSON
    for objects in _objects(lines):
        for name, values in _columns(objects, [k for o in objects for k in o]).items():
            known = types.get(name, pa.null())
            types[name] = None if known is None else _joined(known, values)
    # Last, as in JSON, and the same whether there are entities or not.
    types.pop(key, None)
    types[key] = _entities_type()
    while True:
        try:
            _write(_tables(lines, types), target, _schema(types))
            return
        except _Unfit as err:
            types[err.args[0]] = None


class _Unfit(Exception):
    """A column with values that its type does not hold, such as huge integers among floats."""


def _schema(types: dict[str, Any]) -> Any:
    import pyarrow as pa

    return pa.schema([(name, pa.string() if t is None else t) for name, t in types.items()])


def _tables(lines: Path, types: dict[str, Any]) -> Iterator[Any]:
    import pyarrow as pa

    schema = _schema(types)
    for objects in _objects(lines):
        arrays = []
        for name, values in _columns(objects, types).items():
            try:
                values = _as_json(values) if types[name] is None else values
                arrays.append(pa.array(values, schema.field(name).type))
            except (pa.ArrowException, OverflowError, TypeError) as err:
                if types[name] is None:
                    raise
                raise _Unfit(name) from err
        yield pa.Table.from_arrays(arrays, schema=schema)


def _objects(lines: Path) -> Iterator[list[dict[str, Any]]]:
    with lines.open(encoding="utf-8", newline="\n") as file:
        while some := list(islice(file, LINES)):
            yield [json.loads(line) for line in some]


def _columns(objects: Sequence[dict[str, Any]], names: Iterable[str]) -> dict[str, list[Any]]:
    return {name: [o.get(name) for o in objects] for name in dict.fromkeys(names)}


def _joined(known: Any, values: list[Any]) -> Any:
    """The type that holds what a column has had and some more values; None if there is none."""
    import pyarrow as pa

    try:
        schemas = [pa.schema([("x", t)]) for t in (known, pa.infer_type(values))]
        joined = pa.unify_schemas(schemas, promote_options="permissive").field("x").type
    except (pa.ArrowException, OverflowError, TypeError):
        return None
    return None if _has_empty_struct(joined) else joined


def _has_empty_struct(kind: Any) -> bool:
    """Parquet has no objects without keys."""
    from pyarrow import types

    if types.is_struct(kind):
        return not len(kind.fields) or any(_has_empty_struct(f.type) for f in kind.fields)
    return types.is_list(kind) and _has_empty_struct(kind.value_type)


def _as_json(values: list[Any]) -> list[str | None]:
    return [None if v is None else json.dumps(v, ensure_ascii=False) for v in values]


def _write(tables: Iterable[Any], target: Path, schema: Any) -> None:
    """Tables become row groups as they come, several together: what they are does not depend on
    where a run was interrupted."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    with ParquetWriter(target, schema, compression="zstd") as writer:
        waiting: list[Any] = []
        for table in tables:
            waiting.append(table)
            rows = sum(t.num_rows for t in waiting)
            if rows >= ROW_GROUP or sum(t.nbytes for t in waiting) >= ROW_GROUP_BYTES:
                _write_group(writer, pa.concat_tables(waiting), schema)
                waiting = []
        if waiting:
            _write_group(writer, pa.concat_tables(waiting), schema)


def _write_group(writer: Any, table: Any, schema: Any) -> None:
    writer.write_table(table.cast(schema), row_group_size=max(1, table.num_rows))
