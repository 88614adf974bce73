"""Annotate large corpora with a pipeline: streaming, in several processes, going on after an
interruption.

    records.py      a document, a bad record, a place in the input, the account of a run
    sources.py      the input: lines.py (text, JSON lines), parquet.py
    batches.py      the units in which documents are annotated and written
    pipeline.py     one batch through the pipeline; workers.py: many, in several processes
    outputs.py      the output: jsonout.py, parquet_out.py, DocBin; frames.py: rows of bytes
    part.py         what a run has done so far, on disk; fingerprint.py: is it the same pipeline?
    run.py          all together
"""

from .records import AnnotateError, Bad, Counts
from .run import Progress, annotate

__all__ = ["AnnotateError", "Bad", "Counts", "Progress", "annotate"]
