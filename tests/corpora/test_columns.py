import pytest

from spacy_bio_crf.corpora import convert
from spacy_bio_crf.corpora.readers.columns import HASH_TOKEN
from tests.support.convert_tools import column, load, plain


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


@pytest.mark.parametrize("separator", ["\t", " "])
def test_a_token_that_looks_like_a_mark(folder, separator):
    rows = [("Hi", "O"), ("###Update:", "O"), ("###Bo:", "B-PER")]
    text = "".join(f"{word}{separator}{tag}\n" for word, tag in rows)
    marks = ["###MEDLINE:9\n\n", "\n###MEDLINE: 10\n\n", "\n# newdoc\n"]
    docs, summary = folder.convert(folder.write("".join(mark + text for mark in marks)))
    assert [doc.user_data.get("document_id", "") for doc in docs] == ["9", "10", ""]
    assert [plain(doc) for doc in docs] == [("Hi ###Update: ###Bo:", [("###Bo:", "PER")])] * 3
    assert summary.remarks == {HASH_TOKEN: 6}


@pytest.mark.parametrize("separator", ["\t", " "])
def test_a_token_that_looks_like_a_mark_beside_others_than_tags(folder, separator):
    text = "".join(f"{word}{separator}NN\n" for word in ("Hi", "###Update:", "ran"))
    comments = "###MEDLINE:9\n\n# id = 7\n# newdoc\n# source: x\n"
    docs, summary = folder.convert(folder.write(comments + text), untagged=True)
    assert [plain(doc) for doc in docs] == [("Hi ###Update: ran", [])]
    assert summary.remarks == {HASH_TOKEN: 1} and summary.missing == 3


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


def test_trailing_columns_between_tabs(folder):
    assert folder.tokens(folder.write("Ana\tB-PER\nRuiz\tI-PER\tsure\t\nran\tO\n"))[0] == [
        (["Ana", "Ruiz", "ran"], [(0, 2, "PER")])
    ]


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
        ("a\tO\nb\tB-PER|B-X\n", {}, "FILE, line 2: expected one tag, got 'B-PER|B-X'"),
        ("a\tO\nb\tB-PER&E-X\n", {}, "FILE, line 2: expected one tag, got 'B-PER&E-X'"),
        ("a\tO\nb\tB-PER,O\n", {}, "FILE, line 2: expected one tag, got 'B-PER,O'"),
        ("a,X\nb,O\n", {}, "; name the format with `format` (csv for columns between commas)"),
        ("a\nb\n", {}, "; set `untagged` if the tokens have no tags"),
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
    assert folder.tokens(folder.write("a\tO\rb\tB-X\r\rc\tO\r\n"))[0] == expected
    assert folder.tokens(folder.write("a\tO\r\r\nb\tB-X\r\r\n\r\r\nc\tO\r\r\n"))[0] == expected
    assert folder.error(folder.write("a\tO\rb\r")).startswith("in.conll, line 2: expected at least")


