import pytest

from spacy_bio_crf.corpora.readers.char_spans import OTHER_UNITS
from tests.support.convert_tools import plain

TEXT = "Ana Ruiz lives in New\nYork and Rio de Janeiro, Brazil.\n"
ANN = (
    "T1\tPER 0 8\tAna Ruiz\n"
    "#1\tAnnotatorNotes T1\tsure\n"
    "T2\tLOC 18 21;22 26\tNew York\n"
    "R1\tLives-In Arg1:T1 Arg2:T2\t\n"
    "T3\tGPE 31 34;47 53\tRio Brazil\n"
    "A1\tNegation T1\n*\tEquiv T1 T2\nN1\tReference T1 W:1\tx\nE1\tLOC:T2 \n\n"
)


def test_brat(folder):
    folder.write(TEXT, "in/a.txt")
    folder.write(ANN, "in/a.ann")
    folder.write("Bo\n", "in/b.txt")
    folder.write("", "in/b.ann")
    folder.write("nobody\n", "in/c.txt")
    folder.write("[entities]\nPER\n", "in/annotation.conf")
    found, summary = [("Ana Ruiz", "PER"), ("New\nYork", "LOC")], None
    for path in folder.path / "in", folder.path / "in" / "a.ann", folder.path / "in" / "a.txt":
        docs, summary = folder.convert(path)
        assert plain(docs[0]) == (TEXT, found)
        assert [t.text for t in docs[0] if t.ent_iob == 0] == ["Rio", "Brazil"]
        assert docs[0].user_data == {"source": "a.txt:1", "document_id": "a"}
        assert dict(summary.remarks) == {"entities in several pieces, left unannotated": 1}
    docs, summary = folder.convert(folder.path / "in")
    assert len(docs) == 2 and plain(docs[1]) == ("Bo\n", [])
    assert all(t.ent_iob == 2 for t in docs[1])
    assert dict(summary.notes) == {"brat, text and standoff annotation": 2}
    assert dict(summary.dropped) == {
        "text file without an .ann file": 1,
        "brat line that is no entity (note)": 1,
        "brat line that is no entity (relation)": 1,
        "brat line that is no entity (attribute)": 1,
        "brat line that is no entity (equivalence)": 1,
        "brat line that is no entity (normalization)": 1,
        "brat line that is no entity (event)": 1,
    }


@pytest.mark.parametrize(
    ("rule", "ents"),
    [
        ("cover", [("Rio de Janeiro, Brazil", "GPE")]),
        ("parts", [("Rio", "GPE"), ("Brazil", "GPE")]),
    ],
)
def test_entities_in_pieces(folder, rule, ents):
    folder.write(TEXT, "a.txt")
    docs, summary = folder.convert(folder.write(ANN, "a.ann"), discontinuous=rule)
    assert plain(docs[0])[1][2:] == ents
    assert summary.missing == 0 and sum(summary.remarks.values()) == 1
    message = folder.error(folder.path / "a.ann", discontinuous="error")
    assert message == (
        "a.ann, line 5: expected whole entities, got 'Rio Brazil' (GPE) in 2 pieces; "
        "set `discontinuous` to missing, cover or parts"
    )


def test_a_piece_within_another(folder):
    folder.write(TEXT, "a.txt")
    docs, _ = folder.convert(folder.write("T1\tPER 0 8;4 6\tAna Ruiz Ru\n", "a.ann"))
    assert plain(docs[0])[1] == [("Ana Ruiz", "PER")]


def test_folders_in_folders(folder):
    for name, text in ("a", "Ana ran"), ("batch/b", "Bo ran"), ("batch/c", "nobody"):
        folder.write(text, f"in/{name}.txt")
        if name != "batch/c":
            end = text.index(" ")
            folder.write(f"T1\tPER 0 {end}\t{text[:end]}\n", f"in/{name}.ann")
    docs, summary = folder.convert(folder.path / "in")
    assert list(map(plain, docs)) == [("Ana ran", [("Ana", "PER")]), ("Bo ran", [("Bo", "PER")])]
    assert dict(summary.dropped) == {"text file without an .ann file": 1}


