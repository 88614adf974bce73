import pytest

EXPECTED = [(["Ana", '"', "ran,"], [(0, 1, "PER")]), (["In", "Rio"], [(1, 2, "LOC")])]
TABLES = {
    "kaggle": 'Sentence #,Word,POS,Tag\nSentence: 1,Ana,NNP,B-PER\n,"""",``,O\n,"ran,",VBD,O\n'
    "Sentence: 2,In,IN,O\n,Rio,NNP,B-LOC\n",
    "ids": ",sentence_id;token;ner_tag\n0;1;Ana;B-PER\n".replace(",", "x;", 1)
    + '1;1;"""";O\n2;1;ran,;O\n3;2;In;O\n4;2;Rio;B-LOC\n',
    "labels": 'word,label\nAna,PER\n"""",O\n"ran,",O\n\nIn,O\nRio,LOC\n',
    "tabs": 'sent_idx\tword\ttag\n1\tAna\tPER-B\n1\t"\tO\n1\tran,\tO\n2\tIn\tO\n2\tRio\tLOC-B\n',
    "rows": 'text,labels\n"Ana "" ran,",B-PER O O\nIn Rio,O B-LOC\n',
    "lists": "Sentence #,Sentence,POS,Tag\nSentence: 1,\"Ana \"\" ran,\",\"['N', '', 'V']\","
    "\"['B-PER', 'O', 'O']\"\nSentence: 2,In Rio,\"['I', 'N']\",\"['O', 'B-LOC']\"\n",
    "bare": 'Ana,B-PER\n"""",O\n"ran,",O\n\nIn,O\nRio,B-LOC\n',
}


@pytest.mark.parametrize("name", TABLES)
def test_tables(folder, name):
    docs, summary = folder.tokens(folder.write(TABLES[name], "a.csv"))
    assert docs == EXPECTED and not summary.repairs
    (note,) = summary.notes
    assert "table" in note and ("a header row" in note) == (name != "bare")


@pytest.mark.parametrize("name", TABLES)
def test_empty_lines_before_a_table(folder, name):
    path = folder.write(f"\n \n{TABLES[name]}", "a.csv")
    assert folder.tokens(path)[0] == EXPECTED
    docs, _ = folder.convert(path, format="csv")
    assert docs[0].user_data["source"] == f"a.csv:{3 + (name != 'bare')}"
    blank = folder.write("\n\n \n", "b.csv")
    assert folder.tokens(path, blank, format="csv")[0] == EXPECTED
    assert "expected a sentence with a token, got none" in folder.error(blank, format="csv")


def test_documents(folder):
    rows = "gold_token,gold_label,doc_idx,sent_idx\na,B-X,0,0\nb,O,0,1\nc,O,1,1\nd,O,1,1\n"
    docs, _ = folder.convert(folder.write(rows, "a.csv"), group_docs=True)
    assert [[t.text for t in doc] for doc in docs] == [["a", "b"], ["c", "d"]]
    assert [doc.user_data for doc in docs] == [
        {"source": "a.csv:2", "document_id": "0"},
        {"source": "a.csv:4", "document_id": "1"},
    ]
    assert [len(list(doc.sents)) for doc in docs] == [2, 1]


def test_ids_need_names(folder):
    path = folder.write(
        "gold_label,gold_token,doc_idx,sent_idx\n1,Ana,0,0\n2,Li,0,0\n0.0,x,0,0\n", "a.csv"
    )
    assert folder.error(path) == (
        "a.csv, line 2: expected tags, or ids whose names are known, got the id 1; "
        "give `tag_names` in the order of the ids"
    )
    docs, _ = folder.tokens(path, tag_names=("O", "PER_B", "PER_I"))
    assert docs == [(["Ana", "Li", "x"], [(0, 2, "PER")])]
    assert (
        folder.error(path, tag_names=("O", "PER_B"))
        == "a.csv, line 3: expected ids from 0 to 1, got '2'"
    )


def test_columns_of_a_table(folder):
    path = folder.write("word,form,tag,ner_tag\na,b,B-X,B-Y\nc,d,O,O\n", "a.csv")
    docs, summary = folder.tokens(path)
    assert docs == [(["a", "c"], [(0, 1, "Y")])]
    assert summary.remarks == {
        "tables with tags under 'tag', too, of which 'ner_tag' was read (`tag_column`)": 1
    }
    docs, summary = folder.tokens(path, token_column=2, tag_column=-2)
    assert docs == [(["b", "d"], [(0, 1, "X")])] and not summary.remarks
    assert folder.error(path, tag_column=5).startswith(
        "tag_column: expected one of the 4 columns of"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "word,tag\na,O\nb\n",
            "a.csv, line 3: expected 2 columns (table with a header row, ',', tok",
        ),
        ("word,tag\na,O\nb,B-X\nc,X\n", "a.csv, line 4: tag: expected 'O' or a prefix"),
        (
            "text,labels\na b,O O\nc,O O\n",
            "a.csv, line 3: expected as many tags as tokens, got 2 in",
        ),
        (
            "wort,tag\na,O\n",
            "a.csv, line 1: expected a column with one of the names form, gold_token",
        ),
    ],
)
def test_bad_tables(folder, content, message):
    assert folder.error(folder.write(content, "a.csv"), format="csv").startswith(message)


