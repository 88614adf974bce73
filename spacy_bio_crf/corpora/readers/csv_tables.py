"""Reader of CSV and other tables with a header row: a token in each row, or a sentence.

Sentence #,Word,POS,Tag         sentence_id;token;ner_tag       text,labels
Sentence: 1,Ana,NNP,B-PER       7;Ana;B-PER                     Ana ran,B-PER O
,ran,VBD,O                      7;ran;O                         Bo ran,B-PER O
"""

import ast
import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path

from ...errors import ConvertError, Plain, describe
from ...io import Tick, numbered_lines
from ..options import ConvertOptions
from ..passages import Sentence, Summary
from .layout_detection import TOKEN_HEADS, is_tag_head
from .tag_forms import USUAL
from .tagged import Block, read_tagged

DELIMITERS = ",;\t|"
OTHER_TAGS = "tables with tags under {others}, too, of which {name} was read (`tag_column`)"
TEXT_HEADS = frozenset({"text", "sentence", "sentences", "tokens", "words", "content"})
_SAMPLE = 50
_SHOWN = 40  # characters of a field in a message
_ID = r"[ _#-]*(#|id|idx|no|num|number|index)?"
_SENTENCE_HEAD = re.compile(rf"sent(ence)?s?{_ID}")
_DOCUMENT_HEAD = re.compile(rf"(doc|document|file|article){_ID}[_ ]?(name)?|filename")

