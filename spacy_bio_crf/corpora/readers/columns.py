"""Reader of column files: one token a line, with its tag in another column.

CoNLL-2002, CoNLL-2003 and their many relatives. A file is read twice: the first pass detects its
layout (separator and columns) and scheme, the second streams its sentences.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ...errors import ConvertError, Plain, describe
from ...io import UTF8, Tick, numbered_lines
from ...tags.schemes import MISSING, OUTSIDE, split_tag
from ..options import ConvertOptions
from ..passages import Sentence, Summary
from .tagged import Block, read_tagged

EMPTY_FILE = "file without rows"
BLANK_BREAK = "sentences end at a line of white space, not at an empty one"
HASH_TOKEN = "tokens begin with # and are no comments"
SEVERAL_TAGS = "files with tags in columns {others} and {tag}, of which {tag} was read"
SAMPLE_LINES = 2000
# Written by this package: no space stands between this sentence and the next one.
GLUE_MARK = "# space_after = no"
DOCSTART = "-DOCSTART-"
# A hash starts hashtags and the token "#" as well as comments, so a comment also has to look like
# one: the hash alone, before a space, or before "key =".
_COMMENT = re.compile(r"#+($|\s|\w+\s*=)")
_DOCUMENT_MARK = re.compile(r"#+\s*newdoc\b(?:\s+id\s*=\s*(.*))?")
_TEXT = re.compile(r"#+\s*text\s*=\s?(.*)")
_TOKEN_NUMBER = re.compile(r"[0-9]+([.-][0-9]+)?")
_BLANKS = re.compile(r"[ \t]+")


def read_columns(
    paths: Sequence[Path], options: ConvertOptions, summary: Summary
) -> Iterator[Sentence]:
    """Read column files.

    A line of white space ends a sentence. A document begins with each file, at a line with
    "-DOCSTART-" in its first column, and at a "# newdoc" comment. Comments are told from tokens
    that begin with "#" by their form.
    """
    token, tag = _column(options.token_column), _column(options.tag_column)
    layouts = {}
    for path in paths:
        layout = detect_layout(path, token=token, tag=tag, encoding=options.encoding)
        if layout is None:
            summary.dropped[EMPTY_FILE] += 1
            continue
        layouts[path] = layout
        if layout.other_tags:
            others = ", ".join(str(_shown(column)) for column in layout.other_tags)
            summary.remarks[SEVERAL_TAGS.format(others=others, tag=_shown(layout.tag))] += 1

    def blocks(path: Path, tick: Tick | None) -> Iterator[Block]:
        lines = numbered_lines(path, ConvertError, tick, encoding=options.encoding)
        return _blocks(path, layouts[path], lines)

    notes = {path: str(layout) for path, layout in layouts.items()}
    return read_tagged(blocks, notes, options, summary)


def document_mark(text: str) -> str | None:
    """The name of the document that a comment begins ("" without one); None for other lines."""
    found = _DOCUMENT_MARK.fullmatch(text.strip())
    return (found[1] or "").strip() if found else None


@dataclass(frozen=True)
class Layout:
    """The columns of one file.

    tabs (bool): Whether single TABs separate columns, or else runs of spaces.
    width (int): The most frequent number of columns in a row.
    token (int): The tokens' column, from 0; negative from the end.
    tag (int): The tags' column, likewise.
    indexed (bool): Whether each row begins with the token's number in its sentence.
    other_tags (tuple[int, ...]): Other columns with entities, if the tags' column was detected.
    """

    tabs: bool
    width: int
    token: int
    tag: int
    indexed: bool
    other_tags: tuple[int, ...] = ()

    def __str__(self) -> str:
        separator = "tabs" if self.tabs else "spaces"
        return f"{separator}, token in column {_shown(self.token)}, tag in {_shown(self.tag)}"

    @cached_property
    def _needed(self) -> int:
        return max(n + 1 if n >= 0 else -n for n in (self.token, self.tag))

    def row(self, path: Path, line: int, text: str) -> tuple[str, str]:
        """Token and tag. RAISES: ConvertError if a column is missing."""
        fields = _split_fields(text, tabs=self.tabs)
        needed = self._needed
        # In a file separated by spaces a token with a space in it would move the columns.
        if len(fields) < needed or (not self.tabs and len(fields) != self.width):
            wanted = f"at least {needed}" if self.tabs else str(self.width)
            got = Plain(f"{len(fields)} in {text!r}")
            expected = f"{wanted} columns ({self})"
            raise ConvertError(describe(f"{path}, line {line}", expected=expected, got=got))
        return fields[self.token], fields[self.tag]

    def is_comment(self, text: str) -> bool:
        """Whether the line is a comment. One that may be a row is none."""
        if not text.startswith("#"):
            return False
        if self.indexed:
            return True
        if not _COMMENT.match(text):
            return False
        if "\t" in text:
            return not self.tabs
        if self.tabs:
            return True
        n_fields = len(_split_fields(text, tabs=False))
        return n_fields != self.width or document_mark(text) is not None


def detect_layout(
    path: Path, *, token: int | None = None, tag: int | None = None, encoding: str = UTF8
) -> Layout | None:
    """Detect a file's layout by its first lines; None if it has no rows.

    The tags' column is the last one with tags in it. The tokens' column is the first one, or the
    second one after a column of token numbers.

    token (int | None): The tokens' column if it is known, from 0, negative from the end.
    tag (int | None): The tags' column likewise.
    RAISES: ConvertError if there is no column of tags.
    """
    sample = _sample(path, encoding)
    if not sample:
        return None
    # A comment may have TABs in a file separated by spaces, a token may be "#" in one with TABs.
    certain = [(number, text) for number, text in sample if not _COMMENT.match(text)] or sample
    tabs = 2 * sum("\t" in text for _, text in certain) >= len(certain)
    sample = sample if tabs else certain
    rows = [_split_fields(text, tabs=tabs) for _, text in sample]
    # After a column of numbers each line that begins with "#" is a comment.
    numbered = [fields for fields in rows if not fields[0].startswith("#")]
    indexed = bool(numbered) and _are_token_numbers([fields[0] for fields in numbered])
    indexed &= all(len(fields) >= 3 for fields in numbered)
    rows = numbered if indexed else rows
    widths = Counter(map(len, rows))
    width = max(widths, key=lambda n: (widths[n], n))
    for option, column in ("token_column", token), ("tag_column", tag):
        if column is not None and not -width <= column < width:
            expected = f"one of the {width} columns of {path}"
            raise ConvertError(describe(option, expected=expected, got=_shown(column)))
    others: list[int] = []
    if tag is None:
        full = [fields for fields in rows if len(fields) == width]
        found = _tag_columns(full, width, token)
        if not found:
            line, text = sample[0]
            expected = (
                "columns separated by tabs or spaces, one of them with tags such as 'O' and 'B-PER'"
            )
            raise ConvertError(describe(f"{path}, line {line}", expected=expected, got=text))
        *others, tag = found
        others = [n for n in others if any(fields[n] not in (OUTSIDE, MISSING) for fields in full)]
    if token is None:
        token = 1 if indexed and tag != 1 else 0
    if token % width == tag % width:
        expected = f"token and tag in different ones of {width} columns"
        got = Plain(f"both in column {_shown(tag)}")
        raise ConvertError(describe(str(path), expected=expected, got=got))
    return Layout(tabs, width, token, tag, indexed, tuple(n for n in others if n != token))


def _column(column: int | None) -> int | None:
    """From the count of users (1 is the first column, -1 the last) to Python's."""
    return column - 1 if column is not None and column > 0 else column


