import pytest

from spacy_bio_crf.corpora.readers.ud_words import NOT_UNIVERSAL, OTHER_FEATURES
from spacy_bio_crf.corpora.sniff import detect_format
from tests.support.convert_tools import everything, plain


def rows(*triples):
    """Lines of CoNLL-U from number, form and MISC."""
    return "".join(f"{n}\t{form}\t_\tNOUN\tO\t_\t0\troot\t_\t{misc}\n" for n, form, misc in triples)


TEXT = (
    "# newdoc id = d 1\n# sent_id = 1\n# text = Ana foi ao Rio da Prata.\n"
    + rows(
        (1, "Ana", "NER=B-PER"),
        (2, "foi", "NER=O"),
        ("3-4", "ao", "_"),
        (3, "a", "NER=O"),
        (4, "o", "NER=O"),
        (5, "Rio", "Gloss=x|NER=B-LOC"),
        ("6-7", "da", "_"),
        (6, "de", "NER=I-LOC"),
        (7, "a", "NER=I-LOC"),
        ("7.1", "elided", "_"),
        (8, "Prata", "SpaceAfter=No|NER=I-LOC"),
        (9, ".", "SpaceAfter=No|NER=O"),
    )
    + "\n"
    + rows((1, "São", "NER=O"), (2, "#x", "NER=B-PER|SpaceAfter=No"), (3, "!", "NER=O"))
    + "\n# newdoc\n"
    + rows((1, "Fim", "_"))
)


def test_conllu(folder):
    path = folder.write(TEXT, "a.conllu")
    docs, summary = folder.convert(path)
    assert list(map(plain, docs)) == [
        ("Ana foi ao Rio da Prata.", [("Ana", "PER"), ("Rio da Prata", "LOC")]),
        ("São #x!", [("#x", "PER")]),
        ("Fim", []),
    ]
    assert [t.text for t in docs[0]] == ["Ana", "foi", "ao", "Rio", "da", "Prata", "."]
    assert dict(summary.dropped) == {"empty node": 1}
    assert list(summary.notes) == ["BIO, CoNLL-U, tags in MISC under ner"]
    assert summary.missing == 0 and summary.repairs == []
    docs, _ = folder.convert(path, group_docs=True)
    assert [everything(doc) for doc in docs] == [
        (
            ["Ana ", "foi ", "ao ", "Rio ", "da ", "Prata", ".", "São ", "#x", "!"],
            False,
            [(0, 1, "PER"), (3, 6, "LOC"), (8, 9, "PER")],
            [],
            [i in (0, 7) for i in range(10)],
            "d 1",
        ),
        (["Fim"], False, [], [], [True], ""),
    ]
    assert docs[1].user_data["source"] == "a.conllu:22"


@pytest.mark.parametrize("key", ["NER", "ner", "NE", "name", "Entity"])
@pytest.mark.parametrize("tags", [("B-X", "E-X", "S-Y"), ("B-X", "I-X", "B-Y")])
def test_keys_and_schemes(folder, key, tags):
    content = rows(*((i, f"w{i}", f"A=b|{key}={tag}") for i, tag in enumerate(tags, start=1)))
    docs, summary = folder.convert(folder.write(content + rows((4, "end", "_")), "a.txt"))
    assert plain(docs[0]) == ("w1 w2 w3 end", [("w1 w2", "X"), ("w3", "Y")])


def test_a_range_line_with_a_tag_speaks_for_its_words(folder):
    content = rows(
        ("1-2", "du", "NER=B-X"), (1, "de", "NER=B-Y"), (2, "le", "_"), (3, "Lac", "NER=I-X")
    )
    docs, summary = folder.convert(folder.write(content, "a.conllu"))
    assert plain(docs[0]) == ("du Lac", [("du Lac", "X")]) and summary.repairs == []


def test_two_entities_in_one_token(folder):
    content = rows(
        (1, "A", "NER=B-X"), ("2-3", "bc", "_"), (2, "b", "NER=I-X"), (3, "c", "NER=B-Y")
    )
    path = folder.write(content, "a.conllu")
    docs, summary = folder.convert(path)
    assert plain(docs[0])[1] == [("A bc", "X")]
    assert dict(summary.dropped) == {"entity that overlaps another (the longest one stays)": 1}
    assert folder.error(path, overlaps="error").startswith(
        "a.conllu, line 1: expected entities that share no tokens, got Y on"
    )


def test_ten_columns_with_plain_tags_are_a_column_file(folder):
    content = rows((1, "Ana", "B-PER"), (2, "ran", "O"))
    docs, summary = folder.convert(folder.write(content, "a.conllu"))
    assert plain(docs[0])[1] == [("Ana", "PER")]
    assert list(summary.notes) == ["BIO, tabs, token in column 2, tag in 10"]


def test_a_file_without_tags_among_others(folder):
    paths = folder.write(TEXT, "a"), folder.write(rows((1, "x", "_")), "b")
    docs, summary = folder.convert(*paths, format="conllu")
    assert plain(docs[-1]) == ("x", [])
    assert "BIO, CoNLL-U without tags" in summary.notes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            rows((1, "a", "_")).replace("NOUN\tO", "_\t_"),
            "FILE, line 1: expected values in UPOS, XPOS or FEATS, or tags in the column MISC",
        ),
        (TEXT + "2\tx\n", "FILE, line 23: expected 10 columns separated by tabs, got 2 in '2\\tx'"),
        (TEXT + rows(("a", "x", "_")), "FILE, line 23: expected a number such as 1, 1-2 or 1.1 in"),
        (rows((1, "a", "NER=PER")), "FILE, line 1: tag: expected 'O' or a prefix"),
        (rows((1, "a", "Entity=(e1-person")), "FILE, line 1: tag: expected 'O' or a prefix"),
        (
            rows(
                (1, "a", "_"),
                (2, "b", "Entity=(1-person-new"),
                (3, "c", "Entity=1)"),
                (4, "d", "_"),
            ),
            "FILE, line 2: tag: expected 'O' or a prefix, a hyphen and a label, no mention in "
            "brackets, got '(1-person-new'; take the key 'entity' out of the column MISC",
        ),
    ],
)
def test_bad_input(folder, content, message):
    assert message in folder.error(folder.write(content, "FILE"))


