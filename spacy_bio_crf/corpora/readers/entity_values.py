"""Entities as JSON records give them: triples, objects, or dictionaries by label.

[0, 8, "PER"]                      a triple; "PER" may come first
{"start": 0, "end": 8, "label": "PER", "text": "Ana Ruiz"}
{"span": [0, 8], "type": "PER"}    offsets within
{"PER": [[0, 8]]}                  by label
{"PER": {"Ana Ruiz": [[0, 8]]}}    by label and text
{"start": [0, 9], "end": [8, 12], "label": ["PER", "LOC"]}    by key, as tables hold sequences
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from ...errors import Plain
from ..passages import Summary
from .json_records import JsonRecord

SEVERAL_LABELS = "entities have several labels, of which the first was taken"
FORMS = "[start, end, label] or with the keys 'start', 'end' and 'label'"
_SAMPLE = 5
# Keys of an object, in lower case and without "_": the first that is there counts.
_STARTS = (
    "start", "startoffset", "startchar", "startidx", "startindex", "startpos", "begin",
    "beginoffset", "charstart", "from", "offset",
)  # fmt: skip
_ENDS = (
    "end", "endoffset", "endchar", "endidx", "endindex", "endpos", "stop", "charend", "to",
)  # fmt: skip
_LENGTHS = ("length", "len")
_PLACES = ("span", "offsets", "points", "indices", "pos", "position", "location")
_LABELS = (
    "label", "labels", "type", "entitytype", "entitygroup", "entitylabel", "category", "tag",
    "class", "entity",
)  # fmt: skip
_TEXTS = ("text", "entity", "mention", "value", "word", "name")
# Rows without keys, by their length: where offsets, label and text are; a number is no text.
_ROWS: dict[int, tuple[tuple[int, int, int], ...]] = {
    3: ((0, 2, 0), (1, 0, 1)),
    4: ((0, 2, 3), (1, 3, 0)),
}
_NO_LABELS = {*_TEXTS, "id", "source", "color", "answer", "user", "comment"}


class Given(NamedTuple):
    """An entity whose offsets are in unknown units.

    start (int): Its start.
    end (int): Its end.
    label (str): Its label; empty if it has none.
    text (str | None): Its text, if the record gives it.
    checked (bool): The text is that between the offsets, not one that may have been normalized.
    """

    start: int
    end: int
    label: str
    text: str | None = None
    checked: bool = True


def read_entities(
    value: Any, key: str, record: JsonRecord, summary: Summary, *, layers: bool = False
) -> list[Given]:
    """Read the entities under one key of a record.

    value (Any): The value under the key: a list, or a dictionary by label.
    key (str): The key, for messages.
    record (JsonRecord): The record.
    summary (Summary): Gets a remark for each entity with several labels.
    layers (bool): Such an entity is one for each label; otherwise the first label counts.
    RETURNS (list[Given]): The entities, in order.
    RAISES: ConvertError if there is anything else.
    """
    if not isinstance(value, (list, dict)):
        raise record.error(f"a list of entities under {key!r}", value)
    try:
        raw = list(_walk(value))
    except _NoEntityError as err:
        raise record.error(f"an entity as {FORMS}", err.value) from None
    except RecursionError:
        raise record.error(f"entities under {key!r}", Plain("lists nested too deep")) from None
    given = []
    for entity, label in raw:
        labels = label if isinstance(label, list) and label else [label]
        if len(labels) > 1 and not layers:
            summary.remarks[SEVERAL_LABELS] += 1
            labels = labels[:1]
        for one in labels:
            if isinstance(one, (int, float)) and not isinstance(one, bool):
                got = Plain(f"the id {one} under {key!r}")
                remedy = "put its name in the id's place"
                raise record.error("an entity's label", got, remedy=remedy)
            name = checked_text(one or "", "label", record).strip()
            given.append(entity._replace(label=name))
    return given


def has_entities(value: Any, length: int) -> bool:
    """Whether a value looks like entities, if only their labels were names and not ids.

    value (Any): A value of a record.
    length (int): The length of the record's text, in the largest units.
    RETURNS (bool): True if the first ones have offsets within the text, and a label.
    """
    if not isinstance(value, (list, dict)) or not value:
        return False
    try:
        found = list(_walk(value[:_SAMPLE] if isinstance(value, list) else value))
    except (_NoEntityError, RecursionError):
        return False
    fit = (label is not None and 0 <= g.start <= g.end <= length for g, label in found)
    return bool(found) and all(fit)


def may_be_entities(value: Any) -> bool:
    """RETURNS (bool): Whether each value in a list has two offsets and something else, somehow."""
    if not isinstance(value, list) or not value:
        return False
    for item in value:
        parts = list(item.values()) if isinstance(item, dict) else item
        if not isinstance(parts, list):
            return False
        leaves = [v for p in parts for v in (p.values() if isinstance(p, dict) else [p])]
        numbers = [n for leaf in leaves if (n := as_number(leaf)) is not None]
        if len(numbers) < 2 or len(numbers) == len(leaves) or numbers[0] > numbers[1]:
            return False
    return True


def checked_text(value: Any, key: str, record: JsonRecord) -> str:
    """RETURNS (str): The text of a record, if it can be one. RAISES: ConvertError."""
    if not isinstance(value, str):
        raise record.error(f"a text under {key!r}", value)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as err:
        got = Plain(f"half a surrogate pair, {value[err.start]!r}, at character {err.start}")
        raise record.error(f"Unicode text under {key!r}", got) from None
    return value


class _NoEntityError(Exception):
    def __init__(self, value: Any):
        self.value = value


def _walk(value: Any, label: Any = None, text: str | None = None) -> Iterator[tuple[Given, Any]]:
    """The entities in a value, each with its label as it stands there, None without one."""
    if isinstance(value, dict):
        own = {key.lower().replace("_", ""): inner for key, inner in value.items()}
        if label is None and (rows := _rows_in(own)) is not None:
            yield from _walk(rows)
            return
        label_key = next((k for k in _LABELS if own.get(k) not in (None, "", [])), None)
        place = _pair_in(own)
        if place is None and (label is not None or label_key is not None):
            # Without a label, such a key may itself be one.
            own, place = next(_inner_places(own), (own, None))
        if place is not None:
            if label_key is None and label is None and _has_other_text(own):
                raise _NoEntityError(value)
            texts = {k: own[k] for k in _TEXTS if k != label_key and isinstance(own.get(k), str)}
            key = next(iter(texts), None)
            given = Given(*place, "", text if key is None else texts[key], key in (None, "text"))
            yield given, label if label_key is None else own[label_key]
        elif isinstance(own.get(label_key or ""), str) or any(
            isinstance(own.get(key), (int, float, str)) for key in (*_STARTS, *_ENDS)
        ):
            raise _NoEntityError(value)
        else:
            for key, inner in value.items():
                yield from _walk(inner, key) if label is None else _walk(inner, label, key)
        return
    if not isinstance(value, list):
        raise _NoEntityError(value)
    pair = _pair(value)
    if pair is not None and label is not None:
        yield Given(*pair, "", text), label
        return
    for at, of_label, of_text in _ROWS.get(len(value), ()) if label is None else ():
        pair = _pair(value[at : at + 2])
        if pair is not None and _is_label(value[of_label]):
            row_text = value[of_text] if isinstance(value[of_text], str) else None
            yield Given(*pair, "", row_text, False), value[of_label]
            return
    for inner in value:
        if not isinstance(inner, (list, dict)):
            raise _NoEntityError(value)
        yield from _walk(inner, label, text)


def _rows_in(own: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The entities in an object with a list of starts, one of ends and one of labels."""
    columns = {key: value for key, value in own.items() if isinstance(value, list)}
    starts, ends, labels = (
        next((columns[key] for key in keys if key in columns), None)
        for keys in (_STARTS, _ENDS, _LABELS)
    )
    if starts is None or ends is None or labels is None or len(set(map(len, columns.values()))) > 1:
        return None
    if any(as_number(offset) is None for offset in (*starts, *ends)):
        return None
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _pair_in(own: dict[str, Any]) -> tuple[int, int] | None:
    """The offsets in an object, if it has any."""
    start = next((n for k in _STARTS if (n := as_number(own.get(k))) is not None), None)
    end = next((n for k in _ENDS if (n := as_number(own.get(k))) is not None), None)
    length = next((n for k in _LENGTHS if (n := as_number(own.get(k))) is not None), None)
    if start is not None and end is None and length is not None:
        end = start + length
    return None if start is None or end is None else (start, end)


