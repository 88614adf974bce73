"""Read brat's standoff annotation: `name.txt` with the text beside `name.ann` with the entities.

T1	PER 0 8	Ana Ruiz
T2	LOC 18 21;27 31	New City      in two pieces
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..passages import ConvertError, Passage, ReadOptions, Summary, TextSpan
from .char_spans import OTHER_UNITS
from .layout import numbered_lines
from .offsets import in_characters

DISCONTINUOUS = ("missing", "cover", "parts", "error")
COMPANIONS = ("annotation.conf", "visual.conf", "tools.conf", "kb_shortcuts.conf")
NO_ANNOTATION = "text file without an .ann file"
OTHER_LINE = "brat line that is no entity ({kind})"
IN_PIECES = "entities in several pieces (--discontinuous {rule})"

_KINDS = {
    "R": "relation",
    "*": "equivalence",
    "E": "event",
    "A": "attribute",
    "M": "attribute",
    "N": "normalisation",
    "#": "note",
}
_OTHER = re.compile(r"[REAMN][0-9]|[*#]")
_ENTITY = re.compile(r"T\S*\t(\S+) ([0-9]+ [0-9]+(?:;[0-9]+ [0-9]+)*)\t(.*)")

Piece = tuple[int, int]


@dataclass(frozen=True)
class _Entity:
    """One line of an .ann file: label, pieces, their texts with a space between, and the place."""

    label: str
    pieces: list[Piece]
    text: str
    place: str


def read_brat(paths: Sequence[Path], options: ReadOptions, summary: Summary) -> Iterator[Passage]:
    """Read texts with their standoff annotation, one Doc each.

    Lines of other things than entities are left out and counted. Pieces with nothing but white
    space between are one, as brat cuts entities at line ends. The rule for other entities in
    pieces: "missing" leaves their pieces without annotation, "cover" takes everything from the
    first to the last as one entity, "parts" makes an entity of every piece, "error" stops.

    paths (Sequence[Path]): Files .txt, .ann or both.
    options (ReadOptions): `discontinuous`.
    summary (Summary): Gets notes, remarks and drops.
    YIELDS (Passage): The texts, in order.
    RAISES: ConvertError if a file is missing, or an entity is not of its text.
    """
    for path in dict.fromkeys(path.with_suffix(".txt") for path in paths):
        annotation = path.with_suffix(".ann")
        if not path.is_file():
            raise ConvertError(f"{annotation}: expected the text beside it, {path.name}")
        if not annotation.is_file():
            summary.dropped[NO_ANNOTATION] += 1
            continue
        text = _text(path)
        options.tick(path.stat().st_size + annotation.stat().st_size)
        entities = _in_characters(text, list(_entities(annotation, summary)), summary)
        spans, missing = [], []
        for entity in entities:
            pieces = _joined(text, entity.pieces)
            if len(pieces) > 1:
                if options.discontinuous == "error":
                    raise ConvertError(
                        f"{entity.place}: the entity {entity.text!r} ({entity.label}) is in "
                        f"{len(pieces)} pieces; use --discontinuous missing, cover or parts"
                    )
                summary.remarks[IN_PIECES.format(rule=options.discontinuous)] += 1
                if options.discontinuous == "missing":
                    missing += pieces
                    continue
                if options.discontinuous == "cover":
                    pieces = [(pieces[0][0], pieces[-1][1])]
            spans += [TextSpan(start, end, entity.label, entity.place) for start, end in pieces]
        yield Passage(
            text=text,
            spans=spans,
            path=path,
            line=1,
            place=f"{path}, line 1",
            missing=missing,
            document_id=path.stem,
        )
        summary.notes["brat, text and standoff annotation"] += 1


def _text(path: Path) -> str:
    """The whole text. Line ends stay as they are, because offsets count them."""
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as err:
        line = raw.count(b"\n", 0, err.start) + 1
        raise ConvertError(
            f"{path}, line {line}: expected UTF-8, got byte 0x{raw[err.start]:02x}"
        ) from None


def _entities(path: Path, summary: Summary) -> Iterator[_Entity]:
    for line, text in numbered_lines(path):
        if not text.strip():
            continue
        place = f"{path}, line {line}"
        if _OTHER.match(text):
            summary.dropped[OTHER_LINE.format(kind=_KINDS[text[0]])] += 1
            continue
        found = _ENTITY.fullmatch(text)
        if not found:
            raise ConvertError(
                f"{place}: expected an entity such as 'T1<TAB>PER 0 8<TAB>Ana Ruiz', found {text!r}"
            )
        pairs = [piece.split() for piece in found[2].split(";")]
        pieces = sorted((int(start), int(end)) for start, end in pairs)
        yield _Entity(found[1], pieces, found[3], place)


def _in_characters(text: str, entities: list[_Entity], summary: Summary) -> list[_Entity]:
    """Check the entities against the text, and count their offsets in characters."""
    flat = [piece for entity in entities for piece in _with_texts(entity)]
    found = in_characters(text, flat)
    if found is None:
        for entity in entities:
            if in_characters(text, _with_texts(entity)) is None:
                start, end = entity.pieces[0][0], entity.pieces[-1][1]
                raise ConvertError(
                    f"{entity.place}: expected {entity.text!r} ({entity.label}) at characters "
                    f"{start} to {end}, found {text[start:end]!r}"
                )
        raise ConvertError(
            f"{entities[0].place}: the offsets of this file's entities count different units"
        )
    if found != [(start, end) for start, end, _ in flat]:
        summary.remarks[OTHER_UNITS] += 1
    offsets = iter(found)
    return [_Entity(e.label, [next(offsets) for _ in e.pieces], e.text, e.place) for e in entities]


def _with_texts(entity: _Entity) -> list[tuple[int, int, str]]:
    """Every piece with its share of the text, in which a space stands between the pieces."""
    if len(entity.pieces) == 1:
        return [(*entity.pieces[0], entity.text)]
    shares, at = [], 0
    for start, end in entity.pieces:
        shares.append((start, end, entity.text[at : at + end - start]))
        at += end - start + 1
    return shares


def _joined(text: str, pieces: list[Piece]) -> list[Piece]:
    """Join pieces with nothing but white space between."""
    joined = pieces[:1]
    for start, end in pieces[1:]:
        if text[joined[-1][1] : start].strip():
            joined.append((start, end))
        else:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
    return joined
