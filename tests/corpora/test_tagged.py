from collections import Counter

import pytest

from spacy_bio_crf.corpora import Repair, convert
from tests.support.convert_tools import column, load


def test_empty_tokens_are_dropped_and_counted(folder):
    text = "\tO\na\tO\n\tO\nb\tB-X\n\tI-X\nc\tI-X\n\n\tO\n\n\tB-X\nd\tI-X\n\n\tB-X\ne\tO\n"
    docs, summary = folder.tokens(folder.write(text))
    assert docs == [
        (["a", "b", "c"], [(1, 3, "X")]),
        (["d"], [(0, 1, "X")]),
        (["e"], []),
    ]
    assert (summary.documents, summary.sentences, summary.tokens) == (3, 4, 5)
    assert summary.entities == Counter(X=2)
    assert dict(summary.dropped) == {
        "empty token": 6,
        "entity on empty tokens alone": 1,
        "sentence without tokens": 1,
    }


def test_neighbours_of_one_type_stay_two(folder):
    assert folder.tokens(folder.write("@\tB-PER\nana\tB-PER\nli\tI-PER\n"))[0] == [
        (["@", "ana", "li"], [(0, 1, "PER"), (1, 3, "PER")])
    ]


def test_iob1_without_a_single_b(folder):
    docs, summary = folder.tokens(
        folder.write("Ana NNP - I-PER\nRuiz NNP - I-PER\nACME NNP - I-ORG\nran VBD - O\n")
    )
    assert docs[0][1] == [(0, 2, "PER"), (2, 3, "ORG")]
    assert summary.repairs == []
    assert list(summary.notes) == ["IOB1, spaces, token in column 1, tag in 4"]


def test_missing_annotation_is_not_o(folder):
    convert([folder.write("a\t-\n\tO\nb\tB-X\nc\tI-X\nd\t-\ne\tO\n")], folder.path / "out.spacy")
    (doc,) = load(folder.path / "out.spacy")
    assert [(t.text, t.ent_iob_) for t in doc] == [
        ("a", ""),
        ("b", "B"),
        ("c", "I"),
        ("d", ""),
        ("e", "O"),
    ]


def test_labels_with_hyphens(folder):
    docs, _ = folder.tokens(folder.write("a\tB-cell-line\nb\tI-cell-line\nc\tI-line\n"))
    assert docs[0][1] == [(0, 2, "cell-line"), (2, 3, "line")]


SAME = {
    "BIO": "B-X I-X I-X O B-Y B-Y",
    "IOB1": "I-X I-X I-X O I-Y B-Y",
    "BIOES": "B-X I-X E-X O S-Y S-Y",
    "BILUO": "B-X I-X L-X O U-Y U-Y",
    "BMES": "B-X M-X E-X O S-Y S-Y",
    "BMEWO": "B-X M-X E-X O W-Y W-Y",
}


@pytest.mark.parametrize("name", SAME)
def test_scheme_is_found_out_or_given(folder, name):
    path = folder.write(column(SAME[name]))
    for options in ({}, {"scheme": name.lower()}):
        docs, summary = folder.tokens(path, **options)
        assert docs[0][1] == [(0, 3, "X"), (4, 5, "Y"), (5, 6, "Y")]
        assert summary.repairs == []
        assert next(iter(summary.notes)).startswith(f"{name}, tabs")


def test_files_of_b_and_i_are_judged_together(folder):
    """The second file alone looks like IOB1."""
    files = folder.write(column("B-X I-X O B-X"), "a"), folder.write(column("O I-X"), "b")
    docs, summary = folder.tokens(*files)
    assert [ents for _, ents in docs] == [[(0, 2, "X"), (3, 4, "X")], [(1, 2, "X")]]
    assert summary.repairs == [Repair(files[1], 2, "I-X", "begun")]


def test_files_of_several_schemes(folder):
    docs, summary = folder.tokens(
        *(folder.write(column(tags), name) for name, tags in SAME.items() if name != "IOB1")
    )
    assert all(doc == docs[0] for doc in docs)
    assert [note.split(",")[0] for note in summary.notes] == [n for n in SAME if n != "IOB1"]


ORPHANS = "B-PER I-LOC O I-PER B-PER"


def test_orphans_are_repaired_counted_and_reported(folder):
    path = folder.write("w\tB-X\n\n" + column(ORPHANS))
    docs, summary = folder.tokens(path)
    assert docs[1][1] == [(0, 1, "PER"), (1, 2, "LOC"), (3, 4, "PER"), (4, 5, "PER")]
    assert summary.repairs == [Repair(path, 4, "I-LOC", "begun"), Repair(path, 6, "I-PER", "begun")]
    docs, summary = folder.tokens(path, repair="discard")
    assert docs[1][1] == [(0, 1, "PER"), (4, 5, "PER")]
    assert [(r.line, r.what) for r in summary.repairs] == [(4, "discarded"), (6, "discarded")]


def test_entities_do_not_go_past_a_sentence_or_document(folder):
    for line in ("", "-DOCSTART-", "# newdoc"):
        path = folder.write(f"w\tB-X\nx\tI-X\n{line}\ny\tI-X\nz\tB-X\n")
        docs, summary = folder.tokens(path)
        assert [ents for _, ents in docs] == [[(0, 2, "X")], [(0, 1, "X"), (1, 2, "X")]]
        assert summary.repairs == [Repair(path, 4, "I-X", "begun")]


def test_open_entities_of_bioes_are_closed(folder):
    path = folder.write(column("B-X I-X O E-X S-X"))
    docs, summary = folder.tokens(path)
    assert docs[0][1] == [(0, 2, "X"), (3, 4, "X"), (4, 5, "X")]
    assert summary.repairs == [Repair(path, 2, "I-X", "closed"), Repair(path, 4, "E-X", "begun")]


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
    two = folder.write(f"{code}:Mara\tB-PER\n{code}:a\tO\n\nxx:b\tO\nxx:c\tO\n")
    docs, summary = folder.tokens(two)
    assert [words for words, _ in docs] == [["Mara", "a"], ["b", "c"]]
    assert list(summary.remarks.values()) == [2, 2]
    docs, _ = folder.tokens(folder.write("@@a\tO\nb\tB-X\n"), token_prefix="@@")
    assert docs == [(["a", "b"], [(1, 2, "X")])]
    table = folder.write(f"word,tag\n{code}:Mara,B-PER\n{code}:x,O\n", "a.csv")
    assert folder.tokens(table)[0] == [(["Mara", "x"], [(0, 1, "PER")])]
    record = {"tokens": [f"{code}:Mara", f"{code}:x"], "ner_tags": ["B-PER", "O"]}
    assert folder.tokens(folder.write([record], "a.jsonl"))[0] == [(["Mara", "x"], [(0, 1, "PER")])]
    docs, summary = folder.tokens(folder.write("re:x\tO\nb\tB-X\n"))
    assert docs[0][0] == ["re:x", "b"] and not summary.remarks
