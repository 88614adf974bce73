"""`annotate` with Parquet on either side, or on both."""

import datetime
import decimal
import math
import sys

import pytest

from tests.support.annotate_tools import Fuse, folder, found, load_docs  # noqa: F401

# ruff: noqa: F811

HUGE = 2**62 + 1  # no float
TEXTS = ["Ana Ruiz is in Rio", "", "nobody", "Rio Rio", "é Rio"]


@pytest.fixture
def pa():
    return pytest.importorskip("pyarrow.parquet") and pytest.importorskip("pyarrow")


@pytest.fixture
def table(pa):
    """A column of every kind that is hard to keep."""
    n = len(TEXTS)
    return pa.table(
        {
            "text": TEXTS,
            "time": pa.array([10**18 + 1] * n, pa.timestamp("ns", "UTC")),
            "name": pa.array(["a", "b", "a", None, "c"]).dictionary_encode(),
            "price": pa.array([decimal.Decimal("1.10")] * n, pa.decimal128(10, 2)),
            "raw": pa.array([b"\xff\x00"] * n),
            "nested": [[{"x": 1, "y": None}], [], None, [{"x": 2, "y": "z"}], []],
            "small": pa.array(range(n), pa.int8()),
            "number": [math.nan, 1.5, math.inf, None, 0.1],
            "days": [[{"day": datetime.date(2020, 2, 29)}]] * n,
        }
    ).replace_schema_metadata({"about": "kept"})


def write(table, path, **options):
    from pyarrow import parquet

    path.parent.mkdir(exist_ok=True)
    parquet.write_table(table, path, **options)
    return path


def read(path):
    from pyarrow import parquet

    return parquet.read_table(path)


def with_scores(entities):
    return [{**entity, "score": None} for entity in entities]


@pytest.mark.parametrize("batch_size", [1, 2, 100])
@pytest.mark.parametrize("row_group_size", [1, 3, None])
def test_columns_keep_their_types(folder, table, batch_size, row_group_size):
    path = write(table, folder.path / "a.parquet", row_group_size=row_group_size)
    out = read(folder.annotate(path, "out.parquet", batch_size=batch_size))
    # NaN is equal to nothing.
    assert out.drop_columns(["entities", "number"]).equals(table.drop_columns("number"))
    assert str(out["number"].to_pylist()) == str(table["number"].to_pylist())
    assert out.schema.metadata[b"about"] == b"kept"
    assert out["entities"].to_pylist() == [with_scores(found(text)) for text in TEXTS]
    assert str(out.schema.field("entities").type) == (
        "list<item: struct<start: int64, end: int64, label: string, score: double>>"
    ).replace("item", out.schema.field("entities").type.value_field.name)


def test_rows_become_json(folder, table):
    path = write(table, folder.path / "a.parquet")
    rows = folder.rows(path, batch_size=2)
    assert [row["text"] for row in rows] == TEXTS
    assert [row["entities"] for row in rows] == [found(text) for text in TEXTS]
    assert rows[0]["time"] == "2001-09-09 01:46:40.000000001Z"
    assert rows[0]["days"] == [{"day": "2020-02-29"}]
    assert rows[0]["price"] == "1.10" and rows[0]["raw"] == "/wA="
    assert rows[0]["nested"] == [{"x": 1, "y": None}] and rows[2]["nested"] is None
    assert [row["number"] for row in rows] == [None, 1.5, None, None, 0.1]
    docs = load_docs(folder.annotate(path, "out.spacy", batch_size=2))
    assert docs[3].user_data["record"]["small"] == 3
    assert docs[3].user_data["source"] == f"{path}, row 4"


def test_a_folder_of_parquet(folder, pa):
    for name, ids in ("2", [3]), ("1", [1, 2]), ("3", []):
        write(
            pa.table(
                {"text": pa.array(["Rio"] * len(ids), pa.string()), "id": pa.array(ids, pa.int64())}
            ),
            folder.path / "in" / f"{name}.parquet",
        )
    seen = []
    out = read(folder.annotate(folder.path / "in", "out.parquet", report=seen.append))
    assert out["id"].to_pylist() == [1, 2, 3]
    assert (seen[-1].done, seen[-1].total, seen[-1].unit) == (3, 3, "rows")
    write(pa.table({"text": ["Rio"]}), folder.path / "in" / "4.parquet")
    error = folder.error(folder.path / "in", "new.parquet")
    assert error == (
        "in/4.parquet: expected the columns 'text' (string), 'id' (int64) of in/1.parquet, "
        "got 'text' (string)"
    )


