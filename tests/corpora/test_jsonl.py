import json

import pytest

from spacy_bio_crf.corpora.readers.jsonl import UNANNOTATED
from tests.support.convert_tools import TEXT, everything, plain

ENTS = [("Ana Ruiz", "PER"), ("New York", "LOC")]


FORMS = {
    "prodigy": {
        "text": TEXT,
        "spans": [{"start": 0, "end": 8, "label": "PER"}, {"start": 18, "end": 26, "label": "LOC"}],
        "answer": "accept",
    },
    "doccano": {"id": 7, "text": TEXT, "label": [[0, 8, "PER"], [18, 26, "LOC"]], "Comments": []},
    "doccano labels": {"id": 7, "text": TEXT, "labels": [[18, 26, "LOC"], [0, 8, "PER"]]},
    "doccano data": {"id": 7, "data": TEXT, "label": [[0, 8, "PER"], [18, 26, "LOC"]]},
    "doccano relations": {
        "id": 7,
        "text": TEXT,
        "entities": [
            {"id": 1, "label": "PER", "start_offset": 0, "end_offset": 8},
            {"id": 2, "label": "LOC", "start_offset": 18, "end_offset": 26},
        ],
        "relations": [],
    },
    "spacy": {"text": TEXT, "entities": [[0, 8, "PER"], [18, 26, "LOC"]]},
    "label studio, short": {
        "text": TEXT,
        "label": [
            {"start": 0, "end": 8, "text": "Ana Ruiz", "labels": ["PER"]},
            {"start": 18, "end": 26, "text": "New York", "labels": ["LOC", "GPE"]},
        ],
    },
}


PAIRS = [
    [TEXT, {"entities": [[0, 8, "PER"], [18, 26, "LOC"]]}],
    ["Nobody", {"entities": []}],
    ["Who?", {"cats": {"QUESTION": 1}}],
]


@pytest.mark.parametrize("indent", [None, 2])
def test_training_data_of_spacy_2(folder, indent):
    """Pairs of a text and a dictionary, in an array or one a line."""
    contents = [json.dumps(PAIRS, indent=indent)]
    if indent is None:
        contents.append("".join(json.dumps(pair) + "\n" for pair in PAIRS))
        contents.append(json.dumps(PAIRS[:1]) + "\n")
    for content in contents:
        docs, summary = folder.convert(folder.write(content, "a.json"))
        assert plain(docs[0]) == (TEXT, ENTS)
        if len(docs) > 1:
            assert [[t.ent_iob_ for t in doc] for doc in docs[1:]] == [["O"], ["", ""]]
            assert summary.remarks == {UNANNOTATED: 1}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_records(folder, form):
    for content, name in ([FORMS[form]], "a.jsonl"), (json.dumps([FORMS[form]]), "a.json"):
        docs, summary = folder.convert(folder.write(content, name))
        assert list(map(plain, docs)) == [(TEXT, ENTS)]
        assert [t.text for t in docs[0]] == ["Ana", "Ruiz", "lives", "in", "New", "York", "."]
        assert summary.missing == 0 and not summary.dropped and summary.sentences == 0
        assert list(summary.notes)[0].startswith("JSON records with text and '")
        assert sum(summary.remarks.values()) == form.endswith("short")
    assert docs[0].user_data["source"] == "a.json:1"
    assert docs[0].user_data.get("document_id", "") == ("7" if "doccano" in form else "")


def test_nobodys_annotation_is_not_o(folder):
    records = [
        {"text": "Ana ran", "spans": []},
        {"text": "Ana ran"},
        {"text": "Ana ran", "label": None},
        {"text": "Bo ran", "spans": [[0, 2, "PER"]], "answer": "reject"},
        {"text": "Bo ran", "spans": [], "answer": "ignore"},
        {"text": "", "spans": []},
    ]
    docs, summary = folder.convert(folder.write(records, "a.jsonl"))
    assert [[t.ent_iob_ for t in doc] for doc in docs] == [["O", "O"], ["", ""], ["", ""]]
    assert summary.missing == 4
    assert dict(summary.dropped) == {
        "text with the answer 'reject'": 1,
        "text with the answer 'ignore'": 1,
        "text without tokens": 1,
    }


def test_tokens_come_with_the_record(folder):
    text = " a  b\ncd e "
    borders = [(1, 2), (4, 5), (6, 7), (7, 8), (9, 10)]
    tokens = [
        {"text": text[s:e], "start": s, "end": e, "id": i} for i, (s, e) in enumerate(borders)
    ]
    tokens[2]["missing"] = tokens[3]["missing"] = tokens[4]["sent_start"] = True
    record = {"text": text, "tokens": tokens, "spans": [{"start": 7, "end": 8, "label": "X"}]}
    docs, summary = folder.convert(folder.write([record], "a.jsonl"))
    assert everything(docs[0]) == (
        [" ", "a ", " ", "b", "\n", "c", "d ", "e "],
        False,
        [(6, 7, "X")],
        [5],
        [True, False, False, False, False, False, False, True],
        "",
    )
    assert docs[0].text == text and summary.sentences == 2


BAD_RECORDS = [
    ({"a": 1}, "expected JSON with a text (text, data) and spans (spans, label, labels, entities)"),
    ({"text": "Ana", "label": "PER"}, "expected a list of entities under 'label', got 'PER'"),
    ({"text": "Ana", "spans": [[0, 3]]}, "expected an entity as [start, end, label]"),
    ({"text": "Ana", "spans": [[0, "3", "X"]]}, "expected an entity as [start, end, label]"),
    ({"text": "Ana", "spans": [[False, True, "X"]]}, "expected an entity as [start, end, label]"),
    ({"text": "Ana", "spans": [[0, 3, ""]]}, "expected an entity as [start, end, label]"),
    ({"text": "Ana", "spans": [[0, 3, []]]}, "expected an entity as [start, end, label]"),
    (
        {"text": "Ana", "spans": [[0, 4, "X"]]},
        "expected an entity with 0 <= start < end <= 3, the length of the text, got 0 to 4 for l",
    ),
    ({"text": "Ana", "spans": [[2, 2, "X"]]}, "the length of the text, got 2 to 2 for label 'X'"),
    (
        {"text": "Ana ran", "spans": [{"start": 1, "end": 3, "label": "X", "text": "Ana"}]},
        "expected 'Ana' (X) at characters 1 to 3, got 'na'",
    ),
    (
        {"text": "a\ud800b", "spans": []},
        "Unicode text under 'text', got half a surrogate pair, '\\ud800', at",
    ),
    (
        {"text": "ab", "tokens": [{"start": 1, "end": 2}], "spans": []},
        "got 'a' between them, before token 0",
    ),
    (
        {"text": "ab", "tokens": [{"start": 0, "end": 1}], "spans": []},
        "tokens that leave out white space only, got 'b'",
    ),
    ({"text": "ab", "tokens": 3, "spans": []}, "expected a list under 'tokens', got 3"),
    (
        {"text": "ab", "tokens": [{"start": 0, "end": 2, "text": "b"}], "spans": []},
        "expected token 0, 'b', at characters 0 to 2, got 'ab'",
    ),
    (
        {"text": "ab", "tokens": [{"start": 0, "end": 2}, {"start": 1, "end": 2}], "spans": []},
        "expected 'start' and 'end' of token 1 with 2 <= start < end <= 2, got {",
    ),
]


@pytest.mark.parametrize(("record", "message"), BAD_RECORDS)
def test_bad_records(folder, record, message):
    path = folder.write(json.dumps(record), "a.json")
    found = folder.error(path)
    assert found.startswith("a.json, line 1: ") and message in found
