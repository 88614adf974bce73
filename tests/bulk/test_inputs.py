"""Parts of the input: all records once, each found by itself."""

import json
import os

import pyarrow.parquet
import pytest

from spacy_bio_crf.bulk import AnnotateError, inputs
from spacy_bio_crf.bulk.inputs import Input
from tests.support.annotate_tools import folder  # noqa: F401

# ruff: noqa: F811


def open_input(folder, name, format="auto"):
    return Input(folder.path / name, format, "text", "entities")


def write_all(folder):
    lines = ["a", "", "b\r", "é\u2028", "", "last"]
    folder.write("a.txt", "\ufeff" + "\n".join(lines))
    folder.write("b.txt", "\n".join(lines) + "\n\n")
    for i in range(7):
        folder.write(f"texts/{i % 2}/{i}.txt", f"\ufefftext {i}\r\n")
    good = [json.dumps({"text": str(i), "i": i}) for i in range(9)]
    folder.write("c.jsonl", "\ufeff" + "\n".join([*good[:3], "", "bad", *good[3:]]))
    folder.write("many/1.jsonl", "\n".join(good[:4]) + "\n")
    folder.write("many/2.jsonl", "")
    folder.write("many/3.ndjson", "\n\n" + "\n".join(good[4:]))


EXPECTED = {
    "a.txt": [{"text": t} for t in ["a", "", "b", "é\u2028", "", "last"]],
    "b.txt": [{"text": t} for t in ["a", "", "b", "é\u2028", "", "last", ""]],
    "texts": [
        {"source": f"{i % 2}/{i}.txt", "text": f"text {i}\r\n"} for i in (0, 2, 4, 6, 1, 3, 5)
    ],
    "c.jsonl": [{"text": str(i), "i": i} for i in range(9)],
    "many": [{"text": str(i), "i": i} for i in range(9)],
}


@pytest.mark.parametrize("most", [1, 2, 3, 100])
@pytest.mark.parametrize("name", EXPECTED)
def test_parts_in_any_order_have_all_records_once(folder, name, most):
    write_all(folder)
    parts = list(open_input(folder, name).parts(most))
    assert [part.number for part in parts] == [*range(len(parts))]
    assert all(part.records <= most for part in parts)
    found = {}
    for part in reversed(parts):
        # Another process.
        found[part.number] = open_input(folder, name).read(part)
    rows = [row for number in sorted(found) for row in found[number].rows]
    assert rows == EXPECTED[name]
    bad = [bad for number in sorted(found) for bad in found[number].bad]
    if name == "c.jsonl":
        assert [b.place for b in bad] == [f"{folder.path / name}, line 5"]
    else:
        assert bad == []
    for rows in found.values():
        assert len(rows.rows) == len(rows.places)
        assert [json.loads(line) for line in rows.lines] == (rows.rows if rows.lines else [])


def test_places_are_those_of_the_file(folder):
    path = folder.write("a.jsonl", '{"text": "a"}\n' * 3 + "\n" + '{"text": "b"}\n')
    source = open_input(folder, "a.jsonl")
    places = [place for part in source.parts(2) for place in source.read(part).places]
    assert places == [f"{path}, line {n}" for n in (1, 2, 3, 5)]


@pytest.mark.parametrize("name", ["a.txt", "texts"])
def test_parts_are_bounded_in_bytes(folder, name, monkeypatch):
    write_all(folder)
    monkeypatch.setattr(inputs, "PART_BYTES", 10)
    source = open_input(folder, name)
    parts = list(source.parts(100))
    assert len(parts) > 1
    # The last record of a part may go beyond.
    assert all(part.size < 10 + 15 for part in parts)
    assert [row for part in parts for row in source.read(part).rows] == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_changed_content_is_refused(folder, name):
    write_all(folder)
    source = open_input(folder, name)
    parts = list(source.parts(2))
    path = folder.path / parts[1].name if name.endswith(("txt", "jsonl")) else None
    path = path or folder.path / name / parts[1].name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    changed = 0
    for part in parts:
        try:
            source.read(part)
        except AnnotateError as err:
            assert str(err) == f"{part}: the content has changed since the run began"
            changed += 1
    assert changed == 1


def test_parts_of_parquet(folder):
    pa = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    table = pa.table({"text": [str(i) for i in range(25)]})
    write_table(table, folder.path / "a.parquet", row_group_size=10)
    source = open_input(folder, "a.parquet")
    parts = list(source.parts(4))
    assert [part.records for part in parts] == [4, 4, 2, 4, 4, 2, 4, 1]
    assert [part.first for part in parts] == [0, 4, 8, 10, 14, 18, 20, 24]
    found = [open_input(folder, "a.parquet").read(part) for part in reversed(parts)][::-1]
    assert [t for part in found for t in part.rows["text"].to_pylist()] == table["text"].to_pylist()
    assert found[3].places[0] == f"{folder.path / 'a.parquet'}, row 11"
    write_table(table.slice(1), folder.path / "a.parquet", row_group_size=10)
    with pytest.raises(AnnotateError, match="records 5 to 8: the content has changed"):
        source.read(parts[1])


@pytest.mark.parametrize(
    ("name", "format", "message"),
    [
        ("no", "auto", "no: there is no such file or folder"),
        ("a.dat", "auto", "a.dat: expected .txt, .text, .jsonl"),
        (
            "mixed",
            "auto",
            "mixed: expected .txt, .text, .jsonl, .ndjson, .parquet, .pq, got file",
        ),
        ("void", "text", "void: expected files, got an empty folder"),
        ("a.dat", "csv", "format: expected auto, text, jsonl, parquet, got 'csv'"),
        ("a.dat", "parquet", "a.dat: expected a Parquet file: "),
    ],
)
def test_input_that_cannot_be_read(folder, name, format, message):
    if format == "parquet":
        pytest.importorskip("pyarrow")
    folder.write("a.dat", "")
    folder.write("mixed/a.txt", "")
    folder.write("mixed/a.jsonl", "")
    (folder.path / "void").mkdir()
    with pytest.raises(AnnotateError) as caught:
        open_input(folder, name, format)
    assert str(caught.value).replace(f"{folder.path}/", "").startswith(message)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_is_no_input(folder):
    os.mkfifo(folder.path / "a.jsonl")
    with pytest.raises(AnnotateError, match="expected a file or a folder, .* got a pipe"):
        open_input(folder, "a.jsonl", "auto")


def test_texts_alone(folder):
    write_all(folder)
    for name in ("a.txt", "many", "texts"):
        found = list(open_input(folder, name).texts())
        assert found == [row["text"] for row in EXPECTED[name]]
    table = pyarrow.table({"text": ["a", "b"], "i": [1, 2]})
    pyarrow.parquet.write_table(table, folder.path / "d.parquet")
    assert list(open_input(folder, "d.parquet").texts()) == ["a", "b"]


def test_bad_records_among_texts_are_named(folder):
    write_all(folder)
    texts = open_input(folder, "c.jsonl").texts()
    with pytest.raises(AnnotateError, match=r"c\.jsonl, line 5: expected a JSON object, got 'bad'"):
        list(texts)
    folder.write("e.jsonl", '{"text": "a"}\n{"text": 1}\n')
    texts = open_input(folder, "e.jsonl").texts()
    assert next(texts) == "a"
    with pytest.raises(AnnotateError, match=r"e\.jsonl, line 2: expected a string under 'text'"):
        next(texts)