@pytest.mark.parametrize("make", ["large_string", "string_view", "dictionary"])
def test_strings_of_every_kind(folder, pa, make):
    column = pa.array(TEXTS)
    column = (
        column.dictionary_encode() if make == "dictionary" else column.cast(getattr(pa, make)())
    )
    path = write(pa.table({"text": column}), folder.path / "a.parquet")
    assert [row["text"] for row in folder.rows(path, batch_size=2)] == TEXTS
    out = read(folder.annotate(path, "out.parquet", batch_size=2))
    assert out["text"].to_pylist() == TEXTS


def test_bad_rows(folder, pa):
    table = pa.table({"body": ["Rio", None, "poison", "Ana Ruiz"]})
    path = write(table, folder.path / "a.parquet")
    error = folder.error(path, "out.parquet", text_key="body")
    assert error.startswith("a.parquet, row 2: expected a string under 'body', got None")
    options = {"text_key": "body", "skip_bad": True, "restart": True}
    out = read(folder.annotate(path, "out.parquet", **options))
    assert out["body"].to_pylist() == ["Rio", "Ana Ruiz"]


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        (
            {"a": ["x"]},
            {},
            "a.parquet: expected the key 'text' (`text_key`), got the keys 'a'",
        ),
        ({"text": [1]}, {}, "a.parquet: expected a string under 'text', got DataType(int64)"),
        (
            {"text": ["x"], "entities": [1]},
            {},
            "a.parquet: expected no key 'entities'; name another one with `entities_key`",
        ),
    ],
)
def test_columns_that_do_not_fit(folder, pa, columns, options, message):
    path = write(pa.table(columns), folder.path / "a.parquet")
    assert folder.error(path, **options).startswith(message)


def test_columns_of_one_name(folder, pa):
    table = pa.table([["Rio"], [1], [2]], names=["text", "a", "a"])
    path = write(table, folder.path / "a.parquet")
    expected = "a.parquet: expected columns with names of their own, got 'text' (string), 'a' (int"
    assert folder.error(path).startswith(expected)


def test_no_parquet_at_all(folder, pa):
    path = folder.write("a.parquet", "text")
    assert folder.error(path).startswith("a.parquet: expected a Parquet file: ")


