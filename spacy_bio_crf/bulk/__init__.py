"""Annotation of large corpora with any pipeline, in parts that are whole or missing.

`records` takes a batch of rows and returns the same rows with entities, for every engine. `inputs`
cuts an input into parts, `outputs` writes them, and `parts_folder` keeps account of them. `workers`
does parts in several processes. `local` is the engine for one machine.
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
