import json

import pytest

from spacy_bio_crf.corpora import ConvertError
from spacy_bio_crf.corpora.readers.json_records import json_records


def test_records_lines_and_bytes_of_every_form(folder):
    values = [{"a": "\u00e9\U0001f642\n" * n, "b": [{"c": n}]} for n in range(5)]
    lines = "\ufeff\n" + "\n\n".join(map(json.dumps, values))
    array = json.dumps(values, indent=1, ensure_ascii=False)
    objects = "\n\n".join(json.dumps(value, indent=1) for value in values)
    for content, unit, numbers in (
        (lines, "line", [2, 4, 6, 8, 10]),
        ("\ufeff" + array, "record", [1, 2, 3, 4, 5]),
        (objects, "record", [1, 2, 3, 4, 5]),
        (" [\n" + ",\n".join(map(json.dumps, values)) + "]\n ", "record", [1, 2, 3, 4, 5]),
    ):
        read = []
        path = folder.write(content, "a.json")
        records = list(json_records(path, read.append))
        assert [r.data for r in records] == values
        assert sum(read) == path.stat().st_size
        assert [r.number for r in records] == numbers
        assert [r.place for r in records] == [f"{path}, {unit} {n}" for n in numbers]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            '{"a": 1}\n{"a": \n',
            "a.json, line 2: expected a JSON object (Expecting value at column 7), got '{\"a\": '",
        ),
        ("[", "a.json, line 1: expected a JSON value (Expecting value), got ''"),
        ('{"a": 1' + "1" * 5000 + "}", "a.json, line 1: expected a JSON value (Exceeds the limit"),
        ('{"a": 1}\n{"a": 1' + "1" * 5000 + "}", "a.json, line 2: expected a JSON object (Exceeds"),
        ('{"a": ' + "[" * 10**5, "a.json, line 1: expected a JSON value (maximum recursion depth"),
        ('{"a": 1}\n{"a": ' + "[" * 10**5, "a.json, line 2: expected a JSON object (maximum rec"),
        ('{"a": 1}\n\n3\n', "a.json, line 3: expected a JSON object {…}, got 3"),
        ('[{"a": 1},\n[2]]', "a.json, record 2: expected a JSON object {…}, got [2]"),
        ('[{"a": 1}\n{"a": 2}]', "a.json, line 2: expected ',' or ']' after a value of the array"),
        ('[{"a": 1},\n]', "a.json, line 2: expected a JSON value"),
        ('[{"a": 1}', "a.json, line 1: expected ',' or ']' after a value of the array, got ''"),
        ('[{"a": 1}]\n{}', "a.json, line 2: expected the end of the file after the array, got"),
        ('{"a":\n\n x}', "a.json, line 1: expected a JSON value"),
        (b'[{"a":\n"\xff"}]', "a.json, line 2: expected UTF-8, got byte 0xff"),
        (b'[{"a":\n"\xc3', "a.json, line 2: expected UTF-8, got byte 0xc3"),
    ],
)
def test_bad_json(folder, content, message):
    path = folder.write(content, "a.json")
    with pytest.raises(ConvertError) as caught:
        list(json_records(path))
    assert message in str(caught.value)


NAMED = {
    "jsonl": ({"text": "Bo ran", "spans": []}, "id"),
    "label studio": ({"data": {"text": "Bo ran"}, "annotations": [{"result": []}]}, "id"),
    "argilla": ({"fields": {"text": "Bo ran"}, "responses": {"x": [{"value": []}]}}, "id"),
    "datasets": ({"tokens": ["Bo", "ran"], "ner_tags": ["O", "O"]}, "document_id"),
    "token spans": ({"tokenized_text": ["Bo", "ran"], "ner": []}, "doc_id"),
}


@pytest.mark.parametrize(("record", "key"), NAMED.values(), ids=NAMED)
def test_null_is_no_name(folder, record, key):
    records = [{**record, key: 0}, {**record, key: None}, {key: None, **record, "title": None}]
    docs, _ = folder.convert(folder.write(records, "a.jsonl"))
    assert [doc.user_data.get("document_id") for doc in docs] == ["0", None, None]
