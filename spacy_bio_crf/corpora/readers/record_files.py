"""Records of files of any kind: JSON, Python's literals, Parquet, Arrow.

One object may hold all records under a key, such as "rows" in the answer of the data sets' server.
"""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import ConvertError, Plain, describe
from ...io import UTF8, Tick, import_pyarrow, open_parquet, read_text
from ...tags.schemes import MISSING
from .entity_values import has_entities
from .json_records import JsonRecord, as_object, json_records, looks_like_json

TEXT_KEYS = ("text", "data", "content", "sentence", "document", "raw_text")
WORD_KEYS = ("tokens", "words", "tokenized_text", "sentences", "sents", "sentence")
# Keys that hold all records of a file.
_HOLDERS = ("rows", "data", "annotations", "examples", "documents", "records", "tasks", "items")
_BATCH = 1000  # rows of a table
_HEAD = 1 << 16  # bytes
# The first bytes of tables.
_PARQUET, _ARROW, _ARROW_STREAM = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"
# A pair or an object with a key in single quotes, which JSON does not have, maybe in a list that
# has a name.
_PYTHON = re.compile(r"\s*(\w+\s*=\s*)?[\[(]?\s*(\(\s*['\"]|\{\s*'(?:[^'\\\n]|\\.)*'\s*:)")
_NO_LITERAL = (ValueError, TypeError, SyntaxError, RecursionError, MemoryError)


def holds_records(path: Path, head: str) -> bool:
    """RETURNS (bool): Whether a file has records, by its name and its beginning."""
    return is_table(path) or _is_python(path, head) or looks_like_json(head)


def is_table(path: Path) -> bool:
    """RETURNS (bool): Whether a file is one of Parquet or Arrow, by its first bytes."""
    return _begins(path, _PARQUET, _ARROW, _ARROW_STREAM)


def read_records(
    path: Path,
    tick: Tick | None = None,
    *,
    encoding: str = UTF8,
    bad: list[ConvertError] | None = None,
) -> Iterator[JsonRecord]:
    """Read the records of a file, the kind of which is found by its name and content.

    path (Path): The file.
    tick (Tick | None): Called with the number of bytes dealt with since the last call.
    encoding (str): The file's encoding.
    bad (list[ConvertError] | None): Gets the errors of lines of JSON, instead of raising them.
    YIELDS (JsonRecord): The records, in order.
    RAISES: ConvertError if the file is damaged or has anything but records.
    """
    if is_table(path):
        yield from _rows(path, tick)
    elif _is_python(path, _head(path).decode(encoding, errors="replace")):
        yield from _python_records(path, tick, encoding)
    else:
        for record in json_records(path, tick, encoding=encoding, bad=bad):
            yield from _unwrapped(record)


def table_metadata(path: Path) -> dict[bytes, bytes]:
    """RETURNS (dict[bytes, bytes]): What a table says about itself, if it has any row."""
    first = next(_batches(path, None), None)
    return {} if first is None else first.schema.metadata or {}


def _rows(path: Path, tick: Tick | None) -> Iterator[JsonRecord]:
    number = 0
    for batch in _batches(path, tick):
        for row in batch.to_pylist():
            number += 1
            yield JsonRecord(row, number, f"{path}, row {number}")


def _batches(path: Path, tick: Tick | None) -> Iterator[Any]:
    """The batches of a Parquet file, an Arrow file or an Arrow stream, as `save_to_disk` writes."""
    import_pyarrow(ConvertError)
    from pyarrow import ArrowException, ipc, memory_map

    try:
        if _begins(path, _PARQUET):
            with open_parquet(path, ConvertError) as file:
                per_row = path.stat().st_size // max(1, file.metadata.num_rows)
                for batch in file.iter_batches(batch_size=_BATCH):
                    if tick is not None:
                        tick(per_row * batch.num_rows)
                    yield batch
            return
        with memory_map(str(path)) as source:
            if _begins(path, _ARROW):
                reader = ipc.open_file(source)
                yield from (reader.get_batch(i) for i in range(reader.num_record_batches))
            else:
                yield from ipc.open_stream(source)
    except (ArrowException, OSError) as err:
        raise ConvertError(f"{path}: expected a whole file of Parquet or Arrow: {err}") from None


def _begins(path: Path, *starts: bytes) -> bool:
    return _head(path).startswith(starts)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


