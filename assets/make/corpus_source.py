"""Plain-text sources of the corpus: sentences with inline entities.

A source holds one sentence per line, `[Ada Lovelace](PER) was born in [London](GPE).`, below
headings `# doc: <genre> <name>` that start a document. Blank lines are ignored.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LABELS = ("PER", "ORG", "LOC", "GPE", "PROD")
LANGS = ("en", "pt")

ENTITY = re.compile(r"\[([^\[\]]+)\]\(([^()\s]*)\)")
# The remains of an entity with malformed brackets.
BROKEN = re.compile(rf"\]\(|\]?\s*\((?:{'|'.join(LABELS)})\)")
HEADING = re.compile(r"# doc: (\S+) (\S.*)")


class SourceError(ValueError):
    """A source file that does not follow its format."""


@dataclass(frozen=True)
class Sentence:
    """One source line: its text and its entities as character spans, ends exclusive."""

    text: str
    entities: tuple[tuple[int, int, str], ...]
    lang: str
    genre: str
    # Identifies the document within its split.
    document: str
    where: str

    @property
    def surfaces(self) -> list[str]:
        return [self.text[start:end] for start, end, _ in self.entities]


def fold(surface: str) -> str:
    """Fold case and white space: surfaces equal in this form count as the same."""
    return " ".join(surface.split()).casefold()


def parse_line(line: str, *, lang: str, genre: str, document: str, where: str) -> Sentence:
    """Read one source line.

    line (str): Text with entities as `[surface](LABEL)`; runs of white space become one space.
    RETURNS (Sentence): The text without the markup, and the entities.
    RAISES: SourceError if a bracket or a label is wrong.
    """
    line = " ".join(line.split())
    text, entities, done = "", [], 0
    for match in ENTITY.finditer(line):
        surface, label = match[1], match[2]
        if label not in LABELS:
            raise SourceError(f"{where}: label {label!r} of {surface!r}: expected one of {LABELS}")
        if surface != surface.strip():
            raise SourceError(f"{where}: entity {surface!r}: expected no space at its edges")
        text += line[done : match.start()]
        entities.append((len(text), len(text) + len(surface), label))
        text += surface
        done = match.end()
    text += line[done:]
    rest = ENTITY.sub("", line)
    if broken := BROKEN.search(rest):
        near = rest[max(0, broken.start() - 20) : broken.end()]
        raise SourceError(f"{where}: stray markup in {near!r}: expected '[surface](LABEL)'")
    return Sentence(text, tuple(entities), lang, genre, document, where)


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines of a source file that are not blank, each with its place `file:line`."""
    if not path.is_file():
        raise SourceError(f"{path}: no such file: expected a source of the corpus")
    try:
        content = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: {error}: expected UTF-8") from error
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip():
            yield f"{path.name}:{number}", line.strip()


def read_sentences(path: Path, lang: str) -> list[Sentence]:
    """Read a file of hand-written documents, each under its heading `# doc: <genre> <name>`."""
    sentences: list[Sentence] = []
    genre = document = ""
    for where, line in read_lines(path):
        heading = HEADING.fullmatch(line)
        if heading:
            # The place belongs to the key, so that two documents of one name stay two.
            genre, document = heading[1], f"{heading[2]} {where}"
        elif line.startswith("# ") or not document:
            raise SourceError(f"{where}: {line[:40]!r}: expected '# doc: <genre> <name>'")
        else:
            sentences.append(
                parse_line(line, lang=lang, genre=genre, document=document, where=where)
            )
    if not sentences:
        raise SourceError(f"{path}: no sentence: expected at least one")
    return sentences
