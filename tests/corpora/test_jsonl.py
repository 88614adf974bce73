import json

import pytest

from spacy_bio_crf.corpora import convert
from spacy_bio_crf.corpora.readers.jsonl import (
    BINARY,
    EMPTY,
    JUDGED,
    LEFT,
    OTHER_KEYS,
    REJECTED,
    UNANNOTATED,
)
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


UNKNOWN = {
    "triples": [[0, 3, "PER"]],
    "triples with ids": [[0, 3, 7]],
    "objects": [{"start": 0, "end": 3, "label": "PER"}],
    "objects with ids": [{"start_offset": 0, "end_offset": 3, "label": 7, "user": 1}],
    "by label": {"PER": [[0, 3]]},
}


@pytest.mark.parametrize("value", UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_key_of_entities_is_named(folder, value):
    """It is no sign that nobody has annotated the text."""
    path = folder.write([{"text": "Bo ran"}, {"text": "Ana ran", "gold": value}], "a.jsonl")
    message = folder.error(path)
    assert message.startswith("a.jsonl, line 2: expected entities under one of spans, label, lab")
    assert message.endswith("got some under 'gold'; name the key with `spans_key`")
    if "7" not in json.dumps(value):
        docs, _ = folder.convert(path, spans_key="gold")
        assert [plain(doc)[1] for doc in docs] == [[], [("Ana", "PER")]]


@pytest.mark.parametrize(
    "value",
    [
        [{"first": 0, "last": 3, "kind": "PER"}],
        [{"where": {"b": 0, "e": 3}, "kind": "PER"}],
        [["T1", 0, 3, "PER", "Ana"]],
    ],
)
def test_what_may_be_entities_is_told(folder, value):
    path = folder.write([{"text": "Ana ran", "gold": value}], "a.jsonl")
    (doc,), summary = folder.convert(path)
    assert summary.remarks == {OTHER_KEYS.format(others="'gold'"): 1, UNANNOTATED: 1}


def test_predictions_are_no_annotation(folder):
    record = {"text": "Ana ran", "prediction": [["PER", 0, 3]], "annotation": None}
    (doc,), summary = folder.convert(folder.write([record], "a.jsonl"))
    assert summary.missing == 2
    assert summary.remarks == {OTHER_KEYS.format(others="'prediction'"): 1, UNANNOTATED: 1}


def test_other_lists_are_no_entities(folder):
    record = {
        "text": "Ana ran",
        "sentences": [{"start": 0, "end": 7}],
        "relations": [{"from_id": 1, "to_id": 2, "type": "X"}],
        "tokens": [{"start": 0, "end": 3, "label": "X"}, {"start": 4, "end": 7, "label": "Y"}],
        "vectors": [[0.1, 0.2, 0.3]],
        "words": {"nouns": []},
        "cats": {"A": 1.0},
        "parts": [[0, 3], [4, 7]],
    }
    (doc,), summary = folder.convert(folder.write([record], "a.jsonl"))
    assert summary.missing == 2 and summary.remarks == {UNANNOTATED: 1}


@pytest.mark.parametrize("ents", [[{"start": 0, "end": 8, "label": "PER"}], []])
def test_groups_of_spans_in_docs_as_json(folder, ents):
    """`Doc.to_json` has the entities in "ents"."""
    groups = {"sc": [{"start": 9, "end": 14, "label": "X", "kb_id": ""}]}
    record = {"text": TEXT, "ents": ents, "spans": groups}
    (doc,), summary = folder.convert(folder.write([record], "a.jsonl"))
    assert plain(doc)[1] == [("Ana Ruiz", "PER")] * len(ents)
    assert summary.remarks == {OTHER_KEYS.format(others="'spans'"): 1}


def test_entities_under_several_keys(folder):
    """The label of the whole text may stand where others have entities."""
    ana, bo = [[0, 3, "PER"]], [[4, 6, "PER"]]
    for record, found, remarks in (
        ({"label": "news", "entities": ana}, "Ana", 0),
        ({"label": ["news"], "entities": ana}, "Ana", 0),
        ({"label": [], "entities": ana}, "Ana", 0),
        ({"spans": ana, "entities": ana}, "Ana", 0),
        ({"spans": ana, "entities": bo}, "Ana", 1),
        ({"spans": [], "predicted": bo}, None, 1),
    ):
        path = folder.write([{"text": "Ana Bo", **record}], "a.jsonl")
        (doc,), summary = folder.convert(path)
        assert [e.text for e in doc.ents] == ([found] if found else [])
        assert summary.missing == 0 and sum(summary.remarks.values()) == remarks
        if remarks:
            other = "entities" if "entities" in record else "predicted"
            assert f"under '{other}', which were not read (`spans_key`)" in str(summary.remarks)
            (doc,), summary = folder.convert(path, spans_key=other)
            assert [e.text for e in doc.ents] == ["Bo"] and not summary.remarks


LOOKED_AT = {
    "prodigy": {"answer": "accept"},
    "prodigy, manual": {"answer": "accept", "_view_id": "ner_manual", "spans": None},
    "label studio": {"annotator": 1, "annotation_id": 2, "lead_time": 3.5},
    "doccano": {"is_confirmed": True},
}
NOT_LOOKED_AT = {
    "plain": {"meta": {"a": 1}},
    "prodigy, classes": {"answer": "accept", "_view_id": "classification", "label": None},
    "prodigy, choice": {"answer": "accept", "_view_id": "choice", "accept": ["A"]},
    "doccano": {"is_confirmed": False, "label": None},
}


@pytest.mark.parametrize("extra", [*LOOKED_AT.values(), *NOT_LOOKED_AT.values()])
def test_texts_without_entities_that_somebody_has_looked_at(folder, extra):
    path = folder.write([{"text": "Ana ran", **extra}], "a.jsonl")
    for rule in "auto", "empty", "missing":
        empty = extra in LOOKED_AT.values() if rule == "auto" else rule == "empty"
        (doc,), summary = folder.convert(path, no_spans=rule)
        assert [t.ent_iob_ for t in doc] == (["O", "O"] if empty else ["", ""])
        assert summary.remarks == {EMPTY if empty else UNANNOTATED: 1}


BINARY_TASK = {
    "text": "Ana met Bo",
    "spans": [{"start": 0, "end": 3, "label": "PER"}],
    "_view_id": "ner",
    "_is_binary": True,
    "answer": "accept",
}


def test_binary_answers_tell_of_the_entities_shown(folder):
    rejected = REJECTED.format(key="incorrect_spans")
    tasks = [
        BINARY_TASK,
        {**BINARY_TASK, "answer": "reject"},
        {**BINARY_TASK, "answer": "ignore"},
        {**BINARY_TASK, "answer": "reject", "_is_binary": False},
        {**BINARY_TASK, "_is_binary": False},
        {key: value for key, value in BINARY_TASK.items() if key != "_is_binary"},
    ]
    path = folder.write(tasks, "a.jsonl")
    docs, summary = folder.convert(path, rename={"PER": "P"})
    iob = [[t.ent_iob_ for t in doc] for doc in docs]
    assert iob == [["B", "", ""], ["", "", ""], ["B", "O", "O"], ["B", "", ""]]
    assert [[(s.text, s.label_) for s in doc.spans.get("incorrect_spans", ())] for doc in docs] == [
        [], [("Ana", "P")], [], [],
    ]  # fmt: skip
    assert summary.remarks == {BINARY: 3, rejected: 1}
    answers = {"text with the answer 'ignore'": 1, "text with the answer 'reject'": 1}
    assert dict(summary.dropped) == answers
    docs, summary = folder.convert(path, answers="complete")
    assert [[t.ent_iob_ for t in doc] for doc in docs] == [["B", "O", "O"]] * 3
    docs, summary = folder.convert(path, answers="binary", incorrect_spans_key="no")
    assert [len(doc.spans.get("no", ())) for doc in docs] == [0, 1, 1, 0, 0]
    assert not any(t.ent_iob_ == "O" for doc in docs for t in doc)
    nothing = {**BINARY_TASK, "spans": [], "answer": "reject"}
    assert set(folder.convert(folder.write([nothing], "a.jsonl"))[1].remarks) == {BINARY}


def test_each_entity_has_an_answer_of_its_own(folder):
    """As Prodigy's developers advise and Prodigy merges binary answers:
    https://support.prodi.gy/t/ner-annotations-format-with-positives-and-negatives-examples/2153"""
    spans = [
        {"start": 0, "end": 8, "label": "PER", "answer": "accept"},
        {"start": 9, "end": 14, "label": "PER", "answer": "reject"},
        {"start": 18, "end": 26, "label": "LOC", "answer": "ignore"},
    ]
    task = {"text": TEXT, "spans": spans, "answer": "accept"}
    path = folder.write(
        [task, {**task, "answer": "ignore"}, {**task, "spans": spans[:2]}], "a.jsonl"
    )
    rejected = REJECTED.format(key="incorrect_spans")
    for answers, rest in ("auto", ""), ("complete", "O"):
        docs, summary = folder.convert(path, answers=answers)
        iob = [[t.ent_iob_ for t in doc] for doc in docs]
        # Ana Ruiz lives in New York .
        assert iob[0] == ["B", "I", rest, rest, "", "", rest]
        assert iob[1] == ["B", "I", rest, rest, rest, rest, rest]
        for doc in docs:
            assert [(s.text, s.label_) for s in doc.spans["incorrect_spans"]] == [("lives", "PER")]
        remarks = {rejected: 2, LEFT: 1, **({JUDGED: 2} if answers == "auto" else {})}
        assert summary.remarks == remarks
        assert dict(summary.dropped) == {"text with the answer 'ignore'": 1}
    # Without an answer of its own nobody has judged it.
    del spans[0]["answer"]
    (doc,), _ = folder.convert(folder.write([task], "b.jsonl"), answers="complete")
    assert [t.ent_iob_ for t in doc] == ["", "", "O", "O", "", "", "O"]


@pytest.mark.parametrize("key", ["entities", "label", "gold"])
def test_answers_of_entities_under_any_key(folder, key):
    entities = [
        {"start": 0, "end": 3, "label": "PER", "answer": "reject"},
        {"start": 9, "end": 11, "label": "PER", "answer": "accept"},
    ]
    path = folder.write([{"text": "Ana Ruiz Bo", key: entities}], "a.jsonl")
    (doc,), summary = folder.convert(path, spans_key="gold" if key == "gold" else None)
    assert [t.ent_iob_ for t in doc] == ["", "", "B"]
    assert [(s.text, s.label_) for s in doc.spans["incorrect_spans"]] == [("Ana", "PER")]
    assert summary.remarks == {REJECTED.format(key="incorrect_spans"): 1, JUDGED: 1}
    del entities[1]
    (doc,), _ = folder.convert(folder.write([{"text": "Ana Ruiz Bo", "ents": entities}], "b.jsonl"))
    assert not doc.ents and len(doc.spans["incorrect_spans"]) == 1


def test_answers_of_entities_count_before_the_one_of_the_text(folder):
    spans = [{**BINARY_TASK["spans"][0], "answer": "accept"}, {"start": 8, "end": 10, "label": "X"}]
    path = folder.write([{**BINARY_TASK, "answer": "reject", "spans": spans}], "a.jsonl")
    (doc,), summary = folder.convert(path)
    assert [t.ent_iob_ for t in doc] == ["B", "", ""] and not doc.spans
    assert summary.remarks == {JUDGED: 1, LEFT: 1}


def test_rejected_entities_in_other_outputs_are_counted(folder):
    path = folder.write([{**BINARY_TASK, "answer": "reject"}, BINARY_TASK], "a.jsonl")
    for name in "b.jsonl", "b.conll":
        summary = convert(path, folder.path / name)
        assert dict(summary.dropped) == {"span in doc.spans, which only .spacy can hold": 1}


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
    (
        {"a": 1},
        "expected JSON with a text (text, data, content, sentence, document and 1 more) and span",
    ),
    ({"text": "Ana", "label": "PER"}, "expected a list of entities under 'label', got 'PER'"),
    ({"text": "Ana", "spans": [[0, 3]]}, "expected an entity as [start, end, label]"),
    ({"text": "Ana", "spans": [[0, "3x", "X"]]}, "expected an entity as [start, end, label]"),
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
