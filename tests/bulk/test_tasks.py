"""Tasks for tools of annotation: their forms, and the way there and back.

The exports are written by hand from the documentation of each tool, named at each test.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from spacy_bio_crf.bulk import AnnotateError
from spacy_bio_crf.bulk.tasks import TASK_FORMS, make_task, read_rows, write_tasks
from spacy_bio_crf.corpora import read

TEXT = "Ana 👩 Ruiz met Bo in New York."
PER = {"start": 0, "end": 10, "label": "PER", "score": 0.91}
BO = {"start": 15, "end": 17, "label": "PER", "score": 0.4}
LOC = {"start": 21, "end": 29, "label": "LOC", "score": 0.75}
ROW = {
    "id": 7,
    "text": TEXT,
    "entities": [PER, BO, LOC],
    "selection": {"rank": 1, "strategy": "margin", "score": -0.2},
}


def converted(path: Path, tasks: Any, **options: Any) -> list[Any]:
    lines = tasks if isinstance(tasks, str) else "".join(json.dumps(t) + "\n" for t in tasks)
    path.write_text(lines, encoding="utf-8")
    return read(path, **options)[0]


def ents_of(doc: Any) -> list[tuple[str, str]]:
    return [(ent.text, ent.label_) for ent in doc.ents]


REVIEWED = [("Ana 👩 Ruiz", "PER"), ("New York", "GPE")]


def test_prodigy(tmp_path):
    """The form of https://prodi.gy/docs/api-interfaces#ner_manual; `prodigy db-out` writes the
    tasks with hashes, the annotator's spans and "answer"."""
    task = make_task(ROW, "prodigy", version="en_ner-1")
    assert task["text"] == TEXT and task["spans"][0] == {**PER, "source": "en_ner-1"}
    assert task["meta"] == {"id": 7, "strategy": "margin", "score": -0.2, "rank": 1}
    mine = {**task["spans"][2], "label": "GPE"}
    exported = task | {"_input_hash": 1, "_task_hash": 2, "_view_id": "ner_manual"}
    exported |= {"spans": [task["spans"][0], mine], "answer": "accept", "_timestamp": 17}
    docs = converted(tmp_path / "a.jsonl", [exported, exported | {"answer": "ignore"}])
    assert [ents_of(doc) for doc in docs] == [REVIEWED]
    assert all(token.ent_iob_ for token in docs[0])


def test_binary_answers_of_prodigy(tmp_path):
    """One task for each entity, as the stream of docs/select.md asks:
    https://prodi.gy/docs/api-interfaces#ner"""
    task = make_task(ROW | {"entities": [BO]}, "prodigy") | {"_view_id": "ner", "_is_binary": True}
    yes, no = (
        converted(tmp_path / "a.jsonl", [task | {"answer": a}])[0] for a in ("accept", "reject")
    )
    assert ents_of(yes) == [("Bo", "PER")] and ents_of(no) == []
    assert [(span.text, span.label_) for span in no.spans["incorrect_spans"]] == [("Bo", "PER")]
    assert {token.ent_iob_ for token in no} == {""}


def test_label_studio(tmp_path):
    """https://labelstud.io/guide/predictions (the import) and
    https://labelstud.io/guide/export#Label-Studio-JSON-format-of-annotated-tasks (the export)."""
    task = make_task(ROW, "label-studio", version="en_ner-1")
    (prediction,) = task["predictions"]
    assert prediction["model_version"] == "en_ner-1" and prediction["score"] == 0.4
    assert prediction["result"][1] == {
        "id": "p1",
        "from_name": "label",
        "to_name": "text",
        "type": "labels",
        "score": 0.4,
        "value": {"start": 15, "end": 17, "text": "Bo", "labels": ["PER"]},
    }
    assert task["data"] == {"id": 7, "text": TEXT, "selection": ROW["selection"]}
    # Nobody has looked at it: predictions are no annotation.
    rows = [ROW, ROW | {"entities": []}]
    write_tasks(rows, tmp_path / "import.json", "label-studio")
    assert [
        len(t["predictions"][0]["result"])
        for t in json.loads((tmp_path / "import.json").read_text())
    ] == [3, 0]
    docs, summary = read(tmp_path / "import.json")
    assert (
        not docs and summary.dropped["task with predictions alone, which `predictions` reads"] == 2
    )
    docs, _ = read(tmp_path / "import.json", predictions=True)
    assert [ents_of(doc)[1:] for doc in docs] == [[("Bo", "PER"), ("New York", "LOC")], []]
    first, _, last = prediction["result"]
    last = {**last, "origin": "prediction", "value": {**last["value"], "labels": ["GPE"]}}
    annotation = {"id": 3, "completed_by": 1, "was_cancelled": False, "ground_truth": False}
    exported = task | {"id": 1, "annotations": [annotation | {"result": [first, last]}]}
    skipped = task | {"id": 2, "annotations": [annotation | {"result": [], "was_cancelled": True}]}
    docs = converted(tmp_path / "a.json", json.dumps([exported, skipped]))
    assert [ents_of(doc) for doc in docs] == [REVIEWED]
    # A part that the annotator left open, by a label for that.
    open_part = {**first, "value": {"start": 15, "end": 17, "text": "Bo", "labels": ["IGNORE"]}}
    exported["annotations"][0]["result"].append(open_part)
    (doc,) = converted(tmp_path / "a.json", json.dumps([exported]), ignore=["IGNORE"])
    assert ents_of(doc) == REVIEWED
    assert [token.text for token in doc if not token.ent_iob_] == ["Bo"]