def _inner_places(own: dict[str, Any]) -> Iterator[tuple[dict[str, Any], tuple[int, int]]]:
    """An object with what its key for places adds, and the offsets there."""
    objects = [key for key, value in own.items() if isinstance(value, dict)]
    for value in (own[key] for key in (*_PLACES, *objects) if key in own):
        one = value[0] if isinstance(value, list) and len(value) == 1 else value
        inner = one if isinstance(one, dict) else {}
        pair = _pair_in(inner) or _pair(one)
        if pair is not None:
            yield {**own, **inner}, pair


def _has_other_text(own: dict[str, Any]) -> bool:
    """Whether some text in an object may be a label under an unknown key."""
    return any(isinstance(v, str) and v and k not in _NO_LABELS for k, v in own.items())


def _pair(value: Any) -> tuple[int, int] | None:
    if not isinstance(value, list) or len(value) != 2:
        return None
    start, end = map(as_number, value)
    return None if start is None or end is None else (start, end)


def as_number(value: Any) -> int | None:
    """RETURNS (int | None): An offset or id, which may be written as 4.0 or "4"."""
    if isinstance(value, str) and value.removeprefix("-").replace(".", "", 1).isdecimal():
        value = float(value)
    # A bool is an int, to Python.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int else None


def _is_label(value: Any) -> bool:
    return bool(value) and isinstance(value, (str, list)) or type(value) is int
