"""Labels of tokens and chunks on Docs, from the further columns of a corpus."""

from collections.abc import Sequence

from spacy.tokens import Doc, Span

from ..tags.targets import set_label
from .passages import Sentence

CHUNKS = "chunks"  # the group in `doc.spans`


def set_attributes(doc: Doc, sentences: Sequence[Sentence]) -> None:
    """Write what sentences have beside entities.

    doc (Doc): A Doc of their words.
    sentences (Sequence[Sentence]): `attributes` go to the tokens, `chunks` to `doc.spans`.
    """
    offset = 0
    chunks = []
    for sentence in sentences:
        for target, labels in sentence.attributes.items():
            for i, label in enumerate(labels):
                if label:
                    set_label(doc[offset + i], target, label)
        for start, end, label in sentence.chunks or ():
            chunks.append(Span(doc, offset + start, offset + end, label))
        offset += len(sentence.words)
    if any(sentence.chunks is not None for sentence in sentences):
        doc.spans[CHUNKS] = chunks
