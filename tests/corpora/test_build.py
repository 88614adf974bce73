import time
from collections import Counter

import pytest

from spacy_bio_crf.corpora import convert
from tests.support.convert_tools import TEXT, column, load, make_doc, plain, save

MARKED = {
    "-DOCSTART-": "a\tO\n\n-DOCSTART- -X- O\n\nb\tB-X\n\nc\tO\n\n-DOCSTART-\tO\nd\tO\n",
    "# newdoc": "a\tO\n\n# newdoc id = n 2\nb\tB-X\n\nc\tO\n\n# newdoc\nd\tO\n",
}


@pytest.mark.parametrize("mark", MARKED)
def test_grouping(folder, mark):
    path = folder.write(MARKED[mark])
    other = folder.write("e\tO\n\nf\tO\n\ng\tB-X\n", "other.conll")

    def words(**options):
        return ["".join(words) for words, _ in folder.tokens(path, other, **options)[0]]

    assert words() == ["a", "b", "c", "d", "e", "f", "g"]
    assert words(group_docs=True) == ["a", "bc", "d", "efg"]
    assert words(n_sents=2) == ["a", "bc", "d", "ef", "g"]
    assert words(n_sents=9) == ["a", "bc", "d", "efg"]


def test_what_a_doc_carries(folder):
    path = folder.write(MARKED["# newdoc"])
    convert([path], folder.path / "out.spacy", group_docs=True)
    _, doc, last = load(folder.path / "out.spacy")
    assert doc.text == "b c "
    assert doc.has_unknown_spaces
    assert [t.is_sent_start for t in doc] == [True, True]
    assert doc.user_data == {"source": "in.conll:4", "document_id": "n 2"}
    assert last.user_data == {"source": "in.conll:9"}


def test_unknown_spaces_of_one_sentence_are_those_of_its_doc(folder):
    path = folder.write("# text = ab.\nab\tO\n.\tO\n\nc\tO\n")
    docs, _ = folder.convert(path)
    assert [doc.has_unknown_spaces for doc in docs] == [False, True]
    (doc,), _ = folder.convert(path, group_docs=True)
    assert doc.has_unknown_spaces


def test_labels_are_renamed_and_dropped(folder):
    path = folder.write(column("B-PER I-PER B-MISC B-LOC B-GPE"))
    docs, summary = folder.tokens(path, rename={"PER": "PERSON", "GPE": "LOC"}, drop=["MISC"])
    assert docs[0][1] == [(0, 2, "PERSON"), (3, 4, "LOC"), (4, 5, "LOC")]
    assert summary.entities == Counter(PERSON=1, LOC=2)
    assert summary.labels_read == Counter(PER=1, MISC=1, LOC=1, GPE=1)
    assert dict(summary.dropped) == {"label MISC": 1}


def test_overlaps(folder):
    spans = [[4, 8, "IN"], [0, 8, "OUT"], [0, 8, "OUT"], [4, 14, "CUT"], [9, 14, "END"]]
    path = folder.write([{"text": TEXT, "spans": spans}], "a.jsonl")
    for options, ents, n in (
        ({}, [("Ruiz lives", "CUT")], 3),  # ten characters but two tokens, as many as OUT
        ({"overlaps": "first"}, [("Ruiz", "IN"), ("lives", "END")], 3),
    ):
        docs, summary = folder.convert(path, **options)
        if not options:
            ents = [("Ana Ruiz", "OUT"), ("lives", "END")]
            n = 2
        assert docs[0].ents and plain(docs[0])[1] == ents
        rule = options.get("overlaps", "longest")
        assert summary.dropped[f"entity that overlaps another (the {rule} one stays)"] == n
    assert folder.error(path, overlaps="error") == (
        "a.jsonl, line 1: expected entities that share no tokens, got OUT on tokens 0 to 2 and IN "
        "on tokens 1 to 2; set `overlaps` to longest or first to keep one"
    )
    # What is dropped by its label cannot stand in another's way.
    docs, summary = folder.convert(path, drop=["OUT", "CUT", "IN"], overlaps="error")
    assert plain(docs[0])[1] == [("lives", "END")]


