"""Labels of tokens and chunks on Docs, from the further columns of a corpus."""

from collections.abc import Sequence

from spacy.tokens import Doc, Span

from ..tags.targets import set_label
from .passages import Sentence

CHUNKS = "chunks"  # the group in `doc.spans`


def set_attributes(doc: Doc, sentences: Sequence[Sentence]) -> list[Span] | None:
    """Write the labels of tokens that sentences have, and find their chunks.

    doc (Doc): A Doc of their words.
    sentences (Sequence[Sentence]): `attributes` go to the tokens.
    RETURNS (list[Span] | None): The chunks, for the group `CHUNKS`; None if there is no annotation
        of chunks.
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
    return chunks if any(s.chunks is not None for s in sentences) else None
