"""Texts that occur more than once: in the training and the held-out data, or within one part."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from spacy.tokens import Doc

from ..corpora.split import plain_text
from ..tags.spans import Span, annotated_labels
from ..tags.targets import read_labels
from .checks import FEW_TOKENS
from .findings import Occurrence, Recorder, excerpt, place_of


@dataclass
class Index:
    """Texts of one part, and where they first occur. White space is normalized."""

    documents: dict[str, str] = field(default_factory=dict)
    sentences: dict[str, str] = field(default_factory=dict)  # that are not short
    names: set[str] = field(default_factory=set)  # of entities


def check_repetition(docs: Sequence[Doc], recorder: Recorder, target: str | None = None) -> Index:
    """Record documents that occur several times in one part, and return the part's texts.

    target (str | None): The attribute with labels of tokens, whose differences count; None takes
        entities.
    """
    index = Index()
    annotations: dict[str, tuple[frozenset[Span], frozenset[str] | None]] = {}
    for doc in docs:
        text = plain_text(doc.text)
        if not text:
            continue
        found = frozenset(_annotation(doc, target)), annotated_labels(doc)
        if text in index.documents:
            first = f"first in {index.documents[text]}"
            recorder.document("repeated_documents", doc, note=first)
            if _differ(found, annotations[text], partly=target is not None):
                recorder.document("conflicting_annotation", doc, note=first)
        else:
            index.documents[text] = place_of(doc)
            annotations[text] = found
        for sentence in _sentences(doc):
            index.sentences.setdefault(sentence, place_of(doc))
        index.names.update(plain_text(ent.text) for ent in doc.ents)
    return index


def _annotation(doc: Doc, target: str | None) -> list[Span]:
    if target is None:
        return [(ent.start, ent.end, ent.label_) for ent in doc.ents]
    return [(i, i + 1, label) for i, label in enumerate(read_labels(doc, target)) if label]


def _differ(*annotations: tuple[frozenset[Span], frozenset[str] | None], partly: bool) -> bool:
    """Whether two annotations differ in a label that both have annotated.

    partly (bool): Spans that one of them lacks are unknown in it.
    """
    (one, labels), (two, others) = annotations
    if partly:
        both = {span[:2] for span in one} & {span[:2] for span in two}
        one, two = (frozenset(s for s in own if s[:2] in both) for own in (one, two))
    return any(
        (labels is None or span[2] in labels) and (others is None or span[2] in others)
        for span in one ^ two
    )


def check_leakage(docs: Sequence[Doc], train: Index, recorder: Recorder) -> None:
    """Record texts that held-out documents share with the training data."""
    for doc in docs:
        text = plain_text(doc.text)
        if text in train.documents:
            check = "shared_documents" if len(doc) >= FEW_TOKENS else "shared_short_documents"
            recorder.document(check, doc, note=f"in train: {train.documents[text]}")
            continue
        for sentence in _sentences(doc):
            if sentence in train.sentences:
                note = f"in train: {train.sentences[sentence]}"
                found = Occurrence(place_of(doc), excerpt(sentence), note=note)
                recorder.add("shared_sentences", found)


def count_known(docs: Sequence[Doc], train: Index) -> int:
    """RETURNS (int): The entities with the text of an entity in train."""
    return sum(plain_text(ent.text) in train.names for doc in docs for ent in doc.ents)


def _sentences(doc: Doc) -> list[str]:
    if not doc.has_annotation("SENT_START"):
        return []
    return [plain_text(sent.text) for sent in doc.sents if len(sent) >= FEW_TOKENS]
