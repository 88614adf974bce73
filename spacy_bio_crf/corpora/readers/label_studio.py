"""Reader of Label Studio's JSON export: texts with labeled regions."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...errors import Plain
from ..options import ConvertOptions
from ..passages import Passage, Summary
from .char_spans import locate
from .entity_values import Given, checked_text, read_entities
from .json_records import JsonRecord
from .record_files import read_records

ANNOTATION_KEYS = ("annotations", "completions")  # the second in versions before 1.0
NOT_ANNOTATED = "task without annotation"
PREDICTED = "task with predictions alone, which `predictions` reads"
SEVERAL = (
    "tasks have several annotations, of which the ground truth or else the {rule} was taken "
    "(`annotation`)"
)


def read_label_studio(
    paths: Sequence[Path], options: ConvertOptions, summary: Summary
) -> Iterator[Passage]:
    """Read tasks, one text each.

    Of several annotations of a task, the one marked as ground truth is read, or else the one that
    `annotation` says.
    Canceled annotations are not read. Tasks without annotation are left out, or `predictions` takes
    the first prediction. An annotation without results means that there is no entity. The tokens of
    a region without a label are left unannotated. Regions on another text of the task are left out.

    paths (Sequence[Path]): The files.
    options (ConvertOptions): `text_key`, the text's key in "data", `annotation`, `predictions`,
        `offsets` and `ends` are read.
    summary (Summary): Gets notes, remarks and losses.
    YIELDS (Passage): The texts, in order.
    RAISES: ConvertError if a record is no task, or an entity does not fit its text.
    """
    for path in paths:
        summary.notes["Label Studio tasks"] += 1
        for record in read_records(path, summary.tick, encoding=options.encoding):
            results = _results(record, options, summary)
            if results is None:
                predicted = bool(record.data.get("predictions"))
                summary.dropped[PREDICTED if predicted else NOT_ANNOTATED] += 1
                continue
            key, text = _text(record, options.text_key)
            own = _on_text(results, key, record, summary)
            given = [g for r in own for g in _region(r, record, options, summary)]
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


def _results(record: JsonRecord, options: ConvertOptions, summary: Summary) -> list[Any] | None:
    """The results of the annotation that counts; None if there is none."""
    key = next((k for k in ANNOTATION_KEYS if k in record.data), ANNOTATION_KEYS[0])
    annotations = _listed(key, record)
    if not annotations and options.predictions:
        annotations = _listed("predictions", record)
    if not annotations:
        return None
    truth = next((a for a in annotations if a.get("ground_truth")), None)
    if len(annotations) > 1 and truth is None and options.annotation == "error":
        expected, got = "one annotation, or one that is the ground truth", len(annotations)
        raise record.error(expected, Plain(str(got)), remedy="set `annotation` to first or last")
    if len(annotations) > 1:
        summary.remarks[SEVERAL.format(rule=options.annotation)] += 1
    chosen = truth or annotations[-1 if options.annotation == "last" else 0]
    results = chosen.get("result")
    if not isinstance(results, list):
        raise record.error("a list under 'result'", results)
    return results


def _listed(key: str, record: JsonRecord) -> list[dict[str, Any]]:
    annotations = record.data.get(key) or []
    if not isinstance(annotations, list) or not all(isinstance(a, dict) for a in annotations):
        raise record.error(f"a list of objects under {key!r}", annotations)
    return [a for a in annotations if not a.get("was_cancelled")]


def _text(record: JsonRecord, key: str | None) -> tuple[str, str]:
    """The key of the text, and the text."""
    data = record.data.get("data")
    if not isinstance(data, dict):
        raise record.error("an object under 'data'", data)
    if key is None:
        texts = [k for k, value in data.items() if isinstance(value, str)]
        key = "text" if "text" in texts or len(texts) != 1 else texts[0]
        if key not in data:
            got = Plain(f"texts under {texts}")
            remedy = "name one of them with `text_key`"
            raise record.error("a text under data['text']", got, remedy=remedy)
    return key, checked_text(data.get(key), key, record)


def _on_text(
    results: list[Any], key: str, record: JsonRecord, summary: Summary
) -> list[dict[str, Any]]:
    """The results that are on the text, where a task has regions on several.

    An export does not say which key an object shows; an object of the key's name shows it.
    """
    for result in results:
        if not isinstance(result, dict):
            raise record.error("objects in 'result'", result)
    names = {str(r["to_name"]) for r in results if _is_region(r) and r.get("to_name")}
    if len(names) < 2:
        return results
    if key not in names:
        expected = f"regions on one text, or on one whose name is that of its key, {key!r}"
        raise record.error(expected, Plain(f"regions on {', '.join(map(repr, sorted(names)))}"))
    found = [r for r in results if not _is_region(r) or r.get("to_name") == key]
    summary.dropped["region on another text"] += len(results) - len(found)
    return found


def _is_region(result: dict[str, Any]) -> bool:
    return str(result.get("type", "labels")).endswith("labels")


def _region(
    result: dict[str, Any], record: JsonRecord, options: ConvertOptions, summary: Summary
) -> list[Given]:
    """A labeled region; none if the result is something else, such as a choice or a relation."""
    kind, value = str(result.get("type", "labels")), result.get("value")
    if not _is_region(result) or not isinstance(value, dict):
        summary.dropped[f"result of the type {kind!r}, no entity"] += 1
        return []
    region = {key: value.get(key) for key in ("start", "end", "text")}
    # In a page of HTML, the others are relative to its elements.
    region |= value.get("globalOffsets") or {}
    region["label"] = value.get(kind, value.get("labels"))
    return read_entities([region], "result", record, summary, layers=options.layers)
