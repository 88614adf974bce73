"""A batch of rows: the same rows with entities, whatever they are."""

import datetime
import decimal
import math

import pytest
from spacy.tokens import Span, SpanGroup
from spacy.vocab import Vocab

from spacy_bio_crf.bulk import AnnotateError, Counts, annotate_rows
from spacy_bio_crf.bulk.records import find_problem, plain
from tests.support.annotate_tools import Fuse, found, make_ruler

ROWS = [
    {"id": 1, "text": "Ana Ruiz is in Rio"},
    {"id": 2, "text": None},
    {"id": 3, "text": "poison"},
    {"id": 4, "text": ""},
    {"id": 5, "text": "Rio Rio"},
]


@pytest.fixture
def nlp():
    Fuse.seen = Fuse.at = 0
    return make_ruler()


@pytest.mark.parametrize("batch_size", [None, 1, 2])
def test_dicts(nlp, batch_size):
    rows = [dict(row) for row in ROWS]
    result = annotate_rows(nlp, rows, skip_bad=True, batch_size=batch_size)
    assert result.rows == [{**ROWS[n], "entities": found(ROWS[n]["text"])} for n in (0, 3, 4)]
    assert rows == ROWS
    assert result.kept == [0, 3, 4]
    assert [(bad.place, bad.reason) for bad in result.bad] == [
        ("row 2", "expected a string under 'text', got None"),
        ("row 3", "the pipeline failed: RuntimeError: can't read poison"),
    ]
    assert result.words == 5 + 0 + 2 and list(map(len, result.entities)) == [2, 0, 2]


@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_table(nlp, skip_bad):
    pa = pytest.importorskip("pyarrow")
    rows = ROWS if skip_bad else [ROWS[0], ROWS[3], ROWS[4]]
    table = pa.Table.from_pylist(rows, pa.schema([("id", pa.int8()), ("text", pa.string())]))
    result = annotate_rows(nlp, table, skip_bad=skip_bad)
    expected = annotate_rows(nlp, rows, skip_bad=skip_bad)
    assert result.rows.column("id").type == pa.int8()
    assert result.rows.column("id").to_pylist() == [1, 4, 5]
    entities = result.rows.column("entities").to_pylist()
    assert [[{k: v for k, v in e.items() if k != "score"} for e in row] for row in entities] == (
        expected.entities
    )
    assert all(e["score"] is None for row in entities for e in row)
    assert result.bad == expected.bad


def test_no_rows(nlp):
    pa = pytest.importorskip("pyarrow")
    assert annotate_rows(nlp, []).rows == []
    empty = pa.table({"text": pa.array([], pa.string())})
    assert annotate_rows(nlp, empty).rows.column_names == ["text", "entities"]
    bad = pa.table({"text": pa.array([None], pa.string())})
    assert annotate_rows(nlp, bad, skip_bad=True).rows.num_rows == 0


@pytest.mark.parametrize("as_table", [False, True])
@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        (ROWS[1], {}, "row 2: expected a string under 'text', got None"),
        (ROWS[2], {}, "row 2: the pipeline failed: RuntimeError: can't read poison"),
        ({"text": 1}, {}, "row 2: expected a string under 'text', got 1"),
        ({"text": "a", "entities": 1}, {}, "row 2: expected no key 'entities'; name another"),
        ({"a": 1}, {"text_key": "b"}, "row 1: expected the key 'b' (`text_key`), got the keys "),
        (ROWS[1], {"places": ["a", "b"]}, "b: expected a string under 'text', got None"),
    ],
)
def test_the_first_bad_record_is_an_error(nlp, as_table, row, options, message):
    rows = [{**row, "text": "Rio"}, row]
    if "text_key" in options:
        rows = [{"c": 1}]
    if as_table:
        pa = pytest.importorskip("pyarrow")
        if row.get("text") == 1:
            rows = [{"text": None}, row]
            message = message.replace("row 2", "row 1").replace("got 1", "got None")
        if "entities" in row:
            message = message.replace("row 2", "row 1")
        rows = pa.Table.from_pylist(rows)
    elif "entities" in row:
        rows[0] = {"text": "Rio"}
    with pytest.raises(AnnotateError) as caught:
        annotate_rows(nlp, rows, **options)
    assert str(caught.value).startswith(message)
    assert str(caught.value).endswith("; `skip_bad` leaves such records out")


