"""Texts that occur more than once: in the training and the held-out data, or within one part."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from spacy.tokens import Doc

from ..corpora.split import plain_text
from ..tags.spans import MISSING_SUFFIX, EntIob, Span, annotated_labels, entities_in
from ..tags.targets import read_labels
from .checks import FEW_TOKENS
from .findings import Occurrence, Recorder, excerpt, place_of


@dataclass
class Index:
    """Texts of one part, and where they first occur. White space is normalized."""

    documents: dict[str, str] = field(default_factory=dict)
    sentences: dict[str, str] = field(default_factory=dict)  # that are not short
    names: set[str] = field(default_factory=set)  # of entities


@dataclass(frozen=True)
class Gold:
    """The annotation of a text, on its characters without white space, whatever its tokens are.

    spans (frozenset[Span]): Start, exclusive end and label.
    unknown (bytes): 1 for each such character without annotation.
    labels (frozenset[str] | None): The labels that are annotated; None for all.
    of_tokens (bool): The spans are tokens with labels; those that only one text has say nothing.
    """

    spans: frozenset[Span]
    unknown: bytes
    labels: frozenset[str] | None
    of_tokens: bool

    def contradicts(self, other: "Gold") -> bool:
        """RETURNS (bool): Whether one has a span that the other one lacks, and would have."""
        return any(
            one.counts(span) and own.counts(span) and own.denies(span)
            for one, own in ((self, other), (other, self))
            for span in one.spans - own.spans
        )

    def counts(self, span: Span) -> bool:
        """RETURNS (bool): Whether the label of a span is annotated."""
        return self.labels is None or span[2] in self.labels

    def denies(self, span: Span) -> bool:
        """RETURNS (bool): Whether the annotation says that a span, which it lacks, is none."""
        if self.of_tokens:
            return any(span[:2] == own[:2] for own in self.spans)
        return not any(self.unknown[span[0] : span[1]])


def check_repetition(
    docs: Sequence[Doc],
    recorder: Recorder,
    target: str | None = None,
    gold_key: str | None = None,
) -> Index:
    """Record documents that occur several times in one part, and return the part's texts.

    target (str | None): The attribute with labels of tokens, whose differences count; None takes
        entities.
    gold_key (str | None): Group of the gold entities in `doc.spans`; None takes `doc.ents`.
    """
    index = Index()
    firsts: dict[str, Doc] = {}
    # The annotations of texts that occur more than once, and where each first occurs.
    variants: dict[str, dict[Gold, str]] = {}
    for doc in docs:
        text = plain_text(doc.text)
        if not text:
            continue
        if text in firsts:
            note = f"first in {index.documents[text]}"
            recorder.document("repeated_documents", doc, note=note)
            first = firsts[text]
            earlier = variants.setdefault(text, {_gold(first, target, gold_key): place_of(first)})
            gold = _gold(doc, target, gold_key)
            other = next((place for one, place in earlier.items() if gold.contradicts(one)), None)
            if other is not None:
                recorder.document("conflicting_annotation", doc, note=f"first in {other}")
            earlier.setdefault(gold, place_of(doc))
        else:
            firsts[text] = doc
            index.documents[text] = place_of(doc)
        for sentence in _sentences(doc):
            index.sentences.setdefault(sentence, place_of(doc))
        index.names.update(plain_text(ent.text) for ent in entities_in(doc, gold_key))
    return index


def _gold(doc: Doc, target: str | None, gold_key: str | None) -> Gold:
    # The characters before each one that are no white space. shape: [n_characters + 1]
    solid = np.concatenate([[0], np.cumsum([not char.isspace() for char in doc.text])])
    unknown = np.zeros(int(solid[-1]), dtype=np.uint8)
    if target is not None:
        labels = read_labels(doc, target)
        found = [(t.idx, t.idx + len(t), x) for t, x in zip(doc, labels, strict=True) if x]
    else:
        found = [(e.start_char, e.end_char, e.label_) for e in entities_in(doc, gold_key)]
        for start, end in _unannotated(doc, gold_key):
            unknown[solid[start] : solid[end]] = 1
    spans = frozenset((int(solid[start]), int(solid[end]), label) for start, end, label in found)
    return Gold(spans, unknown.tobytes(), annotated_labels(doc), target is not None)


def _unannotated(doc: Doc, gold_key: str | None) -> list[tuple[int, int]]:
    """The stretches of characters without annotation, be it for one group of labels alone."""
    if gold_key is None:
        missing = (token for token in doc if token.ent_iob == EntIob.MISSING)
        return [(token.idx, token.idx + len(token)) for token in missing]
    if gold_key not in doc.spans:
        return [(0, len(doc.text))]
    spans = doc.spans.get(gold_key + MISSING_SUFFIX, ())
    return [(span.start_char, span.end_char) for span in spans]


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


def count_known(docs: Sequence[Doc], train: Index, gold_key: str | None = None) -> int:
    """RETURNS (int): The entities with the text of an entity in train."""
    entities = (ent for doc in docs for ent in entities_in(doc, gold_key))
    return sum(plain_text(ent.text) in train.names for ent in entities)


def _sentences(doc: Doc) -> list[str]:
    if not doc.has_annotation("SENT_START"):
        return []
    return [plain_text(sent.text) for sent in doc.sents if len(sent) >= FEW_TOKENS]
