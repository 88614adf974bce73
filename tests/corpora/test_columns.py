import pytest

from spacy_bio_crf.corpora import convert
from tests.support.convert_tools import column, load


@pytest.mark.parametrize("line", ["", "\t", " ", " \t ", "\u3000"])
def test_lines_of_white_space_end_sentences(folder, line):
    docs, summary = folder.tokens(folder.write(f"a\tO\n{line}\nb\tB-X\n{line}\n{line}\nc\tI-X\n"))
    assert [words for words, _ in docs] == [["a"], ["b"], ["c"]]
    assert summary.sentences == 3


def test_hashtags_are_tokens(folder):
    docs, _ = folder.tokens(folder.write("#\tO\n#ner\tO\n#NewYork\tB-LOC\n\n#1\tO\n"))
    assert docs == [(["#", "#ner", "#NewYork"], [(2, 3, "LOC")]), (["#1"], [])]
    docs, _ = folder.tokens(folder.write("# O\n#ner O\n#NewYork B-LOC\n"))
    assert docs == [(["#", "#ner", "#NewYork"], [(2, 3, "LOC")])]
    docs, _ = folder.tokens(folder.write("No DT - O\n# # - O\n1 CD - I-MISC\n"))
    assert docs == [(["No", "#", "1"], [(2, 3, "MISC")])]


def test_comments_are_no_tokens(folder):
    text = "# by hand\n#\n#sent_id = 3\nAna\tB-PER\n# in between, not a break\nRuiz\tI-PER\n"
    assert folder.tokens(folder.write(text))[0] == [(["Ana", "Ruiz"], [(0, 2, "PER")])]
    text = "# written by hand\nAna B-PER\n# newdoc\nBo B-PER\n"
    assert folder.tokens(folder.write(text))[0] == [
        (["Ana"], [(0, 1, "PER")]),
        (["Bo"], [(0, 1, "PER")]),
    ]


@pytest.mark.parametrize("n_rows", [1, 9])
def test_comments_with_tabs_among_rows_with_spaces(folder, n_rows):
    comment = "# id f5458a3a-0b1c-4f5e\tdomain=en"
    rows = "".join(f"w{i} _ _ B-X\n" for i in range(n_rows))
    docs, summary = folder.tokens(folder.write(f"{comment}\n{rows}\n{comment}\n{rows}"))
    words = [f"w{i}" for i in range(n_rows)]
    assert docs == [(words, [(i, i + 1, "X") for i in range(n_rows)])] * 2
    assert list(summary.notes) == ["BIO, spaces, token in column 1, tag in 4"]


def test_token_numbers_annotator_column_and_comments(folder):
    text = (
        "# newdoc id = d-1\n# sent_id = 1\n# text = Em 34 470, a\tO PT:\n"
        "1\tEm\tO\t-\t-\n2\t34 470\tO\t-\t-\n3\t,\tO\t-\tborje\n4\tPT\tB-ORG\t-\tborje\n\n"
        "#tag\tO\tO\tO\tO\n1\t#x\tB-ORG\t-\tborje\n2\t-\tI-ORG\t-\t-\n"
    )
    docs, summary = folder.tokens(folder.write(text))
    assert docs == [
        (["Em", "34 470", ",", "PT"], [(3, 4, "ORG")]),
        (["#x", "-"], [(0, 2, "ORG")]),
    ]
    assert summary.missing == 0
    assert dict(summary.notes) == {"BIO, tabs, token in column 2, tag in 3": 1}


def test_spacing_comes_from_the_text_comment(folder):
    rows = "1\tOi\tO\n2\t,\tO\n3\tAna\tB-PER\n4\t!\tO\n\n"
    path = folder.write(
        f"# text = Oi, Ana!\n{rows}# text = Oi,  Ana!\n{rows}# text = Oi, Ana!!\n{rows}{rows}"
    )
    convert([path], folder.path / "out.spacy")
    docs = load(folder.path / "out.spacy")
    # Where spacing is not known, DocBin gives every word a space.
    assert [(doc.text, doc.has_unknown_spaces) for doc in docs] == [
        ("Oi, Ana!", False),
        ("Oi , Ana ! ", True),  # two spaces are more than a Doc can hold
        ("Oi , Ana ! ", True),  # the words are not the whole text
        ("Oi , Ana ! ", True),
    ]