def test_without_pyarrow(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    message = "Parquet needs pyarrow, which is not installed ("
    assert folder.error(folder.write("a.parquet", "")).startswith(message)
    assert folder.error(folder.write("a.txt", ""), "out.parquet").startswith(message)


def test_a_run_goes_on_in_the_middle_of_a_row_group(folder, pa):
    texts = [f"Rio {i}" for i in range(1000)]
    texts[700] = "poison"
    path = write(pa.table({"text": texts}), folder.path / "a.parquet", row_group_size=400)
    message = "a.parquet, row 701: the pipeline failed"
    assert message in folder.error(path, "out.parquet", docs_per_file=150, one_file=True)
    # Row groups of 400, 400 and 200 rows are 3 + 3 + 2 parts; the sixth has the bad one.
    assert folder.finished("out.parquet") == [0, 1, 2, 3, 4]
    Fuse.seen = 0
    options = {"docs_per_file": 150, "one_file": True, "skip_bad": True}
    out = folder.annotate(path, "out.parquet", **options)
    assert read(out)["text"].to_pylist() == [t for t in texts if t != "poison"]
    # The sixth is tried as a whole, which ends at its first row, and then one by one.
    assert Fuse.seen == 1 + 100 + 200


def test_other_input_is_refused(folder, pa):
    path = folder.path / "a.parquet"
    options = {"docs_per_file": 1, "one_file": True}
    write(pa.table({"text": ["Rio", "poison"]}), path)
    assert "row 2" in folder.error(path, "out.parquet", **options)
    write(pa.table({"text": ["Ana", "poison"]}), path)
    error = folder.error(path, "out.parquet", **options)
    assert error == (
        "a.parquet, records 1 to 1: expected the content of an earlier run, got another; "
        "`restart` begins anew"
    )


# -- from JSON and text ---------------------------------------------------------------------------


def test_text_becomes_parquet(folder, pa):
    path = folder.write("a.txt", "\n".join(TEXTS))
    out = read(folder.annotate(path, "out.parquet", batch_size=2))
    assert out.column_names == ["text", "entities"]
    assert out["text"].to_pylist() == TEXTS
    assert out["entities"].to_pylist() == [with_scores(found(text)) for text in TEXTS]


def test_keys_become_columns(folder, pa):
    extra = [
        {
            "n": 1,
            "late": None,
            "mix": 1,
            "deep": {"a": 1},
            "empty": {},
            "big": 2**62 + 1,
            "flag": True,
        },
        {"n": 2, "mix": [1], "big": 0.5},
        {"n": 2.5, "deep": {"b": ["x"]}, "mix": {"y": None}, "big": 1},
        {"late": "now", "n": None, "empty": {}, "list": [1, 2], "flag": None},
        {"mix": "é"},
    ]
    path = folder.write("a.jsonl", [{"text": t, **e} for t, e in zip(TEXTS, extra, strict=True)])
    out = read(folder.annotate(path, "out.parquet", docs_per_file=2, one_file=True))
    keys = ["n", "late", "mix", "deep", "empty", "big", "flag", "list"]
    assert out.column_names == ["text", *keys, "entities"]
    columns = {name: out[name].to_pylist() for name in keys}
    assert columns["n"] == [1.0, 2.0, 2.5, None, None]
    assert columns["late"] == [None, None, None, "now", None]
    assert columns["flag"] == [True, None, None, None, None]
    assert columns["list"] == [None, None, None, [1, 2], None]
    assert columns["deep"][0] == {"a": 1, "b": None} and columns["deep"][2] == {
        "a": None,
        "b": ["x"],
    }
    assert columns["mix"] == ["1", "[1]", '{"y": null}', None, '"é"']
    assert columns["empty"] == ["{}", None, None, "{}", None]
    assert columns["big"] == [str(HUGE), "0.5", "1", None, None]
    assert out["entities"].to_pylist() == [with_scores(found(text)) for text in TEXTS]


@pytest.mark.parametrize("output", ["out.jsonl", "out.spacy"])
def test_a_row_group_is_decoded_once(folder, pa, monkeypatch, output):
    decoded = []
    read_row_group = pa.parquet.ParquetFile.read_row_group

    def noted(self, number, *args, **options):
        decoded.append(number)
        return read_row_group(self, number, *args, **options)

    monkeypatch.setattr("pyarrow.parquet.ParquetFile.read_row_group", noted)
    table = pa.table({"text": [f"Rio {i}" for i in range(25)]})
    path = write(table, folder.path / "a.parquet", row_group_size=10)
    out = folder.annotate(path, output, docs_per_file=3)
    assert decoded == [0, 1, 2]
    assert len(list(out.glob("part-*"))) == 4 + 4 + 2


def test_rows_that_cannot_be_read(folder, pa):
    table = pa.table({"text": ["Rio " * 50] * 500})
    path = write(table, folder.path / "a.parquet", compression="zstd")
    content = bytearray(path.read_bytes())
    content[4:40] = bytes(36)
    path.write_bytes(content)
    assert folder.error(path).startswith("a.parquet: expected readable rows, got an error: ")


def test_input_without_rows(folder, pa):
    path = write(pa.table({"text": pa.array([], pa.string())}), folder.path / "a.parquet")
    out = read(folder.annotate(path, "out.parquet"))
    assert out.column_names == ["text", "entities"] and out.num_rows == 0
    assert read(folder.annotate(folder.write("a.txt", ""), "b.parquet")).num_rows == 0
    out = read(folder.annotate(folder.write("a.jsonl", ""), "c.parquet"))
    assert out.column_names == ["text", "entities"] and out.num_rows == 0
