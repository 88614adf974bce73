from collections import Counter
from pathlib import Path

import pytest
from spacy.attrs import ENT_IOB
from spacy.tokens import DocBin
from spacy.vocab import Vocab

from spacy_bio_crf.corpora import FORMATS, ConvertError, Format, Repair, Sentence, convert
from tests.support.paths import CORPORA, needs_corpora


@pytest.fixture
def write(tmp_path):
    """Write a file as it stands, byte by byte."""

    def write_file(text, name="in.conll"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
        return path

    return write_file


@pytest.fixture
def run(tmp_path):
    """Convert, read the result back, and return it as plain values with the summary."""

    def run_convert(*inputs, **options):
        output = tmp_path / "out.spacy"
        summary = convert(inputs, output, force=True, **options)
        return [plain(doc) for doc in load(output)], summary

    return run_convert


def load(path):
    return list(DocBin().from_disk(path).get_docs(Vocab()))


def plain(doc):
    """Words and entities: what most tests are about."""
    return [t.text for t in doc], [(e.start, e.end, e.label_) for e in doc.ents]


def error(write, text, **options):
    """The message of the error that converting the text gives, which must not write anything."""
    path = write(text)
    output = path.with_name("never.spacy")
    with pytest.raises(ConvertError) as caught:
        convert([path], output, **options)
    assert {p.name for p in path.parent.iterdir()} == {path.name}
    return str(caught.value).replace(str(path), "FILE")


# --- The corpora: the numbers of sentences, tokens and entities that were counted independently.


def lener_documents(part):
    folder = CORPORA / "lener_br" / "leNER-Br" / part
    return [p.relative_to(CORPORA) for p in sorted(folder.glob("*.conll")) if p.stem != part]


COUNTS = [
    # file, sentences, tokens with the empty ones, empty tokens, entities, labels, layout
    ("wnut17/wnut17train.conll", 3394, 62730, 0, 1975, 6, "BIO, tabs"),
    ("wnut17/emerging.dev.conll", 1009, 15733, 0, 836, 6, "BIO, tabs"),
    ("wnut17/emerging.test.annotated", 1287, 23394, 0, 1079, 6, "BIO, tabs"),
    ("btc/btc.train", 6338, 99933, 0, 8779, 3, "BIO, tabs"),
    ("btc/btc.dev", 1001, 15027, 3, 1730, 3, "BIO, tabs"),
    ("btc/btc.test", 2001, 35428, 2, 4376, 3, "BIO, tabs"),
    ("lener_br/leNER-Br/train/train.conll", 7827, 229277, 0, 8894, 6, "BIO, spaces"),
    ("lener_br/leNER-Br/dev/dev.conll", 1176, 41166, 0, 1818, 6, "BIO, spaces"),
    ("lener_br/leNER-Br/test/test.conll", 1389, 47630, 0, 1536, 6, "BIO, spaces"),
    ("uner_pt_bosque/train.iob2", 7018, 171776, 0, 8101, 3, "BIO, tabs"),
    ("uner_pt_bosque/dev.iob2", 1172, 28447, 0, 1401, 3, "BIO, tabs"),
    ("uner_pt_bosque/test.iob2", 1167, 27604, 0, 1215, 3, "BIO, tabs"),
    ("sec_filings/FIN5.train.txt", 1164, 41010, 0, 1168, 4, "IOB1, spaces"),
    ("sec_filings/FIN3.test.txt", 303, 13246, 0, 318, 4, "IOB1, spaces"),
    ("bc5cdr/IOBES/train.tsv", 4560, 118170, 0, 9385, 2, "BIOES, tabs"),
    ("bc5cdr/IOBES/devel.tsv", 4581, 117453, 0, 9593, 2, "BIOES, tabs"),
    ("bc5cdr/IOBES/test.tsv", 4797, 124750, 0, 9809, 2, "BIOES, tabs"),
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Convert corpus files, each selection once; return the output's path and the summary."""
    folder, done = tmp_path_factory.mktemp("corpora"), {}

    def convert_once(*files, **options):
        key = (files, *options.items())
        if key not in done:
            output = folder / f"{len(done)}.spacy"
            done[key] = output, convert([CORPORA / name for name in files], output, **options)
        return done[key]

    return convert_once


@needs_corpora
@pytest.mark.parametrize(
    ("file", "sentences", "tokens", "empty", "entities", "labels", "layout"),
    COUNTS,
    ids=[c[0] for c in COUNTS],
)
def test_corpora(corpus, file, sentences, tokens, empty, entities, labels, layout):
    output, summary = corpus(file)
    docs = DocBin().from_disk(output)
    iob = [tokens[:, docs.attrs.index(ENT_IOB)] for tokens in docs.tokens]
    # One sentence of btc.dev is a single empty token: no Doc can hold it.
    without_tokens = summary.dropped["sentence without tokens"]
    assert without_tokens == (1 if file == "btc/btc.dev" else 0)
    assert summary.sentences == len(docs) + without_tokens == sentences
    assert summary.dropped["empty token"] == empty
    assert summary.tokens == sum(map(len, iob)) == tokens - empty
    assert sum(summary.entities.values()) == sum((doc == 3).sum() for doc in iob) == entities
    assert len(summary.entities) == labels
    assert summary.repairs == []
    assert [note.split(", token")[0] for note in summary.notes] == [layout]


@needs_corpora
@pytest.mark.parametrize(
    ("files", "documents", "sentences"),
    [
        (lener_documents("train"), 50, 7827),
        (lener_documents("dev"), 10, 1176),
        (lener_documents("test"), 10, 1389),
        (["sec_filings/FIN5.train.txt"], 5, 1164),
        (["sec_filings/FIN3.test.txt"], 3, 303),
        (["uner_pt_bosque/test.iob2"], 39, 1167),
    ],
    ids=["lener-train", "lener-dev", "lener-test", "sec-train", "sec-test", "uner-test"],
)
def test_corpora_by_document(corpus, files, documents, sentences):
    output, summary = corpus(*files, group_docs=True)
    docs = load(output)
    assert summary.documents == len(docs) == documents
    assert summary.sentences == sum(len(list(doc.sents)) for doc in docs)
    assert summary.sentences == sentences
    if "lener" in str(files[0]):
        assert all(340 <= len(doc) <= 22640 for doc in docs)


@needs_corpora
def test_documents_have_the_same_sentences(corpus):
    for file in ("sec_filings/FIN3.test.txt", "uner_pt_bosque/test.iob2"):
        whole = [
            sent.as_doc() for doc in load(corpus(file, group_docs=True)[0]) for sent in doc.sents
        ]
        assert list(map(plain, whole)) == list(map(plain, load(corpus(file)[0])))


@needs_corpora
@pytest.mark.parametrize("name", ["train.tsv", "devel.tsv", "test.tsv"])
def test_bc5cdr_in_two_schemes_gives_the_same_bytes(corpus, name):
    (iob, summary), (iobes, _) = corpus(f"bc5cdr/IOB/{name}"), corpus(f"bc5cdr/IOBES/{name}")
    assert next(iter(summary.notes)).startswith("BIO, tabs")
    assert iob.read_bytes() == iobes.read_bytes()


# --- Traps in column files.


@pytest.mark.parametrize("line", ["", "\t", " ", " \t ", "\u3000"])
def test_lines_of_white_space_end_sentences(write, run, line):
    docs, summary = run(write(f"a\tO\n{line}\nb\tB-X\n{line}\n{line}\nc\tI-X\n"))
    assert [words for words, _ in docs] == [["a"], ["b"], ["c"]]
    assert summary.sentences == 3


def test_hashtags_are_tokens(write, run):
    docs, _ = run(write("#\tO\n#ner\tO\n#NewYork\tB-LOC\n\n#1\tO\n"))
    assert docs == [(["#", "#ner", "#NewYork"], [(2, 3, "LOC")]), (["#1"], [])]
    docs, _ = run(write("# O\n#ner O\n#NewYork B-LOC\n"))
    assert docs == [(["#", "#ner", "#NewYork"], [(2, 3, "LOC")])]
    docs, _ = run(write("No DT - O\n# # - O\n1 CD - I-MISC\n"))
    assert docs == [(["No", "#", "1"], [(2, 3, "MISC")])]


def test_comments_are_no_tokens(write, run):
    text = "# by hand\n#\n#sent_id = 3\nAna\tB-PER\n# in between, not a break\nRuiz\tI-PER\n"
    assert run(write(text))[0] == [(["Ana", "Ruiz"], [(0, 2, "PER")])]
    text = "# written by hand\nAna B-PER\n# newdoc\nBo B-PER\n"
    assert run(write(text))[0] == [(["Ana"], [(0, 1, "PER")]), (["Bo"], [(0, 1, "PER")])]


def test_token_numbers_annotator_column_and_comments(write, run):
    text = (
        "# newdoc id = d-1\n# sent_id = 1\n# text = Em 34 470, a\tO PT:\n"
        "1\tEm\tO\t-\t-\n2\t34 470\tO\t-\t-\n3\t,\tO\t-\tborje\n4\tPT\tB-ORG\t-\tborje\n\n"
        "#tag\tO\tO\tO\tO\n1\t#x\tB-ORG\t-\tborje\n2\t-\tI-ORG\t-\t-\n"
    )
    docs, summary = run(write(text))
    assert docs == [
        (["Em", "34 470", ",", "PT"], [(3, 4, "ORG")]),
        (["#x", "-"], [(0, 2, "ORG")]),
    ]
    assert summary.missing == 0
    assert dict(summary.notes) == {"BIO, tabs, token in column 2, tag in 3": 1}


def test_spacing_comes_from_the_text_comment(write, tmp_path):
    rows = "1\tOi\tO\n2\t,\tO\n3\tAna\tB-PER\n4\t!\tO\n\n"
    path = write(
        f"# text = Oi, Ana!\n{rows}# text = Oi,  Ana!\n{rows}# text = Oi, Ana!!\n{rows}{rows}"
    )
    convert([path], tmp_path / "out.spacy")
    docs = load(tmp_path / "out.spacy")
    # Where spacing is not known, DocBin gives every word a space.
    assert [(doc.text, doc.has_unknown_spaces) for doc in docs] == [
        ("Oi, Ana!", False),
        ("Oi , Ana ! ", True),  # two spaces are more than a Doc can hold
        ("Oi , Ana ! ", True),  # the words are not the whole text
        ("Oi , Ana ! ", True),
    ]


def test_empty_tokens_are_dropped_and_counted(write, run):
    text = "\tO\na\tO\n\tO\nb\tB-X\n\tI-X\nc\tI-X\n\n\tO\n\n\tB-X\nd\tI-X\n\n\tB-X\ne\tO\n"
    docs, summary = run(write(text))
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


def test_odd_tokens_survive_as_they_are(write, run):
    odd = ["34 470", " ", "\ufe0f", "\u200b", "x\ufeff", "\ufeff", "\uf0be", "\ufffd", "\U0001f642"]
    odd += ["\u00a0", "a\u2028b", "a\x85b", "a\x0bb", "\x1c", '"', "-", "O", "B-PER"]
    text = "".join(f"{token}\tB-X\n" for token in ["a", *odd])
    docs, _ = run(write(text))
    assert docs == [(["a", *odd], [(i, i + 1, "X") for i in range(len(odd) + 1)])]


def test_byte_order_mark_belongs_to_the_file_only_at_its_start(write, run):
    docs, _ = run(write(b"\xef\xbb\xbfAna\tB-X\nx\xef\xbb\xbf\tO\n"))
    assert docs == [(["Ana", "x\ufeff"], [(0, 1, "X")])]
    docs, summary = run(write(b"\xef\xbb\xbf-DOCSTART- -X- O O\n\nAna NNP O B-X\n"))
    assert docs == [(["Ana"], [(0, 1, "X")])] and summary.sentences == 1


def test_line_ends(write, run):
    unix = "a\tO\nb\tB-X\n\nc\tO\n\n"
    expected = run(write(unix))[0]
    assert len(expected) == 2
    for text in (unix.replace("\n", "\r\n"), unix.rstrip("\n"), unix + "\n\n", unix + "\t"):
        assert run(write(text))[0] == expected


def test_no_final_line_break_after_the_last_tag(write, run):
    assert run(write("a\tO\n\nb\tS-X"))[0] == [(["a"], []), (["b"], [(0, 1, "X")])]


def test_neighbours_of_one_type_stay_two(write, run):
    assert run(write("@\tB-PER\nana\tB-PER\nli\tI-PER\n"))[0] == [
        (["@", "ana", "li"], [(0, 1, "PER"), (1, 3, "PER")])
    ]


def test_iob1_without_a_single_b(write, run):
    docs, summary = run(write("Ana NNP - I-PER\nRuiz NNP - I-PER\nACME NNP - I-ORG\nran VBD - O\n"))
    assert docs[0][1] == [(0, 2, "PER"), (2, 3, "ORG")]
    assert summary.repairs == []
    assert list(summary.notes) == ["IOB1, spaces, token in column 1, tag in 4"]


def test_missing_annotation_is_not_o(write, tmp_path):
    convert([write("a\t-\n\tO\nb\tB-X\nc\tI-X\nd\t-\ne\tO\n")], tmp_path / "out.spacy")
    (doc,) = load(tmp_path / "out.spacy")
    assert [(t.text, t.ent_iob_) for t in doc] == [
        ("a", ""),
        ("b", "B"),
        ("c", "I"),
        ("d", ""),
        ("e", "O"),
    ]


def test_mostly_missing_annotation_is_still_a_tag_column(write, run):
    text = column("- - - - B-X -") + "".join(f"w\t-\n{line}" for line in ("", "\n", ""))
    docs, summary = run(write(text))
    assert [ents for _, ents in docs] == [[(4, 5, "X")], []]
    assert summary.missing == 8 and summary.tokens == 9


def test_labels_with_hyphens(write, run):
    docs, _ = run(write("a\tB-cell-line\nb\tI-cell-line\nc\tI-line\n"))
    assert docs[0][1] == [(0, 2, "cell-line"), (2, 3, "line")]


# --- Finding out scheme and columns.

SAME = {
    "BIO": "B-X I-X I-X O B-Y B-Y",
    "IOB1": "I-X I-X I-X O I-Y B-Y",
    "BIOES": "B-X I-X E-X O S-Y S-Y",
    "BILUO": "B-X I-X L-X O U-Y U-Y",
    "BMES": "B-X M-X E-X O S-Y S-Y",
    "BMEWO": "B-X M-X E-X O W-Y W-Y",
}


def column(tags, separator="\t"):
    return "".join(f"w{i}{separator}{tag}\n" for i, tag in enumerate(tags.split()))


@pytest.mark.parametrize("name", SAME)
def test_scheme_is_found_out_or_given(write, run, name):
    path = write(column(SAME[name]))
    for options in ({}, {"scheme": name.lower()}):
        docs, summary = run(path, **options)
        assert docs[0][1] == [(0, 3, "X"), (4, 5, "Y"), (5, 6, "Y")]
        assert summary.repairs == []
        assert next(iter(summary.notes)).startswith(f"{name}, tabs")


def test_files_of_b_and_i_are_judged_together(write, run):
    """The second file alone looks like IOB1."""
    files = write(column("B-X I-X O B-X"), "a"), write(column("O I-X"), "b")
    docs, summary = run(*files)
    assert [ents for _, ents in docs] == [[(0, 2, "X"), (3, 4, "X")], [(1, 2, "X")]]
    assert summary.repairs == [Repair(files[1], 2, "I-X", "begun")]


def test_files_of_several_schemes(write, run):
    docs, summary = run(
        *(write(column(tags), name) for name, tags in SAME.items() if name != "IOB1")
    )
    assert all(doc == docs[0] for doc in docs)
    assert [note.split(",")[0] for note in summary.notes] == [n for n in SAME if n != "IOB1"]


@pytest.mark.parametrize("separator", ["\t", " ", "   "])
def test_columns_are_found_out_or_given(write, run, separator):
    rows = [
        ["Ana", "NNP", "B-NP", "B-PER"],
        ["Ruiz", "NNP", "I-NP", "I-PER"],
        ["met", "VBD", "B-VP", "O"],
    ]
    path = write("".join(separator.join(row) + "\n" for row in rows))
    words = ["Ana", "Ruiz", "met"]
    assert run(path)[0] == [(words, [(0, 2, "PER")])]
    chunks = [(words, [(0, 2, "NP"), (2, 3, "VP")])]
    assert run(path, tag_column=3)[0] == run(path, tag_column=-2)[0] == chunks
    assert run(path, token_column=2)[0] == [(["NNP", "NNP", "VBD"], [(0, 2, "PER")])]
    assert run(path, token_column=-4, tag_column=-1)[0] == [(words, [(0, 2, "PER")])]


def test_tag_column_may_come_first(write, run):
    assert run(write("B-PER\tAna\nI-PER\tRuiz\n"), token_column=2)[0] == [
        (["Ana", "Ruiz"], [(0, 2, "PER")])
    ]


def test_trailing_columns_between_tabs(write, run):
    assert run(write("Ana\tB-PER\nRuiz\tI-PER\tsure\t\nran\tO\n"))[0] == [
        (["Ana", "Ruiz", "ran"], [(0, 2, "PER")])
    ]


def test_numbers_as_tokens_are_no_token_numbers(write, run):
    assert run(write("7 CD O\n8 CD B-X\n"))[0] == [(["7", "8"], [(1, 2, "X")])]


# --- Repairs.

ORPHANS = "B-PER I-LOC O I-PER B-PER"


def test_orphans_are_repaired_counted_and_reported(write, run):
    path = write("w\tB-X\n\n" + column(ORPHANS))
    docs, summary = run(path)
    assert docs[1][1] == [(0, 1, "PER"), (1, 2, "LOC"), (3, 4, "PER"), (4, 5, "PER")]
    assert summary.repairs == [Repair(path, 4, "I-LOC", "begun"), Repair(path, 6, "I-PER", "begun")]
    docs, summary = run(path, repair="discard")
    assert docs[1][1] == [(0, 1, "PER"), (4, 5, "PER")]
    assert [(r.line, r.what) for r in summary.repairs] == [(4, "discarded"), (6, "discarded")]


def test_entities_do_not_go_past_a_sentence_or_document(write, run):
    for line in ("", "-DOCSTART-", "# newdoc"):
        path = write(f"w\tB-X\nx\tI-X\n{line}\ny\tI-X\nz\tB-X\n")
        docs, summary = run(path)
        assert [ents for _, ents in docs] == [[(0, 2, "X")], [(0, 1, "X"), (1, 2, "X")]]
        assert summary.repairs == [Repair(path, 4, "I-X", "begun")]


def test_open_entities_of_bioes_are_closed(write, run):
    path = write(column("B-X I-X O E-X S-X"))
    docs, summary = run(path)
    assert docs[0][1] == [(0, 2, "X"), (3, 4, "X"), (4, 5, "X")]
    assert summary.repairs == [Repair(path, 2, "I-X", "closed"), Repair(path, 4, "E-X", "begun")]


# --- Documents.

MARKED = {
    "-DOCSTART-": "a\tO\n\n-DOCSTART- -X- O\n\nb\tB-X\n\nc\tO\n\n-DOCSTART-\tO\nd\tO\n",
    "# newdoc": "a\tO\n\n# newdoc id = n 2\nb\tB-X\n\nc\tO\n\n# newdoc\nd\tO\n",
}


@pytest.mark.parametrize("mark", MARKED)
def test_grouping(write, run, mark):
    path = write(MARKED[mark])
    other = write("e\tO\n\nf\tO\n\ng\tB-X\n", "other.conll")

    def words(**options):
        return ["".join(words) for words, _ in run(path, other, **options)[0]]

    assert words() == ["a", "b", "c", "d", "e", "f", "g"]
    assert words(group_docs=True) == ["a", "bc", "d", "efg"]
    assert words(n_sents=2) == ["a", "bc", "d", "ef", "g"]
    assert words(n_sents=9) == ["a", "bc", "d", "efg"]


def test_what_a_doc_carries(write, tmp_path):
    path = write(MARKED["# newdoc"])
    convert([path], tmp_path / "out.spacy", group_docs=True)
    _, doc, last = load(tmp_path / "out.spacy")
    assert doc.text == "b c "
    assert doc.has_unknown_spaces
    assert [t.is_sent_start for t in doc] == [True, True]
    assert doc.user_data == {"source": "in.conll:4", "document_id": "n 2"}
    assert last.user_data == {"source": "in.conll:9"}


def test_labels_are_renamed_and_dropped(write, run):
    path = write(column("B-PER I-PER B-MISC B-LOC B-GPE"))
    docs, summary = run(path, rename={"PER": "PERSON", "GPE": "LOC"}, drop=["MISC"])
    assert docs[0][1] == [(0, 2, "PERSON"), (3, 4, "LOC"), (4, 5, "LOC")]
    assert summary.entities == Counter(PERSON=1, LOC=2)
    assert summary.labels_read == Counter(PER=1, MISC=1, LOC=1, GPE=1)
    assert dict(summary.dropped) == {"label MISC": 1}


# --- Inputs and outputs.


def test_a_folder_stands_for_its_files_sorted(write, run, tmp_path):
    (tmp_path / "in" / "below").mkdir(parents=True)
    for name in ("b.txt", "a.txt", ".hidden", "empty.txt", "below/c.txt"):
        write("" if name == "empty.txt" else f"{name}\tB-X\n", f"in/{name}")
    single = write("last\tO\n")
    docs, summary = run(tmp_path / "in", single, tmp_path / "in" / "b.txt")
    assert [words for words, _ in docs] == [["a.txt"], ["b.txt"], ["last"]]
    assert dict(summary.dropped) == {"file without rows": 1}


def test_output_is_not_overwritten_without_force(write, tmp_path):
    output = tmp_path / "new" / "out.spacy"
    path = write("a\tO\n")
    convert([path], output)
    before = output.read_bytes()
    path.write_text("b\tO\nc\tO\n")
    with pytest.raises(ConvertError, match="exists already; use --force"):
        convert([path], output)
    assert output.read_bytes() == before
    convert([path], output, force=True)
    assert output.read_bytes() != before
    assert [p.name for p in output.parent.iterdir()] == ["out.spacy"]


def test_existing_output_survives_an_error(write, tmp_path):
    output = tmp_path / "out.spacy"
    convert([write("a\tO\n")], output)
    before = output.read_bytes()
    with pytest.raises(ConvertError, match="line 3"):
        convert([write("a\tO\n\nb\tB_X\n")], output, force=True)
    assert output.read_bytes() == before


def test_nothing_is_left_when_writing_fails(write, tmp_path, monkeypatch):
    def fail(self, target):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        convert([write("a\tO\n")], tmp_path / "out" / "x.spacy")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_new_format_is_one_entry(write, run, monkeypatch):
    def read(paths, options, summary):
        for path in paths:
            words = path.read_text().split()
            yield Sentence(words, [(0, 1, options.repair)], [], None, path, 1, True)

    monkeypatch.setitem(FORMATS, "words", Format(read, (".words",)))
    plain_file, columns_file = write("Ana ran", "x.words"), write("a\tO\n")
    assert run(plain_file)[0] == [(["Ana", "ran"], [(0, 1, "begin")])]
    assert run(columns_file, format="words")[0] == [(["a", "O"], [(0, 1, "begin")])]
    with pytest.raises(ConvertError, match="inputs of different formats: .*; convert them apart"):
        run(plain_file, columns_file)


# --- Bad input: the message names file and line, or the option, and what was expected.


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (
            "a\tO\n\nb\tB-X\nc\n",
            {},
            "FILE, line 4: expected at least 2 columns (tabs, token in column 1, tag in 2), "
            "found 1: 'c'",
        ),
        (
            "a O\nNew York B-LOC\nb O\n",
            {},
            "FILE, line 2: expected 2 columns (spaces, token in column 1, tag in 2), found 3: "
            "'New York B-LOC'",
        ),
        ("a\tO\n#b\nc\tO\n", {}, "FILE, line 2: expected at least 2 columns"),
        ("a\tO\nb\tB_PER\n", {}, "FILE, line 2: tag: expected 'O' or a prefix"),
        ("a\tO\nb\t\n", {}, "FILE, line 2: tag: expected 'O' or a prefix"),
        ("# O\n# PER\nx O\n", {}, "FILE, line 2: tag: expected 'O' or a prefix"),
        (
            "a\tO\nb\tE-PER\n",
            {"scheme": "iob2"},
            "FILE, line 2: tag: expected one of the prefixes of BIO, B, I, got 'E-PER'",
        ),
        (
            "a\tB-X\nb\tL-X\nc\tS-X\n",
            {},
            "FILE: found tags with B- (line 1), L- (line 2), S- (line 3), which no scheme has",
        ),
        ("a NN x\nb NN y\n", {}, "FILE, line 1: expected columns separated by tabs or spaces, one"),
        ("just text\n", {}, "found: 'just text'"),
        ("a\tNN\tO\n", {"tag_column": 2}, "FILE, line 1: tag: expected 'O' or a prefix"),
        ("a\tO\n", {"tag_column": 3}, "FILE: there is no tag column 3: lines have 2 columns"),
        ("a\tO\n", {"token_column": -3}, "FILE: there is no token column -3: lines have 2"),
        ("a\tO\n", {"token_column": 2, "tag_column": -1}, "token and tag cannot both be in col"),
        ("a\tO\n", {"tag_column": 0}, "--tag-column: got 0, expected 1 for the first column"),
        (b"a\tO\n\xe9\tO\n", {}, "FILE, line 2: expected UTF-8, got byte 0xe9"),
        ("a\tO\n".encode("utf-16"), {}, "FILE, line 1: expected UTF-8, got byte 0xff"),
        ("", {}, "no sentence with a token in FILE"),
        ("\n# newdoc\n\n", {}, "no sentence with a token in FILE"),
        ("\tO\n", {}, "no sentence with a token in FILE"),
        ("a\tO\n", {"repair": "fix"}, "--repair: got 'fix', expected one of begin, discard"),
        ("a\tO\n", {"scheme": "BLUE"}, "--scheme: expected one of BIO"),
        ("a\tO\n", {"format": "bart"}, "--format: got 'bart', expected one of auto, columns, "),
        ("a\tO\n", {"lang": "qq"}, "--lang: spaCy has no language 'qq'"),
        ("a\tO\n", {"n_sents": 0}, "--n-sents: got 0, expected 1 or more"),
        ("a\tO\n", {"n_sents": 2, "group_docs": True}, "expected one of the two"),
        ("a\tO\n", {"rename": {"X": ""}}, "--map: got X=, expected OLD=NEW"),
        ("a\tO\n", {"rename": {"X": "Y"}, "drop": ["X"]}, "--drop X contradicts --map X=Y"),
    ],
)
def test_bad_input(write, text, options, message):
    assert message in error(write, text, **options)


def test_bad_paths(write, tmp_path):
    path = write("a\tO\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder.spacy").mkdir()
    for inputs, output, message in [
        ([path], "out.csv", "expected an output file whose name ends in .spacy, .jsonl, .conll"),
        ([path], "folder.spacy", "expected an output file whose name ends in .spacy"),
        ([tmp_path / "no.conll"], "out.spacy", "no.conll: there is no such file or folder"),
        ([tmp_path / "empty"], "out.spacy", "empty: there are no files in this folder"),
        ([], "out.spacy", "expected one input file or folder at least, got none"),
    ]:
        with pytest.raises(ConvertError, match=message):
            convert(inputs, tmp_path / output)
    assert not (tmp_path / "out.spacy").exists()
