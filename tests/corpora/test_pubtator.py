import pytest

from tests.support.convert_tools import plain

TEXT = (
    "10021369|t|Identification of APC2\n10021369|a|APC is mutated in colon cancer.\n"
    "10021369\t18\t22\tAPC2\tGene\t10297\n10021369\t41\t53\tcolon cancer\tDisease\tD003110\n"
    "10021369\tCID\tD003110\tD009369\n\n"
    "7|t|No |entity|\n7|a|\n"
)


def test_pubtator(folder):
    docs, summary = folder.convert(folder.write(TEXT, "a.txt"))
    assert list(map(plain, docs)) == [
        (
            "Identification of APC2\nAPC is mutated in colon cancer.",
            [("APC2", "Gene"), ("colon cancer", "Disease")],
        ),
        ("No |entity|\n", []),
    ]
    assert [doc.user_data for doc in docs] == [
        {"source": "a.txt:1", "document_id": "10021369"},
        {"source": "a.txt:7", "document_id": "7"},
    ]
    assert dict(summary.dropped) == {"PubTator line that is no entity (relation)": 1}
    assert dict(summary.notes) == {"PubTator, title and abstract": 1}


def test_texts_without_empty_lines_between(folder):
    docs, _ = folder.convert(folder.write("1|t|Ana\n1|a|Bo\n2|t|Li\n2|a|x\n2\t0\t2\tLi\tP\n"))
    assert [plain(doc) for doc in docs] == [("Ana\nBo", []), ("Li\nx", [("Li", "P")])]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1\t0\t2\tAna\tP\n", "a.txt, line 3: expected 'Ana' (P) at characters 0 to 2, got 'An'"),
        ("2\t0\t3\tAna\tP\n", "a.txt, line 3: expected a title 'ID|t|…' or an entity of 1, separ"),
        ("1\t0\n", "a.txt, line 3: expected a title 'ID|t|…' or an entity of 1, separated by TABs"),
    ],
)
def test_bad_lines(folder, line, message):
    assert folder.error(folder.write(f"1|t|Ana\n1|a|Bo\n{line}", "a.txt")).startswith(message)
