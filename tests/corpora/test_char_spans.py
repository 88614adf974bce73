import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_bio_crf.corpora import convert
from spacy_bio_crf.corpora.readers.char_spans import (
    OTHER_ENDS,
    OTHER_UNITS,
    UNSURE_UNITS,
    in_characters,
)
from spacy_bio_crf.errors import ConvertError
from tests.support.convert_tools import plain


def test_offsets_as_javascript_counts_them(folder):
    text = "\U0001f642\r\nAna\u00e9 \U0001f642 Bo"
    for start, end in ((3, 7), (4, 8), (2, 6)):
        spans = [{"start": start, "end": end, "label": "X", "text": "Ana\u00e9"}]
        docs, summary = folder.convert(folder.write([{"text": text, "spans": spans}], "a.jsonl"))
        assert plain(docs[0]) == (text, [("Ana\u00e9", "X")])
        assert list(summary.remarks.values()) == [1] * (start != 3)


EMOJI = "\U0001f600\U0001f600 x y Ana met Bo Li ."


def record(*triples):
    return {"text": EMOJI, "label": [list(triple) for triple in triples]}


def test_units_can_be_named(folder):
    """doccano counts UTF-16 units and gives no texts that would tell."""
    utf16 = folder.write([record((5, 6, "AAA"), (17, 22, "PER"))], "a.jsonl")
    (doc,), summary = folder.convert(utf16, offsets="utf-16")
    expected = (EMOJI, [("x", "AAA"), ("Bo Li", "PER")])
    assert plain(doc) == expected and not summary.remarks
    in_bytes = folder.write([record((9, 10, "AAA"), (21, 26, "PER"))], "b.jsonl")
    assert plain(folder.convert(in_bytes, offsets="bytes")[0][0]) == expected
    in_chars = folder.write([record((3, 4, "AAA"), (15, 20, "PER"))], "c.jsonl")
    (doc,), summary = folder.convert(in_chars, offsets="characters")
    assert plain(doc) == expected and not summary.remarks
    # Only one way puts no border within a character.
    (doc,), summary = folder.convert(in_chars)
    assert plain(doc) == expected and not summary.remarks
    # Two ways do, and nothing tells which is right.
    (doc,), summary = folder.convert(utf16)
    assert plain(doc)[1] == [("y", "AAA"), ("Li .", "PER")]
    assert summary.remarks[UNSURE_UNITS] == 1
    crlf = folder.write([{"text": "a\r\nAna met", "label": [[3, 6, "PER"]]}], "d.jsonl")
    assert folder.convert(crlf)[1].remarks == {UNSURE_UNITS: 1}


def test_a_text_tells_the_units_of_all_entities(folder):
    ana = {"start": 9, "end": 12, "label": "PER", "text": "Ana"}
    bo = {"start": 17, "end": 22, "label": "PER"}
    (doc,), summary = folder.convert(folder.write([{"text": EMOJI, "spans": [ana, bo]}], "a.jsonl"))
    assert plain(doc) == (EMOJI, [("Ana", "PER"), ("Bo Li", "PER")])
    assert summary.remarks == {OTHER_UNITS: 1}


def test_nothing_is_said_where_units_make_no_difference(folder):
    for text, span in (
        ("Ana \U0001f600", [0, 3, "X"]),
        ("\u00e9 Ana", [2, 5, "X"]),
        ("Bo", [0, 2, "X"]),
    ):
        _, summary = folder.convert(folder.write([{"text": text, "spans": [span]}], "a.jsonl"))
        assert not summary.remarks


def test_ends_can_be_named(folder):
    path = folder.write([{"text": "Ana met X", "spans": [[0, 2, "A"], [8, 8, "B"]]}], "a.jsonl")
    assert plain(folder.convert(path, ends="inclusive")[0][0])[1] == [("Ana", "A"), ("X", "B")]
    assert folder.error(path) == (
        "a.jsonl, line 1: expected an entity with 0 <= start < end <= 9, the length of the text, "
        "got 8 to 8 for label 'B'; `offsets` and `ends` name other ways to count"
    )
    span = {"start": 0, "end": 2, "label": "A", "text": "Ana"}
    path = folder.write([{"text": "Ana met X", "spans": [span]}], "a.jsonl")
    (doc,), summary = folder.convert(path)
    assert plain(doc)[1] == [("Ana", "A")] and summary.remarks == {OTHER_ENDS: 1}
    message = folder.error(path, ends="exclusive")
    assert message == "a.jsonl, line 1: expected 'Ana' (A) at characters 0 to 2, got 'An'"


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


@pytest.mark.parametrize(
    "record", [{"text": "Ana \ud800"}, {"text": "Ana", "spans": [[0, 3, "P\ud800"]]}]
)
def test_half_a_surrogate_pair_is_named(tmp_path: Path, record: dict):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(record))
    with pytest.raises(ConvertError, match="line 1: expected Unicode text under .*half a surr"):
        convert(path, tmp_path / "b.spacy")


def test_a_lone_carriage_return_is_a_character_of_its_own():
    assert in_characters("a\r\nb\rAna", [(4, 7, "Ana")]) == [(5, 8)]
