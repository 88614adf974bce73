"""Texts that occur more than once: in training data and in what is held out, or within one part."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from spacy.tokens import Doc

from .checks import SHORT
from .findings import Recorder, Spot, place_of, shown

Ents = frozenset[tuple[int, int, str]]


@dataclass
class Index:
    """Where the texts of the training data stand. White space counts for nothing.

    documents (dict[str, str]): Text of a whole Doc -> where it first occurs.
    sentences (dict[str, str]): Text of a sentence that is not short -> where it first occurs.
    names (set[str]): The texts of entities.
    """

    documents: dict[str, str] = field(default_factory=dict)
    sentences: dict[str, str] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


def check_repetition(docs: Sequence[Doc], recorder: Recorder) -> Index:
    """Documents that occur several times in one part.

    docs (Sequence[Doc]): The Docs of the part.
    recorder (Recorder): Gets the findings.
    RETURNS (Index): The part's texts.
    """
    index = Index()
    annotations: dict[str, Ents] = {}
    for doc in docs:
        text = _plain(doc.text)
        if not text:
            continue
        ents = frozenset((ent.start, ent.end, ent.label_) for ent in doc.ents)
        if text in index.documents:
            first = f"first in {index.documents[text]}"
            recorder.document("repeated_documents", doc, note=first)
            if ents != annotations[text]:
                recorder.document("conflicting_annotation", doc, note=first)
        else:
            index.documents[text] = place_of(doc)
            annotations[text] = ents
        for sentence in _sentences(doc):
            index.sentences.setdefault(sentence, place_of(doc))
        index.names.update(_plain(ent.text) for ent in doc.ents)
    return index


def check_leakage(docs: Sequence[Doc], train: Index, recorder: Recorder) -> dict[str, Any]:
    """What held-out documents share with the training data.

    docs (Sequence[Doc]): The held-out Docs.
    train (Index): The texts of the training data.
    recorder (Recorder): Gets the findings.
    RETURNS (dict[str, Any]): How many entities have a text that some entity in train has.
    """
    known = 0
    for doc in docs:
        known += sum(_plain(ent.text) in train.names for ent in doc.ents)
        text = _plain(doc.text)
        if text in train.documents:
            check = "shared_documents" if len(doc) >= SHORT else "shared_short_documents"
            recorder.document(check, doc, note=f"in train: {train.documents[text]}")
            continue
        for sentence in _sentences(doc):
            if sentence in train.sentences:
                note = f"in train: {train.sentences[sentence]}"
                recorder.add("shared_sentences", Spot(place_of(doc), shown(sentence), note=note))
    return {"entities_known_from_train": known}


def _plain(text: str) -> str:
    return " ".join(text.split())


def _sentences(doc: Doc) -> list[str]:
    if not doc.has_annotation("SENT_START"):
        return []
    return [_plain(sent.text) for sent in doc.sents if len(sent) >= SHORT]
