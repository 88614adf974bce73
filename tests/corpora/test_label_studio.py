import json

import pytest

from spacy_bio_crf.corpora.readers.label_studio import SEVERAL
from spacy_bio_crf.errors import ConvertError
from tests.support.convert_tools import TEXT, plain

TASK = {
    "id": 3,
    "data": {"text": TEXT, "meta": 1},
    "annotations": [
        {
            "result": [
                {
                    "type": "labels",
                    "from_name": "label",
                    "value": {"start": 0, "end": 8, "text": "Ana Ruiz", "labels": ["PER"]},
                },
                {"type": "choices", "value": {"choices": ["good"]}},
                {"type": "relation", "from_id": "a", "to_id": "b"},
            ],
        }
    ],
}


def test_label_studio(folder):
    region = TASK["annotations"][0]["result"][0]
    other = {"result": [{"type": "hypertextlabels", "value": dict(region["value"])}]}
    other["result"][0]["value"]["hypertextlabels"] = ["TRUE"]
    tasks = [
        TASK,
        {**TASK, "annotations": [{**TASK["annotations"][0], "was_cancelled": True}]},
        {**TASK, "annotations": None},
        {**TASK, "annotations": [{"result": []}]},
        {**TASK, "annotations": [{"result": []}, {**other, "ground_truth": True}]},
        {"data": {"body": TEXT}, "completions": [{"result": [{**region, "type": "labels"}]}]},
    ]
    for content in (json.dumps(tasks), json.dumps(tasks, indent=2), tasks):
        docs, summary = folder.convert(folder.write(content, "a.json"))
        per = [("Ana Ruiz", "PER")]
        assert [plain(doc)[1] for doc in docs] == [per, [], [("Ana Ruiz", "TRUE")], per]
        assert summary.missing == 0
        assert dict(summary.dropped) == {
            "result of the type 'choices', no entity": 1,
            "result of the type 'relation', no entity": 1,
            "task without annotation": 2,
        }
        assert sum(summary.remarks.values()) == 1
        assert list(summary.notes) == ["Label Studio tasks"]
        assert docs[0].user_data["document_id"] == "3"


def test_predictions_are_no_annotation(folder):
    """A task without "annotations" comes from a file that was made to be imported."""
    predicted = {"predictions": [{"result": TASK["annotations"][0]["result"][:1], "score": 0.9}]}
    tasks = [
        TASK,
        {**TASK, "annotations": [], **predicted},
        {"data": TASK["data"], **predicted},
        {**TASK, "annotations": [{"result": []}], **predicted},
    ]
    path = folder.write(tasks, "a.json")
    docs, summary = folder.convert(path)
    assert [len(doc.ents) for doc in docs] == [1, 0]
    assert summary.dropped["task with predictions alone, which `predictions` reads"] == 2
    docs, summary = folder.convert(path, predictions=True)
    assert [len(doc.ents) for doc in docs] == [1, 1, 1, 0]
    path = folder.write(tasks[2:3], "b.json")
    assert folder.error(path) == (
        "b.json: expected a sentence with a token, got none; left out: task with predictions "
        "alone, which `predictions` reads (1)"
    )


def test_one_of_several_annotations(folder):
    annotated, empty = TASK["annotations"][0], {"result": []}
    path = folder.write([{**TASK, "annotations": [annotated, empty]}], "a.json")
    for rule, n_ents in ("first", 1), ("last", 0):
        docs, summary = folder.convert(path, annotation=rule)
        assert [len(doc.ents) for doc in docs] == [n_ents]
        assert summary.remarks == {SEVERAL.format(rule=rule): 1}
    assert folder.error(path, annotation="error") == (
        "a.json, line 1: expected one annotation, or one that is the ground truth, got 2; set "
        "`annotation` to first or last"
    )
    truth = {**empty, "ground_truth": True}
    path = folder.write([{**TASK, "annotations": [annotated, truth, annotated]}], "a.json")
    for rule in "first", "last", "error":
        assert [len(doc.ents) for doc in folder.convert(path, annotation=rule)[0]] == [0]


