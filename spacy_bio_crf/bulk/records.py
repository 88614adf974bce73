"""What passes from the input to the output: records, places in the input, the account of a run."""

from dataclasses import dataclass
from typing import Any, NamedTuple


class AnnotateError(ValueError):
    """A run that cannot begin or go on; the message names file and record, or the option."""


@dataclass(frozen=True, slots=True)
class Record:
    """One document of the input.

    text (str): Its text.
    place (str): Where it stands, for messages: "file, line 3".
    json (str | None): The JSON object it was read from, as it was written.
    row (Any): The row it was read from, a `parquet.Row`.
    source (str | None): The name of the file whose whole content it is.
    """

    text: str
    place: str
    json: str | None = None
    row: Any = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Bad:
    """A record that is no document.

    place (str): Where it stands: "file, line 3".
    reason (str): What was expected there and what was found.
    """

    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Mark:
    """How far the input has been read.

    file (int): The number of the file, from 0.
    offset (int): Bytes of it that have been read; of Parquet, rows.
    record (int): Lines or rows of it that have been read.
    digest (str): A hash of all that has been read up to here, file names included.
    """

    file: int = 0
    offset: int = 0
    record: int = 0
    digest: str = ""


class Entity(NamedTuple):
    """An entity of a document.

    start (int): Its first character.
    end (int): The exclusive end.
    label (str): Its label.
    score (float | None): Its confidence, if the component gives one.
    """

    start: int
    end: int
    label: str
    score: float | None


@dataclass
class Counts:
    """What a run has done, interrupted runs before it included.

    documents (int): Documents annotated and written.
    words (int): Their tokens.
    entities (int): Their entities.
    skipped (int): Records left out, because they were bad or the pipeline failed on them.
    """

    documents: int = 0
    words: int = 0
    entities: int = 0
    skipped: int = 0
