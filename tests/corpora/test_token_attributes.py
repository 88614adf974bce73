"""Labels of tokens and chunks on a Doc of several sentences."""

from pathlib import Path

from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_bio_crf.corpora.passages import Sentence
from spacy_bio_crf.corpora.token_attributes import set_attributes


def sentence(words: list[str], **fields) -> Sentence:
    return Sentence(words, [], [], None, Path("x"), 1, False, **fields)


def test_each_sentence_has_its_place():
    sentences = [
        sentence(["a", "b"], attributes={"tag": ["X", ""], "morph": ["A=B", "_"]}),
        sentence(["c"]),
        sentence(["d", "e"], attributes={"pos": ["", "NOUN"]}, chunks=[(0, 2, "NP")]),
    ]
    doc = Doc(Vocab(), words=["a", "b", "c", "d", "e"])
    chunks = set_attributes(doc, sentences)
    assert [t.tag_ for t in doc] == ["X", "", "", "", ""]
    assert [t.pos_ for t in doc] == ["", "", "", "", "NOUN"]
    assert [t.has_morph() for t in doc] == [True, True, False, False, False]
    assert [(s.start, s.end, s.label_) for s in chunks] == [(3, 5, "NP")]


def test_no_chunks_are_not_no_annotation():
    doc = Doc(Vocab(), words=["a"])
    assert set_attributes(doc, [sentence(["a"])]) is None
    assert set_attributes(doc, [sentence(["a"], chunks=[])]) == []
