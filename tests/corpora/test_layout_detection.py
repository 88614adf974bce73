import pytest

from spacy_bio_crf.corpora.readers.layout_detection import MOST_PARTS, detect_layout
from spacy_bio_crf.errors import ConvertError


@pytest.mark.parametrize("separator", ["\t", " ", "   "])
def test_columns_are_found_out_or_given(folder, separator):
    rows = [
        ["Ana", "NNP", "B-NP", "B-PER"],
        ["Ruiz", "NNP", "I-NP", "I-PER"],
        ["met", "VBD", "B-VP", "O"],
    ]
    path = folder.write("".join(separator.join(row) + "\n" for row in rows))
    words = ["Ana", "Ruiz", "met"]
    assert folder.tokens(path)[0] == [(words, [(0, 2, "PER")])]
    chunks = [(words, [(0, 2, "NP"), (2, 3, "VP")])]
    assert folder.tokens(path, tag_column=3)[0] == folder.tokens(path, tag_column=-2)[0] == chunks
    assert folder.tokens(path, token_column=2)[0] == [(["NNP", "NNP", "VBD"], [(0, 2, "PER")])]
    assert folder.tokens(path, token_column=-4, tag_column=-1)[0] == [(words, [(0, 2, "PER")])]


def test_several_columns_of_tags_are_named(folder):
    rows = "1\tTroia\tB-OTH\tB-LOC\n2\t-\tI-OTH\tO\n3\tran\tO\tO\n"
    path = folder.write(rows)
    docs, summary = folder.tokens(path)
    assert docs[0][1] == [(0, 2, "OTH")]
    assert summary.remarks == {"files with tags in columns 3 and 4, of which 3 was read": 1}
    docs, summary = folder.tokens(path, tag_column=4)
    assert docs[0][1] == [(0, 1, "LOC")] and not summary.remarks
    # A column of O alone is no second annotation.
    docs, summary = folder.tokens(folder.write("Ana\tO\tB-PER\nran\tO\tO\n"))
    assert docs[0][1] == [(0, 1, "PER")] and not summary.remarks


@pytest.mark.parametrize(
    ("rows", "ents", "columns"),
    [
        # gold and predicted tags, without and with phrases before them
        ("Ana B-PER O\nran O B-LOC\n", [(0, 1, "PER")], "2 and 3, of which 2"),
        ("Ana NN B-NP B-PER B-LOC\nran V O O O\n", [(0, 1, "PER")], "4 and 5, of which 4"),
        ("Ana B-PER B-NP\nran O B-VP\n", [(0, 1, "PER")], "2 and 3, of which 2"),
        ("Ana B-NP B-NC\nran B-VP B-VC\n", [(0, 1, "NP"), (1, 2, "VP")], "2 and 3, of which 2"),
        # phrases of other names cover most tokens
        ("Ana B-x B-PER\nran B-y O\n! O O\n" * 40, [(0, 1, "PER")], "2 and 3, of which 3"),
    ],
)
def test_entities_precede_phrases_and_predictions(folder, rows, ents, columns):
    docs, summary = folder.tokens(folder.write(rows))
    assert docs[0][1][: len(ents)] == ents
    assert list(summary.remarks) == [f"files with tags in columns {columns} was read"]


def test_tag_column_may_come_first(folder):
    assert folder.tokens(folder.write("B-PER\tAna\nI-PER\tRuiz\n"), token_column=2)[0] == [
        (["Ana", "Ruiz"], [(0, 2, "PER")])
    ]


def test_numbers_as_tokens_are_no_token_numbers(folder):
    assert folder.tokens(folder.write("7 CD O\n8 CD B-X\n"))[0] == [(["7", "8"], [(1, 2, "X")])]


def test_words_are_no_labels(folder):
    """A column of words or parts of speech may have an "O"."""
    assert "columns separated by" in folder.error(folder.write("O a\ncarro b\nbom c\nO d\n"))
    rows = "".join(f"w{i} {'O' if i == 7 else 'NV^!'[i % 4]}\n" for i in range(40))
    assert "columns separated by" in folder.error(folder.write(rows))
    rows = "O O\ncarro O\nde O\nAna PER\n"
    assert folder.tokens(folder.write(rows))[0] == [(["O", "carro", "de", "Ana"], [(3, 4, "PER")])]


@pytest.mark.parametrize(
    "rows",
    [
        "B-ACTOR\tbrad\nI-ACTOR\tpitt\nO\tfilms\n",
        "B A\nI b\nO c\n",
        "ACTOR\tbrad\nACTOR\tpitt\nO\tfilms\nO\tof\nO\tx\n",
    ],
)
def test_tags_first(folder, rows):
    docs, _ = folder.tokens(folder.write(rows), label="ACTOR")
    assert docs[0][1] == [(0, 2, "ACTOR")] and docs[0][0][2] in ("films", "c")


