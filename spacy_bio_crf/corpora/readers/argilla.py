"""Reader of Argilla's records as JSON: the answers to a question of spans.

{"id": "7", "fields": {"text": "Ana Ruiz"}, "suggestions": {"entities": {"value": […]}},
 "responses": {"entities": [{"value": [{"start": 0, "end": 8, "label": "PER"}],
                             "user_id": "…", "status": "submitted"}]}}

The same, flat, as `to_datasets` makes it for JSON lines and Parquet:

{"id": "7", "text": "Ana Ruiz", "entities.suggestion": […],
 "entities.responses": [[{"start": 0, "end": 8, "label": "PER"}]],
 "entities.responses.users": ["…"], "entities.responses.status": ["submitted"]}
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...errors import Plain
from ..options import ConvertOptions
from ..passages import Passage, Summary
from .char_spans import locate
from .entity_values import checked_text, has_entities, read_entities
from .json_records import JsonRecord
from .record_files import read_records

ANSWER_KEYS = ("responses", "suggestions")
UNANSWERED = "record without a submitted response"
SUGGESTED = "record with suggestions alone, which `predictions` reads"
SEVERAL_ANSWERS = "records have several responses, of which the {rule} was taken (`annotation`)"
_SUBMITTED = (None, "submitted")
# Endings of keys of flat records, behind the question's name.
_RESPONSES, _STATUS, _SUGGESTION = ".responses", ".responses.status", ".suggestion"
_NO_FIELDS = ("id", "status", "_server_id")


def read_argilla(
    paths: Sequence[Path], options: ConvertOptions, summary: Summary
) -> Iterator[Passage]:
    """Read records, one text each.

    Responses that are drafts or discarded are not read. Records without a submitted response are
    left out, or `predictions` takes their suggestion. A response without spans means that there is
    no entity.

    paths (Sequence[Path]): The files.
    options (ConvertOptions): `text_key`, the name of the field; `spans_key`, the name of the
        question; `annotation`, `predictions`, `offsets` and `ends` are read.
    summary (Summary): Gets notes, remarks and losses.
    YIELDS (Passage): The texts, in order.
    RAISES: ConvertError if a record is none, or an entity does not fit its text.
    """
    for path in paths:
        summary.notes["Argilla records"] += 1
        for flat in read_records(path, summary.tick, encoding=options.encoding):
            record = nested(flat)
            name = (options.spans_key or "").removesuffix(_RESPONSES) or _question(record)
            value = _answer(name, record, options, summary)
            if value is None:
                suggested = bool(_object("suggestions", record).get(name or ""))
                summary.dropped[SUGGESTED if suggested else UNANSWERED] += 1
                continue
            text = _text_of(record, options.text_key)
            given = read_entities(value, name or "", record, summary, layers=options.layers)
            spans, missing = locate(text, given, record, options, summary)
            yield Passage(
                text=text,
                spans=spans,
                missing=missing,
                path=path,
                line=record.number,
                place=record.place,
                document_id=record.name("id"),
            )


def is_flat(data: dict[str, Any]) -> bool:
    """RETURNS (bool): Whether a record is a flat one."""
    answered = any(key.endswith(_STATUS) for key in data)
    return answered or "_server_id" in data and any(key.endswith(_SUGGESTION) for key in data)


def nested(record: JsonRecord) -> JsonRecord:
    """The record, or the nested form of a flat one.

    RAISES: ConvertError for responses and statuses of different numbers.
    """
    data = record.data
    if not is_flat(data):
        return record
    responses = {
        key.removesuffix(_RESPONSES): _answers(key, record)
        for key, values in data.items()
        if key.endswith(_RESPONSES) and values is not None
    }
    suggestions = {
        key.removesuffix(_SUGGESTION): {"value": value}
        for key, value in data.items()
        if key.endswith(_SUGGESTION) and value is not None
    }
    # Nothing tells fields from metadata that are text.
    fields = {key: value for key, value in data.items() if _is_field(key, value)}
    whole = {"id": data.get("id"), "fields": fields}
    return record._replace(data={**whole, "responses": responses, "suggestions": suggestions})


def _answers(key: str, record: JsonRecord) -> list[dict[str, Any]]:
    """The responses under a key of a flat record."""
    values, states = (record.data.get(k) for k in (key, key.removesuffix(_RESPONSES) + _STATUS))
    if not isinstance(values, list) or not isinstance(states, list):
        raise record.error(f"lists under {key!r} and its status", [values, states])
    if len(values) != len(states):
        expected = f"a status for each of {len(values)} responses under {key!r}"
        raise record.error(expected, Plain(str(len(states))))
    return [{"value": v, "status": state} for v, state in zip(values, states, strict=True)]


def _is_field(key: str, value: Any) -> bool:
    parts = (_RESPONSES, _SUGGESTION)
    return isinstance(value, str) and key not in _NO_FIELDS and not any(p in key for p in parts)


def _question(record: JsonRecord) -> str | None:
    """The name of the one question that has spans for answers; None if no answer has any."""
    lists: dict[str, bool] = {}  # whether any answer has a span
    for key in ANSWER_KEYS:
        for name, value in _object(key, record).items():
            for one in value if isinstance(value, list) else [value]:
                found = one.get("value") if isinstance(one, dict) else None
                if found == [] or has_entities(found, 1 << 62):
                    lists[name] = lists.get(name, False) or bool(found)
    names = [name for name, filled in lists.items() if filled] or list(lists)
    if len(names) > 1:
        got = Plain(", ".join(map(repr, names)))
        remedy = "name it with `spans_key`"
        raise record.error("one question with spans", got, remedy=remedy)
    return names[0] if names else None


def _answer(
    name: str | None, record: JsonRecord, options: ConvertOptions, summary: Summary
) -> list[Any] | None:
    """The spans of the response that counts, or of the suggestion; None if there are none."""
    responses = _object("responses", record).get(name or "") or []
    if not isinstance(responses, list) or not all(isinstance(r, dict) for r in responses):
        raise record.error(f"a list of responses to {name!r}", responses)
    found = [r.get("value") for r in responses if r.get("status") in _SUBMITTED]
    if len(found) > 1 and options.annotation == "error":
        got, remedy = Plain(str(len(found))), "set `annotation` to first or last"
        raise record.error("one submitted response", got, remedy=remedy)
    if len(found) > 1:
        summary.remarks[SEVERAL_ANSWERS.format(rule=options.annotation)] += 1
    if not found and options.predictions:
        suggestion = _object("suggestions", record).get(name or "")
        found = [suggestion.get("value")] if isinstance(suggestion, dict) else []
    if not found:
        return None
    chosen = found[-1 if options.annotation == "last" else 0]
    if not isinstance(chosen, list):
        raise record.error(f"a list of spans as the answer to {name!r}", chosen)
    return chosen


def _object(key: str, record: JsonRecord) -> dict[str, Any]:
    value = record.data.get(key) or {}
    if not isinstance(value, dict):
        raise record.error(f"an object under {key!r}", value)
    return value


def _text_of(record: JsonRecord, key: str | None) -> str:
    fields = _object("fields", record)
    if key is None:
        names = [name for name, value in fields.items() if isinstance(value, str)]
        key = "text" if "text" in names or len(names) != 1 else names[0]
        if key not in fields:
            got, remedy = Plain(f"fields {names}"), "name one of them with `text_key`"
            raise record.error("the field 'text'", got, remedy=remedy)
    return checked_text(fields.get(key), key, record)
