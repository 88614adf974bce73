"""Annotation of a partition of Spark's, or of any other stream of tables: without an engine."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from spacy.language import Language

from .fingerprint import load_model
from .inputs import PART_BYTES
from .records import annotate_rows

# The column of entities in Spark's language of types.
ENTITIES_DDL = "array<struct<start: bigint, end: bigint, label: string, score: double>>"
TABLE_DOCUMENTS = 1000  # in a table that comes out, at the most


def annotate_partition(
    tables: Iterable[Any],
    model: Path | str,
    *,
    text_key: str = "text",
    entities_key: str = "entities",
    batch_size: int | None = None,
    skip_bad: bool = False,
    code: Path | None = None,
    gpu_id: int = -1,
    max_length: int | None = None,
    digest: str | None = None,
) -> Iterator[Any]:
    """Add the entities to the rows of tables, for `mapInArrow` and `mapInPandas`.

    A process loads the pipeline once, however many partitions it is given. The tables that come
    out have at most 1,000 rows and about 4 MB of text each, so that memory does not depend on
    those that go in.

    tables (Iterable[Any]): pyarrow.RecordBatches, pyarrow.Tables or pandas.DataFrames.
    model (Path | str): A folder or an installed package, on each machine.
    text_key (str): Column of the text.
    entities_key (str): Column that the entities get, of the type `ENTITIES_DDL`.
    batch_size (int | None): Most documents in a batch of the pipeline; None takes the pipeline's.
    skip_bad (bool): Leave out rows without a text, and those on which the pipeline fails.
    code (Path | None): A file of code that belongs to the pipeline, on each machine.
    gpu_id (int): A GPU, or -1 for the CPU.
    max_length (int | None): Most characters in a document; None takes the pipeline's.
    digest (str | None): The hash of the pipeline, from `pipeline_digest`; None: not compared.
    YIELDS (Any): Tables of the type of those that go in, with the column of entities at the end.
    RAISES: AnnotateError if the pipeline can't be loaded or has another hash, and for the first bad
        row unless `skip_bad`.
    """
    nlp = _load_once(model, code, gpu_id, max_length, digest)
    for table in tables:
        for piece in _pieces(table, text_key):
            yield _annotate_table(nlp, piece, text_key, entities_key, batch_size, skip_bad)


# Workers of Spark and of Ray are processes that stay, for one job.
_load_once = lru_cache(maxsize=1)(load_model)


def _pieces(table: Any, text_key: str) -> Iterator[Any]:
    """Cut a table by the bytes of its text."""
    first, size = 0, 0
    texts = _texts(table, text_key)
    for number, text in enumerate(texts):
        if number - first == TABLE_DOCUMENTS or size >= PART_BYTES:
            yield table[first:number] if _is_frame(table) else table.slice(first, number - first)
            first, size = number, 0
        size += len(text) if isinstance(text, str) else 0
    if first < len(texts) or not texts:
        yield table[first:] if _is_frame(table) else table.slice(first)


def _annotate_table(
    nlp: Language,
    table: Any,
    text_key: str,
    entities_key: str,
    batch_size: int | None,
    skip_bad: bool,
) -> Any:
    import pyarrow as pa

    rows: Any = table
    if _is_frame(table):
        names = [name for name in {text_key, entities_key} if name in table.columns]
        rows = table[names].to_dict("records") if names else [{}] * len(table)
    elif isinstance(table, pa.RecordBatch):
        rows = pa.Table.from_batches([table])
    annotated = annotate_rows(
        nlp,
        rows,
        text_key=text_key,
        entities_key=entities_key,
        batch_size=batch_size,
        skip_bad=skip_bad,
    )
    if _is_frame(table):
        return table.iloc[annotated.kept].assign(**{entities_key: annotated.entities})
    if isinstance(table, pa.RecordBatch):
        found = annotated.rows
        columns = [column.combine_chunks() for column in found.columns]
        return pa.RecordBatch.from_arrays(columns, schema=found.schema)
    return annotated.rows


def _texts(table: Any, text_key: str) -> list[Any]:
    if _is_frame(table):
        return list(table[text_key]) if text_key in table.columns else [None] * len(table)
    if text_key not in table.schema.names:
        return [None] * table.num_rows
    return table.column(text_key).to_pylist()


def _is_frame(table: Any) -> bool:
    """Whether a table is one of pandas."""
    return hasattr(table, "iloc")
