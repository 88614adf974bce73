"""Reader of brat's standoff annotation: texts in `name.txt`, their entities in `name.ann`.

T1	PER 0 8	Ana Ruiz
T2	LOC 18 21;27 31	New City      in two pieces
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import ConvertError, Plain, describe
from ...io import numbered_lines, read_text
from ..options import ConvertOptions
from ..passages import Passage, Summary, TextSpan, document_names
from .char_spans import OTHER_UNITS, Offsets, ways_in_characters

COMPANIONS = ("annotation.conf", "visual.conf", "tools.conf", "kb_shortcuts.conf")
NO_ANNOTATION = "text file without an .ann file"
OTHER_LINE = "brat line that is no entity ({kind})"
# By the option `discontinuous`
IN_PIECES = {
    "missing": "entities in several pieces, left unannotated",
    "cover": "entities in several pieces, each read as one from the first piece to the last",
    "parts": "entities in several pieces, each piece read as an entity",
}

_KINDS = {
    "R": "relation",
    "*": "equivalence",
    "E": "event",
    "A": "attribute",
    "M": "attribute",
    "N": "normalization",
    "#": "note",
}
_OTHER = re.compile(r"[REAMN][0-9]|[*#]")
_ENTITY = re.compile(r"T\S*\t(\S+) ([0-9]+ [0-9]+(?:;[0-9]+ [0-9]+)*)\t(.*)")


@dataclass(frozen=True)
class _Entity:
    """A line of an .ann file: label, pieces, their texts with a space between, and the place."""

    label: str
    pieces: list[Offsets]
    text: str
    place: str


def read_brat(
    paths: Sequence[Path], options: ConvertOptions, summary: Summary
) -> Iterator[Passage | ConvertError]:
    """Read texts with their standoff annotation, one Doc each.

    The paths are those of texts, annotations or both. Lines of other things than entities are left
    out and counted. brat cuts entities at line ends, so pieces with nothing but white space between
    are joined. `discontinuous` says how other entities in pieces are read.
    """
    texts = dict.fromkeys(path.with_suffix(".txt") for path in paths)
    for path, name in document_names(texts).items():
        annotation = path.with_suffix(".ann")
        if not path.is_file():
            expected = f"the text beside it, {path.name}"
            raise ConvertError(describe(str(annotation), expected=expected, got=Plain("no file")))
        if not annotation.is_file():
            summary.dropped[NO_ANNOTATION] += 1
            continue
        try:
            yield _passage(path, annotation, name, options, summary)
        except ConvertError as err:
            yield err


def _passage(
    path: Path, annotation: Path, name: str, options: ConvertOptions, summary: Summary
) -> Passage:
    # With its line ends, because offsets count them.
    text = read_text(path, ConvertError, encoding=options.encoding)
    summary.tick(path.stat().st_size + annotation.stat().st_size)
    spans: list[TextSpan] = []
    missing: list[Offsets] = []
    lines = numbered_lines(annotation, ConvertError, encoding=options.encoding)
    text, entities = _without_mark(text, list(_entities(annotation, lines, summary)))
    for entity in _in_characters(text, entities, summary):
        pieces = _joined(text, entity.pieces)
        if len(pieces) > 1:
            if options.discontinuous == "error":
                got = Plain(f"{entity.text!r} ({entity.label}) in {len(pieces)} pieces")
                remedy = "set `discontinuous` to missing, cover or parts"
                raise ConvertError(
                    describe(entity.place, expected="whole entities", got=got, remedy=remedy)
                )
            summary.remarks[IN_PIECES[options.discontinuous]] += 1
            if options.discontinuous == "missing":
                missing += pieces
                continue
            if options.discontinuous == "cover":
                pieces = [(pieces[0][0], pieces[-1][1])]
        spans += [TextSpan(start, end, entity.label, entity.place) for start, end in pieces]
    summary.notes["brat, text and standoff annotation"] += 1
    return Passage(
        text=text,
        spans=spans,
        path=path,
        line=1,
        place=f"{path}, line 1",
        missing=missing,
        document_id=name,
    )


def _entities(path: Path, lines: Iterable[tuple[int, str]], summary: Summary) -> Iterator[_Entity]:
    for line, text in lines:
        if not text.strip():
            continue
        place = f"{path}, line {line}"
        if _OTHER.match(text):
            summary.dropped[OTHER_LINE.format(kind=_KINDS[text[0]])] += 1
            continue
        found = _ENTITY.fullmatch(text)
        if not found:
            expected = "an entity such as 'T1<TAB>PER 0 8<TAB>Ana Ruiz'"
            raise ConvertError(describe(place, expected=expected, got=text))
        pairs = [piece.split() for piece in found[2].split(";")]
        pieces = sorted((int(start), int(end)) for start, end in pairs)
        yield _Entity(found[1], pieces, found[3], place)


def _in_characters(text: str, entities: list[_Entity], summary: Summary) -> list[_Entity]:
    """Check the entities against the text, and convert their offsets to characters."""
    found = _converted(text, entities)
    if found is None:
        for entity in entities:
            if _converted(text, [entity]) is None:
                at = " and ".join(f"{start} to {end}" for start, end in entity.pieces)
                expected = f"{entity.text!r} ({entity.label}) at characters {at}"
                got = _text_of(text, entity.pieces)
                raise ConvertError(describe(entity.place, expected=expected, got=got))
        expected = "offsets in the same units throughout the file"
        raise ConvertError(
            describe(entities[0].place, expected=expected, got=Plain("several units"))
        )
    if found != entities:
        summary.remarks[OTHER_UNITS] += 1
    return found


def _without_mark(text: str, entities: list[_Entity]) -> tuple[str, list[_Entity]]:
    """The text without a byte order mark, which brat counts as a character; other tools don't."""
    bare = text.removeprefix("\ufeff")
    if bare == text:
        return text, entities
    moved = [replace(e, pieces=[(start - 1, end - 1) for start, end in e.pieces]) for e in entities]
    return bare, moved if _converted(bare, moved) is not None else entities


def _converted(text: str, entities: list[_Entity]) -> list[_Entity] | None:
    """The entities in characters, by the first units that give each its text; None without."""
    stretches = [(*piece, None) for entity in entities for piece in entity.pieces]
    for offsets in map(iter, ways_in_characters(text, stretches)):
        found = [replace(e, pieces=[next(offsets) for _ in e.pieces]) for e in entities]
        if all(_text_of(text, e.pieces).split() == e.text.split() for e in found):
            return found
    return None


def _text_of(text: str, pieces: list[Offsets]) -> str:
    """The text of an entity, in which a space stands between its pieces."""
    return " ".join(text[start:end] for start, end in pieces)


def _joined(text: str, pieces: list[Offsets]) -> list[Offsets]:
    """Join pieces with nothing but white space between."""
    joined = pieces[:1]
    for start, end in pieces[1:]:
        if text[joined[-1][1] : start].strip():
            joined.append((start, end))
        else:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
    return joined
