"""Reader of text with entities as XML elements, above all HAREM's:

    <DOC DOCID="a"><P>O <EM CATEG="PESSOA">Rui</EM> viu a <ALT><EM CATEG="OBRA">Casa
    Rosa</EM>|<EM CATEG="LOCAL|COISA">Casa</EM> Rosa</ALT>.</P></DOC>

Systems are evaluated on HAREM's golden collections in two scenarios: the total one with all ten
categories, and the selective one with five of them, which later work on Portuguese reports too.
"""

import codecs
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from ...errors import ConvertError, Plain, describe
from ...io import UTF8, read_text
from ..options import ConvertOptions
from ..passages import Passage, Summary, TextSpan
from .char_spans import placed

# Elements that are entities, and the attributes with their labels: of HAREM, MUC and GENIA
ENTITIES = {"EM": "CATEG", "ENAMEX": "TYPE", "TIMEX": "TYPE", "NUMEX": "TYPE"}
ENTITIES |= {"CONS": "SEM", "TIMEX3": "TYPE"}
# Elements of HAREM's first collection, whose names are the labels
_CATEGORIES = "ABSTRACCAO ACONTECIMENTO COISA LOCAL OBRA ORGANIZACAO PESSOA TEMPO VALOR VARIADO"
ENTITIES |= dict.fromkeys(_CATEGORIES.split(), "")
SELECTIVE = frozenset({"PESSOA", "ORGANIZACAO", "LOCAL", "TEMPO", "VALOR"})
DOCUMENT_ELEMENTS, DOCUMENT_ID = ("DOC", "ARTICLE"), "DOCID"
OMITTED = "OMITIDO"  # text that HAREM's evaluation leaves out
# i2b2's and MEDDOCAN's: a text, and empty elements with the offsets of its entities
TEXT, TAGS = "TEXT", "TAGS"
ALT = "ALT"

NO_CATEGORY = "entities without a category, whose tokens are left unannotated"
VAGUE = "entities of several categories, of which the first one in the scenario was taken"
# By the option `alternatives`
CHOSEN = {
    "most": "places with alternatives, of which the one with most entities was taken",
    "coverage": "places with alternatives, of which the one with most covered text was taken",
}
INSIDE_OMITTED = "entity in text that the evaluation leaves out (OMITIDO)"
NO_OFFSETS = "element of TAGS that has no place in the text"
OUTSIDE_DOCUMENT = "text outside of a DOC element"
LEFT_OUT = "category {label} (not in the selective scenario)"

# The head of a file, before its first element. Text without a document type is put into an element,
# so that it need not be in one.
_HEAD = re.compile(r"\s*(<\?xml[^>]*\?>)?(\s|<!--.*?-->)*(<!DOCTYPE[^\[>]*>)?", re.DOTALL)
_ENCODING = re.compile(rb"""\s*(?:\xef\xbb\xbf)?<\?xml[^>]*encoding\s*=\s*["']([\w.-]+)""")
# A declaration, or an element that is the first thing on its line and ends somewhere
_FIRST = re.compile(
    r"\s*<(?:[?]xml\b|!DOCTYPE\b|([\w.:-]+)[^<>\t]*>(?=\s*[\n<]).*</\1\s*>)", re.DOTALL
)
_ENTITY = re.compile(rf"<({'|'.join(ENTITIES)})\s[^<>]*\b(CATEG|TYPE|SEM)\s*=", re.IGNORECASE)
_GENIA = re.compile(r"G#([\w-]+)")
_ROOT = "_"
_SHOWN = 12


def looks_like_xml(text: str) -> bool:
    """Whether the beginning of a file is XML or has elements that are entities."""
    return _FIRST.match(text) is not None or _ENTITY.search(text) is not None


@dataclass
class _Stretch:
    """Text with its entities and unannotated stretches, and an account of losses and decisions."""

    text: list[str] = field(default_factory=list)
    length: int = 0
    spans: list[TextSpan] = field(default_factory=list)
    missing: list[tuple[int, int]] = field(default_factory=list)
    remarks: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)

    def add(self, text: str) -> None:
        self.text.append(text)
        self.length += len(text)

    def append(self, other: "_Stretch") -> None:
        shift = self.length
        self.spans += [s._replace(start=s.start + shift, end=s.end + shift) for s in other.spans]
        self.missing += [(start + shift, end + shift) for start, end in other.missing]
        self.add("".join(other.text))
        self.remarks += other.remarks
        self.dropped += other.dropped


