"""Output files: their formats, a part, and parts joined to one file."""

import base64
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spacy.tokens import DocBin

from .inputs import Input, InputPart, PartRows
from .records import Annotated, entities_type, find_problem, plain

WRITTEN_FORMATS = ("jsonl", "parquet", "spacy")
AS_JSON = {b"encoding": b"json"}  # of a Parquet column for values of several types

to_json = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True)
class Output:
    """Files of one format."""

    format: str  # one of `WRITTEN_FORMATS`
    entities_key: str  # key or column of the entities
    schema: str | None  # the columns of Parquet, from `output_schema`

    def write(self, path: Path, found: PartRows, annotated: Annotated) -> None:
        """Write a part: records of the input, and their rows with entities."""
        if self.format == "spacy":
            annotated.docs.to_disk(path)
        elif self.format == "parquet":
            self._write_tables(path, [annotated.rows])
        elif found.lines:
            # A record of JSON is kept to the letter. It is not empty, for it has a text.
            new = zip(annotated.kept, annotated.entities, annotated.fields, strict=True)
            with path.open("w", encoding="utf-8", newline="\n") as file:
                for number, entities, added in new:
                    fields = found.lines[number].removesuffix("}").rstrip()
                    own = to_json({self.entities_key: entities, **added}).removeprefix("{")
                    file.write(f"{fields}, {own}\n")
        else:
            with path.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(to_json(row) + "\n" for row in annotated.rows)

    def join(self, parts: Sequence[Path], path: Path) -> None:
        """Write one file with the rows of all parts, in order."""
        if self.format == "spacy":
            docs = DocBin(store_user_data=True)
            for part in parts:
                docs.merge(DocBin(store_user_data=True).from_disk(part))
            docs.to_disk(path)
        elif self.format == "parquet":
            from pyarrow.parquet import read_table

            self._write_tables(path, map(read_table, parts))
        else:
            with path.open("wb") as whole:
                for part in parts:
                    with part.open("rb") as file:
                        shutil.copyfileobj(file, whole)

    def _write_tables(self, path: Path, tables: Iterable[Any]) -> None:
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter

        schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(self.schema or "")))
        with ParquetWriter(path, schema, compression="zstd") as writer:
            for table in tables:
                if isinstance(table, list):
                    columns = [_to_array(table, column) for column in schema]
                    table = pa.Table.from_arrays(columns, schema=schema)
                writer.write_table(table.cast(schema))


def output_schema(source: Input, parts: Sequence[InputPart]) -> str:
    """Find the columns of a Parquet output before its first row is written.

    Columns of Parquet keep their types. Keys of JSON become columns in the order in which they
    first occur: integers and floats in one are floats, other mixtures are strings of JSON.

    source (Input): The input.
    parts (Sequence[InputPart]): Its parts.
    RETURNS (str): The columns of the input and the entities, as text.
    """
    import pyarrow as pa

    schema = source.schema
    if schema is None:
        keys = source.text_key, source.entities_key
        types: dict[str, Any] = {source.text_key: pa.string()} if source.format == "text" else {}
        before = None
        # Once more if a type has grown, which may not hold what was read before.
        while types != before:
            before = dict(types)
            for part in parts:
                _widen(types, [r for r in source.read(part).rows if not find_problem(r, *keys)])
        # Of an input without rows, too.
        types.setdefault(source.text_key, pa.string())
        # Parquet has no objects without keys.
        kinds = {name: None if "struct<>" in str(kind) else kind for name, kind in types.items()}
        schema = pa.schema(
            pa.field(name, kind or pa.string(), metadata=None if kind else AS_JSON)
            for name, kind in kinds.items()
        )
    schema = schema.append(pa.field(source.entities_key, entities_type()))
    return base64.b64encode(schema.serialize()).decode("ascii")


def _widen(types: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Widen the types of columns so that they hold some rows. None stands for strings of JSON."""
    import pyarrow as pa

    for name in dict.fromkeys(key for row in rows for key in row):
        known, values = types.get(name, pa.null()), [row.get(name) for row in rows]
        try:
            schemas = [pa.schema([("x", kind)]) for kind in (known, pa.array(values).type)]
            joined = pa.unify_schemas(schemas, promote_options="permissive").field("x").type
            pa.array(values, joined)
        except (pa.ArrowException, OverflowError, TypeError, UnicodeEncodeError):
            joined = None
        types[name] = joined


def _to_array(rows: list[dict[str, Any]], column: Any) -> Any:
    import pyarrow as pa

    values = [row.get(column.name) for row in rows]
    if column.metadata == AS_JSON:
        values = [None if value is None else to_json(plain(value)) for value in values]
    return pa.array(values, column.type)
