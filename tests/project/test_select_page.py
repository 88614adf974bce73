"""The programs of docs/select.md, as their tools call them."""

import json
import re
import threading
from http.client import HTTPConnection
from typing import Any

import pytest

from spacy_bio_crf.corpora import read
from tests.support.paths import ROOT

TEXT = "Ana Ruiz met Bo in New York City ."


def programs() -> dict[str, dict[str, Any]]:
    """The namespaces of the page's programs, by their first words."""
    page = (ROOT / "docs" / "select.md").read_text(encoding="utf-8")
    found = {}
    for program in re.findall(r'```python\n("""(?:.*?))```', page, re.S):
        space: dict[str, Any] = {"__name__": "program"}
        exec(compile(program, "docs/select.md", "exec"), space)
        found[space["__doc__"].split()[0]] = space
    return found


@pytest.fixture
def ask(trained):
    """Send a request as Label Studio's `ml/api_connector.py` does; return status and answer."""
    server = programs()["A"]["serve"](trained, 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def request(method: str, path: str, content: Any = None) -> tuple[int, Any]:
        connection = HTTPConnection("localhost", server.server_address[1], timeout=30)
        body = None if content is None else json.dumps(content)
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text) if answer.status < 400 else None

    yield request
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_backend_speaks_with_label_studio(ask, tmp_path):
    """Requests of https://github.com/HumanSignal/label-studio (label_studio/ml/api_connector.py),
    answers of https://github.com/HumanSignal/label-studio-ml-backend (label_studio_ml/api.py)."""
    assert ask("GET", "/health") == (200, {"status": "UP", "model_class": "bio_ner"})
    project = {"project": "1.1700000000", "schema": "<View/>", "hostname": "http://localhost:8080"}
    status, answer = ask("POST", "/setup", {**project, "access_token": "x"})
    assert status == 200 and answer["model_version"]
    tasks = [{"id": i, "data": {"text": text}} for i, text in enumerate((TEXT, "", "Nobody ."))]
    asked = {"tasks": tasks, "project": "1.1700000000", "label_config": "<View/>"}
    asked["params"] = {"login": None, "password": None, "context": None}
    status, answer = ask("POST", "/predict", asked)
    assert status == 200 and len(answer["results"]) == 3
    first, empty, _ = answer["results"]
    values = [(r["value"]["text"], *r["value"]["labels"]) for r in first["result"]]
    assert values == [("Ana Ruiz", "PER"), ("Bo", "PER"), ("New York City", "LOC")]
    assert {(r["from_name"], r["to_name"], r["type"]) for r in first["result"]} == {
        ("label", "text", "labels")
    }
    assert first["score"] == min(r["score"] for r in first["result"]) < 1.0
    assert empty["result"] == []
    # What an annotator accepts of it comes back.
    exported = [{**tasks[0], "annotations": [{"result": first["result"]}]}]
    (tmp_path / "a.json").write_text(json.dumps(exported))
    (doc,), _ = read(tmp_path / "a.json")
    assert [(ent.text, ent.label_) for ent in doc.ents] == values
    assert ask("POST", "/webhook", {"action": "ANNOTATION_CREATED"}) == (201, {})
    assert ask("GET", "/nothing")[0] == ask("POST", "/train", {})[0] == 404


def test_the_stream_asks_about_entities_in_doubt(trained, tmp_path):
    space = programs()["Binary"]
    questions = list(space["questions"](trained, [TEXT, "Nobody works today ."], 0.0, 1.0))
    assert [q["spans"][0]["label"] for q in questions] == ["PER", "PER", "LOC"]
    score = questions[0]["meta"]["score"]
    sure = list(space["questions"](trained, [TEXT], 0.0, score))
    assert score in [q["meta"]["score"] for q in sure]
    assert all(q["meta"]["score"] <= score for q in sure)
    trained.to_disk(tmp_path / "model")
    (tmp_path / "texts.jsonl").write_text(json.dumps({"text": TEXT}) + "\n")
    recipe = space["ask"]("data", tmp_path / "model", tmp_path / "texts.jsonl")
    assert recipe["view_id"] == "ner" and list(recipe["stream"]) is not None
    # Prodigy adds the view and the answer.
    answers = [
        q | {"_view_id": "ner", "answer": a}
        for q, a in zip(questions, ("accept", "reject", "ignore"), strict=True)
    ]
    (tmp_path / "out.jsonl").write_text("".join(json.dumps(a) + "\n" for a in answers))
    docs, summary = read(tmp_path / "out.jsonl")
    assert [[ent.text for ent in doc.ents] for doc in docs] == [["Ana Ruiz"], []]
    assert [span.text for span in docs[1].spans["incorrect_spans"]] == ["Bo"]
    assert dict(summary.dropped) == {"text with the answer 'ignore'": 1}
