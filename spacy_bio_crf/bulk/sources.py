"""What the input is: its format, its files, and the source that streams them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from .lines import LineSource, json_line, text_file, text_line
from .parquet import ParquetSource
from .records import AnnotateError, Bad, Mark, Record

SUFFIXES = {
    ".txt": "text",
    ".text": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
FORMATS = ("text", "jsonl", "parquet")


class Source(Protocol):
    """A stream of records that can begin anywhere.

    total (int): The size of the input, in `unit`.
    unit (str): "B" or "rows".
    done (int): How much has been read.
    """

    total: int
    unit: str
    done: int

    def mark(self) -> Mark:
        """RETURNS (Mark): How far the input has been read."""

    def records(self, start: Mark) -> Iterator[Record | Bad]:
        """Stream the records from a mark on."""


def open_source(
    path: Path, *, format: str = "auto", text_key: str = "text", entities_key: str = "entities"
) -> tuple[str, Source]:
    """Find out what the input is.

    A text file has one document a line; a folder of them has one in each file. A folder of JSONL or
    Parquet stands for its files, one after another. Folders are read with all that is below them,
    in the order of the names, without hidden files.

    path (Path): A file or a folder.
    format (str): "text", "jsonl" or "parquet"; "auto" goes by the suffix, and takes the files of a
        folder that have one of the known suffixes.
    text_key (str): Key or column of the text.
    entities_key (str): Key or column that the entities are to get.
    RETURNS (tuple[str, Source]): The format and the source.
    RAISES: AnnotateError if there is no such input, or it is of no format or of several.
    """
    if format not in ("auto", *FORMATS):
        raise AnnotateError(f"--format: got {format!r}, expected auto, {', '.join(FORMATS)}")
    if not path.exists():
        raise AnnotateError(f"{path}: there is no such file or folder")
    files = _files(path) if path.is_dir() else [path]
    known = {file: SUFFIXES[s] for file in files if (s := file.suffix.lower()) in SUFFIXES}
    if format == "auto":
        formats = sorted(set(known.values()))
        if len(formats) != 1:
            found = f"files of {', '.join(formats)}" if formats else "no such file"
            raise AnnotateError(
                f"{path}: expected {', '.join(SUFFIXES)}, found {found}; name the format "
                "with --format"
            )
        format, files = formats[0], list(known)
    elif not files:
        raise AnnotateError(f"{path}: expected files, found an empty folder")
    names = [f.relative_to(path).as_posix() if path.is_dir() else f.name for f in files]
    if format == "parquet":
        return format, ParquetSource(
            files, names=names, text_key=text_key, entities_key=entities_key
        )
    if format == "jsonl":
        parse = json_line(text_key=text_key, entities_key=entities_key)
        return format, LineSource(files, parse, names=names)
    whole = path.is_dir()
    return format, LineSource(files, text_file if whole else text_line, names=names, whole=whole)


def _files(folder: Path) -> list[Path]:
    found = [
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())
