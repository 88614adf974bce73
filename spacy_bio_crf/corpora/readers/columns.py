"""Read column files: one token a line, with its tag in another column (CoNLL-2002, CoNLL-2003 and
their many relatives)."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..passages import ReadOptions, Sentence, Summary
from .layout import (
    Layout,
    detect_layout,
    document_mark,
    is_docstart,
    is_glue_mark,
    numbered_lines,
    text_comment,
)
from .tagged import Block, read_tagged

EMPTY_FILE = "file without rows"
BLANK_BREAK = "sentences end at a line of white space, not at an empty one"
HASH_TOKEN = "tokens begin with # and are no comments"


def read_columns(
    paths: Sequence[Path], options: ReadOptions, summary: Summary
) -> Iterator[Sentence]:
    """Read column files, in two passes: the first finds out layout and scheme, the second streams.

    A line of white space ends a sentence. A line with "-DOCSTART-" in its first column and a
    "# newdoc" comment begin a document, as does every file. Comments are told from tokens that
    begin with "#" by their form. Tokens that are empty strings are dropped, and counted.

    paths (Sequence[Path]): The files.
    options (ReadOptions): What is known about them.
    summary (Summary): Gets repairs, drops and notes.
    YIELDS (Sentence): The sentences, in order.
    RAISES: ConvertError if a line has too few columns, an unknown tag or one of another scheme.
    """
    token, tag = _column(options.token_column), _column(options.tag_column)
    layouts = {}
    for path in paths:
        layout = detect_layout(path, token=token, tag=tag)
        if layout is None:
            summary.dropped[EMPTY_FILE] += 1
        else:
            layouts[path] = layout

    def blocks(path: Path, tick: Callable[[int], None]) -> Iterator[Block]:
        return _blocks(path, layouts[path], tick)

    notes = {path: str(layout) for path, layout in layouts.items()}
    return read_tagged(blocks, notes, options, summary)


def _column(column: int | None) -> int | None:
    """From the way users count (1 is the first column, -1 the last) to Python's."""
    return column - 1 if column is not None and column > 0 else column


def _blocks(path: Path, layout: Layout, tick: Callable[[int], None]) -> Iterator[Block]:
    """Cut a file at its sentence breaks and document marks; blocks have one row at least."""
    block = Block(starts_document=True)
    for line, text in numbered_lines(path, tick):
        is_comment = layout.is_comment(text)
        name = document_mark(text) if is_comment else None
        if is_docstart(text):
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
            sentence_text = text_comment(text)
            block.text = block.text if sentence_text is None else sentence_text
            block.glued |= is_glue_mark(text)
        else:
            word, tag = layout.row(path, line, text)
            if word.startswith("#"):
                block.remarks[HASH_TOKEN] += 1
            block.words.append(word)
            block.tags.append(tag)
            block.lines.append(line)
    if block.lines:
        yield block
