"""What is written can be read back."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, Span
from spacy.vocab import Vocab

from spacy_bio_crf.corpora import convert
from spacy_bio_crf.corpora.passages import Summary
from spacy_bio_crf.corpora.write import (
    UNWRITABLE_DATA,
    UNWRITABLE_LABEL,
    UNWRITABLE_LINK,
    WRITERS,
)
from spacy_bio_crf.errors import ConvertError
from spacy_bio_crf.tags.spans import LEFT_ASIDE
from tests.support.convert_tools import everything, load, make_doc, save

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


def test_tokens_that_look_like_marks_come_back(folder):
    words = ["Hi", "###Update:", "# newdoc id = 5", "# text = x", "Bo"]
    doc = make_doc(words, [True] * 5, [(4, 5, "PER")])
    source = save([doc], folder.path / "a.spacy")
    convert([source], folder.path / "a.conll")
    assert folder.tokens(folder.path / "a.conll")[0] == [(words, [(4, 5, "PER")])]


@pytest.mark.parametrize("label", ["R&D-UNIT", "A&E-UNIT", "B&O"])
def test_labels_with_marks_come_back(folder, label):
    source = save([make_doc(["Ana"], [True], [(0, 1, label)])], folder.path / "a.spacy")
    convert([source], folder.path / "a.conll")
    assert folder.tokens(folder.path / "a.conll")[0] == [(["Ana"], [(0, 1, label)])]


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
    convert([source], tmp_path / f"b{suffix}")
    summary = convert([tmp_path / f"b{suffix}"], tmp_path / "c.spacy", group_docs=True)
    assert list(map(everything, load(tmp_path / "c.spacy"))) == before
    assert summary.repairs == []


def test_a_column_file_as_written(tmp_path):
    convert([save(DOCS[:2], tmp_path / "a.spacy")], tmp_path / "b.conll")
    assert (tmp_path / "b.conll").read_text() == (
        "# newdoc id = a b\n# text = Ana Ruiz ran.\n# space_after = no\nAna\tB-PER\nRuiz\tI-PER\n"
        'ran\tB-B-X\n.\t-\n\n# text = #x "É\n# space_after = no\n#x\tB-Y\n"\tB-Y\nÉ\tO\n\n'
        "# text = O a b -\nO\tO\na b\tO\n-\t-\n\n# newdoc\n# sentences = unknown\n"
        "# text = no sentences\nno\tO\nsentences\tO\n\n"
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
    assert dict(summary.dropped) == {"white-space token that a column file can't hold": 3}
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


@pytest.mark.parametrize("label", ["A\tB", "A\nB", "A\rB"])
@pytest.mark.parametrize("suffix", [".conll", ".iob2", ".tsv"])
def test_labels_that_a_column_file_can_not_hold_are_refused(tmp_path, label: str, suffix: str):
    source = save([make_doc(["Ana"], None, [(0, 1, label)], [])], tmp_path / "a.spacy")
    with pytest.raises(ConvertError, match="expected labels without TABs and line ends"):
        convert([source], tmp_path / f"b{suffix}")
    assert not (tmp_path / f"b{suffix}").exists()
    convert([source], tmp_path / "b.jsonl")


EDGES = [
    # words, spaces, entities, sentence starts
    (["Ana", " ", "ran", " "], [True, False, True, False], [(0, 2, "X")], [True, None, None, None]),
    (["Ana", "  ", "ran"], [True, False, True], [(1, 2, "X")], [True, False, False]),
    ([" ", "Ana", "ran"], [False, True, False], [(0, 2, "X")], None),
    (["Ana", "ran"], [True, True], [], None),
]


@pytest.mark.parametrize("suffix", [".jsonl", ".conll"])
@pytest.mark.parametrize(("words", "spaces", "ents", "starts"), EDGES)
def test_white_space_and_unknown_sentences_survive(tmp_path, suffix, words, spaces, ents, starts):
    if starts and None in starts and suffix == ".conll":
        starts = [True, *[False] * (len(words) - 1)]  # a column file has whole sentences or none
    source = save([make_doc(words, spaces, ents, [len(words) - 1], starts)], tmp_path / "a.spacy")
    convert(source, tmp_path / f"b{suffix}")
    convert(tmp_path / f"b{suffix}", tmp_path / "c.spacy")
    (before,), (after,) = load(source), load(tmp_path / "c.spacy")
    assert everything(after) == everything(before) and after.text == before.text
    known = [token.is_sent_start for token in before[1:]]
    assert [token.is_sent_start for token in after[1:]] == known


@pytest.mark.parametrize("suffix", [".jsonl", ".conll"])
def test_parts_of_speech_that_are_left_out_are_counted(tmp_path, suffix):
    doc = Doc(Vocab(), words=["a", "b", "c", "d"], tags=["X", "", "", ""], pos=["", "X", "", ""])
    doc[2].set_morph("")
    summary = Summary()
    WRITERS[suffix]([doc], tmp_path / f"out{suffix}", summary)
    assert dict(summary.dropped) == {UNWRITABLE_LABEL: 3}


@pytest.mark.parametrize("suffix", [".jsonl", ".conll"])
def test_what_only_docs_hold_is_counted(folder, suffix):
    doc = make_doc(["Ana", "ran"], [True, False], [(0, 1, "PER")], name="d")
    doc.ents = [Span(doc, 0, 1, "PER", kb_id="Q1")]
    doc[1].lemma_ = "run"
    doc.user_data |= {"bio_ner_weight": 0.5, "source": "a:1", LEFT_ASIDE: 1}
    path = save([doc], folder.path / "a.spacy")
    summary = convert(path, folder.path / f"b{suffix}")
    assert dict(summary.dropped) == {UNWRITABLE_LABEL: 1, UNWRITABLE_LINK: 1, UNWRITABLE_DATA: 1}
    assert not convert(path, folder.path / "b.spacy").dropped
