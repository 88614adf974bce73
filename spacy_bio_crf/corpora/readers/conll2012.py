"""Reader of CoNLL-2012's files (OntoNotes, `_gold_conll`), with entities in brackets.

bc/cctv/00/cctv_0000  0  1  Hong  NNP  (NP*  -  -  -  Speaker#1  (GPE*  *  -
bc/cctv/00/cctv_0000  0  2  Kong  NNP     *) -  -  -  Speaker#1      *) *  -
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...errors import ConvertError, Plain, describe
from ...io import numbered_lines
from ...tags.schemes import MISSING
from ...tags.spans import Span
from ..options import ConvertOptions
from ..passages import Sentence, Summary

FEWEST = 12  # columns of a row; each predicate adds one
WORD, ENTITY = 3, 10
NO_WORD = "[WORD]"  # in the files before the words of OntoNotes are put into them
_VALUE = re.compile(r"(\([^()*\s|]+)*\*?\)*|-")
_BRACKET = re.compile(r"\(([^()*\s|]+)|(\))")
_BEGIN = re.compile(r"#begin document \(?(.*?)\)?(?:; part (\d+))?\s*")


def looks_like_conll2012(text: str) -> bool:
    """Whether the first row of a file has the columns of CoNLL-2012."""
    rows = (line.split() for line in text.splitlines() if not line.startswith("#"))
    first = next(filter(None, rows), [])
    return (
        len(first) >= FEWEST
        and first[1].isdigit()
        and first[2].isdigit()
        and _VALUE.fullmatch(first[ENTITY]) is not None
    )


def read_conll2012(
    paths: Sequence[Path], options: ConvertOptions, summary: Summary
) -> Iterator[Sentence]:
    """Read CoNLL-2012's files. Each part of a document is one; "-" marks missing annotation."""
    for path in paths:
        lines = numbered_lines(path, ConvertError, summary.tick, encoding=options.encoding)
        rows: list[tuple[int, list[str]]] = []
        begun, name = True, ""
        for line, text in lines:
            fields = text.split()
            mark = _BEGIN.fullmatch(text)
            if mark or not fields:
                if rows:
                    yield _sentence(path, rows, begun, name)
                    rows, begun = [], False
                if mark:
                    begun, name = True, "_".join(filter(None, mark.groups()))
            elif not text.startswith("#"):
                _check(path, line, fields)
                rows.append((line, fields))
        if rows:
            yield _sentence(path, rows, begun, name)
        summary.notes["CoNLL-2012, entities in column 11"] += 1


def _check(path: Path, line: int, fields: list[str]) -> None:
    place = f"{path}, line {line}"
    if len(fields) < FEWEST:
        got = Plain(f"{len(fields)} in {' '.join(fields)!r}")
        raise ConvertError(describe(place, expected=f"at least {FEWEST} columns", got=got))
    if not _VALUE.fullmatch(fields[ENTITY]):
        expected = f"'*', '(PER*', '*)' or '(PER)' in column {ENTITY + 1}"
        raise ConvertError(describe(place, expected=expected, got=fields[ENTITY]))
    if fields[WORD] == NO_WORD:
        expected = f"a word in column {WORD + 1}; OntoNotes has those of this file"
        raise ConvertError(describe(place, expected=expected, got=NO_WORD))


def _sentence(path: Path, rows: list[tuple[int, list[str]]], begun: bool, name: str) -> Sentence:
    spans: list[Span] = []
    open_spans: list[tuple[int, str, int]] = []
    for i, (line, fields) in enumerate(rows):
        for label, closing in _BRACKET.findall(fields[ENTITY]):
            if not closing:
                open_spans.append((i, label, line))
            elif open_spans:
                start, label, _ = open_spans.pop()
                spans.append((start, i + 1, label))
            else:
                place, got = f"{path}, line {line}", fields[ENTITY]
                raise ConvertError(describe(place, expected="a bracket that was opened", got=got))
    if open_spans:
        _, label, line = open_spans[-1]
        place, got = f"{path}, line {line}", f"({label}*"
        raise ConvertError(describe(place, expected="a bracket that is closed", got=got))
    return Sentence(
        words=[fields[WORD] for _, fields in rows],
        spans=sorted(spans),
        missing=[i for i, (_, fields) in enumerate(rows) if fields[ENTITY] == MISSING],
        spaces=None,
        path=path,
        line=rows[0][0],
        starts_document=begun,
        document_id=name if begun else "",
    )
