"""The formats of the output. A run appends rows to a file, batch by batch; once all are there, the
output is made of it."""

import shutil
from pathlib import Path
from typing import Any, Protocol

from spacy.tokens import DocBin

from .batches import Batch
from .frames import framed, read_frames
from .jsonout import fields_of, json_row, plain
from .parquet import import_pyarrow
from .parquet_out import arrow_rows, parquet_of_frames, parquet_of_json
from .pipeline import Outcome, Result
from .records import AnnotateError, Record
from .sources import Source

SUFFIXES = (".jsonl", ".parquet", ".spacy")


class Output(Protocol):
    """A format of the output."""

    def notes(self, batch: Batch) -> list[dict[str, Any]] | None:
        """RETURNS (list[dict[str, Any]] | None): What Docs get for their `user_data`, a dict for
        each document; None if Docs are not wanted."""

    def rows(self, batch: Batch, result: Result) -> bytes:
        """RETURNS (bytes): What a batch adds to the rows, without documents that failed."""

    def finish(self, rows: Path, folder: Path) -> Path:
        """Make the output.

        rows (Path): The file of all rows.
        folder (Path): A folder to work in, on the same disk.
        RETURNS (Path): The output, which may be `rows` itself, to be moved to its place.
        """


def choose_output(
    path: Path,
    source: Source,
    *,
    format: str,
    text_key: str,
    entities_key: str,
    docs_per_file: int | None,
) -> Output:
    """Find the format of the output by its name.

    path (Path): The output.
    source (Source): The input.
    format (str): The input's format.
    text_key (str): Key or column of the text.
    entities_key (str): Key or column of the entities.
    docs_per_file (int | None): With .spacy, make a folder of files with so many Docs or a
        few more: batches are not cut.
    RETURNS (Output): The format.
    RAISES: AnnotateError if the name says no known format, or an option means nothing to it.
    """
    if path.suffix not in SUFFIXES:
        raise AnnotateError(f"{path}: expected an output that ends in {', '.join(SUFFIXES)}")
    if path.suffix == ".spacy":
        return DocBinOutput(text_key, docs_per_file)
    if docs_per_file is not None:
        raise AnnotateError(f"--docs-per-file: means nothing for {path.suffix}, only for .spacy")
    if path.suffix == ".jsonl":
        return JsonOutput(entities_key)
    import_pyarrow()
    if format == "parquet":
        return ArrowOutput(entities_key, source)
    return ParquetOutput(entities_key)


def _kept(batch: Batch, result: Result) -> list[tuple[Record, Outcome]]:
    pairs = zip(batch.records, result.outcomes, strict=True)
    return [(record, outcome) for record, outcome in pairs if outcome.error is None]


class JsonOutput:
    """JSON lines."""

    def __init__(self, key: str) -> None:
        self.key = key

    def notes(self, batch: Batch) -> list[dict[str, Any]] | None:
        return None

    def rows(self, batch: Batch, result: Result) -> bytes:
        lines = [
            json_row(record, outcome.entities, key=self.key) + "\n"
            for record, outcome in _kept(batch, result)
        ]
        return "".join(lines).encode("utf-8")

    def finish(self, rows: Path, folder: Path) -> Path:
        return rows


class ParquetOutput(JsonOutput):
    """Parquet from records that have no columns yet: the rows are JSON lines, whose keys become
    columns when all are known."""

    def finish(self, rows: Path, folder: Path) -> Path:
        target = folder / "output.parquet"
        parquet_of_json(rows, target, key=self.key)
        return target


class ArrowOutput:
    """Parquet from Parquet: columns keep their types."""

    def __init__(self, key: str, source: Source) -> None:
        self.key, self.schema = key, source.schema  # type: ignore[attr-defined]

    def notes(self, batch: Batch) -> list[dict[str, Any]] | None:
        return None

    def rows(self, batch: Batch, result: Result) -> bytes:
        kept = _kept(batch, result)
        if not kept:
            return b""
        rows = [record.row for record, _ in kept]
        return framed(arrow_rows(rows, [o.entities for _, o in kept], key=self.key))

    def finish(self, rows: Path, folder: Path) -> Path:
        target = folder / "output.parquet"
        parquet_of_frames(read_frames(rows), target, key=self.key, schema=self.schema)
        return target


class DocBinOutput:
    """spaCy's binary format. Each Doc's `user_data` says where its record stood ("source") and has
    the record's other fields ("record")."""

    def __init__(self, text_key: str, docs_per_file: int | None) -> None:
        self.text_key, self.docs_per_file = text_key, docs_per_file

    def notes(self, batch: Batch) -> list[dict[str, Any]] | None:
        return [self._note(record) for record in batch.records]

    def _note(self, record: Record) -> dict[str, Any]:
        note: dict[str, Any] = {"source": record.place}
        if record.source is None:
            fields = plain(fields_of(record))
            del fields[self.text_key]
            note["record"] = fields
        return note

    def rows(self, batch: Batch, result: Result) -> bytes:
        return framed(result.docs or b"") if _kept(batch, result) else b""

    def finish(self, rows: Path, folder: Path) -> Path:
        target = folder / ("output.spacy" if self.docs_per_file is None else "output")
        if self.docs_per_file is not None:
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir()
        merged, number = DocBin(store_user_data=True), 1
        for frame in read_frames(rows):
            if self.docs_per_file is not None and len(merged) >= self.docs_per_file:
                merged.to_disk(target / f"{number:06}.spacy")
                merged, number = DocBin(store_user_data=True), number + 1
            merged.merge(DocBin(store_user_data=True).from_bytes(frame))
        single = self.docs_per_file is None
        merged.to_disk(target if single else target / f"{number:06}.spacy")
        return target