FORMS = [
    # tags, entities, note, remarks
    ("b-per i-per o B-loc", [(0, 2, "per"), (3, 4, "loc")], "BIO", {}),
    ("PER-B PER-I O cell-line-B", [(0, 2, "PER"), (3, 4, "cell-line")], "BIO, label last", {}),
    ("PER_B PER_I O LOC_B", [(0, 2, "PER"), (3, 4, "LOC")], "BIO, label last", {}),
    ("PER-S LOC-B LOC-E O", [(0, 1, "PER"), (1, 3, "LOC")], "BIOES, label last", {}),
    ("B_PER I_PER O B_A_b", [(0, 2, "PER"), (3, 4, "A_b")], "BIO, other mark", {}),
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


def test_white_space_behind_tags(folder):
    docs, summary = folder.tokens(folder.write("Ana\tB-PER \nLi\tI-PER\u00a0\nran\tO \n"))
    assert docs == [(["Ana", "Li", "ran"], [(0, 2, "PER")])] and not summary.repairs


def test_lines_of_medline(folder):
    text = "###MEDLINE:95369245\n\nIL-2\tB-DNA\ngene\tI-DNA\n\n###MEDLINE:7\n\nNF\tO\n"
    docs, _ = folder.convert(folder.write(text), group_docs=True)
    assert [doc.user_data["document_id"] for doc in docs] == ["95369245", "7"]
    assert folder.tokens(folder.write(text))[0] == [
        (["IL-2", "gene"], [(0, 2, "DNA")]),
        (["NF"], []),
    ]


CONLL_2003 = """\
-DOCSTART- -X- O O

U.N. NNP I-NP I-ORG
official NN I-NP O
Ekeus NNP I-NP I-PER
heads VBZ I-VP O
. . O O

Bo NNP I-NP I-PER
Baghdad NNP B-NP I-LOC
left _ I-VP O
"""


def test_parts_of_speech_and_chunks_of_conll_2003(folder):
    path = folder.write(CONLL_2003)
    docs, summary = folder.convert(path)
    assert [[t.tag_ for t in doc] for doc in docs] == [
        ["NNP", "NN", "NNP", "VBZ", "."],
        ["NNP", "NNP", ""],
    ]
    assert [[(s.start, s.end, s.label_) for s in doc.spans["chunks"]] for doc in docs] == [
        [(0, 3, "NP"), (3, 4, "VP")],
        [(0, 1, "NP"), (1, 2, "NP"), (2, 3, "VP")],
    ]
    assert [[ent.label_ for ent in doc.ents] for doc in docs] == [["ORG", "PER"], ["PER", "LOC"]]
    assert not any(t.pos_ or t.has_morph() for doc in docs for t in doc)
    assert list(summary.notes) == [
        "IOB1, spaces, token in column 1, tag in 4, part of speech in 2, chunk in 3"
    ]
    (doc,), _ = folder.convert(path, group_docs=True)
    assert [s.start for s in doc.spans["chunks"]] == [0, 3, 5, 6, 7]
    assert [t.tag_ for t in doc][5:] == ["NNP", "NNP", ""]


def test_chunks_of_conll_2000_are_entities_too(folder):
    (doc,), _ = folder.convert(folder.write("the DT B-NP\npound NN I-NP\nis VBZ B-VP\n. . O\n"))
    spans = [(0, 2, "NP"), (2, 3, "VP")]
    assert [(s.start, s.end, s.label_) for s in doc.spans["chunks"]] == spans
    assert [(s.start, s.end, s.label_) for s in doc.ents] == spans
    assert [t.tag_ for t in doc] == ["DT", "NN", "VBZ", "."]


def test_chunks_may_be_what_is_read(folder):
    docs, _ = folder.tokens(folder.write(CONLL_2003), tag_column=3)
    assert docs[0][1] == [(0, 3, "NP"), (3, 4, "VP")]


def test_universal_parts_of_speech_go_to_their_own_place(folder):
    (doc,), summary = folder.convert(
        folder.write("Ana\tPROPN\nran\tVERB\n"), untagged=True, pos_column=2
    )
    assert [t.pos_ for t in doc] == ["PROPN", "VERB"] and not any(t.tag_ for t in doc)
    assert summary.missing == 2
    assert list(summary.notes)[0].endswith("no tags, part of speech in 2")


def test_tokens_that_are_dropped_take_their_labels_with_them(folder):
    content = "a\tDT\tB-NP\tO\n\tNN\tI-NP\tO\nc\tVB\tI-NP\tB-X\n"
    (doc,), _ = folder.convert(folder.write(content))
    assert [(t.text, t.tag_) for t in doc] == [("a", "DT"), ("c", "VB")]
    assert [(s.start, s.end) for s in doc.spans["chunks"]] == [(0, 2)]


def test_a_chunk_column_of_something_else_is_refused(folder):
    message = folder.error(folder.write("a\tx\tO\nb\ty\tB-X\n"), chunk_column=2)
    assert message.startswith("in.conll, line 1: tag: expected 'O' or a prefix")
