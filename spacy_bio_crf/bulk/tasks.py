"""Rows with predicted entities as tasks for tools of annotation, with the confidence of each.

jsonl         the rows as they are
prodigy       "text", "spans" with "score", and "meta": for ner.manual, ner.correct, review
label-studio  "data" and "predictions" for a project with <Labels name="label" toName="text">
              on <Text name="text" value="$text"/>
doccano       "text" and "label", which doccano takes for annotation until it is reviewed;
              "predicted" has the confidence, and stays beside the annotation
argilla       "fields" and "suggestions" of a SpanQuestion "entities" on the field "text"

A task's own keys take the place of a row's: "label" and "predicted" for doccano, and "text" for
doccano and Label Studio where the text is under another key.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import AnnotateError, check_choice, describe
from ..io import numbered_lines, replacing
from .parts_folder import PartsFolder
from .records import plain

TASK_FORMS = ("jsonl", "prodigy", "label-studio", "doccano", "argilla")
_ARRAYS = ("label-studio", "argilla")  # whose files are one array


def check_form(form: str) -> None:
    """RAISES: AnnotateError for a form that is none of `TASK_FORMS`."""
    check_choice("form", form, TASK_FORMS, error=AnnotateError)


def make_task(
    row: Mapping[str, Any],
    form: str,
    *,
    text_key: str = "text",
    entities_key: str = "entities",
    version: str = "",
) -> dict[str, Any]:
    """Make a task of a row.

    row (Mapping[str, Any]): A record with its entities, as `annotate_rows` gives it.
    form (str): One of `TASK_FORMS`.
    text_key (str): Key of the text.
    entities_key (str): Key of the entities.
    version (str): The name of the model for those who review its predictions.
    RETURNS (dict[str, Any]): The task, in JSON's types.
    """
    row = plain(row)
    if form == "jsonl":
        return dict(row)
    text, entities = row[text_key], row[entities_key]
    others = {k: v for k, v in row.items() if k not in (text_key, entities_key)}
    triples = [[e["start"], e["end"], e["label"]] for e in entities]
    scores = [e.get("score") for e in entities]
    if form == "prodigy":
        # Prodigy shows "meta" to the annotator: short values alone.
        meta = {k: v for k, v in others.items() if isinstance(v, (str, int, float))}
        spans = [{**e, "source": version} for e in entities]
        return {"text": text, "spans": spans, "meta": meta | _rank(others)}
    if form == "label-studio":
        return {
            "data": {**others, "text": text},
            "predictions": [{"model_version": version, **label_studio_prediction(text, entities)}],
        }
    if form == "doccano":
        predicted = [[*triple, score] for triple, score in zip(triples, scores, strict=True)]
        return {**others, "text": text, "label": triples, "predicted": predicted}
    suggestion = {
        "value": [dict(zip(("start", "end", "label"), t, strict=True)) for t in triples],
        "score": scores if scores and None not in scores else None,
        "agent": version or None,
    }
    task = {"fields": {"text": text}, "suggestions": {"entities": suggestion}}
    return task if others.get("id") is None else {"id": str(others["id"]), **task}


def label_studio_prediction(text: str, entities: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Make the "result" and "score" of a prediction, in a file or in the answer of a backend.

    text (str): The text.
    entities (Iterable[Mapping[str, Any]]): Its entities, with "start", "end" and "label".
    RETURNS (dict[str, Any]): The regions, and the least of their scores: Label Studio shows tasks
        with low scores first.
    """
    results: list[dict[str, Any]] = []
    scores = []
    for number, e in enumerate(entities):
        start, end = e["start"], e["end"]
        value = {"start": start, "end": end, "text": text[start:end], "labels": [e["label"]]}
        target = {"from_name": "label", "to_name": "text", "type": "labels"}
        results.append({"id": f"p{number}", **target, "value": value})
        if e.get("score") is not None:
            results[-1]["score"] = e["score"]
            scores.append(e["score"])
    return {"result": results, "score": min(scores, default=1.0)}


def write_tasks(rows: Iterable[Mapping[str, Any]], path: Path, form: str, **settings: str) -> int:
    """Write tasks to a file, which is whole or missing, one row at a time.

    rows (Iterable[Mapping[str, Any]]): The rows.
    path (Path): The file.
    form (str): One of `TASK_FORMS`. Tasks for Label Studio and Argilla are one JSON array, others
        are JSON lines.
    **settings (str): Options of `make_task`.
    RETURNS (int): How many.
    """
    check_form(form)
    count = 0
    with replacing(path) as aside, aside.open("w", encoding="utf-8", newline="\n") as file:
        if form in _ARRAYS:
            file.write("[")
        for row in rows:
            if form in _ARRAYS and count:
                file.write(",\n")
            file.write(json.dumps(make_task(row, form, **settings), ensure_ascii=False))
            if form not in _ARRAYS:
                file.write("\n")
            count += 1
        if form in _ARRAYS:
            file.write("]\n")
    return count


def count_missing_parts(path: Path) -> int:
    """RETURNS (int): The parts that a run has planned in a folder, and not written yet; 0 for a
    file. RAISES: AnnotateError for a plan that can't be read."""
    folder = PartsFolder(path)
    plan = folder.load()
    return 0 if plan is None else len({*range(len(plan.parts))} - folder.finished().keys())


def read_rows(path: Path, *, text_key: str, entities_key: str) -> Iterator[dict[str, Any]]:
    """Read the rows that `annotate` or `select` has written as JSON lines.

    path (Path): A file, or a folder of parts.
    text_key (str): Key of the text.
    entities_key (str): Key of the entities.
    YIELDS (dict[str, Any]): The rows, in order.
    RAISES: AnnotateError for a line that is none, with file and line.
    """
    files = sorted(path.glob("part-*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise AnnotateError(f"{path}: expected parts in JSON lines, got none")
    for file in files:
        for number, line in numbered_lines(file, AnnotateError):
            if not line.strip():
                continue
            place = f"{file}, line {number}"
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise AnnotateError(f"{place}: expected a JSON object: {error}") from None
            if not isinstance(row, dict) or not isinstance(row.get(text_key), str):
                raise AnnotateError(f"{place}: expected a text under {text_key!r}")
            if not isinstance(row.get(entities_key), list):
                raise AnnotateError(f"{place}: expected entities under {entities_key!r}")
            for entity in row[entities_key]:
                if not _is_entity(entity):
                    expected = f"entities with 'start', 'end' and 'label' under {entities_key!r}"
                    raise AnnotateError(describe(place, expected=expected, got=entity))
            yield row


def _is_entity(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    kinds = ("start", int), ("end", int), ("label", str)
    return all(isinstance(value.get(key), kind) for key, kind in kinds)


def _rank(others: Mapping[str, Any]) -> dict[str, Any]:
    """Rank and score of a text that was selected, which Prodigy shows."""
    selection = others.get("selection")
    if not isinstance(selection, dict):
        return {}
    return {k: selection[k] for k in ("strategy", "score", "rank") if k in selection}