TREEBANK = """\
# text = Ele foi ao Rio.
1\tEle\tele\tPRON\tprp\tGender=Masc|Number=Sing\t2\tnsubj\t_\t_
2\tfoi\tir\tVERB\tv\tMood=Ind\t0\troot\t_\t_
3-4\tao\t_\t_\t_\t_\t_\t_\t_\t_
3\ta\ta\tADP\tprp\t_\t5\tcase\t_\t_
4\to\to\tDET\tart\tGender=Masc\t5\tdet\t_\t_
4.1\te\te\tX\t_\t_\t_\t_\t_\t_
5\tRio\tRio\tPROPN\t_\tGender=Masc\t2\tobl\t_\tSpaceAfter=No
6\t.\t.\tPUNCT\t.\t_\t2\tpunct\t_\t_
"""


def test_a_treebank_without_entities(folder):
    (doc,), summary = folder.convert(folder.write(TREEBANK, "a.conllu"))
    assert [t.text for t in doc] == ["Ele", "foi", "ao", "Rio", "."]
    assert [t.pos_ for t in doc] == ["PRON", "VERB", "ADP", "PROPN", "PUNCT"]
    assert [t.tag_ for t in doc] == ["prp", "v", "prp_art", "", "."]
    assert [str(t.morph) for t in doc] == [
        "Gender=Masc|Number=Sing",
        *("Mood=Ind", "Gender=Masc", "Gender=Masc", ""),
    ]
    assert doc[4].has_morph()
    assert summary.missing == 5 and not doc.ents
    assert list(summary.notes) == ["BIO, CoNLL-U without tags"]


def test_lemmas_are_no_tags(folder):
    """Of a small file the lemmas look like labels, "o" among them like an outside."""
    assert detect_format(folder.write(TREEBANK, "a.txt")) == "conllu"


def test_without_features_nothing_is_said_of_them(folder):
    content = TREEBANK.replace("Gender=Masc|Number=Sing", "_").replace("Mood=Ind", "_")
    (doc,), _ = folder.convert(folder.write(content.replace("Gender=Masc", "_"), "a.conllu"))
    assert not any(t.has_morph() for t in doc) and all(t.pos_ for t in doc)


def test_values_that_spacy_has_no_place_for_are_left_out(folder):
    content = TREEBANK.replace("\tPRON\t", "\tPRO\t").replace("Mood=Ind", "Mood")
    (doc,), summary = folder.convert(folder.write(content, "a.conllu"))
    assert [t.pos_ for t in doc] == ["", "VERB", "ADP", "PROPN", "PUNCT"]
    assert [t.has_morph() for t in doc] == [True, False, True, True, True]
    assert dict(summary.remarks) == {NOT_UNIVERSAL: 1, OTHER_FEATURES: 1}


def test_entities_and_parts_of_speech_side_by_side(folder):
    content = TREEBANK.replace("SpaceAfter=No", "SpaceAfter=No|NER=B-LOC")
    (doc,), _ = folder.convert(folder.write(content, "a.conllu"))
    assert plain(doc) == ("Ele foi ao Rio.", [("Rio", "LOC")])
    assert [t.ent_iob_ for t in doc] == list("OOOBO") and doc[3].pos_ == "PROPN"


def test_bad_rows_are_left_out_and_listed(folder):
    row = "{}\tAna\t_\tX\t_\t_\t0\t_\t_{}NER=B-PER\n\n"
    content = "# newdoc id = a\n" + row.format(1, "\t") + "# newdoc id = b\n" + row.format(1, "")
    content += row.format("x", "\t") + row.format(1, "\t")
    path = folder.write(content, "a.conllu")
    assert folder.error(path).startswith("a.conllu, line 5: expected 10 columns separated by tabs")
    docs, summary = folder.convert(path, skip_bad=True)
    assert [doc.user_data["source"] for doc in docs] == ["a.conllu:2", "a.conllu:9"]
    assert [plain(doc) for doc in docs] == [("Ana", [("Ana", "PER")])] * 2
    assert [error.split(":")[0] for error in summary.skipped] == [
        f"{folder.path}/a.conllu, line {line}" for line in (5, 7)
    ]
    docs, _ = folder.convert(path, skip_bad=True, group_docs=True)
    assert [doc.user_data["document_id"] for doc in docs] == ["a", "b"]


def test_an_empty_node_may_be_the_first_row(folder):
    row = "{}\tAna\tana\tPROPN\t_\t_\t0\troot\t0:root\t{}\n"
    path = folder.write(row.format("0.1", "_") + row.format(1, "NER=B-PER"), "a.txt")
    assert detect_format(path) == "conllu"
    (doc,), summary = folder.convert(path)
    assert plain(doc) == ("Ana", [("Ana", "PER")]) and summary.dropped == {"empty node": 1}


def test_mentions_in_brackets_beside_tags(folder):
    content = rows((1, "a", "Entity=(e1-person"), (2, "b", "Entity=e1)|NER=B-X"), (3, "c", "_"))
    (found,), _ = folder.tokens(folder.write(content, "a.conllu"))
    assert found == (["a", "b", "c"], [(1, 2, "X")])