def _shown(column: int) -> int:
    """From Python's count to that of users."""
    return column + 1 if column >= 0 else column


def _blocks(path: Path, layout: Layout, lines: Iterable[tuple[int, str]]) -> Iterator[Block]:
    """Cut a file at its sentence breaks and document marks; blocks have one row at least."""
    block = Block(starts_document=True)
    for line, text in lines:
        is_comment = layout.is_comment(text)
        name = document_mark(text) if is_comment else None
        if _is_docstart(text):
            name = ""
        if name is not None or not text.strip():
            if block.lines:
                if name is None and text:
                    block.remarks[BLANK_BREAK] += 1
                yield block
                block = Block()
            if name is not None:
                block.starts_document, block.document_id = True, name
        elif is_comment:
            found = _TEXT.fullmatch(text)
            block.text = found[1] if found else block.text
            block.glued |= text.strip() == GLUE_MARK
        else:
            word, tag = layout.row(path, line, text)
            if word.startswith("#"):
                block.remarks[HASH_TOKEN] += 1
            block.words.append(word)
            block.tags.append(tag)
            block.lines.append(line)
    if block.lines:
        yield block


def _is_docstart(text: str) -> bool:
    return text.startswith(DOCSTART) and text.split()[0] == DOCSTART


def _split_fields(text: str, *, tabs: bool) -> list[str]:
    """The columns of a line. Between tabs, a column may be empty."""
    return text.split("\t") if tabs else _BLANKS.split(text.strip(" \t"))


def _sample(path: Path, encoding: str) -> list[tuple[int, str]]:
    """The first lines that are rows if TABs separate columns, with their numbers."""
    sample = []
    for number, text in numbered_lines(path, ConvertError, encoding=encoding):
        if not text.strip() or _is_docstart(text):
            continue
        if "\t" not in text and _COMMENT.match(text):
            continue
        sample.append((number, text))
        if len(sample) == SAMPLE_LINES:
            break
    return sample


def _are_token_numbers(values: list[str]) -> bool:
    """Whether the values count 1, 2, 3 … and restart now and then. A range as in CoNLL-U passes."""
    before = 0
    for value in values:
        if not _TOKEN_NUMBER.fullmatch(value):
            return False
        if value.isdigit():
            if int(value) not in (0, 1, before + 1):
                return False
            before = int(value)
    return True


def _tag_columns(rows: list[list[str]], width: int, token: int | None) -> list[int]:
    """The columns most of whose values are tags. Missing tags ("-") are no evidence."""
    columns = []
    for column in range(width):
        values = [fields[column] for fields in rows if fields[column] != MISSING]
        is_token = token is not None and column == token % width
        if not is_token and values and 2 * sum(map(_is_tag, values)) >= len(values):
            columns.append(column)
    return columns


def _is_tag(value: str) -> bool:
    if value == OUTSIDE:
        return True
    try:
        split_tag(value)
    except ValueError:
        return False
    return True