def test_the_same_entity_twice_is_no_overlap(folder):
    path = folder.write([{"text": TEXT, "spans": [[0, 8, "A"], [0, 8, "A"]]}], "a.jsonl")
    docs, summary = folder.convert(path, overlaps="error")
    assert plain(docs[0])[1] == [("Ana Ruiz", "A")]
    assert dict(summary.dropped) == {"entity given twice": 1}


def test_misaligned_entities(folder):
    records = [
        {"text": "Nobody here", "spans": []},
        {"text": "Anabela Ruizes ran", "spans": [[0, 3, "X"], [8, 12, "Y"], [8, 14, "Z"]]},
    ]
    path = folder.write(records, "a.jsonl")
    expected = {
        "missing": ([("Ruizes", "Z")], ["", "B", "O"]),
        "expand": ([("Anabela", "X"), ("Ruizes", "Y")], ["B", "B", "O"]),
        "contract": ([("Ruizes", "Z")], ["", "B", "O"]),
    }
    for policy, (ents, iob) in expected.items():
        docs, summary = folder.convert(path, misaligned=policy)
        assert plain(docs[1])[1] == ents
        assert [t.ent_iob_ for t in docs[1]] == iob
        found = [(m.place.split("/")[-1], m.text, m.label) for m in summary.misaligned]
        assert found == [("a.jsonl, line 2", "Ana", "X"), ("a.jsonl, line 2", "Ruiz", "Y")]
    assert folder.error(path, misaligned="strict") == (
        "a.jsonl, line 2: entity 'Ana' (X, characters 0 to 3): expected borders of tokens, got the "
        "tokens ['Anabela']"
    )


def test_white_space_around_entities_is_counted(folder):
    path = folder.write([{"text": "Ana  ran", "spans": [[0, 4, "X"], [3, 5, "Y"]]}], "a.jsonl")
    docs, summary = folder.convert(path, misaligned="strict")
    assert plain(docs[0])[1] == [("Ana", "X")]
    assert list(summary.remarks.values()) == [1]
    assert dict(summary.dropped) == {"entity on white space alone": 1}


def test_uncovered_parts_of_entities_are_unknown(folder):
    """The longest one stays; of the other one, nobody knows whether its rest is an entity."""
    spans = [[0, 8, "A"], [4, 17, "B"], [4, 8, "C"]]
    docs, summary = folder.convert(folder.write([{"text": TEXT, "spans": spans}], "a.jsonl"))
    assert plain(docs[0])[1] == [("Ruiz lives in", "B")]
    assert [t.text for t in docs[0] if t.ent_iob == 0] == ["Ana"]
    docs, _ = folder.convert(folder.path / "a.jsonl", overlaps="first")
    assert plain(docs[0])[1] == [("Ana Ruiz", "A")]
    assert [t.text for t in docs[0] if t.ent_iob == 0] == ["lives", "in"]
    misc = ("NER=B-X", "_", "NER=I-X", "NER=B-Y", "NER=I-Y")
    rows = zip(("1", "2-3", "2", "3", "4"), ("A", "bc", "b", "c", "d"), misc, strict=True)
    lines = "".join(f"{n}\t{word}\t_\t_\t_\t_\t_\t_\t_\t{m}\n" for n, word, m in rows)
    docs, summary = folder.convert(folder.write(lines, "a.conllu"))
    assert plain(docs[0])[1] == [("A bc", "X")] and [t.ent_iob_ for t in docs[0]] == ["B", "I", ""]


