"""Write documents as JSON lines: all that the record had, and the entities."""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from .records import Entity, Record

LARGEST = 1 << 63  # integers from here on are no integers to most readers of JSON and msgpack


def json_row(record: Record, entities: Sequence[Entity], *, key: str) -> str:
    """One line of the output. A record that was JSON is kept to the letter: its numbers, escapes
    and the order of its keys.

    record (Record): The document.
    entities (Sequence[Entity]): Its entities.
    key (str): The key they get.
    RETURNS (str): A JSON object, without a line end.
    """
    found = json.dumps([entity_object(entity) for entity in entities], ensure_ascii=False)
    fields = record.json
    if fields is None:
        fields = json.dumps(fields_of(record), ensure_ascii=False)
    # Never empty: there is a text in it.
    return f"{fields.removesuffix('}').rstrip()}, {json.dumps(key, ensure_ascii=False)}: {found}}}"


def entity_object(entity: Entity) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): An entity for JSON: "start", exclusive "end", "label", and "score"
    if it has one."""
    found = entity._asdict()
    return found if entity.score is not None else {k: found[k] for k in ("start", "end", "label")}


def fields_of(record: Record) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): What a record has, its text among it, as values that JSON holds."""
    if record.json is not None:
        return json.loads(record.json)
    if record.row is not None:
        return plain(record.row.values())
    if record.source is not None:
        return {"source": record.source, "text": record.text}
    return {"text": record.text}


def plain(value: Any) -> Any:
    """What JSON holds of a value: dates and times in ISO's form, bytes in base64, decimals and huge
    integers as strings, NaN and infinity as null.

    value (Any): A value.
    RETURNS (Any): The same in JSON's types.
    """
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        return value if -LARGEST <= value < LARGEST else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
