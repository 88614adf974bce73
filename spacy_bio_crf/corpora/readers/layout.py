"""Rows of a column file: their columns, and lines that are comments or document marks."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ...errors import ConvertError, Plain, describe
from ...tags.schemes import MISSING, OUTSIDE
from .tag_forms import USUAL, TagForm

DOCSTART = "-DOCSTART-"
# A hash starts hashtags and the token "#" as well as comments, so a comment also has to look like
# one: the hash alone, before a space, or before "key =".
_COMMENT = re.compile(r"#+($|\s|\w+\s*=)|###\s*\w+:")
_HASH_WORD = re.compile(r"#+[^#\s]\S*")
# The second form is that of JNLPBA: "###MEDLINE:95369245"
_DOCUMENT_MARK = re.compile(r"#+\s*newdoc\b(?:\s+id\s*=\s*(.*))?|###\s*\w+:\s*(.*)")
_BLANKS = re.compile(r"[ \t]+")


def document_mark(text: str) -> str | None:
    """The name of the document that a comment begins ("" without one); None for other lines."""
    found = _DOCUMENT_MARK.fullmatch(text.strip())
    return (found[1] or found[2] or "").strip() if found else None


def is_docstart(text: str) -> bool:
    return text.startswith(DOCSTART) and text.split()[0] == DOCSTART


def looks_like_comment(text: str) -> bool:
    """RETURNS (bool): Whether a line has the form of a comment; it may be a row all the same."""
    return _COMMENT.match(text) is not None


def split_fields(text: str, *, tabs: bool) -> list[str]:
    """The columns of a line. Between tabs, a column may be empty."""
    return text.split("\t") if tabs else _BLANKS.split(text.strip(" \t"))


def shown(column: int) -> int:
    """From Python's count to that of users."""
    return column + 1 if column >= 0 else column


@dataclass(frozen=True)
class Layout:
    """The columns of one file.

    tabs (bool): Whether single TABs separate columns, or else runs of spaces.
    width (int): The most frequent number of columns in a row.
    token (int): The tokens' column, from 0; negative from the end.
    tag (int): The tags' column, likewise.
    indexed (bool): Whether each row begins with the token's number in its sentence.
    other_tags (tuple[int, ...]): Other columns with entities, if the tags' column was detected.
    layers (tuple[int, ...]): Those of them that are not of phrases such as NP.
    form (TagForm): The form of the tags.
    header (int): The line of a header row; 0 without one.
    untagged (bool): There is no column of tags.
    pos (int | None): The column of parts of speech.
    universal (bool): They are universal ones, or else tags.
    chunk (int | None): The column of phrases.
    """

    tabs: bool
    width: int
    token: int
    tag: int
    indexed: bool
    other_tags: tuple[int, ...] = ()
    form: TagForm = USUAL
    header: int = 0
    untagged: bool = False
    pos: int | None = None
    universal: bool = False
    chunk: int | None = None
    layers: tuple[int, ...] = ()

    def __str__(self) -> str:
        parts = ["tabs" if self.tabs else "spaces", f"token in column {shown(self.token)}"]
        parts.append("no tags" if self.untagged else f"tag in {shown(self.tag)}")
        if self.pos is not None:
            parts.append(f"part of speech in {shown(self.pos)}")
        if self.chunk is not None and self.chunk != self.tag:
            parts.append(f"chunk in {shown(self.chunk)}")
        return ", ".join(parts)

    @cached_property
    def _needed(self) -> int:
        columns = (self.token, self.tag, self.pos, self.chunk)
        return max(n + 1 if n >= 0 else -n for n in columns if n is not None)

    def row(self, path: Path, line: int, text: str) -> tuple[str, str, str, str]:
        """Token, tag, part of speech and tag of a phrase; the last two "" where the file has none.
        RAISES: ConvertError if a column is missing."""
        fields = split_fields(text, tabs=self.tabs)
        needed = self._needed
        # In a file separated by spaces a token with a space in it would move the columns.
        if len(fields) < needed or (not self.tabs and len(fields) != self.width):
            wanted = f"at least {needed}" if self.tabs else str(self.width)
            got = Plain(f"{len(fields)} in {text!r}")
            expected = f"{wanted} columns ({self})"
            raise ConvertError(describe(f"{path}, line {line}", expected=expected, got=got))
        word, tag = fields[self.token], MISSING if self.untagged else fields[self.tag]
        if self.pos is None and self.chunk is None:
            return word, tag, "", ""
        pos = "" if self.pos is None else fields[self.pos].strip()
        return word, tag, pos, "" if self.chunk is None else fields[self.chunk].strip()

    def layer_tags(self, text: str) -> list[str]:
        """The tags of the other layers in a row; O for a column that the row lacks."""
        fields = split_fields(text, tabs=self.tabs)
        return [fields[n] if n < len(fields) else OUTSIDE for n in self.layers]

    def is_comment(self, text: str) -> bool:
        """Whether the line is a comment. One that may be a row is none."""
        if not text.startswith("#"):
            return False
        if self.indexed:
            return True
        if not looks_like_comment(text):
            return False
        if self.tabs != ("\t" in text):
            return True
        fields = split_fields(text, tabs=self.tabs)
        if not self.tabs and (len(fields) != self.width or fields[1:2] == ["newdoc"]):
            return True
        # "# id 5ad0 domain=en" among rows of four columns; the token "###Update:" is in a row
        as_row = self._needed <= len(fields) and self.form.fits(fields[self.tag].strip())
        if self.untagged:
            as_row = 1 < self.width == len(fields) and _HASH_WORD.fullmatch(fields[0]) is not None
        return not as_row and any(":" in field or "=" in field for field in fields)
