"""Annotation of large corpora with any pipeline, in parts that are whole or missing.

records.py   a batch of rows in, the same rows with entities out: what every engine calls
files.py     files of the input and the output: their parts, and the rows of a part
workers.py   parts in several processes
local.py     the engine for one machine
"""

from ..errors import AnnotateError
from .local import Progress, annotate
from .records import Annotated, BadRecord, Counts, annotate_rows

__all__ = [
    "AnnotateError",
    "Annotated",
    "BadRecord",
    "Counts",
    "Progress",
    "annotate",
    "annotate_rows",
]