def test_misaligned_entities_name_their_line(folder):
    path = folder.write(TEXT, "a.txt")
    folder.write("T1\tPER 0 8\tAna Ruiz\nT2\tLOC 31 33\tRi\n", "a.ann")
    _, summary = folder.convert(path)
    (found,) = summary.misaligned
    assert found.place.endswith("a.ann, line 2") and found[1:] == ("Ri", "LOC")
    assert folder.error(path, misaligned="strict").startswith("a.txt, line 1: entity 'Ri' (LOC, ch")


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [("\U0001f642 Ana", 3, 6), ("x\r\n\r\nAna", 3, 6), ("x\r\n\r\nAna", 5, 8)],
)
def test_other_ways_to_count(folder, text, start, end):
    path = folder.write(text, "a.txt")
    folder.write(f"T1\tPER {start} {end}\tAna\n", "a.ann")
    docs, summary = folder.convert(path)
    assert plain(docs[0])[1] == [("Ana", "PER")] and docs[0].text == text
    assert list(summary.remarks.values()) == [1] * (end != 8)


def test_pieces_in_utf16_units(folder):
    text = "\U0001f642 Rio \U0001f642 \U0001f642 Grande"
    path = folder.write(text, "a.txt")
    folder.write("T1\tLOC 3 6;7 9;13 19\tRio \U0001f642 Grande\n", "a.ann")
    (doc,), summary = folder.convert(path, discontinuous="parts")
    assert plain(doc)[1] == [("Rio \U0001f642", "LOC"), ("Grande", "LOC")]
    assert summary.remarks[OTHER_UNITS] == 1
    folder.write("T1\tLOC 3 6;13 19\tRio Grandi\n", "a.ann")
    assert folder.error(path) == (
        "a.ann, line 1: expected 'Rio Grandi' (LOC) at characters 3 to 6 and 13 to 19, got "
        "'io  nde'"
    )


@pytest.mark.parametrize(
    ("ann", "message"),
    [
        (
            "T1\tPER 0 8\tAna Ruis\n",
            "a.ann, line 1: expected 'Ana Ruis' (PER) at characters 0 to 8,",
        ),
        (
            "\nT1\tPER 0 99\tAna\n",
            "a.ann, line 2: expected 'Ana' (PER) at characters 0 to 99, got",
        ),
        (
            "T1\tPER\n",
            "a.ann, line 1: expected an entity such as 'T1<TAB>PER 0 8<TAB>Ana Ruiz', got",
        ),
        ("Ana\tB-PER\n", "a.ann, line 1: expected an entity such as"),
        (b"T1\tPER 0 3\t\xff\n", "a.ann, line 1: expected UTF-8, got byte 0xff"),
    ],
)
def test_bad_annotation(folder, ann, message):
    folder.write(TEXT, "a.txt")
    assert message in folder.error(folder.write(ann, "a.ann"))


@pytest.mark.parametrize("counted", [0, 1])
def test_a_byte_order_mark_is_no_text(folder, counted):
    path = folder.write("\ufeffAna Ruiz ran", "a.txt")
    folder.write(f"T1\tPER {counted} {8 + counted}\tAna Ruiz\n", "a.ann")
    (doc,), summary = folder.convert(path)
    assert plain(doc) == ("Ana Ruiz ran", [("Ana Ruiz", "PER")])
    assert not summary.remarks and not summary.misaligned
    folder.write("T1\tPER 0 9\tAna Ruis\n", "a.ann")
    assert "expected 'Ana Ruis' (PER) at characters 0 to 9" in folder.error(path)


def test_bad_texts(folder):
    path = folder.write("", "a.ann")
    assert folder.error(path) == "a.ann: expected the text beside it, a.txt, got no file"
    folder.write(b"a\n\xff", "a.txt")
    assert folder.error(path) == (
        "a.txt, line 2: expected UTF-8, got byte 0xff; name the file's encoding with `encoding`"
    )
