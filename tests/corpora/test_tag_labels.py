import pytest

from spacy_bio_crf.corpora.tag_labels import JOINED, LEFT_OPEN, LIKE_TAGS
from tests.support.convert_tools import TEXT, make_doc, plain, save

PIECES = [[0, 3, "B-PER"], [4, 8, "I-PER"], [18, 21, "B-LOC"], [22, 26, "E-LOC"]]
ENTS = [("Ana Ruiz", "PER"), ("New York", "LOC")]


def test_tags_for_labels_are_an_error_unless_somebody_says_more(folder):
    path = folder.write([{"text": TEXT, "spans": PIECES}], "a.jsonl")
    assert folder.error(path) == (
        "labels: expected PER and the like, got tags alone, such as 'B-PER'; set `tag_labels` to "
        "join, to take them for tags, or to keep"
    )
    docs, summary = folder.convert(path, tag_labels="join")
    assert [plain(doc) for doc in docs] == [(TEXT, ENTS)]
    assert summary.remarks == {JOINED.format(tag="B-PER"): 4}
    docs, summary = folder.convert(path, tag_labels="keep")
    assert [e.label_ for e in docs[0].ents] == ["B-PER", "I-PER", "B-LOC", "E-LOC"]
    assert not summary.remarks
    names = {"B-PER": "P", "I-PER": "P", "B-LOC": "L"}
    docs, summary = folder.convert(path, rename=names, drop=["E-LOC"])
    assert [e.label_ for e in docs[0].ents] == ["P", "P", "L"] and not summary.remarks


@pytest.mark.parametrize(
    ("b", "i"), [("b-per", "i-per"), ("B_per", "I_per"), ("per-B", "per-I"), ("per_S", "per_B")]
)
def test_other_forms_of_tags(folder, b, i):
    """A label such as e-mail is one of these only among others."""
    path = folder.write([{"text": TEXT, "spans": [[0, 3, b], [4, 8, i]]}], "a.jsonl")
    if "I" in i.upper().replace("PER", ""):
        assert folder.error(path).startswith(
            f"labels: expected PER and the like, got tags alone, such as {b!r}"
        )
        docs, _ = folder.convert(path, tag_labels="join")
        assert plain(docs[0])[1] == [("Ana Ruiz", "per")]
    else:
        assert not folder.convert(path)[1].remarks
    path = folder.write([{"text": TEXT, "spans": [[0, 3, "e-mail"], [4, 8, "t_S"]]}], "a.jsonl")
    assert not folder.convert(path)[1].remarks


def test_such_labels_among_others_are_told(folder):
    path = folder.write([{"text": TEXT, "spans": [[0, 8, "B-cell"], [18, 26, "LOC"]]}], "a.jsonl")
    docs, summary = folder.convert(path)
    assert [e.label_ for e in docs[0].ents] == ["B-cell", "LOC"]
    assert summary.remarks == {LIKE_TAGS.format(tag="B-cell") + " (`tag_labels`)": 1}


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([[0, 3, "B-X"], [4, 8, "B-X"]], ["Ana", "Ruiz"]),
        ([[0, 3, "I-X"], [4, 8, "I-X"]], ["Ana Ruiz"]),
        ([[4, 8, "I-X"], [0, 3, "B-X"]], ["Ana Ruiz"]),
        ([[0, 3, "S-X"], [4, 8, "I-X"]], ["Ana", "Ruiz"]),
        ([[0, 3, "B-X"], [4, 8, "I-Y"]], ["Ana", "Ruiz"]),
        ([[0, 3, "B-X"], [9, 14, "I-X"]], ["Ana", "lives"]),
        ([[0, 3, "B-X-Y"], [4, 8, "L-X-Y"]], ["Ana Ruiz"]),
        ([[0, 3, "B-X"], [4, 8, "Z"], [9, 14, "I-X"]], ["Ana", "Ruiz", "lives"]),
        ([[0, 8, "B-X"]], ["Ana Ruiz"]),
    ],
)
def test_pieces_are_joined_where_one_goes_on_from_another(folder, spans, expected):
    path = folder.write([{"text": TEXT, "spans": spans}], "a.jsonl")
    (doc,), _ = folder.convert(path, tag_labels="join")
    assert [e.text for e in doc.ents] == expected
    assert not any("-" in e.label_ for e in doc.ents if e.label_ != "X-Y")


def test_formats_of_tokens(folder):
    path = folder.write("Ana\tB-B-PER\nRuiz\tB-I-PER\nran\tO\n")
    assert folder.error(path).startswith("labels: expected PER and the like")
    assert plain(folder.convert(path, tag_labels="join")[0][0])[1] == [("Ana Ruiz", "PER")]
    record = {"tokens": ["Ana", "Ruiz", "x"], "ner": [[0, 0, "B-PER"], [1, 1, "I-PER"]]}
    path = folder.write([record], "a.jsonl")
    assert plain(folder.convert(path, tag_labels="join")[0][0])[1] == [("Ana Ruiz", "PER")]


def test_docs_stay_as_they_are(folder):
    path = save([make_doc(["a"], [False], [(0, 1, "B-X")])], folder.path / "a.spacy")
    docs, summary = folder.convert(path)
    assert [e.label_ for e in docs[0].ents] == ["B-X"]
    assert summary.remarks == {LIKE_TAGS.format(tag="B-X"): 1}


def test_spans_that_nobody_knows_are_unannotated(folder):
    """Tools without an answer for a part of a text have a label for it."""
    spans = [[0, 8, "PER"], [9, 14, " IGNORE "], [18, 26, "LOC"]]
    path = folder.write([{"text": TEXT, "label": spans}], "a.jsonl")
    (doc,), summary = folder.convert(path, ignore=["IGNORE"])
    assert [t.ent_iob_ for t in doc] == ["B", "I", "", "O", "B", "I", "O"]
    assert summary.remarks[LEFT_OPEN] == 1 and set(summary.labels_read) == {"PER", "LOC"}
    (doc,), summary = folder.convert(path)
    assert len(doc.ents) == 3 and not summary.missing