def test_column_files_are_no_tables(folder):
    for content in "Ana,\tB-PER\nx\tO\n", "a,b O\nx B-X\n", "token\ttag\nAna\tB-X\n":
        _, summary = folder.tokens(folder.write(content, "a.csv"))
        assert "table" not in next(iter(summary.notes))


def test_lists_as_numpy_writes_them(folder):
    """As pandas writes the arrays of a Parquet file to CSV."""
    rows = "tokens,ner_tags\n\"['Ana' \"\"d'Or\"\"\n 'ran']\",\"['B-PER' 'I-PER' 'O']\"\n"
    path = folder.write(rows + "\"['Bo' '1']\",\"['B-PER' 'O']\"\n[],[]\n", "a.csv")
    docs, _ = folder.tokens(path)
    assert docs == [(["Ana", "d'Or", "ran"], [(0, 2, "PER")]), (["Bo", "1"], [(0, 1, "PER")])]
    path = folder.write("tokens,ner_tags\n\"['Ana' 'ran']\",[1 0]\n['Bo'],[1]\n", "a.csv")
    docs, _ = folder.tokens(path, tag_names=("O", "B-PER"))
    assert docs == [(["Ana", "ran"], [(0, 1, "PER")]), (["Bo"], [(0, 1, "PER")])]


def test_brackets_around_words_are_no_list(folder):
    path = folder.write("text,labels\n[ Ana ],O B-PER O\nBo ran,B-PER O\n", "a.csv")
    docs, _ = folder.tokens(path)
    assert docs == [(["[", "Ana", "]"], [(1, 2, "PER")]), (["Bo", "ran"], [(0, 1, "PER")])]


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_quotation_mark_that_is_not_doubled_is_an_error(folder, delimiter):
    """The rows up to the next one would be one token."""
    rows = 'token,tag\nAna,B-PER\n",O\nran,O\n",O\n\nBo,B-PER\n'.replace(",", delimiter)
    path = folder.write(rows, "a.csv")
    assert folder.error(path).startswith("a.csv, line 3: expected a token on one line; a quotation")
    docs, summary = folder.tokens(path, skip_bad=True)
    assert docs == [(["Bo"], [(0, 1, "PER")])] and len(summary.skipped) == 1
    path = folder.write(rows.replace(f'"{delimiter}O\n\nBo', f"x{delimiter}O\n\nBo"), "a.csv")
    assert folder.error(path).startswith("a.csv, line 3: expected a token on one line; a quotation")


def test_a_token_may_be_a_line_end(folder):
    path = folder.write('token,tag\nAna,B-PER\n"\n",O\nran,O\n', "a.csv")
    assert folder.tokens(path)[0] == [(["Ana", "\n", "ran"], [(0, 1, "PER")])]


def test_sentences_of_one_word(folder):
    rows = "text,labels\nBo,B-PER\nAna ran,B-PER O\nLi,O\nRio,B-LOC\n"
    docs, _ = folder.tokens(folder.write(rows, "a.csv"))
    assert docs == [
        (["Bo"], [(0, 1, "PER")]),
        (["Ana", "ran"], [(0, 1, "PER")]),
        (["Li"], []),
        (["Rio"], [(0, 1, "LOC")]),
    ]


def test_bad_rows_are_left_out_and_listed(folder):
    rows = "doc,token,tag\na,Ana,B-PER\n\na,x\na,y,O\n\nb,x\n\nb,Bo,B-PER\n"
    path = folder.write(rows, "a.csv")
    assert folder.error(path).startswith("a.csv, line 4: expected 3 columns")
    docs, summary = folder.tokens(path, skip_bad=True)
    assert docs == [(["Ana"], [(0, 1, "PER")]), (["Bo"], [(0, 1, "PER")])]
    assert [error.split(":")[0].split(", ")[-1] for error in summary.skipped] == [
        "line 4",
        "line 7",
    ]
    docs, _ = folder.convert(path, skip_bad=True, group_docs=True)
    assert [doc.user_data["document_id"] for doc in docs] == ["a", "b"]
    path = folder.write("text,labels\nAna ran,B-PER O\nBo ran,O\nBo ran,B-PER O\n", "a.csv")
    docs, summary = folder.tokens(path, skip_bad=True)
    assert len(docs) == 2 and len(summary.skipped) == 1 and "line 3" in summary.skipped[0]
    path = folder.write("token,tag\nAna,1\n\nBo,7\n\nBo,0\n", "a.csv")
    docs, summary = folder.tokens(path, skip_bad=True, tag_names=("O", "B-PER"))
    assert docs == [(["Ana"], [(0, 1, "PER")]), (["Bo"], [])]
    assert "expected ids from 0 to 1, got '7'" in summary.skipped[0]
    assert "names are known, got the id 1" in folder.error(path, skip_bad=True)


def test_spaces_behind_commas(folder):
    path = folder.write("id, token, tag\n1, Ana, B-PER\n1, Ruiz, I-PER\n1, , O\n", "a.csv")
    assert folder.tokens(path)[0] == [(["Ana", "Ruiz", " "], [(0, 2, "PER")])]
