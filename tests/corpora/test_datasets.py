import json
import sys

import pytest

from tests.support.convert_tools import plain

NAMES = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
RECORDS = [
    {"id": "0", "tokens": ["Ana", "Ruiz", "in", "Rio"], "ner_tags": [1, 2, 0, 3]},
    {"id": "1", "tokens": ["Bo"], "ner_tags": [-100]},
    {"id": "2", "tokens": [], "ner_tags": []},
]
EXPECTED = [("Ana Ruiz in Rio", [("Ana Ruiz", "PER"), ("Rio", "LOC")]), ("Bo", [])]
FEATURES = {
    "tokens": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "Sequence"},
    "ner_tags": {"feature": {"names": NAMES, "_type": "ClassLabel"}, "_type": "Sequence"},
}


def check(docs, summary):
    assert list(map(plain, docs)) == EXPECTED
    assert [t.ent_iob_ for t in docs[1]] == [""]
    assert dict(summary.dropped) == {"sentence without tokens": 1}
    assert list(summary.notes) == ["BIO, 'tokens' with ids of 5 tags in 'ner_tags'"]


def test_ids_with_names(folder):
    for content, name in (RECORDS, "a.jsonl"), (json.dumps(RECORDS, indent=1), "a.json"):
        check(*folder.convert(folder.write(content, name), tag_names=NAMES))


def test_ids_as_floats_or_strings(folder):
    for kind in float, str:
        records = [{**r, "ner_tags": list(map(kind, r["ner_tags"]))} for r in RECORDS]
        docs, _ = folder.convert(folder.write(records, "a.jsonl"), tag_names=NAMES)
        assert list(map(plain, docs)) == EXPECTED


@pytest.mark.parametrize(
    ("info", "name"),
    [
        ({"features": FEATURES}, "dataset_info.json"),
        ({"default": {"features": FEATURES}}, "dataset_infos.json"),
        (
            {"features": {**FEATURES, "ner_tags": [FEATURES["ner_tags"]["feature"]]}},
            "dataset_info.json",
        ),
    ],
)
def test_names_beside_the_file(folder, info, name):
    path = folder.write(RECORDS, "in/a.jsonl")
    folder.write(info, f"in/{name}")
    folder.write("about", "in/README.md")
    check(*folder.convert(path))
    check(*folder.convert(path.parent))


def test_the_answer_of_the_server(folder):
    features = [{"name": name, "type": feature} for name, feature in FEATURES.items()]
    rows = [{"row_idx": i, "row": row} for i, row in enumerate(RECORDS)]
    check(*folder.convert(folder.write({"features": features, "rows": rows}, "a.json")))
    rows[1]["row"] = {**RECORDS[1], "ner_tags": [9]}
    message = folder.error(folder.write({"features": features, "rows": rows}, "a.json"))
    assert message == ("a.json, line 1, row 2: expected ids from 0 to 4 in 'ner_tags', got 9")


NAME_FILES = {
    "label.json": json.dumps({name: i for i, name in reversed(list(enumerate(NAMES)))}),
    "id2label.json": json.dumps(dict(enumerate(NAMES))),
    "labels.json": json.dumps(NAMES),
    "labels.txt": "\n".join(NAMES) + "\n",
}


@pytest.mark.parametrize("name", NAME_FILES)
def test_a_file_of_names_beside(folder, name):
    """T-NER has a label.json beside its data."""
    path = folder.write(RECORDS, "in/a.jsonl")
    for mark in ("", "\ufeff"):
        folder.write(mark + NAME_FILES[name], f"in/{name}")
        check(*folder.convert(path))
        check(*folder.convert(path.parent))


def test_files_of_names_are_for_ids(folder):
    """Another tool may have its own label.json beside tags that need no names."""
    path = folder.write([{"tokens": ["Ana"], "tags": ["B-X"]}], "a.jsonl")
    folder.write({"X": "person"}, "label.json")
    docs, summary = folder.convert(path)
    assert plain(docs[0]) == ("Ana", [("Ana", "X")])
    assert list(summary.notes) == ["BIO, 'tokens' with tags in 'tags'"]


def test_a_broken_file_of_names(folder):
    path = folder.write(RECORDS, "a.jsonl")
    for content in '{"O": 0, "B-X": 5}', "[]", "3", '{"O": "0"}':
        folder.write(content, "label.json")
        assert folder.error(path).startswith("label.json: expected a list of tags, or an object")


@pytest.mark.parametrize("keys", [("tokens", "ner_tags"), ("words", "labels"), ("tokens", "tags")])
def test_tags_as_strings(folder, keys):
    record = {keys[0]: ["Ana", "Ruiz", "x"], keys[1]: ["B-PER", "E-PER", "-"], "text": "unused"}
    docs, summary = folder.convert(folder.write([record], "a.jsonl"))
    assert plain(docs[0]) == ("Ana Ruiz x", [("Ana Ruiz", "PER")])
    assert summary.missing == 1
    assert list(summary.notes) == [f"BIOES, '{keys[0]}' with tags in '{keys[1]}'"]


def test_one_of_several_tags(folder):
    record = {"tokens": ["a"], "ner_tags": ["B-X"], "fine_ner_tags": ["B-x-y"]}
    path = folder.write([record], "a.jsonl")
    assert plain(folder.convert(path)[0][0])[1] == [("a", "X")]
    assert plain(folder.convert(path, tags_key="fine_ner_tags")[0][0])[1] == [("a", "x-y")]
    assert "and a list of tags (none), got the keys 'tokens'" in folder.error(path, tags_key="none")


