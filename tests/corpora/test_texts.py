"""The texts of files: those without an annotation too."""

import json
from pathlib import Path
from typing import Any

import pytest

from spacy_bio_crf.corpora import ConvertError
from spacy_bio_crf.corpora.texts import texts_in


def texts_of(path: Path, *records: Any, **options: Any) -> list[str]:
    lines = (r if isinstance(r, str) else json.dumps(r) for r in records)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return list(texts_in(path, **options))


def test_texts_that_have_no_gold(tmp_path):
    path = tmp_path / "a.json"
    answers = ["accept", "reject", "ignore"]
    prodigy = [{"text": f"Ana {a}", "spans": [], "answer": a} for a in answers]
    assert texts_of(path, *prodigy) == ["Ana accept", "Ana reject", "Ana ignore"]
    skipped = {"annotations": [{"result": [], "was_cancelled": True}]}
    label_studio = [{"data": {"text": "Ana"}, **skipped}, {"data": {"id": "7", "text": "Bo"}}]
    assert texts_of(path, json.dumps(label_studio)) == ["Ana", "Bo"]
    argilla = [
        {"fields": {"text": "Ana"}, "responses": {"ner": [{"value": [], "status": "draft"}]}},
        {"fields": {"review": "Bo"}, "suggestions": {}},
    ]
    assert texts_of(path, json.dumps(argilla)) == ["Ana", "Bo"]


def test_the_key_of_the_text(tmp_path):
    path = tmp_path / "a.jsonl"
    body = {"document": "d1", "body": "Ana ran", "entities": [{"start": 0, "end": 3, "label": "P"}]}
    assert texts_of(path, body, text_key="body") == ["Ana ran"]
    # Other records have it under a usual key.
    assert texts_of(path, {"content": "Bo", "label": []}, text_key="body") == ["Bo"]
    tagged = {"tokens": ["Ana", "ran"], "ner_tags": [1, 0]}
    assert texts_of(path, {**tagged, "text": "Ana ran"}) == ["Ana ran"]
    message = r"line 2: expected a text under 'body', got texts under \['title'\]"
    with pytest.raises(ConvertError, match=message):
        texts_of(path, body, {"title": "Bo"}, text_key="body")


def test_other_formats(tmp_path):
    tagged = {"tokens": ["Ana", "ran"], "ner_tags": ["B-PER", "O"], "document": "d1"}
    assert texts_of(tmp_path / "a.jsonl", tagged, text_key="body") == ["Ana ran"]
    assert texts_of(tmp_path / "a.conll", "Ana B-PER", "ran O", "", "Bo B-PER") == ["Ana ran", "Bo"]
    assert texts_of(tmp_path / "a.jsonl") == []
    with pytest.raises(ConvertError, match="expected a file or folder, got nothing there"):
        list(texts_in(tmp_path / "no.jsonl"))


@pytest.mark.parametrize("content", ["", "[]", "[\n]\n", "\ufeff [ ]\n"])
def test_files_without_anything_in_them(tmp_path, content):
    """As tools export them, and `select` writes them, where there is nothing."""
    path = tmp_path / "a.json"
    assert texts_of(path, content) == []
    path.with_name("b.json").write_text('[{"data": {"text": "Ana"}, "annotations": []}]', "utf-8")
    assert list(texts_in(tmp_path)) == ["Ana"]