def test_odd_tokens_survive_as_they_are(folder):
    odd = ["34 470", " ", "\ufe0f", "\u200b", "x\ufeff", "\ufeff", "\uf0be", "\ufffd", "\U0001f642"]
    odd += ["\u00a0", "a\u2028b", "a\x85b", "a\x0bb", "\x1c", '"', "-", "O", "B-PER"]
    text = "".join(f"{token}\tB-X\n" for token in ["a", *odd])
    docs, _ = folder.tokens(folder.write(text))
    assert docs == [(["a", *odd], [(i, i + 1, "X") for i in range(len(odd) + 1)])]


def test_byte_order_mark_belongs_to_the_file_only_at_its_start(folder):
    docs, _ = folder.tokens(folder.write(b"\xef\xbb\xbfAna\tB-X\nx\xef\xbb\xbf\tO\n"))
    assert docs == [(["Ana", "x\ufeff"], [(0, 1, "X")])]
    docs, summary = folder.tokens(
        folder.write(b"\xef\xbb\xbf-DOCSTART- -X- O O\n\nAna NNP O B-X\n")
    )
    assert docs == [(["Ana"], [(0, 1, "X")])] and summary.sentences == 1


def test_line_ends(folder):
    unix = "a\tO\nb\tB-X\n\nc\tO\n\n"
    expected = folder.tokens(folder.write(unix))[0]
    assert len(expected) == 2
    for text in (unix.replace("\n", "\r\n"), unix.rstrip("\n"), unix + "\n\n", unix + "\t"):
        assert folder.tokens(folder.write(text))[0] == expected


def test_no_final_line_break_after_the_last_tag(folder):
    assert folder.tokens(folder.write("a\tO\n\nb\tS-X"))[0] == [(["a"], []), (["b"], [(0, 1, "X")])]


def test_mostly_missing_annotation_is_still_a_tag_column(folder):
    text = column("- - - - B-X -") + "".join(f"w\t-\n{line}" for line in ("", "\n", ""))
    docs, summary = folder.tokens(folder.write(text))
    assert [ents for _, ents in docs] == [[(4, 5, "X")], []]
    assert summary.missing == 8 and summary.tokens == 9


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
        ("Ana NN B-NP B-PER B-LOC\nran V O O O\n", [(0, 1, "PER")], "3, 4 and 5, of which 4"),
        ("Ana NN I-NP B-PER\nran V B-VP O\n", [(0, 1, "PER")], "3 and 4, of which 4"),
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


def test_trailing_columns_between_tabs(folder):
    assert folder.tokens(folder.write("Ana\tB-PER\nRuiz\tI-PER\tsure\t\nran\tO\n"))[0] == [
        (["Ana", "Ruiz", "ran"], [(0, 2, "PER")])
    ]