def read_xml(paths: Sequence[Path], options: ConvertOptions, summary: Summary) -> Iterator[Passage]:
    """Read one Doc from each DOC element, or from the whole file if it has none.

    An entity of several categories ("A|B") gets the first one in the scenario. Of the alternatives
    in an ALT, the one with most entities in the scenario is read ("most"), or the one whose
    entities cover most characters ("coverage"), the first of equals. Entities without category and
    text that the evaluation leaves out (OMITIDO) are left unannotated. An element TAGS has the
    entities of the element TEXT beside it, with their offsets.

    RAISES: ConvertError if a file is not well-formed, or no file has an element that is an entity.
    """
    known, has_text = False, False
    elements: Counter[str] = Counter()
    for path in paths:
        file = _File(path, options, summary)
        for passage in file.passages():
            has_text |= bool(passage.text)
            yield passage
        known |= file.known
        elements += file.elements
        summary.notes[f"XML with entities, {options.scenario} scenario"] += 1
    if not known and (has_text or elements):
        names = _names(options)
        expected = f"entities as elements ({', '.join(names)}) or with offsets in an element {TAGS}"
        seen = [f"{name} ({n})" for name, n in elements.most_common(_SHOWN)]
        more = f" and {len(elements) - _SHOWN} more" if len(elements) > _SHOWN else ""
        raise ConvertError(
            describe(
                str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more",
                expected=expected,
                got=Plain(f"the elements {', '.join(seen)}{more}" if seen else "no element"),
                remedy="name those that are entities with `entity_elements`",
            )
        )


def _names(options: ConvertOptions) -> dict[str, str]:
    """The elements that are entities, in capitals, with the attribute of their labels if any."""
    if not options.entity_elements:
        return ENTITIES
    pairs = (element.upper().partition("@") for element in options.entity_elements)
    return {name: attribute for name, _, attribute in pairs}


