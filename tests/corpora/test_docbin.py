from spacy.tokens import Span, SpanGroup

from spacy_bio_crf.corpora import convert
from tests.support.convert_tools import load, make_doc, save


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


def test_span_groups_of_conversion_are_renamed(tmp_path):
    doc = make_doc(["Bank", "of", "Rio", "pays", "Bo"], [True] * 5, [(0, 3, "ORG")])
    group = [Span(doc, 0, 3, "ORG"), Span(doc, 2, 3, "LOC", kb_id="Q1"), Span(doc, 4, 5, "PER")]
    doc.spans["gold_spans"] = SpanGroup(doc, attrs={"scores": [0.9, 0.5, 0.7]}, spans=group)
    doc.spans["gold_spans_missing"] = [Span(doc, 3, 4), Span(doc, 3, 4, "LOC")]
    doc.spans["incorrect_spans"] = [Span(doc, 0, 1, "PER"), Span(doc, 1, 2, "ORG")]
    source = save([doc], tmp_path / "a.spacy")
    summary = convert(
        [source], tmp_path / "b.spacy", rename={"LOC": "PLACE", "ORG": "COMPANY"}, drop=["PER"]
    )
    (new,) = load(tmp_path / "b.spacy")
    groups = {key: [(s.start, s.end, s.label_) for s in new.spans[key]] for key in new.spans}
    assert groups == {
        "gold_spans": [(0, 3, "COMPANY"), (2, 3, "PLACE")],
        "gold_spans_missing": [(3, 4, ""), (3, 4, "PLACE")],
        "incorrect_spans": [(1, 2, "COMPANY")],
    }
    assert new.spans["gold_spans"].attrs == {"scores": [0.9, 0.5]}
    assert new.spans["gold_spans"][1].kb_id_ == "Q1"
    # The ORG of doc.ents is also one of the group.
    assert summary.labels_read == {"ORG": 2, "LOC": 2, "PER": 2}
    assert summary.entities == {"COMPANY": 1}


def test_a_source_stays(tmp_path):
    docs = [make_doc(["Ana"], [False]), make_doc(["Bo"], [False])]
    docs[0].user_data["source"] = "x.conll:3"
    convert([save(docs, tmp_path / "a.spacy")], tmp_path / "b.spacy")
    sources = [doc.user_data["source"] for doc in load(tmp_path / "b.spacy")]
    assert sources == ["x.conll:3", "a.spacy:2"]


def test_a_broken_docbin(folder):
    for content in b"\x78\x9cnothing", b"":
        message = folder.error(folder.write(content, "a.spacy"))
        assert message.startswith(
            "a.spacy: expected a file written by spaCy's DocBin, got a file that"
        )
