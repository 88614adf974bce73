"""What is written can be read back."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin, Span
from spacy.vocab import Vocab

from spacy_bio_crf.corpora import convert
from tests.support.convert_tools import everything, folder, load  # noqa: F401
from tests.support.paths import CORPORA, needs_corpora

# ruff: noqa: F811


def make_doc(words, spaces, ents=(), missing=(), starts=None, name=""):
    doc = Doc(Vocab(), words=words, spaces=spaces, sent_starts=starts)
    doc.set_ents([Span(doc, *ent) for ent in ents], missing=[Span(doc, i, i + 1) for i in missing])
    if name:
        doc.user_data["document_id"] = name
    return doc


def save(docs, path):
    DocBin(docs=docs, store_user_data=True).to_disk(path)
    return path


DOCS = [
    make_doc(
        ["Ana", "Ruiz", "ran", ".", "#x", '"', "É", "O", "a b", "-"],
        [True, True, False, False, True, False, False, True, True, False],
        [(0, 2, "PER"), (2, 3, "B-X"), (4, 5, "Y"), (5, 6, "Y")],
        [3, 9],
        [True, False, False, False, True, False, False, True, False, False],
        "a b",
    ),
    make_doc(["no", "sentences"], [True, False], [], []),
    make_doc(
        ["\u00a0", " ", "\ufeffx"], [True, False, False], [(2, 3, "X")], [], [True, False, False]
    ),
    make_doc(["a", ",", "b"], None, [(0, 2, "X")], [], [True, False, False]),
]


def test_jsonl_keeps_everything(tmp_path):
    source = save(
        [*DOCS, make_doc(["x", "\n\n", "y"], [True, False, True], [(2, 3, "X")])],
        tmp_path / "a.spacy",
    )
    before = list(map(everything, load(source)))
    convert([source], tmp_path / "b.jsonl")
    convert([tmp_path / "b.jsonl"], tmp_path / "c.spacy")
    after = list(map(everything, load(tmp_path / "c.spacy")))
    assert after == before
    # Once more, from JSONL to JSONL, gives the same lines but for the source.
    convert([tmp_path / "b.jsonl"], tmp_path / "d.jsonl")
    lines = [
        [json.loads(line) | {"meta": None} for line in (tmp_path / name).read_text().splitlines()]
        for name in ("b.jsonl", "d.jsonl")
    ]
    assert lines[0] == lines[1]


def test_what_a_line_of_jsonl_says(tmp_path):
    source = save(DOCS[:1], tmp_path / "a.spacy")
    convert([source], tmp_path / "b.jsonl")
    data = json.loads((tmp_path / "b.jsonl").read_text())
    assert data["text"] == 'Ana Ruiz ran.#x "ÉO a b -'
    assert data["spans"][0] == {
        "start": 0,
        "end": 8,
        "token_start": 0,
        "token_end": 1,
        "label": "PER",
    }
    assert data["tokens"][3] == {
        "text": ".",
        "start": 12,
        "end": 13,
        "id": 3,
        "ws": False,
        "sent_start": False,
        "missing": True,
    }
    assert data["meta"] == {"document_id": "a b", "source": "a.spacy:1"}


@pytest.mark.parametrize("suffix", [".conll", ".iob2", ".tsv"])
def test_columns_keep_everything(tmp_path, suffix):
    source = save(DOCS, tmp_path / "a.spacy")
    before = list(map(everything, load(source)))
    before[1] = (*before[1][:4], [True, False], "")  # a column file is made of sentences
    convert([source], tmp_path / f"b{suffix}")
    summary = convert([tmp_path / f"b{suffix}"], tmp_path / "c.spacy", group_docs=True)
    assert list(map(everything, load(tmp_path / "c.spacy"))) == before
    assert summary.repairs == []


def test_a_column_file_as_written(tmp_path):
    convert([save(DOCS[:2], tmp_path / "a.spacy")], tmp_path / "b.conll")
    assert (tmp_path / "b.conll").read_text() == (
        "# newdoc id = a b\n# text = Ana Ruiz ran.\n# space_after = no\nAna\tB-PER\nRuiz\tI-PER\n"
        'ran\tB-B-X\n.\t-\n\n# text = #x "É\n# space_after = no\n#x\tB-Y\n"\tB-Y\nÉ\tO\n\n'
        "# text = O a b -\nO\tO\na b\tO\n-\t-\n\n# newdoc\n# text = no sentences\nno\tO\n"
        "sentences\tO\n\n"
    )


def test_what_columns_cannot_hold(tmp_path):
    doc = make_doc(
        ["a", "\n", "b", "\t", "c\td", "-DOCSTART-", "\r\n"],
        [False, False, True, False, True, False, False],
        [(0, 3, "X"), (3, 6, "Y")],
        [],
        [True, False, False, False, False, True, False],
    )
    source = save([doc], tmp_path / "a.spacy")
    summary = convert([source], tmp_path / "b.conll")
    assert dict(summary.dropped) == {"white-space token that a column file cannot hold": 3}
    assert sorted(summary.remarks.values()) == [1, 2]
    convert([tmp_path / "b.conll"], tmp_path / "c.spacy", group_docs=True)
    (doc,) = load(tmp_path / "c.spacy")
    assert doc.text == "a b c_d DOCSTART"
    assert [(e.text, e.label_) for e in doc.ents] == [("a b", "X"), ("c_d", "Y"), ("DOCSTART", "Y")]


words = st.text(st.sampled_from("ab#-\u00e9\U0001f642"), min_size=1, max_size=3)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_any_doc_survives(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("docs")
    docs = []
    for _ in range(data.draw(st.integers(1, 3))):
        n = data.draw(st.integers(1, 6))
        flags = st.lists(st.booleans(), min_size=n, max_size=n)
        cuts = sorted(data.draw(st.sets(st.integers(0, n), max_size=4)))
        starts = [True, *data.draw(flags)[1:]]
        # No sentence begins inside an entity.
        ents = [
            (a, b, "X") for a, b in zip(cuts, cuts[1:], strict=False) if not any(starts[a + 1 : b])
        ]
        inside = {i for a, b, _ in ents for i in range(a, b)}
        missing = [i for i, m in enumerate(data.draw(flags)) if m and i not in inside]
        texts = data.draw(st.lists(words, min_size=n, max_size=n))
        docs.append(make_doc(texts, [*data.draw(flags)[1:], False], ents, missing, starts, "n"))
        docs[-1].user_data["document_id"] = str(len(docs))
    if all(t.ent_iob == 0 for doc in docs for t in doc):
        return  # nothing in such a column file says that it has tags
    source = save(docs, folder / "a.spacy")
    expected = list(map(everything, docs))
    for name, options in ("b.jsonl", {}), ("b.conll", {"group_docs": True, "scheme": "BIO"}):
        convert([source], folder / name)
        convert([folder / name], folder / "c.spacy", force=True, **options)
        assert list(map(everything, load(folder / "c.spacy"))) == expected


def test_docs_keep_what_they_carry(tmp_path):
    doc = make_doc(
        ["Ana", "met", "Bo", "and", "X"], [True] * 5, [(0, 1, "PER"), (2, 3, "GPE")], [3]
    )
    doc[1].lemma_, doc[1].pos_ = "meet", "VERB"
    doc.ents = [Span(doc, 0, 1, "PER", kb_id="Q1", span_id="s"), Span(doc, 2, 3, "GPE")]
    doc.set_ents([], missing=[doc[3:4]], blocked=[doc[4:5]], default="unmodified")
    doc.spans["sc"] = [Span(doc, 0, 3, "EVENT")]
    source = save([doc], tmp_path / "a.bin")  # the name says nothing
    summary = convert([source], tmp_path / "b.spacy", rename={"PER": "PERSON"}, drop=["GPE"])
    (new,) = load(tmp_path / "b.spacy")
    assert [(e.text, e.label_, e.kb_id_, e.id_) for e in new.ents] == [("Ana", "PERSON", "Q1", "s")]
    assert [t.ent_iob for t in new] == [3, 2, 2, 0, 3]
    assert (new[1].lemma_, new[1].pos_) == ("meet", "VERB")
    assert [s.label_ for s in new.spans["sc"]] == ["EVENT"]
    assert new.user_data["source"] == "a.bin:1"
    assert summary.labels_read == {"PER": 1, "GPE": 1} and summary.entities == {"PERSON": 1}
    assert summary.missing == 1 and dict(summary.dropped) == {"label GPE": 1}


def test_a_broken_docbin(folder):
    for content in b"\x78\x9cnothing", b"":
        message = folder.error(folder.write(content, "a.spacy"))
        assert message.startswith("a.spacy: expected a file of Docs as spaCy's DocBin writes it")


def test_options_that_mean_nothing(folder):
    path = save(DOCS, folder.path / "a.spacy")
    for options, message in (
        ({"n_sents": 2}, "--n-sents 2: means nothing for the format spacy, only for columns"),
        ({"misaligned": "expand"}, "--misaligned expand: means nothing for the format spacy, only"),
        ({"token_column": 2}, "--token-column 2: means nothing for the format spacy, only for col"),
        ({"misaligned": "x"}, "--misaligned: got 'x', expected one of strict, expand, contract, m"),
        ({"overlaps": "x"}, "--overlaps: got 'x', expected one of longest, first, error"),
    ):
        assert message in folder.error(path, **options)


@needs_corpora
@pytest.mark.parametrize("name", ["btc/btc.dev"])
def test_corpora_survive(tmp_path, name):
    convert([CORPORA / name], tmp_path / "a.spacy", group_docs=True)
    expected = [e[:5] for e in map(everything, load(tmp_path / "a.spacy"))]
    for middle in "b.jsonl", "b.conll":
        convert([tmp_path / "a.spacy"], tmp_path / middle)
        options = {"group_docs": True} if middle == "b.conll" else {}
        convert([tmp_path / middle], tmp_path / "c.spacy", force=True, **options)
        assert [e[:5] for e in map(everything, load(tmp_path / "c.spacy"))] == expected
