"""Reader of WebAnno's TSV 3, which INCEpTION writes, too: a token in each row, with its offsets.

#FORMAT=WebAnno TSV 3.2
#T_SP=webanno.custom.Entity|value

#Text=Ana Ruiz ran
1-1	0-3	Ana	PER[1]
1-2	4-8	Ruiz	PER[1]
1-3	9-12	ran	_
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import ConvertError, Plain, describe
from ...io import numbered_lines
from ..options import ConvertOptions
from ..passages import Passage, Summary, TextSpan, document_names
from .char_spans import NO_LABEL
from .json_records import JsonRecord
from .jsonl import with_tokens

HEAD_LINE = "#FORMAT=WebAnno TSV 3"
FIRST_FEATURE = 3  # columns before those of the layers: number, offsets, token
LABEL_FEATURES = ("value", "label", "tag", "type", "category", "class", "entity", "identifier")
# Layers of tokens, not of entities
_OTHER_LAYER = re.compile(r"segmentation|\.pos\.|\.POS$|[Ll]emma|[Mm]orph|[Ss]tem|coref|[Cc]hunk")
_ENTITY_LAYER = re.compile(r"NamedEntity|\bNER?\b|[Ee]ntit", re.IGNORECASE)
_ROW = re.compile(r"[0-9]+-[0-9]+(\.[0-9]+)*\t")
_VALUE = re.compile(r"(.*?)(?:\[([0-9]+)\])?", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)")
_BAR = re.compile(r"(?<!\\)\|")


@dataclass
class _Text:
    """A document that grows by sentences, with the characters that UTF-16 units stand for."""

    parts: list[str] = field(default_factory=list)
    length: int = 0
    chars: dict[int, int] = field(default_factory=dict)  # unit -> character
    units: int = 0

    def add(self, text: str, start: int) -> None:
        """Add a sentence that begins at this unit, with spaces before it where it must."""
        for char in "\n" * (start - self.units) + text:
            self.chars[self.units] = self.length
            self.length += 1
            self.units += 2 if char > "\uffff" else 1
            self.parts.append(char)
        self.chars[self.units] = self.length


def looks_like_webanno(text: str) -> bool:
    """Whether a file begins with WebAnno's head line."""
    return text.startswith(HEAD_LINE)


def read_webanno(
    paths: Sequence[Path], options: ConvertOptions, summary: Summary
) -> Iterator[Passage]:
    """Read one Doc from each file, with the entities of one layer and one of its features."""
    for path, name in document_names(paths).items():
        yield _passage(path, name, options, summary)


def _passage(path: Path, document: str, options: ConvertOptions, summary: Summary) -> Passage:
    layers: list[list[str]] = []
    column, name = -1, ""
    text, tokens = _Text(), list[dict[str, int | bool]]()
    spans: list[TextSpan] = []
    chains: dict[tuple[str, str], int] = {}  # label and number -> its place in spans
    sentence: list[str] = []
    first = 1
    lines = numbered_lines(path, ConvertError, summary.tick, encoding=options.encoding)
    for line, content in lines:
        place = f"{path}, line {line}"
        if content.startswith("#T_"):
            kind, _, layer = content[1:].partition("=")
            layers.append([kind, *layer.split("|")])
        elif content.startswith("#Text="):
            sentence.append(_unescaped(content.removeprefix("#Text=")))
        elif _ROW.match(content):
            fields = content.rstrip("\t").split("\t")
            if column < 0:
                column, name, first = *_column(path, layers, options), line
            start, end = _offsets(fields, place)
            begins = bool(sentence)
            if sentence:
                whole = "\n".join(sentence)
                before = whole[: max(0, whole.find(_unescaped(fields[2])))]
                text.add(whole, start - (0 if before.strip() else len(before)))
                sentence = []
            try:
                start, end = text.chars[start], text.chars[end]
            except KeyError:
                got = Plain(f"the offsets {fields[1]}")
                raise ConvertError(
                    describe(place, expected="a token of its #Text", got=got)
                ) from None
            if "." not in fields[0]:
                tokens.append({"start": start, "end": end, "sent_start": begins})
            for value in _BAR.split(fields[column] if len(fields) > column else "_"):
                found = _VALUE.fullmatch(value)
                label, number = (found[1], found[2]) if found else (value, None)
                if label == "_":
                    continue
                chain = chains.get((label, number)) if number else None
                if chain is not None:
                    spans[chain] = spans[chain]._replace(end=end)
                    continue
                if number:
                    chains[label, number] = len(spans)
                # An entity without a value has an asterisk for it.
                own = "" if label == "*" else _unescaped(label)
                spans.append(TextSpan(start, end, own, place))
        elif content.strip() and not content.startswith("#"):
            expected = "a row such as '1-1<TAB>0-3<TAB>Ana<TAB>PER'"
            raise ConvertError(describe(place, expected=expected, got=content))
    summary.notes[f"WebAnno TSV 3, {name}" if name else "WebAnno TSV 3 without rows"] += 1
    content = "".join(text.parts)
    bare = [span for span in spans if not span.label]
    for span in bare:
        summary.lose(NO_LABEL, place=span.place, text=content[span.start : span.end], label="")
    passage = Passage(
        text=content,
        spans=[span for span in spans if span.label],
        path=path,
        line=first,
        place=f"{path}, line {first}",
        missing=[span[:2] for span in bare],
        document_id=document,
    )
    return with_tokens(passage, tokens, JsonRecord({}, first, passage.place))


def _offsets(fields: list[str], place: str) -> tuple[int, int]:
    start, _, end = fields[1].partition("-")
    if len(fields) < FIRST_FEATURE or not (start.isdecimal() and end.isdecimal()):
        expected = "a row such as '1-1<TAB>0-3<TAB>Ana<TAB>PER'"
        raise ConvertError(describe(place, expected=expected, got="\t".join(fields)))
    return int(start), int(end)


def _column(path: Path, layers: list[list[str]], options: ConvertOptions) -> tuple[int, str]:
    """The column of the labels, and its name: layer@feature."""
    candidates: dict[str, int] = {}
    likely: list[str] = []
    column = FIRST_FEATURE
    for kind, layer, *features in layers:
        ranked = [f for name in LABEL_FEATURES for f in features if f.lower() == name] or features
        for n, feature in enumerate(features or [""]):
            name = f"{layer}@{feature}"
            if kind == "T_SP":
                candidates[name] = column + n
                if not features or feature == ranked[0]:
                    likely.append(name)
        column += max(1, len(features))
    for wanted in options.entity_elements:
        layer, _, feature = wanted.partition("@")
        likely = [
            name
            for name in (candidates if feature else likely)
            if name.split("@")[0].endswith(layer) and (not feature or name.endswith(f"@{feature}"))
        ]
    if not options.entity_elements:
        likely = [name for name in likely if not _OTHER_LAYER.search(name)]
        likely = [name for name in likely if _ENTITY_LAYER.search(name)] or likely
    if len(likely) != 1:
        got = Plain(", ".join(candidates) or "none")
        remedy = "name it with `entity_elements`, as LAYER@FEATURE"
        expected = "one layer of spans that may be entities"
        raise ConvertError(describe(str(path), expected=expected, got=got, remedy=remedy))
    return candidates[likely[0]], likely[0]


def _unescaped(text: str) -> str:
    whites = {"t": "\t", "n": "\n", "r": "\r"}
    return _ESCAPE.sub(lambda found: whites.get(found[1], found[1]), text)
