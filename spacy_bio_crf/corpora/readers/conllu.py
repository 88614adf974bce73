"""Reader of CoNLL-U files with parts of speech, and entities in the last column, MISC.

A token is a stretch without a space: the range line of a multiword token, not the syntactic words
that it is made of.

    1-2  da    _ … _        token "da"
    1    de    _ … NER=O    its tags: O, B-LOC
    2    a     _ … NER=B-LOC
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import ConvertError, Plain, describe
from ...io import Tick, numbered_lines
from ...tags.schemes import MISSING, OUTSIDE
from ..options import ConvertOptions
from ..passages import Sentence, Summary
from .layout import document_mark
from .tagged import Block, read_tagged
from .ud_words import NO_VALUE, UdWord, merge_words

N_COLUMNS = 10
# Keys of MISC that hold a tag, in any case: of stanza, of spaCy's own converter, and others
KEYS = ("ner", "ne", "name", "entity")
EMPTY_NODE = "empty node"

_Row = tuple[int, list[str] | None, str]  # a line's number, its columns if it is a row, its text
_WORD = re.compile(r"[0-9]+")
_RANGE = re.compile(r"([0-9]+)-([0-9]+)")
_EMPTY_NODE = re.compile(r"[0-9]+\.[0-9]+")
# Coreference: "(1-person-new", "1)", "(2-place)", and several of them.
_MENTIONS = re.compile(r"\(.*|[^()]*\).*")


def read_conllu(
    paths: Sequence[Path], options: ConvertOptions, summary: Summary
) -> Iterator[Sentence | ConvertError]:
    """Read CoNLL-U files with a value in UPOS, XPOS or FEATS, or a tag such as `NER=B-PER` in MISC.

    A token without a tag is O; without a tag in any file, all tokens are left unannotated. An
    entity takes in each token one of whose words it takes in. The tag of a range line counts for
    its words. `SpaceAfter=No` gives the spaces, "# newdoc" begins a document.
    """

    def rows(path: Path, tick: Tick | None = None) -> Iterator[_Row]:
        return _rows(numbered_lines(path, ConvertError, tick, encoding=options.encoding))

    contents = {path: _survey(path, rows(path)) for path in paths}
    for found in contents.values():
        if found.key is None and found.mentions is not None:
            raise found.mentions
    keys = {path: found.key for path, found in contents.items() if found.key is not None}
    if not keys and not any(found.labels for found in contents.values()):
        for error in (found.error for found in contents.values() if found.error is not None):
            raise error
        raise ConvertError(
            describe(
                f"{paths[0]}, line 1",
                expected="values in UPOS, XPOS or FEATS, or tags in the column MISC such as"
                f" NER=B-PER (keys, in any case: {', '.join(KEYS)})",
                got=Plain("none in the whole input"),
            )
        )

    def blocks(path: Path, tick: Tick | None) -> Iterator[Block]:
        found = contents[path]
        return _blocks(path, found, OUTSIDE if keys else MISSING, rows(path, tick))

    notes = {
        path: f"CoNLL-U, tags in MISC under {keys[path]}"
        if path in keys
        else "CoNLL-U without tags"
        for path in paths
    }
    return read_tagged(blocks, notes, options, summary)


def _misc_values(misc: str) -> dict[str, str]:
    """The pairs in the column MISC, with the keys in lower case."""
    pairs = (item.partition("=") for item in misc.split("|") if "=" in item)
    return {key.lower(): value for key, _, value in pairs}


def looks_like_conllu(text: str) -> bool:
    """Whether the first row of a file has ten columns, the first of them a number."""
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            fields = line.split("\t")
            numbered = any(form.fullmatch(fields[0]) for form in (_WORD, _RANGE, _EMPTY_NODE))
            return len(fields) == N_COLUMNS and numbered
    return False


def has_tags_in_misc(text: str) -> bool:
    """Whether any of these lines has a key of `KEYS` in its last column."""
    last = (line.rsplit("\t", 1)[-1] for line in text.splitlines() if not line.startswith("#"))
    return any(not _misc_values(misc).keys().isdisjoint(KEYS) for misc in last)


@dataclass
class _Contents:
    """The columns that a file has values in.

    key (str | None): The key of its tags in MISC; None if it has none.
    labels (bool): Whether it has any UPOS, XPOS or FEATS.
    features (bool): Whether it has any FEATS.
    error (ConvertError | None): The first row with another number of columns.
    mentions (ConvertError | None): The first value under such a key that is mentions in brackets.
    """

    key: str | None = None
    labels: bool = False
    features: bool = False
    error: ConvertError | None = None
    mentions: ConvertError | None = None


def _survey(path: Path, rows: Iterable[_Row]) -> _Contents:
    found = _Contents()
    for line, fields, _ in rows:
        if fields is not None and len(fields) != N_COLUMNS:
            found.error = found.error or _wrong_width(path, line, fields)
        elif fields is not None:
            found.labels |= any(value != NO_VALUE for value in fields[3:6])
            found.features |= fields[5] != NO_VALUE
            if found.key is None:
                misc = _misc_values(fields[-1])
                values = {key: misc[key] for key in KEYS if key in misc}
                tagged = (key for key, value in values.items() if not _MENTIONS.fullmatch(value))
                found.key = next(tagged, None)
                if values and found.mentions is None:
                    found.mentions = _no_tag(path, line, *next(iter(values.items())))
    return found


def _no_tag(path: Path, line: int, key: str, value: str) -> ConvertError:
    expected = "'O' or a prefix, a hyphen and a label, no mention in brackets"
    remedy = f"take the key {key!r} out of the column MISC, to read all else"
    return ConvertError(
        describe(f"{path}, line {line}: tag", expected=expected, got=value, remedy=remedy)
    )


def _rows(lines: Iterable[tuple[int, str]]) -> Iterator[_Row]:
    for line, text in lines:
        is_row = bool(text.strip()) and not text.startswith("#")
        yield line, text.split("\t") if is_row else None, text


def _wrong_width(path: Path, line: int, fields: Sequence[str]) -> ConvertError:
    text = "\t".join(fields)
    expected, got = f"{N_COLUMNS} columns separated by tabs", Plain(f"{len(fields)} in {text!r}")
    return ConvertError(describe(f"{path}, line {line}", expected=expected, got=got))


def _blocks(
    path: Path, contents: _Contents, untagged: str, rows: Iterable[_Row]
) -> Iterator[Block]:
    block = Block(starts_document=True)
    words: list[UdWord] = []
    last_in_range, range_has_tag = 0, False

    def finished() -> Block:
        if contents.labels:
            n_tokens, has_features = len(block.words), contents.features
            block.attributes = merge_words(
                words, n_tokens, has_features=has_features, remarks=block.remarks
            )
        words.clear()
        return block

    for line, fields, text in rows:
        if fields is None:
            name = document_mark(text) if text.startswith("#") else None
            if (block.words or block.error) and (name is not None or not text.strip()):
                yield finished()
                block = Block()
                last_in_range = 0
            if name is not None:
                block.starts_document, block.document_id = True, name
            continue
        if len(fields) != N_COLUMNS:
            block.error = block.error or _wrong_width(path, line, fields)
            continue
        number, form, misc = fields[0], fields[1], _misc_values(fields[-1])
        tag = misc.get(contents.key or "")
        span = _RANGE.fullmatch(number)
        if _EMPTY_NODE.fullmatch(number):
            block.dropped[EMPTY_NODE] += 1
            continue
        if span:
            last_in_range, range_has_tag = int(span[2]), tag is not None
        elif not _WORD.fullmatch(number):
            expected = "a number such as 1, 1-2 or 1.1 in the first column"
            error = ConvertError(describe(f"{path}, line {line}", expected=expected, got=number))
            block.error = block.error or error
            continue
        inside = not span and int(number) <= last_in_range
        if not inside:
            block.words.append(form)
            block.spaces.append(misc.get("spaceafter") != "No")
        # A range line without a tag leaves it to its words.
        if (span and tag is not None) or (not span and not (inside and range_has_tag)):
            block.tags.append(untagged if tag is None else tag)
            block.lines.append(line)
            block.owners.append(len(block.words) - 1)
        if not span:
            words.append(UdWord(len(block.words) - 1, number, *fields[3:7]))
    if block.words or block.error:
        yield finished()
