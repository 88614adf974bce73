"""What passes between the readers and the writer, and the account of what happened on the way."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..tags.spans import Span

if TYPE_CHECKING:
    from spacy.tokens import Doc


class ConvertError(ValueError):
    """Input or options that cannot be converted; the message names file and line, or the option."""


@dataclass(frozen=True)
class Sentence:
    """One sentence, as the readers of formats with tokens and tags yield it.

    words (list[str]): The tokens' texts, none of them empty. The list itself may be empty, if the
        sentence had nothing but empty tokens.
    spans (list[tuple[int, int, str]]): Entities: start, exclusive end (in words), label.
    missing (list[int]): The words that nobody has annotated: neither entity nor O.
    spaces (list[bool] | None): Is each word followed by a space? None if the format does not say.
        The last word's is for the case that another sentence follows in its Doc.
    path (Path): The file it was read from.
    line (int): The line of its first token, counted from 1.
    starts_document (bool): Does a document begin here (a new file, or a mark in the file)?
    document_id (str): What the mark calls the document; empty if it has no name.
    """

    words: list[str]
    spans: list[Span]
    missing: list[int]
    spaces: list[bool] | None
    path: Path
    line: int
    starts_document: bool
    document_id: str = ""


class TextSpan(NamedTuple):
    """An entity of a passage.

    start (int): Its first character.
    end (int): The exclusive end.
    label (str): Its label.
    place (str): Where it was read, for messages: "file, line 3".
    """

    start: int
    end: int
    label: str
    place: str


@dataclass(frozen=True)
class Passage:
    """One document's text with entities given in characters, as the readers of such formats yield
    it. It becomes one Doc.

    text (str): The text.
    spans (list[TextSpan]): The entities; they may overlap and need not fit any tokens.
    path (Path): The file it was read from.
    line (int): The line on which it begins, counted from 1.
    place (str): The same for messages.
    words (list[str] | None): The text's tokens; None: it is yet to be tokenised.
    spaces (list[bool] | None): Is each token followed by a space? With `words` only.
    unknown_spaces (bool): With `words` only: nobody knows where spaces were in the text.
    missing (list[tuple[int, int]]): Stretches of text that nobody has annotated: start and
        exclusive end, in characters. Entities in them stand.
    sent_starts (frozenset[int] | None): The characters at which sentences begin; None: unknown.
    starts_document (bool): False if it belongs to the same document as the passage before it.
    document_id (str): The document's name; empty if it has none.
    """

    text: str
    spans: list[TextSpan]
    path: Path
    line: int
    place: str
    words: list[str] | None = None
    spaces: list[bool] | None = None
    unknown_spaces: bool = False
    missing: list[tuple[int, int]] = field(default_factory=list)
    sent_starts: frozenset[int] | None = None
    starts_document: bool = True
    document_id: str = ""


@dataclass(frozen=True)
class Repair:
    """One place where tags broke the rules of their scheme.

    path (Path): The file.
    line (int): The line of the tag, counted from 1.
    tag (str): The tag.
    what (str): What was done: "begun", "closed" or "discarded" (see `scheme.spans_of_tags`).
    """

    path: Path
    line: int
    tag: str
    what: str


class Misaligned(NamedTuple):
    """An entity that does not fit the borders of tokens.

    place (str): Where it was read: "file, line 3".
    text (str): Its text.
    label (str): Its label.
    """

    place: str
    text: str
    label: str


class Lost(NamedTuple):
    """An entity that was read and is not in the output.

    place (str): Where it was read: "file, line 3".
    text (str): Its text.
    label (str): Its label.
    reason (str): Why it was left out, as in `Summary.dropped`.
    """

    place: str
    text: str
    label: str
    reason: str


class Leaks(NamedTuple):
    """What two parts of a split have in common.

    parts (tuple[str, str]): The parts' names.
    texts (int): Different texts of whole Docs that both parts have.
    sentences (int): Different sentences that both parts have.
    example (str): The beginning of such a text, or else of such a sentence.
    """

    parts: tuple[str, str]
    texts: int
    sentences: int
    example: str


@dataclass
class Summary:
    """What was read, written, repaired and left out.

    documents (int): Docs written.
    sentences (int): Sentences read, those without a token left included. Formats of whole texts
        may have none.
    tokens (int): Tokens written.
    missing (int): Of these, the tokens that nobody has annotated.
    labels_read (Counter[str]): Entities read, by label.
    entities (Counter[str]): Entities written, by label, once labels are renamed and dropped.
    repairs (list[Repair]): Every repair, in order.
    misaligned (list[Misaligned]): Every entity that does not fit its tokens, in order.
    dropped (Counter[str]): What was left out, by reason.
    lost (list[Lost]): Of this, the entities that gave way to others or had no text to stand on.
    notes (Counter[str]): How files were read (scheme, columns), and how many of them.
    remarks (Counter[str]): Decisions on single entities or texts, and how many of them.
    outputs (dict[Path, int]): The files written, and how many Docs each has.
    split_by (str): What was dealt out to the parts of a split; empty without one.
    leaks (list[Leaks]): What the parts of a split have in common, for every two that share
        anything.
    """

    documents: int = 0
    sentences: int = 0
    tokens: int = 0
    missing: int = 0
    labels_read: Counter[str] = field(default_factory=Counter)
    entities: Counter[str] = field(default_factory=Counter)
    repairs: list[Repair] = field(default_factory=list)
    misaligned: list[Misaligned] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    lost: list[Lost] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)
    outputs: dict[Path, int] = field(default_factory=dict)
    split_by: str = ""
    leaks: list[Leaks] = field(default_factory=list)


def no_tick(n_bytes: int) -> None:
    """Nobody wants to know how far the reading has got."""


@dataclass(frozen=True)
class ReadOptions:
    """What a user may say about the input. None: find out.

    scheme (str | None): A file's tag scheme, as `scheme.scheme_name` knows it.
    token_column (int | None): From 1; negative from the end (-1 is the last).
    tag_column (int | None): The same.
    repair (str): The rule for tags that break their scheme: "begin" or "discard".
    text_key (str | None): The key of the text in JSON.
    tags_key (str | None): The key of the tags in JSON, or their column in Parquet.
    tag_names (tuple[str, ...] | None): The tags that tag ids stand for.
    discontinuous (str): The rule for entities in several pieces, one of `brat.DISCONTINUOUS`.
    scenario (str): Of HAREM: "total" or "selective".
    alternatives (str): Which one of several alternatives to read, a key of
        `inline_xml.ALTERNATIVES`.
    tick (Callable[[int], None]): To be called with the number of input bytes dealt with since the
        last call.
    """

    scheme: str | None = None
    token_column: int | None = None
    tag_column: int | None = None
    repair: str = "begin"
    text_key: str | None = None
    tags_key: str | None = None
    tag_names: tuple[str, ...] | None = None
    discontinuous: str = "missing"
    scenario: str = "total"
    alternatives: str = "most"
    tick: Callable[[int], None] = no_tick


# Yields the records of files, in order; adds repairs, drops and notes to the summary. A Doc is
# taken over as it is.
Reader = Callable[[Sequence[Path], ReadOptions, Summary], "Iterator[Sentence | Passage | Doc]"]