def test_a_region_without_a_label_is_unknown(folder):
    region = TASK["annotations"][0]["result"][0]
    value = {key: region["value"][key] for key in ("start", "end", "text")}
    for unlabeled in value, {**value, "labels": []}:
        other = {"type": "labels", "value": {"start": 18, "end": 26, "labels": ["LOC"]}}
        task = {**TASK, "annotations": [{"result": [{**region, "value": unlabeled}, other]}]}
        (doc,), summary = folder.convert(folder.write([task], "a.json"))
        assert [t.ent_iob_ for t in doc] == ["", "", "O", "O", "B", "I", "O"]
        assert [(loss.text, loss.label) for loss in summary.lost] == [("Ana Ruiz", "")]


def test_regions_on_several_texts(folder):
    def region(end, name):
        value = {"start": 0, "end": end, "labels": ["PER"]}
        return {"type": "labels", "from_name": "label", "to_name": name, "value": value}

    data = {"text": TEXT, "title": "Bo came"}
    # Without "text" in a region, nothing else tells that it is on the title.
    results = [region(8, "text"), region(2, "title")]
    choice = {"type": "choices", "to_name": "title", "value": {"choices": ["good"]}}
    task = {"data": data, "annotations": [{"result": [*results, choice]}]}
    docs, summary = folder.convert(folder.write([task], "a.json"))
    assert plain(docs[0])[1] == [("Ana Ruiz", "PER")]
    assert summary.dropped["region on another text"] == 1
    # A name alone need not be that of a key.
    other = {"data": data, "annotations": [{"result": [region(8, "t1"), choice]}]}
    docs, _ = folder.convert(folder.write([other], "b.json"))
    assert plain(docs[0])[1] == [("Ana Ruiz", "PER")]
    unclear = {"data": data, "annotations": [{"result": [region(8, "t1"), region(2, "t2")]}]}
    with pytest.raises(ConvertError, match="'text', got regions on 't1', 't2'"):
        folder.convert(folder.write([unclear], "c.json"))


def test_offsets_in_a_page(folder):
    value = {"start": "/p[1]/text()[1]", "end": "/p[1]/text()[1]", "startOffset": 0, "endOffset": 8}
    value |= {"globalOffsets": {"start": 0, "end": 8}, "hypertextlabels": ["PER"]}
    task = {**TASK, "annotations": [{"result": [{"type": "hypertextlabels", "value": value}]}]}
    (doc,), _ = folder.convert(folder.write([task], "a.json"))
    assert plain(doc)[1] == [("Ana Ruiz", "PER")]


def test_the_key_of_the_text(folder):
    task = {"data": {"title": "T", "body": TEXT}, "annotations": [{"result": []}]}
    path = folder.write([task], "a.json")
    assert folder.error(path) == (
        "a.json, line 1: expected a text under data['text'], got texts under ['title', 'body']; "
        "name one of them with `text_key`"
    )
    assert plain(folder.convert(path, text_key="body")[0][0]) == (TEXT, [])
    path = folder.write([{"text": "no", "body": TEXT, "spans": []}], "a.jsonl")
    assert plain(folder.convert(path, text_key="body")[0][0]) == (TEXT, [])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotations": 3}, "expected a list of objects under 'annotations', got 3"),
        ({"annotations": [{}]}, "expected a list under 'result', got None"),
        ({"annotations": [{"result": [1]}]}, "expected objects in 'result', got 1"),
        ({"data": {"text": 3}}, "expected a text under 'text', got 3"),
    ],
)
def test_bad_tasks(folder, changes, message):
    path = folder.write(json.dumps({**TASK, **changes}), "a.json")
    assert folder.error(path) == f"a.json, line 1: {message}"
