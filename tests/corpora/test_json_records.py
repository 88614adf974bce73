import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import spacy_bio_crf.corpora.readers.json_records as json_records_module
from spacy_bio_crf.corpora import ConvertError
from spacy_bio_crf.corpora.overlaps import without_overlaps
from spacy_bio_crf.corpora.readers.json_records import json_records
from spacy_bio_crf.corpora.readers.offsets import in_characters
from tests.support.convert_tools import everything, folder, plain  # noqa: F401

# ruff: noqa: F811

TEXT = "Ana Ruiz lives in New York."
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


def test_overlaps(folder):
    spans = [[4, 8, "IN"], [0, 8, "OUT"], [0, 8, "OUT"], [4, 14, "CUT"], [9, 14, "END"]]
    path = folder.write([{"text": TEXT, "spans": spans}], "a.jsonl")
    for options, ents, n in (
        ({}, [("Ruiz lives", "CUT")], 3),  # ten characters but two tokens, as many as OUT
        ({"overlaps": "first"}, [("Ruiz", "IN"), ("lives", "END")], 3),
    ):
        docs, summary = folder.convert(path, **options)
        if not options:
            ents = [("Ana Ruiz", "OUT"), ("lives", "END")]
            n = 2
        assert docs[0].ents and plain(docs[0])[1] == ents
        rule = options.get("overlaps", "longest")
        assert summary.dropped[f"entity that overlaps another (the {rule} one stays)"] == n
    assert folder.error(path, overlaps="error") == (
        "a.jsonl, line 1: entities overlap: OUT on tokens 0 to 2 and IN on tokens 1 to 2; "
        "use --overlaps longest or first to keep one of them"
    )
    # What is dropped by its label cannot stand in another's way.
    docs, summary = folder.convert(path, drop=["OUT", "CUT", "IN"], overlaps="error")
    assert plain(docs[0])[1] == [("lives", "END")]


def test_the_same_entity_twice_is_no_overlap(folder):
    path = folder.write([{"text": TEXT, "spans": [[0, 8, "A"], [0, 8, "A"]]}], "a.jsonl")
    docs, summary = folder.convert(path, overlaps="error")
    assert plain(docs[0])[1] == [("Ana Ruiz", "A")]
    assert dict(summary.dropped) == {"entity given twice": 1}


def test_misaligned_entities(folder):
    records = [
        {"text": "Nobody here", "spans": []},
        {"text": "Anabela Ruizes ran", "spans": [[0, 3, "X"], [8, 12, "Y"], [8, 14, "Z"]]},
    ]
    path = folder.write(records, "a.jsonl")
    expected = {
        "missing": ([("Ruizes", "Z")], ["", "B", "O"]),
        "expand": ([("Anabela", "X"), ("Ruizes", "Y")], ["B", "B", "O"]),
        "contract": ([("Ruizes", "Z")], ["", "B", "O"]),
    }
    for policy, (ents, iob) in expected.items():
        docs, summary = folder.convert(path, misaligned=policy)
        assert plain(docs[1])[1] == ents
        assert [t.ent_iob_ for t in docs[1]] == iob
        found = [(m.place.split("/")[-1], m.text, m.label) for m in summary.misaligned]
        assert found == [("a.jsonl, line 2", "Ana", "X"), ("a.jsonl, line 2", "Ruiz", "Y")]
    assert folder.error(path, misaligned="strict") == (
        "a.jsonl, line 2: entity 'Ana' (X, characters 0 to 3): expected borders of tokens, got the "
        "tokens ['Anabela']"
    )


def test_white_space_around_entities_is_counted(folder):
    path = folder.write([{"text": "Ana  ran", "spans": [[0, 4, "X"], [3, 5, "Y"]]}], "a.jsonl")
    docs, summary = folder.convert(path, misaligned="strict")
    assert plain(docs[0])[1] == [("Ana", "X")]
    assert list(summary.remarks.values()) == [1]
    assert dict(summary.dropped) == {"entity on white space alone": 1}


def test_offsets_as_javascript_counts_them(folder):
    text = "\U0001f642\r\nAna\u00e9 \U0001f642 Bo"
    for start, end in ((3, 7), (4, 8), (2, 6)):
        spans = [{"start": start, "end": end, "label": "X", "text": "Ana\u00e9"}]
        docs, summary = folder.convert(folder.write([{"text": text, "spans": spans}], "a.jsonl"))
        assert plain(docs[0]) == (text, [("Ana\u00e9", "X")])
        assert sum(summary.remarks.values()) == (start != 3)


@given(st.text("a\u00e9\U0001f642\r\n ", min_size=1), st.data())
def test_offsets_in_utf16(text, data):
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    before = len(text[:start].encode("utf-16-le")) // 2
    length = len(text[start:end].encode("utf-16-le")) // 2
    # A mark before it leaves only one way to count.
    spans = [(2, 3, "x"), (before + 3, before + 3 + length, text[start:end])]
    found = in_characters("\U0001f642x" + text, spans)
    assert found == [(1, 2), (start + 2, end + 2)]


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
        "a.json, line 1: expected a text under data['text'], found texts under ['title', 'body']; "
        "name one with --text-key"
    )
    assert plain(folder.convert(path, text_key="body")[0][0]) == (TEXT, [])
    path = folder.write([{"text": "no", "body": TEXT, "spans": []}], "a.jsonl")
    assert plain(folder.convert(path, text_key="body")[0][0]) == (TEXT, [])


# --- JSON files.


