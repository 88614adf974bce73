import pytest

from tests.support.convert_tools import plain


def row(n, word, entity, *arguments, part=0):
    cells = ["bc/cctv/00", str(part), str(n), word, "NN", "(TOP*", "-", "-", "-", "Ana#1", entity]
    return "   ".join([*cells, *arguments, "-"]) + "\n"


TEXT = (
    "#begin document (bc/cctv/00); part 000\n"
    + row(0, "In", "*")
    + row(1, "Hong", "(GPE*", "(ARG0*")
    + row(2, "Kong", "*)", "*)")
    + row(3, "Ana", "(PERSON)")
    + "\n"
    + row(0, "#", "(DATE(CARDINAL*))")
    + row(1, "x", "-")
    + "\n#end document\n#begin document (bc/cctv/00); part 001\n"
    + row(0, "Fim", "*", part=1)
    + "#end document\n"
)


def test_conll2012(folder):
    docs, summary = folder.convert(folder.write(TEXT, "a.v4_gold_conll"))
    assert [plain(doc) for doc in docs] == [
        ("In Hong Kong Ana", [("Hong Kong", "GPE"), ("Ana", "PERSON")]),
        ("# x", [("#", "CARDINAL")]),
        ("Fim", []),
    ]
    assert [t.ent_iob_ for t in docs[1]] == ["B", ""]
    assert dict(summary.dropped) == {"entity that overlaps another (the longest one stays)": 1}
    docs, _ = folder.convert(folder.write(TEXT), group_docs=True)
    assert [doc.user_data["document_id"] for doc in docs] == ["bc/cctv/00_000", "bc/cctv/00_001"]
    assert [len(list(doc.sents)) for doc in docs] == [2, 1]
    # Without the lines about documents, the columns are enough.
    docs, _ = folder.convert(folder.write("\n".join(t for t in TEXT.split("\n") if "#b" not in t)))
    assert len(docs) == 3


def test_a_bracket_closes_the_one_opened_last(folder):
    rows = row(0, "Ohio", "(ORG(GPE*") + row(1, "State", "*)") + row(2, "Press", "*)")
    docs, _ = folder.convert(folder.write(rows))
    assert plain(docs[0])[1] == [("Ohio State Press", "ORG")]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            row(0, "a", "(X*") + row(1, "b", "*"),
            "line 1: expected a bracket that is closed, got '(X*'",
        ),
        (row(0, "a", "*)"), "line 1: expected a bracket that was opened, got '*)'"),
        (
            row(0, "a", "*") + row(1, "b", "B-X"),
            "line 2: expected '*', '(PER*', '*)' or '(PER)' in",
        ),
        (row(0, "a", "*") + "x y\n", "line 2: expected at least 12 columns, got 2 in 'x y'"),
        (row(0, "[WORD]", "*"), "line 1: expected a word in column 4; OntoNotes has those of this"),
    ],
)
def test_bad_rows(folder, rows, message):
    assert message in folder.error(folder.write(rows))
