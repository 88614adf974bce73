"""Read Label Studio's JSON export of texts with labelled regions."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..passages import Passage, ReadOptions, Summary
from .char_spans import Given, checked_text, located, read_span
from .json_records import JsonRecord, json_records

ANNOTATION_KEYS = ("annotations", "completions")  # the second in versions before 1.0
NOT_ANNOTATED = "task without annotation"
SEVERAL = "tasks have several annotations, of which the ground truth or else the first was taken"


def read_label_studio(
    paths: Sequence[Path], options: ReadOptions, summary: Summary
) -> Iterator[Passage]:
    """Read tasks, one text each.

    Of several annotations of a task, cancelled ones never count; the one marked as ground truth is
    read, or else the first. Tasks without annotation are left out; an annotation without results
    says that there is no entity. Predictions are not read.

    paths (Sequence[Path]): The files.
    options (ReadOptions): `text_key`, the text's key in "data".
    summary (Summary): Gets notes, remarks and drops.
    YIELDS (Passage): The texts, in order.
    RAISES: ConvertError if a task is none, or has entities that are not of its text.
    """
    for path in paths:
        summary.notes["Label Studio tasks"] += 1
        for record in json_records(path, options.tick):
            results = _results(record, summary)
            if results is None:
                summary.dropped[NOT_ANNOTATED] += 1
                continue
            text = _text(record, options.text_key)
            given = [g for r in results if (g := _region(r, record, summary)) is not None]
            yield Passage(
                text=text,
                spans=located(text, given, record, summary),
                path=path,
                line=record.line,
                place=record.place,
                document_id=str(record.data.get("id", "")),
            )


def _results(record: JsonRecord, summary: Summary) -> list[Any] | None:
    """The results of the annotation that counts; None if there is none."""
    key = next((k for k in ANNOTATION_KEYS if k in record.data), ANNOTATION_KEYS[0])
    annotations = record.data.get(key, [])
    if not isinstance(annotations, list) or not all(isinstance(a, dict) for a in annotations):
        raise record.error(f"expected a list of objects under {key!r}, found {annotations!r}")
    annotations = [a for a in annotations if not a.get("was_cancelled")]
    if not annotations:
        return None
    if len(annotations) > 1:
        summary.remarks[SEVERAL] += 1
    chosen = next((a for a in annotations if a.get("ground_truth")), annotations[0])
    results = chosen.get("result")
    if not isinstance(results, list):
        raise record.error(f"expected a list under 'result', found {results!r}")
    return results


def _text(record: JsonRecord, key: str | None) -> str:
    data = record.data.get("data")
    if not isinstance(data, dict):
        raise record.error(f"expected an object under 'data', found {data!r}")
    if key is None:
        texts = [k for k, value in data.items() if isinstance(value, str)]
        key = "text" if "text" in texts or len(texts) != 1 else texts[0]
        if key not in data:
            raise record.error(
                f"expected a text under data['text'], found texts under {texts}; name one with "
                "--text-key"
            )
    return checked_text(data.get(key), key, record)


def _region(result: Any, record: JsonRecord, summary: Summary) -> Given | None:
    """A labelled region; None if the result is something else, a choice or a relation."""
    if not isinstance(result, dict):
        raise record.error(f"expected objects in 'result', found {result!r}")
    kind, value = str(result.get("type", "labels")), result.get("value")
    if not kind.endswith("labels") or not isinstance(value, dict):
        summary.dropped[f"result of the type {kind!r}, no entity"] += 1
        return None
    labels = value.get(kind, value.get("labels"))
    return read_span({**value, "labels": labels}, record, summary)
