"""Conversion of annotated text to spaCy's training data: a reader per format, a writer per output.

    from spacy_bio_crf.corpora import ConvertOptions, convert

    summary = convert("train.conll", "train.spacy", group_docs=True)

Readers turn files into `Sentence`s, `Passage`s or Docs, and `build.Builder` turns these into Docs.
To add a format, write a reader (`sniff.Reader`), and name it in `INPUT_FORMATS` and `options.py`;
or, in another package, as an entry point of the group `spacy_bio_crf_readers`: a `Format`.
"""

from ..errors import ConvertError
from .conversion import convert, read
from .options import ConvertOptions
from .passages import (
    REPAIR_KINDS,
    Leaks,
    Lost,
    Misaligned,
    Passage,
    Repair,
    Sentence,
    Summary,
    TextSpan,
)
from .sniff import INPUT_FORMATS, Format, Reader

__all__ = [
    "INPUT_FORMATS",
    "REPAIR_KINDS",
    "ConvertError",
    "ConvertOptions",
    "Format",
    "Leaks",
    "Lost",
    "Misaligned",
    "Passage",
    "Reader",
    "Repair",
    "Sentence",
    "Summary",
    "TextSpan",
    "convert",
    "read",
]