def test_doccano(tmp_path):
    """JSONL with the columns "text" and "label", which `backend/data_import/pipeline/catalog.py`
    has as defaults; other columns stay in the export, beside "id" and "Comments":
    https://doccano.github.io/doccano/tutorial/#dataset"""
    task = make_task(ROW, "doccano")
    assert task["label"] == [[0, 10, "PER"], [15, 17, "PER"], [21, 29, "LOC"]]
    assert task["predicted"][1] == [15, 17, "PER", 0.4] and task["id"] == 7
    exported = task | {"id": 12, "Comments": [], "label": [[0, 10, "PER"], [21, 29, "GPE"]]}
    (doc,) = converted(tmp_path / "a.jsonl", [exported])
    assert ents_of(doc) == REVIEWED and all(token.ent_iob_ for token in doc)


def test_argilla(tmp_path):
    """`rg.Dataset.records.from_json` and `to_json`, lists of `Record.to_dict` (argilla 2):
    https://docs.argilla.io/latest/how_to_guides/import_export/"""
    task = make_task(ROW, "argilla", version="en_ner-1")
    assert task["id"] == "7" and task["fields"] == {"text": TEXT}
    suggestion = task["suggestions"]["entities"]
    assert suggestion["value"][1] == {"start": 15, "end": 17, "label": "PER"}
    assert (suggestion["score"], suggestion["agent"]) == ([0.91, 0.4, 0.75], "en_ner-1")
    write_tasks([ROW], tmp_path / "import.json", "argilla")
    docs, summary = read(tmp_path / "import.json")
    assert not docs and sum(summary.dropped.values()) == 1
    spans = [suggestion["value"][0], {**suggestion["value"][2], "label": "GPE"}]
    exported = task | {"metadata": {}, "vectors": {}, "_server_id": "d2"}
    exported["responses"] = {"entities": [{"value": spans, "user_id": "4f"}]}
    (doc,) = converted(tmp_path / "a.json", json.dumps([exported]))
    assert ents_of(doc) == REVIEWED and doc.user_data["document_id"] == "7"


def test_rows_without_scores_and_without_entities(tmp_path):
    bare = {"text": TEXT, "entities": [{k: v for k, v in BO.items() if k != "score"}]}
    empty = {"text": "", "entities": []}
    assert make_task(bare, "argilla")["suggestions"]["entities"]["score"] is None
    assert "id" not in make_task(bare, "argilla")
    for form in TASK_FORMS:
        assert write_tasks([bare, empty], tmp_path / form, form) == 2
        assert write_tasks([], tmp_path / form, form) == 0
    (result,) = make_task(bare, "label-studio")["predictions"][0]["result"]
    assert "score" not in result
    with pytest.raises(AnnotateError, match="form: expected one of 'jsonl', 'prodigy', 'label-stu"):
        write_tasks([], tmp_path / "x", "brat")


def test_other_keys_and_values_that_json_lacks():
    row = {"body": TEXT, "ents": [BO], "when": float("nan"), "raw": b"x"}
    task = make_task(row, "doccano", text_key="body", entities_key="ents")
    assert task["text"] == TEXT and task["when"] is None and task["raw"] == "eA=="
    assert make_task(row, "jsonl")["body"] == TEXT


def test_a_task_s_own_keys_take_the_place_of_a_row_s():
    row = {"id": 1, "body": TEXT, "text": "A title", "label": "news", "entities": [BO]}
    tasks = {form: make_task(row, form, text_key="body") for form in TASK_FORMS}
    doccano, data = tasks["doccano"], tasks["label-studio"]["data"]
    assert (doccano["text"], doccano["label"]) == (TEXT, [[15, 17, "PER"]])
    assert data == {"id": 1, "text": TEXT, "label": "news"}
    assert tasks["prodigy"]["meta"] == {"id": 1, "text": "A title", "label": "news"}
    assert tasks["jsonl"] == row


def test_rows_are_read_from_files_and_folders(tmp_path):
    keys = {"text_key": "text", "entities_key": "entities"}
    folder = tmp_path / "out"
    folder.mkdir()
    for number in (0, 1):
        path = folder / f"part-000000{number}-1-1-1-0.jsonl"
        path.write_text(json.dumps({**ROW, "id": number}) + "\n")
    assert [row["id"] for row in read_rows(folder, **keys)] == [0, 1]
    assert [row["id"] for row in read_rows(path, **keys)] == [1]
    path.write_text("\ufeff\n" + json.dumps(ROW) + "\n\n", encoding="utf-8")
    assert list(read_rows(path, **keys)) == [ROW]
    for line, message in {
        "x": "line 1: expected a JSON object: ",
        '{"text": 1}': "line 1: expected a text under 'text'",
        '{"text": "a"}': "line 1: expected entities under 'entities'",
        '{"text": "a", "entities": [[0, 1, "X"]]}': r"'label' under 'entities', got \[0, 1, 'X'\]",
        '{"text": "a", "entities": [{"start": 0, "end": 1}]}': "line 1: expected entities with",
        "\udcff": "line 1: expected UTF-8, got byte 0xff",
    }.items():
        path.write_bytes(line.encode("utf-8", "surrogateescape"))
        with pytest.raises(AnnotateError, match=message):
            list(read_rows(path, **keys))
    with pytest.raises(AnnotateError, match="expected parts in JSON lines, got none"):
        list(read_rows(tmp_path, **keys))
