"""Corrections of annotated documents: lines of JSON that say which entities to remove and add."""

import difflib
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spacy.tokens import Doc
from spacy.tokens import Span as SpacySpan

from ..errors import ConvertError, Plain, describe
from ..io import numbered_lines
from ..tags.spans import Span

_DIGITS = 12  # of the digest of a text
_KEYS = ("document", "digest", "remove", "add")
_SHOWN = 40  # characters of a text in a message


@dataclass(frozen=True)
class Correction:
    """Entities of one document that are wrong, and those that belong in their place.

    place (str): Where it is written: file and line.
    document (int): The index of the document.
    digest (str): From `text_digest`, so that another corpus is noticed.
    remove (list[Span]): Entities to remove: start, exclusive end (in tokens) and label.
    add (list[Span]): Entities to add.
    lang (str | None): Code of the language whose tokens they are, if known.
    """

    place: str
    document: int
    digest: str
    remove: list[Span]
    add: list[Span]
    lang: str | None = None


def text_digest(doc: Doc) -> str:
    """RETURNS (str): Digits that depend on the tokens of a document, and not on its annotation."""
    text = "\n".join(token.text_with_ws for token in doc)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]


def correction_data(
    document: int, doc: Doc, remove: Sequence[Span], add: Sequence[Span]
) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): A correction in types that JSON has, for a line of a file."""
    values = (document, text_digest(doc), list(map(list, remove)), list(map(list, add)))
    return {**dict(zip(_KEYS, values, strict=True)), "lang": doc.lang_}


def read_corrections(path: Path) -> Iterator[Correction]:
    """Read corrections, one JSON object a line; other keys and empty lines are ignored.

    path (Path): The file.
    YIELDS (Correction): The corrections.
    RAISES: ConvertError that names the line of anything else.
    """
    for number, line in numbered_lines(path, ConvertError):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            data = json.loads(line)
            document, digest, remove, add = (data[key] for key in _KEYS)
            gone, new = ([(int(s), int(e), str(x)) for s, e, x in own] for own in (remove, add))
            lang = data.get("lang")
            named = None if lang is None else str(lang)
            yield Correction(place, int(document), str(digest), gone, new, named)
        except (ValueError, TypeError, KeyError) as error:
            expected = "a JSON object with document, digest, remove and add"
            got = Plain(f"{line.strip()[:_SHOWN]!r} ({type(error).__name__}: {error})")
            raise ConvertError(describe(place, expected=expected, got=got)) from None


def correct(docs: Sequence[Doc], corrections: Iterable[Correction]) -> tuple[int, str]:
    """Correct documents. A correction that has been made already changes nothing.

    docs (Sequence[Doc]): All documents of the corpus, in order; changed in place.
    corrections (Iterable[Correction]): From `read_corrections`.
    RETURNS (tuple[int, str]): The number of corrections that changed something, and the changes as
        a unified diff of lines with start, end, label and text of each entity.
    RAISES: ConvertError for a correction that does not fit its document.
    """
    before: dict[int, list[str]] = {}
    changed = 0
    for one in corrections:
        doc = _document_of(one, docs)
        gold = {(ent.start, ent.end, ent.label_) for ent in doc.ents}
        if gold.isdisjoint(one.remove) and gold.issuperset(one.add):
            continue
        before.setdefault(one.document, _lines(doc))
        _correct_document(one, doc, gold)
        changed += 1
    diffs: list[str] = []
    for i, old in sorted(before.items()):
        source = str(docs[i].user_data.get("source", docs[i].text[:_SHOWN]))
        name = f"document {i + 1} ({' '.join(source.split())})"
        diffs += difflib.unified_diff(old, _lines(docs[i]), name, name, n=0)
    return changed, "".join(diffs)


def _document_of(correction: Correction, docs: Sequence[Doc]) -> Doc:
    i = correction.document
    if not 0 <= i < len(docs):
        expected, got = f"a document from 0 to {len(docs) - 1}", Plain(str(i))
        raise ConvertError(describe(correction.place, expected=expected, got=got))
    if (found := text_digest(docs[i])) != correction.digest:
        expected = f"the text that was reviewed as document {i}, {correction.digest}"
        got = Plain(f"{docs[i].text[:_SHOWN]!r}, {found}")
        remedy = "use the corpus and the options of reading of the review"
        raise ConvertError(describe(correction.place, expected=expected, got=got, remedy=remedy))
    return docs[i]


def _correct_document(correction: Correction, doc: Doc, gold: set[Span]) -> None:
    def fail(expected: str, span: Span) -> ConvertError:
        text = doc[max(span[0], 0) : max(span[1], 0)].text
        got = Plain(f"{text!r} ({span[2]}, tokens {span[0]} to {span[1]})")
        return ConvertError(describe(correction.place, expected=expected, got=got))

    for span in correction.remove:
        if span not in gold:
            raise fail(f"an entity of document {correction.document} to remove", span)
    kept = gold.difference(correction.remove)
    added = [span for span in correction.add if span not in kept]
    for i, span in enumerate(added):
        start, end, label = span
        others = [*kept, *added[:i]]
        free = not any(start < e and end > s for s, e, _ in others)
        if not (0 <= start < end <= len(doc) and label and free):
            raise fail(f"tokens of document {correction.document} without another entity", span)
    # Entities that stay keep their links, and tokens without annotation stay so elsewhere.
    new = [SpacySpan(doc, start, end, label=label) for start, end, label in added]
    tokens = {i for start, end, _ in correction.remove for i in range(start, end)}
    tokens -= {i for start, end, _ in added for i in range(start, end)}
    outside = [doc[i : i + 1] for i in sorted(tokens)]
    doc.set_ents(new, outside=outside, default="unmodified")


def _lines(doc: Doc) -> list[str]:
    return [
        f"{ent.start}\t{ent.end}\t{ent.label_}\t{' '.join(ent.text.split())}\n" for ent in doc.ents
    ]
