"""Files: written aside and renamed, JSON, and Parquet through pyarrow."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import BioError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file aside and rename it: readers find the old file or the whole new one.

    path (Path): The file; its folder is made if missing.
    YIELDS (Path): The file to write, in the same folder. It is synced and renamed at the end, and
        removed if an error leaves the block.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield aside
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file aside and rename it.

    path (Path): The file; its folder is made if missing.
    text (str): Its content, as UTF-8 with the line ends it has.
    """
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, data: Any) -> None:
    """Write indented JSON aside and rename it.

    path (Path): The file; its folder is made if missing.
    data (Any): Its content.
    RAISES: ValueError for a number that JSON does not have, such as NaN.
    """
    write_text(path, json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def import_pyarrow(error: type[BioError]) -> None:
    """Check that Parquet files can be read and written.

    error (type[BioError]): The type of error to raise.
    RAISES: BioError if pyarrow is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as err:
        remedy = 'pip install "spacy_bio_crf[parquet]"'
        raise error(f"Parquet needs pyarrow, which is not installed ({err}); {remedy}") from None


def open_parquet(path: Path, error: type[BioError]) -> Any:
    """Open a Parquet file.

    path (Path): The file.
    error (type[BioError]): The type of error to raise.
    RETURNS (pyarrow.parquet.ParquetFile): The file, a context manager.
    RAISES: BioError if it is no Parquet file or pyarrow is not installed.
    """
    import_pyarrow(error)
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        return ParquetFile(path)
    except (ArrowException, OSError) as err:
        raise error(f"{path}: expected a Parquet file: {err}") from None