@pytest.mark.parametrize("chunk", [1, 3, 7, 1 << 18])
def test_streaming(folder, monkeypatch, chunk):
    monkeypatch.setattr(json_records_module, "CHUNK", chunk)
    values = [{"a": "\u00e9\U0001f642\n" * n, "b": [{"c": n}]} for n in range(5)]
    lines = "\ufeff\n" + "\n\n".join(map(json.dumps, values))
    array = json.dumps(values, indent=1, ensure_ascii=False)
    objects = "\n\n".join(json.dumps(value, indent=1) for value in values)
    for content, numbers in (
        (lines, [2, 4, 6, 8, 10]),
        ("\ufeff" + array, None),
        (objects, [1, 10, 19, 28, 37]),
        (" [\n" + ",\n".join(map(json.dumps, values)) + "]\n ", [2, 3, 4, 5, 6]),
    ):
        read = []
        path = folder.write(content, "a.json")
        records = list(json_records(path, read.append))
        assert [r.data for r in records] == values
        assert sum(read) == path.stat().st_size
        if numbers:
            assert [r.line for r in records] == numbers


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1}\n{"a": \n', "a.json, line 2: expected a JSON object, found '{\"a\": '"),
        ('{"a": 1}\n\n3\n', "a.json, line 3: expected a JSON object {…}, found 3"),
        ('[{"a": 1},\n[2]]', "a.json, line 2 (record 2): expected a JSON object {…}, found [2]"),
        ('[{"a": 1}\n{"a": 2}]', "a.json, line 2: expected ',' or ']' after a value of the array"),
        ('[{"a": 1},\n]', "a.json, line 2: expected a JSON value"),
        ('[{"a": 1}', "a.json, line 1: expected ',' or ']' after a value of the array, found ''"),
        ('[{"a": 1}]\n{}', "a.json, line 2: expected the end of the file after the array, found"),
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


@pytest.mark.parametrize("first", ["{", "[", "{}", "[]", '"', '{"', "[{", "<"])
def test_a_bracket_may_be_a_column_files_first_token(folder, first):
    docs, summary = folder.convert(folder.write(f"{first}\tO\nAna\tB-PER\n", "a.txt"))
    assert plain(docs[0]) == (f"{first} Ana", [("Ana", "PER")])


BAD_RECORDS = [
    ({"a": 1}, "expected JSON with a text (text, data) and spans (spans, label, labels, entities)"),
    ({"text": "Ana", "label": "PER"}, "expected a list of entities under 'label', found 'PER'"),
    ({"text": "Ana", "spans": [[0, 3]]}, "expected an entity as [start, end, label]"),
    ({"text": "Ana", "spans": [[0, "3", "X"]]}, "expected an entity as [start, end, label]"),
    ({"text": "Ana", "spans": [[False, True, "X"]]}, "expected an entity as [start, end, label]"),
    ({"text": "Ana", "spans": [[0, 3, ""]]}, "expected an entity as [start, end, label]"),
    ({"text": "Ana", "spans": [[0, 3, []]]}, "expected an entity as [start, end, label]"),
    (
        {"text": "Ana", "spans": [[0, 4, "X"]]},
        "entity of label 'X' with characters 0 to 4: expected 0 <= start < end <= 3",
    ),
    ({"text": "Ana", "spans": [[2, 2, "X"]]}, "characters 2 to 2: expected 0 <= start < end <= 3"),
    (
        {"text": "Ana ran", "spans": [{"start": 1, "end": 3, "label": "X", "text": "Ana"}]},
        "expected 'Ana' (X) at characters 1 to 3, found 'na'",
    ),
    ({"text": "a\ud800b", "spans": []}, "half a surrogate pair, '\\ud800', at character 1"),
    ({"text": "ab", "tokens": [{"start": 1, "end": 2}], "spans": []}, "leave out 'a' (before tok"),
    ({"text": "ab", "tokens": [{"start": 0, "end": 1}], "spans": []}, "the tokens leave out 'b'"),
    ({"text": "ab", "tokens": 3, "spans": []}, "expected a list under 'tokens', found 3"),
    (
        {"text": "ab", "tokens": [{"start": 0, "end": 2, "text": "b"}], "spans": []},
        "token 0: expected 'b' at characters 0 to 2, found 'ab'",
    ),
    (
        {"text": "ab", "tokens": [{"start": 0, "end": 2}, {"start": 1, "end": 2}], "spans": []},
        "token 1: expected 'start' and 'end' with 2 <= start < end <= 2, found {",
    ),
    ({**TASK, "annotations": 3}, "expected a list of objects under 'annotations', found 3"),
    ({**TASK, "annotations": [{}]}, "expected a list under 'result', found None"),
    ({**TASK, "data": {"text": 3}}, "expected a text under 'text', found 3"),
]


@pytest.mark.parametrize(("record", "message"), BAD_RECORDS)
def test_bad_records(folder, record, message):
    path = folder.write(json.dumps(record), "a.json")
    found = folder.error(path)
    assert found.startswith("a.json, line 1: ") and message in found


# --- Overlaps, from the definition.


@given(st.data())
def test_what_stays_of_overlapping_spans(data):
    pair = st.tuples(st.integers(0, 5), st.integers(1, 3))
    spans = [
        (start, start + n, "AB"[i % 2])
        for i, (start, n) in enumerate(data.draw(st.lists(pair, max_size=6)))
    ]
    for rule in ("longest", "first"):
        order = list(range(len(spans)))
        if rule == "longest":
            order.sort(key=lambda i: (-(spans[i][1] - spans[i][0]), spans[i][0], i))
        stay = []
        for i in order:
            if all(spans[i][1] <= spans[k][0] or spans[k][1] <= spans[i][0] for k in stay):
                stay.append(i)
        found = without_overlaps(spans, rule=rule)
        assert found.kept == sorted(stay, key=lambda i: spans[i])
        assert len(found.kept) + len(found.overlapping) + found.repeated == len(spans)
        assert not set(found.kept) & set(found.overlapping)
