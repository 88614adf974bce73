"""Reader of PubTator's format: a title, an abstract, and a line for each entity.

10021369|t|Identification of APC2
10021369|a|APC is mutated in colon cancer.
10021369	18	22	APC2	Gene	10297
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...errors import ConvertError, describe
from ...io import numbered_lines
from ..options import ConvertOptions
from ..passages import Passage, Summary, TextSpan
from .char_spans import placed

RELATION = "PubTator line that is no entity (relation)"
_TEXT = re.compile(r"([^|\t]+)\|([a-z])\|(.*)")
_ENTITY = re.compile(r"([^|\t]+)\t([0-9]+)\t([0-9]+)\t([^\t]*)\t([^\t]+)(?:\t.*)?")
_RELATION = re.compile(r"([^|\t]+)\t[^\t]*[^\t0-9][^\t]*\t.*")


def looks_like_pubtator(text: str) -> bool:
    """Whether the first line of a file is a title."""
    found = _TEXT.fullmatch(text.split("\n", 1)[0].rstrip("\r"))
    return found is not None and found[2] == "t"


def read_pubtator(
    paths: Sequence[Path], options: ConvertOptions, summary: Summary
) -> Iterator[Passage]:
    """Read one Doc from each title with its abstract; one character stands between the two."""
    for path in paths:
        texts: list[str] = []
        spans: list[tuple[TextSpan, str | None]] = []
        first, name = 0, ""
        lines = numbered_lines(path, ConvertError, summary.tick, encoding=options.encoding)
        for line, content in lines:
            place = f"{path}, line {line}"
            if not content.strip():
                continue
            if text := _TEXT.fullmatch(content):
                if texts and text[1] != name:
                    yield _passage(path, first, name, texts, spans, summary)
                    texts, spans = [], []
                if not texts:
                    first, name = line, text[1]
                texts.append(text[3])
            elif texts and (found := _ENTITY.fullmatch(content)) and found[1] == name:
                span = TextSpan(int(found[2]), int(found[3]), found[5].strip(), place)
                spans.append((span, found[4]))
            elif texts and (found := _RELATION.fullmatch(content)) and found[1] == name:
                summary.dropped[RELATION] += 1
            else:
                expected = f"a title 'ID|t|…' or an entity of {name or 'one'}, separated by TABs"
                raise ConvertError(describe(place, expected=expected, got=content))
        if texts:
            yield _passage(path, first, name, texts, spans, summary)
        summary.notes["PubTator, title and abstract"] += 1


def _passage(
    path: Path,
    line: int,
    name: str,
    texts: list[str],
    spans: list[tuple[TextSpan, str | None]],
    summary: Summary,
) -> Passage:
    text = "\n".join(texts)
    return Passage(
        text=text,
        spans=placed(text, spans, summary),
        path=path,
        line=line,
        place=f"{path}, line {line}",
        document_id=name,
    )
