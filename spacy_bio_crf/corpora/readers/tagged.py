"""What all formats with a tag for every token share: finding out the scheme, reading tags as
entities, dropping empty tokens."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...tags.schemes import MISSING, spans_of_tags
from ...tags.spans import Span
from ..passages import ConvertError, Lost, ReadOptions, Repair, Sentence, Summary, no_tick
from .scheme_detection import Evidence, detect_schemes

EMPTY_TOKEN = "empty token"
EMPTY_ENTITY = "entity on empty tokens alone"


@dataclass
class Block:
    """A sentence as it stands in a file.

    words (list[str]): Its tokens.
    tags (list[str]): Its tags, mostly one for every token.
    lines (list[int]): The line of every tag, from 1.
    owners (list[int]): The token that each tag belongs to; empty: one tag for every token.
    line (int): Where the sentence begins; 0: with the first tag.
    text (str | None): The sentence's text, if the file gives it.
    glued (bool): With `text`: does the next sentence follow without a space?
    spaces (list[bool]): Is each token followed by a space? Empty: as `text` says.
    dropped (Counter[str]): What the reader has left out of it, by reason.
    remarks (Counter[str]): What the reader has noticed.
    starts_document (bool): Does a document begin here?
    document_id (str): The document's name, if it has one.
    """

    words: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    line: int = 0
    text: str | None = None
    glued: bool = False
    spaces: list[bool] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)
    starts_document: bool = False
    document_id: str = ""


# Streams the blocks of one file; tells the function how many bytes it has dealt with.
BlockReader = Callable[[Path, Callable[[int], None]], Iterator[Block]]


def read_tagged(
    blocks: BlockReader, notes: Mapping[Path, str], options: ReadOptions, summary: Summary
) -> Iterator[Sentence]:
    """Read files in two passes: the first finds out the scheme, the second streams.

    blocks (BlockReader): Reads a file.
    notes (Mapping[Path, str]): The files, and how each is laid out.
    options (ReadOptions): Scheme and rule of repair.
    summary (Summary): Gets repairs, drops and notes.
    YIELDS (Sentence): The sentences, in order.
    RAISES: ConvertError if a tag is unknown or of another scheme.
    """
    schemes = dict.fromkeys(notes, options.scheme)
    if options.scheme is None:
        schemes.update(detect_schemes({path: _evidence(blocks, path) for path in notes}))
    for path, note in notes.items():
        scheme = schemes[path] or ""
        summary.notes[f"{scheme}, {note}"] += 1
        known_tags: set[str] = set()
        for block in blocks(path, options.tick):
            _check_tags(path, block, scheme, known_tags)
            yield _sentence(path, block, scheme, options.repair, summary)


def _evidence(blocks: BlockReader, path: Path) -> Evidence:
    evidence = Evidence()
    for block in blocks(path, no_tick):
        evidence.add(block.tags, block.lines)
    return evidence


def _check_tags(path: Path, block: Block, scheme: str, known: set[str]) -> None:
    for tag, line in zip(block.tags, block.lines, strict=True):
        if tag not in known:
            try:
                spans_of_tags([tag], scheme=scheme)
            except ValueError as err:
                raise ConvertError(f"{path}, line {line}: {err}") from None
            known.add(tag)


def _sentence(path: Path, block: Block, scheme: str, repair: str, summary: Summary) -> Sentence:
    spans, repairs = spans_of_tags(block.tags, scheme=scheme, repair=repair)
    summary.repairs += [Repair(path, block.lines[i], block.tags[i], what) for i, what in repairs]
    summary.dropped.update(block.dropped)
    summary.remarks.update(block.remarks)
    owners = block.owners or list(range(len(block.tags)))
    spans = [(owners[start], owners[end - 1] + 1, label) for start, end, label in spans]
    annotated = {owner for owner, tag in zip(owners, block.tags, strict=True) if tag != MISSING}
    kept = [i for i, word in enumerate(block.words) if word]
    if len(kept) < len(block.words):
        summary.dropped[EMPTY_TOKEN] += len(block.words) - len(kept)
        moved = _without_empty(spans, block.words)
        if len(moved) < len(spans):
            summary.dropped[EMPTY_ENTITY] += len(spans) - len(moved)
            summary.lost += [
                Lost(f"{path}, line {block.lines[0]}", "", label, EMPTY_ENTITY)
                for start, end, label in spans
                if not any(block.words[start:end])
            ]
        spans = moved
    return Sentence(
        words=[block.words[i] for i in kept],
        spans=spans,
        missing=[new for new, old in enumerate(kept) if old not in annotated],
        spaces=_spaces(block),
        path=path,
        line=block.line or block.lines[0],
        starts_document=block.starts_document,
        document_id=block.document_id,
    )


def _spaces(block: Block) -> list[bool] | None:
    """Is each word that is not empty followed by a space? None if the file does not say."""
    if block.spaces:
        return [s for s, word in zip(block.spaces, block.words, strict=True) if word]
    if block.text is None:
        return None
    spaces = spaces_in(block.text, [word for word in block.words if word])
    if spaces:
        spaces[-1] = not block.glued
    return spaces


def _without_empty(spans: list[Span], words: list[str]) -> list[Span]:
    """Move spans to where their words are once empty words are gone."""
    before = [0]  # [n + 1]: how many words that are not empty stand before each position
    for word in words:
        before.append(before[-1] + bool(word))
    moved = [(before[start], before[end], label) for start, end, label in spans]
    return [span for span in moved if span[0] < span[1]]


def spaces_in(text: str, words: list[str]) -> list[bool] | None:
    """Find out from a sentence's text which words a space follows.

    text (str): The text, for example of a "# text = ..." comment.
    words (list[str]): Its words.
    RETURNS (list[bool] | None): Is each word followed by a space? None if the words, with single
        spaces between some of them, do not make up the text.
    """
    spaces = []
    at = 0
    for word in words:
        if not text.startswith(word, at):
            return None
        at += len(word)
        spaces.append(text.startswith(" ", at))
        at += spaces[-1]
    return spaces if at == len(text) else None
