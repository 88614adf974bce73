from spacy.tokens import Span

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


def test_a_broken_docbin(folder):
    for content in b"\x78\x9cnothing", b"":
        message = folder.error(folder.write(content, "a.spacy"))
        assert message.startswith(
            "a.spacy: expected a file written by spaCy's DocBin, got a file that"
        )
