import json

import pytest

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
        {**TASK, "annotations": []},
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