def test_numbers_as_tokens_are_no_token_numbers(folder):
    assert folder.tokens(folder.write("7 CD O\n8 CD B-X\n"))[0] == [(["7", "8"], [(1, 2, "X")])]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (
            "a\tO\n\nb\tB-X\nc\n",
            {},
            "FILE, line 4: expected at least 2 columns (tabs, token in column 1, tag in 2), "
            "got 1 in 'c'",
        ),
        (
            "a O\nNew York B-LOC\nb O\n",
            {},
            "FILE, line 2: expected 2 columns (spaces, token in column 1, tag in 2), got 3 in "
            "'New York B-LOC'",
        ),
        ("a\tO\n#b\nc\tO\n", {}, "FILE, line 2: expected at least 2 columns"),
        ("a\tO\nb\tB-PER\nc\tI_PER\n", {}, "FILE, line 3: tag: expected 'O' or a prefix"),
        ("a\tO\nb\t\n", {}, "FILE, line 2: tag: expected 'O' or a prefix"),
        ("# O\n# PER\nx B-PER\n", {}, "FILE, line 2: tag: expected 'O' or a prefix"),
        ("x\tO\ny\tPER\n", {"scheme": "BIO"}, "FILE, line 2: tag: expected 'O' or a prefix"),
        (
            "a\tO\nb\tE-PER\n",
            {"scheme": "iob2"},
            "FILE, line 2: tag: expected one of the prefixes of BIO, B, I, got 'E-PER'",
        ),
        (
            "a\tB-X\nb\tL-X\nc\tS-X\n",
            {},
            "BMEWO: O B M E W), got B- (line 1), L- (line 2), S- (line 3)",
        ),
        ("a NN x\nb NN y\n", {}, "FILE, line 1: expected columns separated by tabs or spaces, one"),
        ("just text\n", {}, "tags such as 'O' and 'B-PER', got 'just text'"),
        ("a\tNN\tO\n", {"tag_column": 2}, "FILE, line 1: tag: expected 'O' or a prefix"),
        ("a\tO\n", {"tag_column": 3}, "tag_column: expected one of the 2 columns of FILE, got 3"),
        (
            "a\tO\n",
            {"token_column": -3},
            "token_column: expected one of the 2 columns of FILE, got -3",
        ),
        (
            "a\tO\n",
            {"token_column": 2, "tag_column": -1},
            "FILE: expected token and tag in different ones of 2 columns, got both in column -1",
        ),
        (b"a\tO\n\xe9\tO\n", {}, "FILE, line 2: expected UTF-8, got byte 0xe9"),
        ("a\tO\n".encode("utf-16"), {}, "FILE, line 1: expected UTF-8, got byte 0xff"),
        ("", {}, "FILE: expected a sentence with a token, got none"),
        ("\n# newdoc\n\n", {}, "FILE: expected a sentence with a token, got none"),
        ("\tO\n", {}, "FILE: expected a sentence with a token, got none"),
    ],
)
def test_bad_input(folder, text, options, message):
    assert message in folder.error(folder.write(text, "FILE"), **options)


def test_line_ends_of_old_macs(folder):
    unix = "a\tO\nb\tB-X\n\nc\tO\n\n"
    expected = folder.tokens(folder.write(unix))[0]
    for text in unix.replace("\n", "\r"), unix.rstrip("\n").replace("\n", "\r"):
        assert folder.tokens(folder.write(text))[0] == expected
    assert folder.error(folder.write("a\tO\rb\r")).startswith("in.conll, line 2: expected at least")


FORMS = [
    # tags, entities, note, remarks
    ("b-per i-per o B-loc", [(0, 2, "per"), (3, 4, "loc")], "BIO", {}),
    ("PER-B PER-I O cell-line-B", [(0, 2, "PER"), (3, 4, "cell-line")], "BIO, label last", {}),
    ("PER_B PER_I O LOC_B", [(0, 2, "PER"), (3, 4, "LOC")], "BIO, label last", {}),
    ("PER-S LOC-B LOC-E O", [(0, 1, "PER"), (1, 3, "LOC")], "BIOES, label last", {}),
    ("B_PER I_PER O B_A_b", [(0, 2, "PER"), (3, 4, "A_b")], "BIO, underscore", {}),
    (
        "B I O B",
        [(0, 2, "ENTITY"), (3, 4, "ENTITY")],
        "BIO, prefixes without labels",
        {"entities whose tags have no label were called ENTITY": 2},
    ),
    (
        "PER PER O art-film/tv - LOC",
        [(0, 2, "PER"), (3, 4, "art-film/tv"), (5, 6, "LOC")],
        "IO, labels without B- and I-",
        {"entities from labels without B- and I-: neighbors of one label are one entity": 3},
    ),
]


@pytest.mark.parametrize("separator", ["\t", " "])
@pytest.mark.parametrize(("tags", "ents", "note", "remarks"), FORMS)
def test_forms_of_tags(folder, separator, tags, ents, note, remarks):
    path = folder.write(column(tags, separator))
    docs, summary = folder.tokens(path)
    assert docs[0][1] == ents and dict(summary.remarks) == remarks
    assert summary.repairs == []
    (found,) = summary.notes
    assert found.startswith(f"{note}, {'tabs' if separator != ' ' else 'spaces'}, token in")
    assert summary.missing == tags.split().count("-")


