"""Annotation of large corpora with any pipeline, in parts that are whole or missing.

`records` takes a batch of rows and returns the same rows with entities, for every engine. `inputs`
cuts an input into parts, `outputs` writes them, and `parts_folder` keeps account of them. `work`
does a part, `workers` does parts in several processes, and `on_ray` on a cluster. `local` plans a
run and joins its parts. `partition` takes the tables of Spark, and `fingerprint` compares the
pipelines of workers.
"""

from ..errors import AnnotateError
from .fingerprint import pipeline_digest
from .local import Progress, annotate
from .partition import ENTITIES_DDL, annotate_partition
from .records import Annotated, BadRecord, Counts, annotate_rows

__all__ = [
    "ENTITIES_DDL",
    "AnnotateError",
    "Annotated",
    "BadRecord",
    "Counts",
    "Progress",
    "annotate",
    "annotate_partition",
    "annotate_rows",
    "pipeline_digest",
]
