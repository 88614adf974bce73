"""Convert annotated text to spaCy's training data: a reader per format, a writer per output.

Every reader turns files into `Sentence`s, `Passage`s or Docs; `docs.Builder` turns these into Docs.
To add a format, write a reader (`records.Reader`) and add it to `formats.FORMATS`.
"""

from .conversion import convert, read
from .passages import (
    ConvertError,
    Leaks,
    Lost,
    Misaligned,
    Passage,
    Reader,
    ReadOptions,
    Repair,
    Sentence,
    Summary,
    TextSpan,
)
from .sniff import FORMATS, Format

__all__ = [
    "FORMATS",
    "ConvertError",
    "Format",
    "Leaks",
    "Lost",
    "Misaligned",
    "Passage",
    "ReadOptions",
    "Reader",
    "Repair",
    "Sentence",
    "Summary",
    "TextSpan",
    "convert",
    "read",
]