@pytest.mark.parametrize("policy", ["strict", "missing"])
def test_tokens_split_at_the_borders_of_entities(folder, policy):
    text = "1año, Anabela \u00e0s 3h30"
    spans = [[0, 1, "N"], [1, 4, "U"], [6, 9, "P"], [17, 19, "T"], [19, 21, "M"], [13, 17, "S"]]
    path = folder.write([{"text": text, "spans": spans}], "a.jsonl")
    docs, summary = folder.convert(path, split_tokens=True, misaligned=policy, lang="es")
    (doc,) = docs
    assert doc.text == text and summary.missing == 0 and not summary.misaligned
    ents = [("1", "N"), ("año", "U"), ("Ana", "P"), ("\u00e0s", "S"), ("3h", "T"), ("30", "M")]
    assert plain(doc)[1] == ents
    assert summary.remarks["borders of entities inside a token, which was split there"] > 0
    before = folder.convert(path, lang="es")[0][0]
    assert len(before.ents) < len(ents)
    tokens = [{"start": 0, "end": 4, "sent_start": True}, {"start": 4, "end": 5}]
    record = {"text": "1año, ", "tokens": tokens, "spans": [[1, 4, "U"]]}
    docs, _ = folder.convert(folder.write([record], "b.jsonl"), split_tokens=True)
    assert [(t.text, t.is_sent_start) for t in docs[0]] == [
        ("1", True),
        ("año", False),
        (",", False),
    ]


def test_labels_lose_white_space_at_their_borders(folder):
    path = save([make_doc(["Ana"], [False], [(0, 1, "PER ")])], folder.path / "a.spacy")
    docs, summary = folder.convert(path, rename={"PER": "P"})
    assert plain(docs[0])[1] == [("Ana", "P")]
    assert summary.remarks == {"labels had white space at a border, which was cut off": 1}


def test_many_unannotated_tokens_take_time_in_proportion(folder):
    lines = "".join(f"ab\t{'-' if i % 2 else 'O'}\n" for i in range(30_000))
    convert(folder.write(lines), folder.path / "a.jsonl")
    begun = time.process_time()
    _, summary = folder.convert(folder.path / "a.jsonl")
    assert summary.missing == 15_000 and time.process_time() - begun < 8


def test_bad_units_are_left_out_and_listed(folder):
    text = "-DOCSTART-\tO\n\na\tO\nb\tX\n\nc\tB-X\n\n-DOCSTART-\tO\n\nd\nd\tO\n\ne\tO\n\nf\tI_X\n"
    path = folder.write(text)
    assert folder.error(path).startswith("in.conll, line 4: tag: expected 'O' or a prefix")
    docs, summary = folder.convert(path, skip_bad=True, group_docs=True)
    assert [[t.text for t in doc] for doc in docs] == [["c"], ["e"]]
    assert [error.split(": ")[0].split(", ")[-1] for error in summary.skipped] == [
        "line 4", "line 10", "line 15"
    ]  # fmt: skip
    lines = [
        '{"text": "a", "spans": []}',
        '{"text": "b"',
        '{"text": 3}',
        "[1]",
        '{"text": "c"}',
        "x",
    ]
    path = folder.write("\n".join(lines), "a.jsonl")
    assert folder.error(path).startswith("a.jsonl, line 2: expected a JSON object")
    docs, summary = folder.convert(path, skip_bad=True)
    assert [doc.text for doc in docs] == ["a", "c"] and len(summary.skipped) == 4
    rows = [{"tokens": ["a"], "ner_tags": tags} for tags in (["O"], ["O", "O"], ["X-Y"], ["B-Y"])]
    path = folder.write([rows[0], rows[2], rows[3]], "b.jsonl")
    docs, summary = folder.convert(path, skip_bad=True)
    assert len(docs) == 2 and len(summary.skipped) == 1
    for name, end in ("a", 3), ("b", 2):
        folder.write("Ana", f"brat/{name}.txt")
        folder.write(f"T1\tP 0 {end}\tAna\n", f"brat/{name}.ann")
    docs, summary = folder.convert(folder.path / "brat", skip_bad=True)
    assert [plain(doc) for doc in docs] == [("Ana", [("Ana", "P")])] and len(summary.skipped) == 1
    folder.path.joinpath("brat/a.txt").unlink()
    folder.path.joinpath("brat/a.ann").unlink()
    message = folder.error(folder.path / "brat", skip_bad=True)
    assert "expected a sentence with a token, got none; left out: with errors (1), the" in message