def test_forms_can_be_set(folder):
    path = folder.write(column("B-1 B-1 O B I"))
    assert folder.tokens(path, scheme="io")[0][0][1] == [(0, 2, "B-1"), (3, 4, "B"), (4, 5, "I")]
    docs, _ = folder.tokens(folder.write(column("I I O B")), label="Disease")
    assert docs[0][1] == [(0, 2, "Disease"), (3, 4, "Disease")]


def test_words_are_no_labels(folder):
    """A column of words or parts of speech may have an "O"."""
    assert "columns separated by" in folder.error(folder.write("O a\ncarro b\nbom c\nO d\n"))
    rows = "".join(f"w{i} {'O' if i == 7 else 'NV^!'[i % 4]}\n" for i in range(40))
    assert "columns separated by" in folder.error(folder.write(rows))
    rows = "O O\ncarro O\nde O\nAna PER\n"
    assert folder.tokens(folder.write(rows))[0] == [(["O", "carro", "de", "Ana"], [(3, 4, "PER")])]


@pytest.mark.parametrize("rows", ["B-ACTOR\tbrad\nI-ACTOR\tpitt\nO\tfilms\n", "B A\nI b\nO c\n"])
def test_tags_first(folder, rows):
    docs, _ = folder.tokens(folder.write(rows), label="ACTOR")
    assert docs[0][1] == [(0, 2, "ACTOR")] and docs[0][0][2] in ("films", "c")


def test_white_space_behind_tags(folder):
    docs, summary = folder.tokens(folder.write("Ana\tB-PER \nLi\tI-PER\u00a0\nran\tO \n"))
    assert docs == [(["Ana", "Li", "ran"], [(0, 2, "PER")])] and not summary.repairs


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


def test_comments_of_multiconer(folder):
    comment, rows = "# id 5f-{} domain=train", "ana _ _ B-PER\n# _ _ O\nran _ _ O\n"
    text = f"{comment.format(1)}\n{rows}\n{comment.format(2)}\n{rows}"
    for content in text, text.replace(" domain", "\tdomain"), text.replace(" _ _ ", "\t_\t_\t"):
        docs, _ = folder.tokens(folder.write(content))
        assert docs == [(["ana", "#", "ran"], [(0, 1, "PER")])] * 2
    content = "# id 5\tdomain=en\nana\tB-PER\n# id 6\tdomain=en\nran\tO\n"
    assert folder.tokens(folder.write(content))[0] == [(["ana", "ran"], [(0, 1, "PER")])]


def test_lines_of_medline(folder):
    text = "###MEDLINE:95369245\n\nIL-2\tB-DNA\ngene\tI-DNA\n\n###MEDLINE:7\n\nNF\tO\n"
    docs, _ = folder.convert(folder.write(text), group_docs=True)
    assert [doc.user_data["document_id"] for doc in docs] == ["95369245", "7"]
    assert folder.tokens(folder.write(text))[0] == [
        (["IL-2", "gene"], [(0, 2, "DNA")]),
        (["NF"], []),
    ]


@pytest.mark.parametrize("code", ["en", "pt", "zh-min-nan", "be-x-old", "simple"])
def test_language_prefix_of_tokens(folder, code):
    path = folder.write(f"{code}:Mara\tB-PER\n{code}:\tO\n{code}:x:y\tO\n\n{code}:{code}:\tO\n")
    docs, summary = folder.tokens(path)
    assert docs == [(["Mara", "x:y"], [(0, 1, "PER")]), ([f"{code}:"], [])]
    assert summary.remarks == {f"tokens had the prefix {code}:, which was cut off": 4}
    assert folder.tokens(path, token_prefix="")[0][0][0] == [
        f"{code}:Mara",
        f"{code}:",
        f"{code}:x:y",
    ]
    docs, _ = folder.tokens(folder.write("@@a\tO\nb\tB-X\n"), token_prefix="@@")
    assert docs == [(["a", "b"], [(1, 2, "X")])]
    docs, summary = folder.tokens(folder.write("re:x\tO\nb\tB-X\n"))
    assert docs[0][0] == ["re:x", "b"] and not summary.remarks


def test_a_file_of_missing_tags_alone(folder):
    docs, summary = folder.tokens(folder.write("# newdoc\nAna\t-\nran\t-\n"))
    assert docs == [(["Ana", "ran"], [])] and summary.missing == 2