@pytest.mark.parametrize(
    "header",
    ["token\ttag", "Word\tLabel", "TOKEN\tNE-COARSE-LIT", "palabra\tNER", "words\tner_tags"],
)
@pytest.mark.parametrize("tags", ["B-PER O", "PER O", "b-per o"])
def test_header_rows(folder, header, tags):
    for separator in "\t", " ":
        rows = f"{header}\nAna\t{tags.split()[0]}\nran\tO\n".replace("\t", separator)
        docs, summary = folder.tokens(folder.write(rows))
        assert [words for words, _ in docs] == [["Ana", "ran"]]
        assert [(s, e, label.upper()) for s, e, label in docs[0][1]] == [(0, 1, "PER")]
        assert summary.remarks["header rows, which are no tokens"] == 1


def test_rows_that_are_no_header(folder):
    docs, summary = folder.tokens(folder.write("gold\tO\nlabel\tB-X\n"))
    assert docs == [(["gold", "label"], [(1, 2, "X")])] and not summary.remarks
    docs, summary = folder.tokens(folder.write("Bo\tentity\nran\tO\nLi\tentity\n"))
    assert docs[0][1] == [(0, 1, "entity"), (2, 3, "entity")]


def test_a_file_of_missing_tags_alone(folder):
    docs, summary = folder.tokens(folder.write("# newdoc\nAna\t-\nran\t-\n"))
    assert docs == [(["Ana", "ran"], [])] and summary.missing == 2


def test_tokens_without_tags(folder):
    for content, options in (
        ("Ana\nran\n\n# c\nto\nRio\n", {}),
        ("1\tAna\tNN\n2\tran\tV\n\n1\tto\tP\n2\tRio\tNN\n", {}),
        ("x Ana\nx ran\n\nx to\nx Rio\n", {"token_column": 2}),
    ):
        docs, summary = folder.tokens(folder.write(content), untagged=True, **options)
        assert docs == [(["Ana", "ran"], []), (["to", "Rio"], [])] and summary.missing == 4


def test_a_tab_at_the_end_of_a_line_is_no_separator(folder):
    docs, _ = folder.tokens(folder.write("Ana  B-PER   \nran  O\t\n"))
    assert docs == [(["Ana", "ran"], [(0, 1, "PER")])]


@pytest.mark.parametrize(
    ("rows", "options", "expected"),
    [
        ("Ana NNP I-NP I-PER\nran VBD I-VP O\n", {}, (1, False, 2)),
        ("Ana PROPN B-NP B-PER\nran VERB B-VP O\n", {}, (1, True, 2)),
        ("Ana PROPN B-NP B-PER\nran _ O O\n", {}, (1, True, 2)),
        ("Ana NNP B-NP\nran VBD B-VP\n", {}, (1, False, 2)),  # CoNLL-2000
        ("Ana Ana NE I-NC I-PER\nlief laufen VVFIN I-VC O\n", {}, (2, False, 3)),  # German
        # Nothing tells parts of speech from anything else without phrases.
        ("Ana NNP - B-PER\nran VBD - O\n", {}, (None, None, None)),
        ("Ana NNP - B-PER\nran VBD - O\n", {"pos": 1}, (1, False, None)),
        ("Ana NNP - B-PER\nran VBD - O\n", {"pos": -3}, (-3, False, None)),
        ("Ana B-NP B-PER\nran B-VP O\n", {}, (None, None, None)),
        ("Ana B-NP B-PER\nran B-VP O\n", {"chunk": 1}, (None, None, 1)),
        ("Ana NNP B-NP B-PER\nran VBD B-VP O\n", {"chunk": 2}, (None, None, 2)),
        ("Ana NNP B-ORG B-PER\nran VBD O O\n", {}, (None, None, None)),
    ],
)
def test_columns_of_parts_of_speech_and_phrases(tmp_path, rows, options, expected):
    path = tmp_path / "in.conll"
    path.write_text(rows)
    layout = detect_layout(path, **options)
    assert layout is not None
    universal = layout.universal if layout.pos is not None else None
    assert (layout.pos, universal, layout.chunk) == expected


def test_a_column_with_many_values_has_no_parts_of_speech(tmp_path):
    path = tmp_path / "in.conll"
    for n, found in (MOST_PARTS, True), (MOST_PARTS + 1, False):
        path.write_text("".join(f"w{i} l{i} B-NP O\n" for i in range(n)))
        assert (detect_layout(path).pos == 1) == found


def test_columns_out_of_range_are_refused(tmp_path):
    path = tmp_path / "in.conll"
    path.write_text("Ana B-PER\nran O\n")
    for name in ("pos", "chunk"):
        with pytest.raises(ConvertError, match=f"{name}_column: expected one of the 2 columns"):
            detect_layout(path, **{name: 4})
