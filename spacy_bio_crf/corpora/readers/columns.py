"""Reader of column files: one token a line, with its tag in another column.

CoNLL-2002, CoNLL-2003 and their many relatives. A file is read twice: the first pass detects its
layout (separator and columns) and scheme, the second streams its sentences.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ...errors import ConvertError
from ...io import Tick, numbered_lines
from ..options import ConvertOptions
from ..passages import Sentence, Summary
from .layout import Layout, document_mark, is_docstart, shown
from .layout_detection import NO_PART, detect_layout
from .tagged import Block, read_tagged
from .ud_words import universal

EMPTY_FILE = "file without rows"
BLANK_BREAK = "sentences end at a line of white space, not at an empty one"
HASH_TOKEN = "tokens begin with # and are no comments"
LAYERS = "files with tags in columns {all}, all of which were read (`layers`)"
SEVERAL_TAGS = "files with tags in columns {all}, of which {tag} was read"
HEADER = "header rows, which are no tokens"
# Written by this package: no space stands between this sentence and the next one.
GLUE_MARK = "# space_after = no"
# A space follows the last token of the document.
FINAL_SPACE = "# space_after = yes"
UNKNOWN_STARTS = "# sentences = unknown"
_TEXT = re.compile(r"#+\s*text\s*=\s?(.*)")


def read_columns(
    paths: Sequence[Path], options: ConvertOptions, summary: Summary
) -> Iterator[Sentence | ConvertError]:
    """Read column files.

    A line of white space ends a sentence. A document begins with each file, at a line with
    "-DOCSTART-" in its first column, and at a "# newdoc" comment. Comments are told from tokens
    that begin with "#" by their form.
    """
    columns = {
        "token": _column(options.token_column),
        "tag": _column(options.tag_column),
        "pos": _column(options.pos_column),
        "chunk": _column(options.chunk_column),
    }
    layouts = {}
    for path in paths:
        layout = detect_layout(path, options, **columns)
        if layout is None:
            summary.dropped[EMPTY_FILE] += 1
            continue
        layouts[path] = layout
        layers = layout.layers if options.layers else ()
        if layers:
            read = sorted(shown(column) for column in (layout.tag, *layers))
            summary.remarks[LAYERS.format(all=", ".join(map(str, read)))] += 1
        elif layout.other_tags:
            *first, last = sorted(shown(column) for column in (*layout.other_tags, layout.tag))
            several = f"{', '.join(map(str, first))} and {last}"
            summary.remarks[SEVERAL_TAGS.format(all=several, tag=shown(layout.tag))] += 1

    def blocks(path: Path, tick: Tick | None) -> Iterator[Block]:
        lines = numbered_lines(path, ConvertError, tick, encoding=options.encoding)
        return _blocks(path, layouts[path], lines, options.layers)

    notes = {path: str(layout) for path, layout in layouts.items()}
    return read_tagged(blocks, notes, options, summary)


def _column(column: int | None) -> int | None:
    """From the count of users (1 is the first column, -1 the last) to Python's."""
    return column - 1 if column is not None and column > 0 else column


def _blocks(
    path: Path, layout: Layout, lines: Iterable[tuple[int, str]], layered: bool
) -> Iterator[Block]:
    """Cut a file at its sentence breaks and document marks; blocks have one row at least."""
    block = _new_block(layout)
    block.starts_document = True
    for line, text in lines:
        is_comment = layout.is_comment(text)
        name = document_mark(text) if is_comment else None
        if is_docstart(text):
            name = ""
        if name is not None or not text.strip():
            if block.lines or block.error:
                if name is None and text:
                    block.remarks[BLANK_BREAK] += 1
                yield block
                block = _new_block(layout)
            if name is not None:
                block.starts_document, block.document_id = True, name
        elif is_comment:
            found = _TEXT.fullmatch(text)
            block.text = found[1] if found else block.text
            block.glued |= text.strip() == GLUE_MARK
            block.final_space |= text.strip() == FINAL_SPACE
            block.unknown_starts |= text.strip() == UNKNOWN_STARTS
        elif line == layout.header:
            block.remarks[HEADER] += 1
        else:
            try:
                word, tag, pos, chunk = layout.row(path, line, text)
            except ConvertError as err:
                block.error = block.error or err
                continue
            if word.startswith("#"):
                block.remarks[HASH_TOKEN] += 1
            block.words.append(word)
            block.tags.append(tag)
            if layered and layout.layers:
                block.layers.append(layout.layer_tags(text))
            block.lines.append(line)
            if layout.pos is not None:
                _add_pos(block, pos, layout)
            if block.chunk_tags is not None:
                block.chunk_tags.append(chunk)
    if block.lines or block.error:
        yield block


def _new_block(layout: Layout) -> Block:
    return Block(chunk_tags=None if layout.chunk is None else [])


def _add_pos(block: Block, value: str, layout: Layout) -> None:
    label = "" if value in NO_PART else value
    if layout.universal:
        label = universal(label, block.remarks)
    block.attributes.setdefault("pos" if layout.universal else "tag", []).append(label)