# The strings and numbers in a list. numpy, and with it pandas, puts spaces alone between them.
_PART = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|-?[0-9]+(?:\.[0-9]*)?""", re.DOTALL)

Row = tuple[int, list[str]]  # line, fields


@dataclass(frozen=True)
class _Table:
    """The columns of a table, from 0; -1 where there is none.

    by_sentence (bool): Whether each row is a sentence.
    header (bool): Whether the first row is a header row.
    """

    delimiter: str
    width: int
    token: int
    tag: int
    sentence: int
    document: int
    by_sentence: bool
    header: bool
    remark: str = ""

    def __str__(self) -> str:
        separator = {"\t": "tabs"}.get(self.delimiter, repr(self.delimiter))
        what = "sentence" if self.by_sentence else "token"
        head = "table with a header row" if self.header else "table"
        return f"{head}, {separator}, {what} in column {self.token + 1}, tag in {self.tag + 1}"


def looks_like_table(text: str) -> bool:
    """Whether a file begins with a header row, or all lines have commas and a tag at the end.

    Between TABs, a header row alone is one of a column file.
    """
    lines = [line for line in text.split("\n")[:_SAMPLE] if line.strip()]
    for delimiter in DELIMITERS:
        try:
            rows = list(_fields(lines[:-1] or lines, delimiter))
        except csv.Error:
            continue
        names = _names(rows[0]) if rows else []
        if len(names) > 1 and _has_tags(names) and (delimiter != "\t" or _has_units(names)):
            return not TOKEN_HEADS.union(TEXT_HEADS).isdisjoint(names)
        plain = (
            delimiter in ",;" and rows and len(rows[0]) > 1 and not any("\t" in x for x in lines)
        )
        if plain and all(len(row) == len(rows[0]) and USUAL.fits(row[-1].strip()) for row in rows):
            return True
    return False


def read_tables(
    paths: Sequence[Path], options: ConvertOptions, summary: Summary
) -> Iterator[Sentence | ConvertError]:
    """Read tables. A sentence ends where the value of a sentence's column changes, or at an empty
    row; a document likewise where its column changes. Tags may be ids that `tag_names` names."""

    def rows(path: Path, tick: Tick | None, delimiter: str) -> Iterator[Row]:
        lines = numbered_lines(path, ConvertError, tick, encoding=options.encoding)
        return dropwhile(lambda row: _is_blank(row[1]), _rows(path, lines, delimiter))

    tables: dict[Path, _Table] = {}
    for path in paths:
        first = next((text for _, text in _lines(path, options) if text.strip()), "")
        delimiter = max(DELIMITERS, key=lambda d: len(next(_fields([first], d), [])))
        sample = [row for row, _ in zip(rows(path, None, delimiter), range(_SAMPLE), strict=False)]
        if sample:
            tables[path] = _table(path, sample, delimiter, options)
            if tables[path].remark:
                summary.remarks[tables[path].remark] += 1

    def blocks(path: Path, tick: Tick | None) -> Iterator[Block]:
        table = tables[path]
        found = rows(path, tick, table.delimiter)
        if table.header:
            next(found)
        read = _sentence_rows if table.by_sentence else _token_rows
        for block in read(path, found, table):
            try:
                block.tags = [
                    _tag(path, line, tag, options)
                    for tag, line in zip(block.tags, block.lines, strict=True)
                ]
            except ConvertError as err:
                if not options.tag_names:
                    raise
                block = Block(
                    starts_document=block.starts_document,
                    document_id=block.document_id,
                    error=block.error or err,
                )
            yield block

    return read_tagged(
        blocks, {path: str(table) for path, table in tables.items()}, options, summary
    )


def _lines(path: Path, options: ConvertOptions) -> Iterator[tuple[int, str]]:
    return numbered_lines(path, ConvertError, encoding=options.encoding)


def _fields(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    ended = (f"{line}\n" for line in lines)
    if delimiter == "\t":
        return csv.reader(ended, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    return csv.reader(ended, delimiter=delimiter)


def _rows(path: Path, lines: Iterable[tuple[int, str]], delimiter: str) -> Iterator[Row]:
    """The rows, with the line on which each begins. Quoted fields may have line ends."""
    line = 1
    reader = _fields((text for _, text in lines), delimiter)
    try:
        for fields in reader:
            yield line, fields
            line = reader.line_num + 1  # type: ignore[attr-defined]
    except csv.Error as err:
        place = f"{path}, line {line}"
        raise ConvertError(describe(place, expected="a row of CSV", got=Plain(str(err)))) from None


def _names(fields: Sequence[str]) -> list[str]:
    return [field.strip().lower() for field in fields]


def _has_tags(names: Sequence[str]) -> bool:
    return any(map(is_tag_head, names))


def _has_units(names: Sequence[str]) -> bool:
    return any(_SENTENCE_HEAD.fullmatch(n) or _DOCUMENT_HEAD.fullmatch(n) for n in names)


def _table(path: Path, sample: list[Row], delimiter: str, options: ConvertOptions) -> _Table:
    names = _names(sample[0][1])
    header = _has_tags(names) and not any(map(USUAL.fits, sample[0][1]))
    width = len(names)
    rows = [fields for _, fields in sample[header:] if len(fields) == width and any(fields)]
    if not header:
        names = [""] * width
    tagged = [n for n, name in enumerate(names) if is_tag_head(name)] or [width - 1]
    tagged.sort(key=lambda n: "ne" not in names[n])
    tag = _given(options.tag_column, width, "tag_column", path)
    remark = ""
    if tag is None:
        tag = tagged[0]
        if len(tagged) > 1:
            others = ", ".join(repr(names[n]) for n in sorted(tagged[1:]))
            remark = OTHER_TAGS.format(others=others, name=repr(names[tag]))
    token = _given(options.token_column, width, "token_column", path)
    if token is None:
        heads = [n for n, name in enumerate(names) if name in TOKEN_HEADS and n != tag]
        heads += [n for n, name in enumerate(names) if name in TEXT_HEADS and n != tag]
        heads += [n for n in range(width) if n not in tagged] if not header else []
        if not heads:
            expected = f"a column with one of the names {', '.join(sorted(TOKEN_HEADS))}"
            got = Plain(f"the names {', '.join(map(repr, names))}")
            remedy = "name the column with `token_column`"
            raise ConvertError(
                describe(f"{path}, line 1", expected=expected, got=got, remedy=remedy)
            )
        token = heads[0]
    units = [n for n in range(width) if n not in (token, tag)]
    sentence = next((n for n in units if _SENTENCE_HEAD.fullmatch(names[n])), -1)
    document = next((n for n in units if _DOCUMENT_HEAD.fullmatch(names[n])), -1)
    by_sentence = _are_sentences([(row[token], row[tag]) for row in rows])
    return _Table(delimiter, width, token, tag, sentence, document, by_sentence, header, remark)


def _are_sentences(pairs: Iterable[tuple[str, str]]) -> bool:
    """Whether words and tags are those of sentences; a row of one word and one tag may be both."""
    alike = unlike = 0
    for words, tags in pairs:
        several = len(_listed(words)) > 1, len(_listed(tags)) > 1
        alike += tags.strip().startswith("[") or all(several)
        unlike += several[0] != several[1]
    return 0 < alike >= unlike


def _given(column: int | None, width: int, option: str, path: Path) -> int | None:
    if column is None:
        return None
    if not -width <= column <= width:
        expected = f"one of the {width} columns of {path}"
        raise ConvertError(describe(option, expected=expected, got=column))
    return column - 1 if column > 0 else column + width


def _token_rows(path: Path, rows: Iterable[Row], table: _Table) -> Iterator[Block]:
    block = Block(starts_document=True)
    sentence = document = ""
    for line, fields in rows:
        empty = _is_blank(fields)
        error = None if empty else _fault(path, line, fields, table)
        new_sentence = _value(fields, table.sentence, empty) or sentence
        new_document = _value(fields, table.document, empty) or document
        changed = new_document != document
        if (block.lines or block.error) and (empty or changed or new_sentence != sentence):
            yield block
            block = Block()
        if changed:
            block.starts_document, block.document_id = True, new_document
        sentence, document = new_sentence, new_document
        if error is not None:
            block.error = block.error or error
        elif not empty:
            # A space may follow each comma.
            word = fields[table.token]
            block.words.append(word.strip(" ") or word)
            block.tags.append(fields[table.tag])
            block.lines.append(line)
    if block.lines or block.error:
        yield block


def _sentence_rows(path: Path, rows: Iterable[Row], table: _Table) -> Iterator[Block]:
    document, first = "", True
    for line, fields in rows:
        if _is_blank(fields):
            continue
        error = _fault(path, line, fields, table)
        name = _value(fields, table.document, False)
        block = Block(starts_document=first or name != document, document_id=name, error=error)
        if error is None:
            words, tags = _listed(fields[table.token]), _listed(fields[table.tag])
            if len(words) == len(tags):
                block.words, block.tags = words, tags
                block.line, block.lines = line, [line] * len(tags)
            else:
                got = Plain(f"{len(tags)} in {fields[table.tag]!r} and {len(words)} tokens")
                expected = "as many tags as tokens"
                message = describe(f"{path}, line {line}", expected=expected, got=got)
                block.error = ConvertError(message)
        yield block
        document, first = name, False


def _is_blank(fields: Sequence[str]) -> bool:
    return not any(field.strip() for field in fields)


def _value(fields: Sequence[str], column: int, empty: bool) -> str:
    return "" if empty or not 0 <= column < len(fields) else fields[column].strip()


def _fault(path: Path, line: int, fields: Sequence[str], table: _Table) -> ConvertError | None:
    """The error in a row, if there is one."""
    torn = "" if table.by_sentence else next((x for x in fields if "\n" in x.strip()), "")
    if torn:
        # A quotation mark begins a field that goes on until the next one.
        expected = "a token on one line; a quotation mark alone is written as four of them"
        got = Plain(repr(torn[:_SHOWN]))
    elif len(fields) <= max(table.token, table.tag, table.sentence, table.document):
        got = Plain(f"{len(fields)} in {table.delimiter.join(fields)!r}")
        expected = f"{table.width} columns ({table})"
    else:
        return None
    return ConvertError(describe(f"{path}, line {line}", expected=expected, got=got))


def _listed(value: str) -> list[str]:
    """The parts of a field: a list as Python, JSON or numpy writes it, or words between spaces."""
    value = value.strip()
    if value.startswith("[") and value.endswith("]"):
        inner = value[1:-1]
        # Python joins strings that no comma separates, so each is evaluated alone.
        if not _PART.sub("", inner).replace(",", "").strip():
            try:
                return [str(ast.literal_eval(part)) for part in _PART.findall(inner)]
            except (ValueError, SyntaxError):
                pass
    return value.split()


def _tag(path: Path, line: int, tag: str, options: ConvertOptions) -> str:
    """A tag, or the name that an id stands for."""
    number = tag.strip().removesuffix(".0")
    if not number.isdecimal():
        return tag
    names = options.tag_names or ()
    if int(number) < len(names):
        return names[int(number)]
    place = f"{path}, line {line}"
    if names:
        expected = f"ids from 0 to {len(names) - 1}"
        raise ConvertError(describe(place, expected=expected, got=tag))
    expected, remedy = (
        "tags, or ids whose names are known",
        "give `tag_names` in the order of the ids",
    )
    raise ConvertError(
        describe(place, expected=expected, got=Plain(f"the id {tag}"), remedy=remedy)
    )