def _unwrapped(record: JsonRecord) -> Iterator[JsonRecord]:
    """The records under a key of an object that is none itself."""
    data = record.data
    if isinstance(data.get("paragraphs"), list):
        yield from _sentences_of_spacy_2(record)
        return
    if _is_record(data):
        yield record
        return
    while len(data) == 1 and isinstance(inner := next(iter(data.values())), dict):
        if _is_record(inner):
            break
        data = inner
    for key, value in data.items():
        if key.split("_")[-1] in _HOLDERS and _are_records(value):
            for number, item in enumerate(value, start=1):
                item = item.get("row", item) if isinstance(item, dict) else as_object(item)
                if item is not None:
                    place = f"{record.place}, {key.rstrip('s')} {number}"
                    if not isinstance(item, dict):
                        raise record.error(f"objects in {key!r}", item)
                    yield JsonRecord(item, number, place)
            return
    if data and all(map(_is_record, data.values())):
        for number, (name, item) in enumerate(data.items(), start=1):
            yield JsonRecord({"id": name, **item}, number, f"{record.place}, {name!r}")
    else:
        yield record


def _sentences_of_spacy_2(record: JsonRecord) -> Iterator[JsonRecord]:
    """The sentences of a document in the form that spaCy 2 trained with; "-" is no annotation."""
    for number, paragraph in enumerate(record.data["paragraphs"]):
        name = f"{record.data.get('id', record.number)}.{number}"
        try:
            for sentence in paragraph["sentences"]:
                words = [token["orth"] for token in sentence["tokens"]]
                tags = [token.get("ner", MISSING) for token in sentence["tokens"]]
                data = {"tokens": words, "ner_tags": tags, "document_id": name}
                yield JsonRecord(data, record.number, record.place)
        except (TypeError, KeyError, AttributeError):
            expected = "paragraphs of sentences of tokens, each with 'orth' and 'ner'"
            raise record.error(expected, Plain("something else")) from None


def _are_records(value: Any) -> bool:
    if not isinstance(value, list) or has_entities(value, 1 << 62):
        return False
    rows = [as_object(row) for row in value if row is not None]
    return any(isinstance(row, dict) and _is_record(row.get("row", row)) for row in rows)


def _is_record(value: Any) -> bool:
    return isinstance(value, dict) and (
        any(isinstance(value.get(key), str) for key in TEXT_KEYS)
        or any(isinstance(value.get(key), list) for key in WORD_KEYS)
        or any(isinstance(value.get(key), dict) for key in ("data", "fields"))
    )


def _is_python(path: Path, head: str) -> bool:
    return path.suffix == ".py" or _PYTHON.match(head) is not None


def _python_records(path: Path, tick: Tick | None, encoding: str) -> Iterator[JsonRecord]:
    """The records in literals of a Python file, none of which is executed."""
    try:
        tree = ast.parse(read_text(path, ConvertError, encoding=encoding).removeprefix("\ufeff"))
    except _NO_LITERAL as err:
        place = f"{path}, line {getattr(err, 'lineno', None) or 1}"
        got = Plain(f"something else ({getattr(err, 'msg', err)})")
        raise ConvertError(describe(place, expected="Python's literals", got=got)) from None
    found = False
    for node, value in _python_nodes(tree):
        record = JsonRecord(value, node.lineno, f"{path}, line {node.lineno}")
        if value is None:
            got = Plain(f"`{ast.unparse(node)[:60]}`")
            raise record.error('a text and an object, ("…", {"entities": […]})', got)
        yield record
        found = True
    if not found:
        expected = 'a list of texts and objects, ("…", {"entities": [(start, end, label)]})'
        raise ConvertError(describe(str(path), expected=expected, got=Plain("none")))
    if tick is not None:
        tick(path.stat().st_size)


def _python_nodes(node: ast.AST) -> Iterator[tuple[Any, Any]]:
    """The records anywhere in Python code; the value is None for what else is in a list of them."""
    children = list(ast.iter_child_nodes(node))
    values = [_literal(child) for child in children]
    are_records = isinstance(node, (ast.List, ast.Tuple)) and any(map(_is_record, values))
    for child, value in zip(children, values, strict=True):
        if _is_record(value):
            yield child, value
        elif not are_records:
            yield from _python_nodes(child)
        elif not isinstance(child, ast.expr_context):
            yield child, None


def _literal(node: Any) -> Any:
    """A pair as an object, or an object, in JSON's types; None for anything else."""
    if not isinstance(node, ast.Dict) and len(getattr(node, "elts", ())) != 2:
        return None
    try:
        return as_object(json.loads(json.dumps(ast.literal_eval(node))))
    except _NO_LITERAL:
        return None
