import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_bio_crf.corpora import convert
from spacy_bio_crf.corpora.readers.char_spans import in_characters
from spacy_bio_crf.errors import ConvertError
from tests.support.convert_tools import plain


def test_offsets_as_javascript_counts_them(folder):
    text = "\U0001f642\r\nAna\u00e9 \U0001f642 Bo"
    for start, end in ((3, 7), (4, 8), (2, 6)):
        spans = [{"start": start, "end": end, "label": "X", "text": "Ana\u00e9"}]
        docs, summary = folder.convert(folder.write([{"text": text, "spans": spans}], "a.jsonl"))
        assert plain(docs[0]) == (text, [("Ana\u00e9", "X")])
        assert list(summary.remarks.values()) == [1] * (start != 3)


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
