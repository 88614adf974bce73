"""Output files: formats, the columns of Parquet, and parts that become one file."""

import json

import pytest

from spacy_bio_crf.bulk.inputs import Input, PartRows
from spacy_bio_crf.bulk.outputs import Output, output_schema
from spacy_bio_crf.bulk.records import annotate_rows
from tests.support.annotate_tools import folder, found, load_docs, make_ruler  # noqa: F401

# ruff: noqa: F811

PARTS = [["Ana Ruiz", "no"], [], ["Rio"]]


def rows_of(path):
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if path.suffix == ".spacy":
        return [{"text": doc.text, "entities": doc.to_json()["ents"]} for doc in load_docs(path)]
    from pyarrow.parquet import read_table

    rows = read_table(path).to_pylist()
    for row in rows:
        for entity in row["entities"]:
            assert entity.pop("score") is None
    return rows


@pytest.mark.parametrize("format", ["jsonl", "parquet", "spacy"])
def test_parts_and_one_file(folder, format):
    schema = None
    if format == "parquet":
        pytest.importorskip("pyarrow")
        source = Input(folder.write("a.txt", "Rio"), "text", "text", "entities")
        schema = output_schema(source, list(source.parts(9)))
    output = Output(format, "entities", schema)
    nlp = make_ruler()
    paths, expected = [], []
    for number, texts in enumerate(PARTS):
        rows = PartRows([{"text": text} for text in texts])
        paths.append(folder.path / f"{number}.{format}")
        annotated = annotate_rows(nlp, rows.rows, with_docs=True)
        output.write(paths[-1], rows, annotated)
        expected += [{"text": text, "entities": found(text)} for text in texts]
        assert rows_of(paths[-1]) == expected[-len(texts) :] * bool(texts)
    whole = folder.path / f"whole.{format}"
    output.join(paths, whole)
    assert rows_of(whole) == expected
    output.join([], whole)
    assert rows_of(whole) == []


def schema_of(folder, rows, **options):
    pa = pytest.importorskip("pyarrow")
    import base64

    path = folder.write("a.jsonl", rows)
    source = Input(path, "jsonl", "text", "entities")
    text = output_schema(source, list(source.parts(options.get("most", 1))))
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))
    assert schema.names[-1] == "entities"
    return {f.name: "JSON" if f.metadata else str(f.type) for f in schema if f.name != "entities"}


@pytest.mark.parametrize("most", [1, 2, 100])
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2], "int64"),
        ([1, 0.5], "double"),
        ([0.5, 1], "double"),
        ([None, None], "null"),
        ([None, "a", None], "string"),
        ([True, 1], "JSON"),
        ([1, "a"], "JSON"),
        ([{"a": 1}, {"b": "x"}], "struct<a: int64, b: string>"),
        ([{}, {"a": 1}], "struct<a: int64>"),
        ([[{}], [{}]], "JSON"),
        ([[], [1]], "list<item: int64>"),
        # What comes first does not fit into what comes later.
        ([2**62 + 1, 0.5, 1], "JSON"),
        ([0.5, 2**62 + 1], "JSON"),
        ([2**62 + 1, 1], "int64"),
        ([2**63, 1], "JSON"),
        (["a\ud83d"], "JSON"),
    ],
)
def test_types_of_columns(folder, values, expected, most):
    rows = [{"text": "Rio", "x": value} for value in values]
    found_types = schema_of(folder, rows, most=most)
    if expected.startswith("list"):
        expected = found_types["x"] if found_types["x"].endswith(": int64>") else expected
    assert found_types == {"text": "string", "x": expected}


def test_bad_records_make_no_columns(folder):
    rows = [{"text": "Rio", "a": 1}, {"text": 5, "b": 1}, {"text": "a", "entities": []}, {"c": 1}]
    assert schema_of(folder, rows) == {"text": "string", "a": "int64"}


def test_values_of_several_types_are_strings_of_json(folder):
    pytest.importorskip("pyarrow")
    values = [1, "a", None, {"é": [2**70, "\ud83d"]}, 1.5]
    path = folder.write("a.jsonl", [{"text": "Rio", "x": value} for value in values])
    out = folder.annotate(path, "out.parquet", docs_per_file=2, one_file=True)
    assert [row["x"] for row in rows_of(out)] == [
        "1",
        '"a"',
        None,
        json.dumps({"é": [str(2**70), "?"]}, ensure_ascii=False),
        "1.5",
    ]