class _File:
    """The state of reading one file."""

    def __init__(self, path: Path, options: ConvertOptions, summary: Summary) -> None:
        self.path, self.options, self.summary = path, options, summary
        self.done: list[Passage] = []
        self.entities = _names(options)
        self.elements: Counter[str] = Counter()
        self.known = False  # whether it has an element that is an entity or that has entities
        self.document = ""  # the element that is a document; the first one found counts
        self.in_id = False
        self._begin("", 1)

    def _begin(self, name: str, line: int) -> None:
        self.name, self.line = name, line
        self.stretch = _Stretch()
        self.open: list[tuple[int, str, str]] = []  # entities: start, categories, place
        self.omitted = 0
        self.body = [0, 0]  # the characters of TEXT
        self.standoff: list[tuple[TextSpan, str | None]] | None = (
            None  # the entities in TAGS, if there is one
        )
        # For each open ALT: the text before it, its alternatives so far, and the number of
        # entities that were open at its beginning.
        self.outer: list[tuple[_Stretch, list[_Stretch], int]] = []

    def passages(self) -> Iterator[Passage]:
        text = self._text()
        head = _HEAD.match(text)
        at = head.end() if head else 0
        bare = not re.match(r"\s*<!DOCTYPE", text[at:])
        self.parser = expat.ParserCreate(UTF8)  # whatever the declaration says
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.first_line = text[:at].count("\n") if bare else 0
        if bare:
            text = f"<{_ROOT}>{text[at:]}</{_ROOT}>"
        raw = text.encode("utf-8", errors="surrogatepass")
        size = 1 << 16
        for start in range(0, len(raw), size):
            chunk = raw[start : start + size]
            self._parse(chunk, final=start + size >= len(raw))
            self.summary.tick(len(chunk))
            yield from self.done
            self.done.clear()
        if self.document:
            self._check_outside()
        else:
            self._finish()
        yield from self.done

    def _text(self) -> str:
        """The file's text, in the encoding that it declares or that the option names."""
        with self.path.open("rb") as file:
            declared = _ENCODING.match(file.read(1 << 10))
        encoding = declared[1].decode("ascii") if declared else self.options.encoding
        try:
            encoding = codecs.lookup(encoding).name
        except LookupError:
            expected = "a declaration of an encoding that Python has"
            place = f"{self.path}, line 1"
            raise ConvertError(describe(place, expected=expected, got=encoding)) from None
        return read_text(self.path, ConvertError, encoding=encoding).removeprefix("\ufeff")

    def _parse(self, chunk: bytes, *, final: bool) -> None:
        try:
            self.parser.Parse(chunk, final)
        except expat.ExpatError as err:
            got = Plain(expat.errors.messages[err.code])
            raise ConvertError(
                describe(self._place(), expected="well-formed XML", got=got)
            ) from None

    def _place(self) -> str:
        return f"{self.path}, line {self.first_line + self.parser.CurrentLineNumber}"

    def _start(self, element: str, attributes: dict[str, str]) -> None:
        self.elements[element] += element != _ROOT
        name = element.upper()
        attributes = {key.upper(): value for key, value in attributes.items()}
        if name in DOCUMENT_ELEMENTS and self.document in ("", name):
            self.document = name
            self._check_outside()
            self._begin(attributes.get(DOCUMENT_ID, ""), self.parser.CurrentLineNumber)
            self.line += self.first_line
        elif name == DOCUMENT_ID:
            self.in_id = True
        elif name == ALT:
            self.outer.append((self.stretch, [], len(self.open)))
            self.stretch = _Stretch()
        elif name == OMITTED:
            self.omitted = self.stretch.length
        elif name == TEXT:
            self.body[0] = self.stretch.length
        elif name == TAGS:
            self.standoff = []
        elif self.standoff is not None and {"START", "END"} <= attributes.keys():
            self.known = True
            self._stand_off(attributes.get("TYPE", element), attributes)
        elif self.standoff is not None:
            self.stretch.dropped[NO_OFFSETS] += 1
        elif name in self.entities:
            self.known = True
            attribute = self.entities[name]
            label = attributes.get(attribute, "") if attribute else element
            self.open.append((self.stretch.length, label, self._place()))

    def _end(self, element: str) -> None:
        name = element.upper()
        if name == self.document:
            self._finish()
            self._begin("", 1)
        elif name == DOCUMENT_ID:
            self.in_id = False
        elif name == ALT:
            before, alternatives, _ = self.outer.pop()
            alternatives.append(self.stretch)
            self.stretch = before
            self.stretch.append(self._chosen(alternatives))
        elif name == OMITTED and self.stretch.length > self.omitted:
            outside = [span for span in self.stretch.spans if span.start < self.omitted]
            if len(outside) < len(self.stretch.spans):
                self.stretch.dropped[INSIDE_OMITTED] += len(self.stretch.spans) - len(outside)
            self.stretch.spans = outside
            self.stretch.missing.append((self.omitted, self.stretch.length))
        elif name == TEXT:
            self.body[1] = self.stretch.length
        elif name == TAGS and not self.stretch.dropped[NO_OFFSETS]:
            self.known = True  # also without any entity
        elif name in self.entities and self.standoff is None:
            self._entity(*self.open.pop())

    def _stand_off(self, label: str, attributes: dict[str, str]) -> None:
        start, end, place = attributes["START"], attributes["END"], self._place()
        if not (start.strip().isdecimal() and end.strip().isdecimal()):
            self.stretch.dropped[NO_OFFSETS] += 1
        elif self.standoff is not None:
            span = TextSpan(int(start), int(end), label, place)
            self.standoff.append((span, attributes.get("TEXT")))

    def _characters(self, text: str) -> None:
        if self.in_id:
            self.name += text.strip()
        elif self.outer and len(self.open) == self.outer[-1][2] and "|" in text:
            first, *others = text.split("|")
            self.stretch.add(first)
            for other in others:
                self.outer[-1][1].append(self.stretch)
                self.stretch = _Stretch()
                self.stretch.add(other)
        else:
            self.stretch.add(text)

    def _entity(self, start: int, categories: str, place: str) -> None:
        end = self.stretch.length
        # GENIA writes "G#virus" and "(AND G#virus G#cell_line)".
        labels = _GENIA.findall(categories) or [part.strip() for part in categories.split("|")]
        labels = [label for label in labels if label]
        if start == end:
            self.stretch.dropped["entity without text"] += 1
        elif not labels:
            self.stretch.remarks[NO_CATEGORY] += 1
            self.stretch.missing.append((start, end))
        else:
            if self.options.scenario == "selective":
                inside = [label for label in labels if label in SELECTIVE]
            else:
                inside = labels
            if not inside:
                self.stretch.dropped[LEFT_OUT.format(label=labels[0])] += 1
                return
            self.stretch.remarks.update([VAGUE] * (len(labels) > 1))
            self.stretch.spans.append(TextSpan(start, end, inside[0], place))

    def _chosen(self, alternatives: list[_Stretch]) -> _Stretch:
        self.summary.remarks[CHOSEN[self.options.alternatives]] += 1
        if self.options.alternatives == "most":
            return max(alternatives, key=lambda a: len(a.spans))
        return max(alternatives, key=lambda a: sum(s.end - s.start for s in a.spans))

    def _check_outside(self) -> None:
        if "".join(self.stretch.text).strip():
            self.summary.dropped[OUTSIDE_DOCUMENT] += 1

    def _finish(self) -> None:
        """Make a passage of the text so far, without the white space around it."""
        self.summary.remarks += self.stretch.remarks
        self.summary.dropped += self.stretch.dropped
        text = "".join(self.stretch.text)
        if self.standoff is not None:
            self._finish_standoff(text[slice(*self.body)], self.standoff)
            return
        first = len(text) - len(text.lstrip())
        text = text.strip()

        def moved(start: int, end: int) -> tuple[int, int]:
            return max(start - first, 0), min(end - first, len(text))

        spans = []
        for span in sorted(self.stretch.spans, key=lambda s: (s.start, -s.end)):
            start, end = moved(span.start, span.end)
            if start < end:
                spans.append(span._replace(start=start, end=end))
        self.done.append(
            Passage(
                text=text,
                spans=spans,
                path=self.path,
                line=self.line,
                place=f"{self.path}, line {self.line}",
                missing=[moved(*piece) for piece in self.stretch.missing],
                document_id=self.name.strip(),
            )
        )

    def _finish_standoff(self, text: str, entities: list[tuple[TextSpan, str | None]]) -> None:
        """Make a passage of TEXT as it stands, because the offsets of TAGS count all of it."""
        self.done.append(
            Passage(
                text=text,
                spans=placed(text, entities, self.summary),
                path=self.path,
                line=self.line,
                place=f"{self.path}, line {self.line}",
                document_id=self.name.strip() or self.path.stem,
            )
        )