def test_docs_know_their_rows(nlp):
    rows = [{"text": "Rio", "day": datetime.date(2020, 2, 29), "big": 1 << 70}]
    docs = annotate_rows(nlp, rows, with_docs=True, places=["here"]).docs
    (doc,) = docs.get_docs(Vocab())
    assert [ent.text for ent in doc.ents] == ["Rio"]
    assert doc.user_data["source"] == "here"
    assert doc.user_data["record"] == {"day": "2020-02-29", "big": str(1 << 70)}
    assert len(annotate_rows(nlp, rows).docs) == 0


def test_docs_that_can_not_be_written_are_named(nlp):
    make_doc = nlp.make_doc

    def odd(text):
        doc = make_doc(text)
        doc.user_data["odd"] = object()
        return doc

    nlp.make_doc = odd
    with pytest.raises(AnnotateError, match="row 1: expected a Doc that .spacy can hold, got Type"):
        annotate_rows(nlp, [{"text": "Rio"}], with_docs=True)


def test_scores_are_those_of_span_groups(nlp):
    def scored(doc):
        doc.spans["sc"] = SpanGroup(doc, spans=list(doc.ents), attrs={"scores": [0.123456789]})
        return doc

    nlp.make_doc, make_doc = (lambda text: scored_doc(make_doc(text))), nlp.make_doc

    def scored_doc(doc):
        doc.ents = [Span(doc, 0, 1, label="X")]
        return scored(doc)

    (row,) = annotate_rows(nlp, [{"text": "no Rio"}]).rows
    assert row["entities"] == [
        {"start": 0, "end": 2, "label": "X", "score": 0.123457},
        {"start": 3, "end": 6, "label": "LOC"},
    ]


def test_batches_are_those_asked_for(nlp, monkeypatch):
    sizes = []
    pipe = nlp.pipe
    monkeypatch.setattr(nlp, "pipe", lambda t, **o: (sizes.append(len(t)), pipe(t, **o))[1])
    annotate_rows(nlp, [{"text": "Rio"}] * 7, batch_size=3)
    assert sizes == [3, 3, 1]
    nlp.batch_size = 5
    annotate_rows(nlp, [{"text": "Rio"}] * 7)
    assert sizes[3:] == [5, 2]


def test_counts():
    assert Counts().plus() == Counts(0, 0, 0, 0)
    assert Counts(1, 2, 3, 4).plus(Counts(1, 1, 1, 1), Counts(2, 0, 0, 0)) == Counts(4, 3, 4, 5)


def test_problems():
    assert find_problem({"text": ""}, "text", "entities") is None
    half = {"text": "a\ud83d"}
    assert find_problem(half, "text", "entities") == (
        "expected Unicode text, got half a surrogate pair in it: '\\ud83d'"
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, "é", None, True, 0.5]}, {"a": [1, "é", None, True, 0.5]}),
        ([math.nan, math.inf, -math.inf], [None, None, None]),
        ([(1 << 63) - 1, 1 << 63, -(1 << 70)], [(1 << 63) - 1, str(1 << 63), str(-(1 << 70))]),
        (b"\xff\x00", "/wA="),
        (decimal.Decimal("1.10"), "1.10"),
        (datetime.datetime(2020, 2, 29, 1, 2, 3), "2020-02-29T01:02:03"),
        (datetime.timedelta(seconds=1), "0:00:01"),
        ("a\ud83d", "a?"),
    ],
)
def test_plain_values(value, expected):
    assert plain(value) == expected


def test_a_text_that_is_too_long_names_the_option(nlp):
    nlp.max_length = 20
    result = annotate_rows(nlp, [{"text": "x" * 21}, {"text": "x" * 20}], skip_bad=True)
    (bad,) = result.bad
    assert bad.place == "row 1" and len(result.rows) == 1
    assert bad.reason.endswith(
        "expected at most 20 characters, got 21; --max-length (of the "
        "pipeline: nlp.max_length) is the limit"
    )
