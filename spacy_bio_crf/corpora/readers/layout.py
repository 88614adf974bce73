"""How a column file is laid out: its separator, which column has the tokens, which the tags."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ...tags.schemes import MISSING, OUTSIDE, split_tag
from ..passages import ConvertError, no_tick

SAMPLE_LINES = 2000
# A hash starts hashtags and the token "#" as well as comments, so a comment also has to look like
# one: the hash alone, before a space, or before "key =".
_COMMENT = re.compile(r"#+($|\s|\w+\s*=)")
_DOCUMENT_MARK = re.compile(r"#+\s*newdoc\b(?:\s+id\s*=\s*(.*))?")
_TEXT = re.compile(r"#+\s*text\s*=\s?(.*)")
# Written by this package: no space stands between this sentence and the next one.
GLUE_MARK = "# space_after = no"
_TOKEN_NUMBER = re.compile(r"[0-9]+([.-][0-9]+)?")
_BLANKS = re.compile(r"[ \t]+")


@dataclass(frozen=True)
class Layout:
    """The columns of one file.

    tabs (bool): Are columns separated by one TAB each, or by runs of spaces?
    width (int): The number of columns that rows have (the most frequent one).
    token (int): The tokens' column, from 0; negative from the end.
    tag (int): The tags' column, likewise.
    indexed (bool): Does every row begin with the token's number in its sentence?
    """

    tabs: bool
    width: int
    token: int
    tag: int
    indexed: bool

    def __str__(self) -> str:
        separator = "tabs" if self.tabs else "spaces"
        return f"{separator}, token in column {_shown(self.token)}, tag in {_shown(self.tag)}"

    @cached_property
    def _needed(self) -> int:
        return max(n + 1 if n >= 0 else -n for n in (self.token, self.tag))

    def row(self, path: Path, line: int, text: str) -> tuple[str, str]:
        """RETURNS (tuple[str, str]): Token and tag. RAISES: ConvertError if a column is missing."""
        fields = split_fields(text, tabs=self.tabs)
        needed = self._needed
        # In a file separated by spaces a token with a space in it would move the columns.
        if len(fields) < needed or (not self.tabs and len(fields) != self.width):
            wanted = f"at least {needed}" if self.tabs else str(self.width)
            raise ConvertError(
                f"{path}, line {line}: expected {wanted} columns ({self}), "
                f"found {len(fields)}: {text!r}"
            )
        return fields[self.token], fields[self.tag]

    def is_comment(self, text: str) -> bool:
        """Is the line a comment? What could be a row is never taken for one."""
        if not text.startswith("#"):
            return False
        if self.indexed:
            return True
        if not _COMMENT.match(text):
            return False
        if self.tabs:
            return "\t" not in text
        n_fields = len(split_fields(text, tabs=False))
        return n_fields != self.width or document_mark(text) is not None


def document_mark(text: str) -> str | None:
    """RETURNS (str | None): The name of the document that the comment begins ("" if it has none);
    None if the line is no such mark."""
    found = _DOCUMENT_MARK.fullmatch(text.strip())
    return (found[1] or "").strip() if found else None


def is_docstart(text: str) -> bool:
    """RETURNS (bool): Has the line "-DOCSTART-" in its first column?"""
    return text.startswith("-DOCSTART-") and text.split()[0] == "-DOCSTART-"


def text_comment(text: str) -> str | None:
    """RETURNS (str | None): The sentence that a "# text = ..." comment gives, else None."""
    found = _TEXT.fullmatch(text)
    return found[1] if found else None


def is_glue_mark(text: str) -> bool:
    """RETURNS (bool): Does the comment say that the next sentence follows without a space?"""
    return text.strip() == GLUE_MARK


def split_fields(text: str, *, tabs: bool) -> list[str]:
    """RETURNS (list[str]): The columns of a line. Between tabs, a column may be empty."""
    return text.split("\t") if tabs else _BLANKS.split(text.strip(" \t"))


def numbered_lines(path: Path, tick: Callable[[int], None] = no_tick) -> Iterator[tuple[int, str]]:
    """Stream a UTF-8 file. Only LF and CR LF end a line: tokens may hold any other separator.

    path (Path): The file.
    tick (Callable[[int], None]): Is called with the number of bytes of every line.
    YIELDS (tuple[int, str]): The line's number, from 1, and its text without line end or BOM.
    RAISES: ConvertError if a line is not UTF-8.
    """
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            tick(len(raw))
            try:
                text = raw.decode("utf-8")
            except UnicodeDecodeError as err:
                raise ConvertError(
                    f"{path}, line {number}: expected UTF-8, got byte 0x{raw[err.start]:02x}"
                ) from None
            if number == 1:
                text = text.removeprefix("\ufeff")
            yield number, text.removesuffix("\n").removesuffix("\r")


def detect_layout(path: Path, *, token: int | None = None, tag: int | None = None) -> Layout | None:
    """Look at a file's first lines. The tags' column is the last one that has tags in it; the
    tokens' column is the first, or the second after a column of token numbers.

    path (Path): The file.
    token (int | None): The tokens' column if it is known, from 0, negative from the end.
    tag (int | None): The tags' column likewise.
    RETURNS (Layout | None): The layout; None if the file has no rows.
    RAISES: ConvertError if there is no column of tags.
    """
    sample = _sample(path)
    if not sample:
        return None
    tabs = 2 * sum("\t" in text for _, text in sample) >= len(sample)
    rows = [split_fields(text, tabs=tabs) for _, text in sample]
    # After a column of numbers every line that begins with "#" is a comment.
    numbered = [fields for fields in rows if not fields[0].startswith("#")]
    indexed = bool(numbered) and _are_token_numbers([fields[0] for fields in numbered])
    indexed &= all(len(fields) >= 3 for fields in numbered)
    rows = numbered if indexed else rows
    widths = Counter(map(len, rows))
    width = max(widths, key=lambda n: (widths[n], n))
    for option, column in ("token", token), ("tag", tag):
        if column is not None and not -width <= column < width:
            raise ConvertError(
                f"{path}: there is no {option} column {_shown(column)}: lines have {width} columns"
            )
    if tag is None:
        tag = _tag_column([fields for fields in rows if len(fields) == width], width, token)
    if tag is None:
        line, text = sample[0]
        raise ConvertError(
            f"{path}, line {line}: expected columns separated by tabs or spaces, one of them with "
            f"tags such as 'O' and 'B-PER', found: {text!r}"
        )
    if token is None:
        token = 1 if indexed and tag != 1 else 0
    if token % width == tag % width:
        raise ConvertError(
            f"{path}: token and tag cannot both be in column {_shown(tag)} of {width}"
        )
    return Layout(tabs=tabs, width=width, token=token, tag=tag, indexed=indexed)


def _sample(path: Path) -> list[tuple[int, str]]:
    """The first lines that are rows for certain, with their numbers."""
    sample = []
    for number, text in numbered_lines(path):
        if not text.strip() or is_docstart(text):
            continue
        if "\t" not in text and _COMMENT.match(text):
            continue
        sample.append((number, text))
        if len(sample) == SAMPLE_LINES:
            break
    return sample


def _are_token_numbers(values: list[str]) -> bool:
    """Do the values count 1, 2, 3 … and begin anew now and then? A range as in CoNLL-U passes."""
    before = 0
    for value in values:
        if not _TOKEN_NUMBER.fullmatch(value):
            return False
        if value.isdigit():
            if int(value) not in (0, 1, before + 1):
                return False
            before = int(value)
    return True


def _tag_column(rows: list[list[str]], width: int, token: int | None) -> int | None:
    """The last column most of whose values are tags. Missing tags ("-") are evidence of nothing."""
    for column in reversed(range(width)):
        if token is not None and column == token % width:
            continue
        values = [fields[column] for fields in rows if fields[column] != MISSING]
        if values and 2 * sum(map(_is_tag, values)) >= len(values):
            return column
    return None


def _is_tag(value: str) -> bool:
    if value == OUTSIDE:
        return True
    try:
        split_tag(value)
    except ValueError:
        return False
    return True


def _shown(column: int) -> int:
    """A column as users count: from 1, or from -1 at the end."""
    return column + 1 if column >= 0 else column