def test_documents_and_repairs(folder):
    ids = ["d1", "d1", 2, 2, 2]
    records = [
        {"tokens": [f"w{i}"], "ner_tags": ["I-X" if i == 3 else "B-X"], "document_id": name}
        for i, name in enumerate(ids)
    ]
    docs, summary = folder.convert(folder.write(records, "a.jsonl"), group_docs=True)
    assert [plain(doc)[0] for doc in docs] == ["w0 w1", "w2 w3 w4"]
    assert [doc.user_data["document_id"] for doc in docs] == ["d1", "2"]
    assert [(r.line, r.tag, r.what) for r in summary.repairs] == [(4, "I-X", "begun")]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (
            {"ner_tags": [3]},
            "line 1: expected tags in 'ner_tags', or ids whose names are known, got the id 3; give",
        ),
        (
            {"ner_tags": ["O", "O"]},
            "line 1: expected as many tags as tokens, got 2 in 'ner_tags'",
        ),
        ({"ner_tags": [None]}, "line 1: expected tags or ids of tags in 'ner_tags', got None"),
        ({"ner_tags": [True]}, "line 1: expected tags or ids of tags in 'ner_tags', got True"),
        ({"ner_tags": ["PER"]}, "line 1: tag: expected 'O' or a prefix"),
        ({"ner_tags": 3}, "line 1: expected JSON with a text (text, data, content,"),
    ],
)
def test_bad_records(folder, record, message):
    assert message in folder.error(folder.write([{"tokens": ["a"], **record}], "a.jsonl"))


def test_parquet_without_pyarrow(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for name in "a.parquet", "a.bin":
        message = folder.error(folder.write(b"PAR1....PAR1", name))
        assert message.startswith("Parquet needs pyarrow, which is not installed (")
        assert message.endswith('; pip install "spacy_bio_crf[parquet]"')


def test_parquet(folder):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.Table.from_pylist(RECORDS * 1500)
    folder.path.joinpath("in").mkdir()
    parquet.write_table(table, folder.path / "in" / "plain.parquet")
    docs, summary = folder.convert(folder.path / "in" / "plain.parquet", tag_names=NAMES)
    assert list(map(plain, docs)) == EXPECTED * 1500
    assert docs[-1].user_data["source"] == "plain.parquet:4499"
    assert "ids whose names are known, got the id 1" in folder.error(
        folder.path / "in" / "plain.parquet"
    )
    info = {"info": {"features": FEATURES}}
    table = pyarrow.Table.from_pylist(RECORDS).replace_schema_metadata(
        {"huggingface": json.dumps(info)}
    )
    parquet.write_table(table, folder.path / "in" / "a.parquet")
    check(*folder.convert(folder.path / "in" / "a.parquet"))
    message = folder.error(folder.write(b"PAR1....PAR1", "b.parquet"))
    assert message.startswith("b.parquet: expected a Parquet file: ")


def test_bad_records_are_left_out_and_listed(folder):
    good = {"tokens": ["Ana"], "ner_tags": ["B-PER"]}
    bad = [{"tokens": ["a"], "ner_tags": []}, {"tokens": None}, {"tokens": [3], "ner_tags": ["O"]}]
    path = folder.write([good, *({**good, **record} for record in bad), good], "a.jsonl")
    path.write_text(path.read_text() + '{"tokens":\n', encoding="utf-8")
    assert "line 2: expected as many tags as tokens" in folder.error(path)
    docs, summary = folder.convert(path, skip_bad=True)
    assert list(map(plain, docs)) == [("Ana", [("Ana", "PER")])] * 2
    assert [error.split(": ")[0].split()[-1] for error in summary.skipped] == list("2346")
    path = folder.write([{**good, **bad[1]}, good], "b.jsonl")
    docs, summary = folder.convert(path, skip_bad=True, format="datasets")
    assert len(docs) == 1 and len(summary.skipped) == 1
    path = folder.write([{"tokens": ["a"], "ner_tags": [tag]} for tag in (0, 1, 7)], "b.jsonl")
    docs, summary = folder.convert(path, skip_bad=True, tag_names=NAMES)
    assert len(docs) == 2 and "ids from 0 to 4" in summary.skipped[0]
    # Nothing can be read without names.
    assert "names are known, got the id 0" in folder.error(path, skip_bad=True)


@pytest.mark.parametrize(
    ("record", "key"),
    [
        ({"tokens": ["a\ud83d"], "ner_tags": ["O"]}, "tokens"),
        ({"tokens": ["a"], "ner_tags": ["B-\ud83d"]}, "ner_tags"),
        ({"tokenized_text": ["a\ud83d"], "ner": [[0, 0, "X"]]}, "tokenized_text"),
        ({"sentences": [["a"], ["\ud83d"]], "ner": [[], []]}, "sentences"),
    ],
)
def test_half_a_surrogate_pair(folder, record, key):
    message = folder.error(folder.write(json.dumps(record), "a.jsonl"))
    assert message.startswith(f"a.jsonl, line 1: expected Unicode text under {key!r}, got half a")


def test_the_first_records_may_be_empty(folder):
    empty = {"tokens": [], "ner_tags": []}
    path = folder.write([empty, empty, *RECORDS[:1]], "a.jsonl")
    docs, summary = folder.convert(path, tag_names=NAMES)
    assert list(map(plain, docs)) == EXPECTED[:1] and summary.dropped.total() == 2
