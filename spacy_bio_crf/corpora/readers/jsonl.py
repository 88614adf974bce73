"""Reader of JSON records with a text and character spans.

Prodigy and spaCy write such records as JSONL, doccano and Label Studio (JSON_MIN) export them. The
training data of spaCy 2 are pairs of a text and an object, which `json_records` reads as one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import Plain
from ..options import ConvertOptions
from ..passages import Passage, Summary
from .char_spans import checked_text, locate, read_span
from .json_records import JsonRecord, json_records

# Keys of the entities, the first one counts: Prodigy; doccano and Label Studio; doccano; spaCy.
SPAN_KEYS = ("spans", "label", "labels", "entities")
TEXT_KEYS = ("text", "data")
UNANNOTATED = "texts without any annotation, all of whose tokens are left without"


def read_jsonl(
    paths: Sequence[Path], options: ConvertOptions, summary: Summary
) -> Iterator[Passage]:
    """Read texts with character spans, one JSON object for each text.

    A text without a list of entities is unannotated; an empty list means that it has no entity.
    Texts whose "answer" is not "accept" are left out. "tokens" in Prodigy's form are taken over:
    "missing": true marks an unannotated token, "sent_start": true the first token of a sentence.
    "unknown_spaces": true beside them means that the text was put together from the tokens.

    paths (Sequence[Path]): The files.
    options (ConvertOptions): `text_key` is read.
    summary (Summary): Gets notes, remarks and losses.
    YIELDS (Passage): The texts, in order.
    RAISES: ConvertError if a record has no text, or spans or tokens that are not of it.
    """
    for path in paths:
        keys: set[str] = set()
        before = ""
        for record in json_records(path, summary.tick, encoding=options.encoding):
            answer = record.data.get("answer", "accept")
            if answer != "accept":
                summary.dropped[f"text with the answer {answer!r}"] += 1
                continue
            passage = _passage(path, record, options.text_key, keys, summary, before)
            before = passage.document_id
            yield passage
        found = " or ".join(repr(key) for key in SPAN_KEYS if key in keys) or "no spans"
        summary.notes[f"JSON records with text and {found}"] += 1


def _passage(
    path: Path,
    record: JsonRecord,
    text_key: str | None,
    keys: set[str],
    summary: Summary,
    before: str,
) -> Passage:
    data = record.data
    key = text_key or next((k for k in TEXT_KEYS if k in data), TEXT_KEYS[0])
    text = checked_text(data.get(key), key, record)
    span_key = next((k for k in SPAN_KEYS if data.get(k) is not None), None)
    missing: list[tuple[int, int]] = []
    spans = []
    if span_key is None:
        summary.remarks[UNANNOTATED] += 1
        missing.append((0, len(text)))
    else:
        keys.add(span_key)
        values = data[span_key]
        if not isinstance(values, list):
            raise record.error(f"a list of entities under {span_key!r}", values)
        given = [read_span(value, record, summary) for value in values]
        spans = locate(text, given, record, summary)
    meta = data.get("meta")
    name = meta.get("document_id") if isinstance(meta, dict) else None
    name = str(data.get("id", "") if name is None else name)
    passage = Passage(
        text=text,
        spans=spans,
        path=path,
        line=record.number,
        place=record.place,
        missing=missing,
        starts_document=not name or name != before,
        document_id=name,
    )
    tokens = data.get("tokens")
    return passage if tokens is None else _with_tokens(passage, tokens, record)


def _with_tokens(passage: Passage, tokens: Any, record: JsonRecord) -> Passage:
    """Take over the tokens of a record. White space between tokens, but for one space after each,
    becomes a token, because a Doc keeps every character of its text."""
    if not isinstance(tokens, list):
        raise record.error("a list under 'tokens'", tokens)
    text, words, spaces = passage.text, list[str](), list[bool]()
    missing, starts = list(passage.missing), set[int]()
    at, has_starts = 0, False
    for number, token in enumerate([*tokens, None]):
        start, end = len(text), len(text)
        if token is not None:
            start, end = _borders(token, number, at, text, record)
        gap = text[at:start]
        if gap.strip():
            got = Plain(f"{gap.strip()!r} between them, before token {number}")
            raise record.error("tokens that leave out white space only", got)
        if words and gap.startswith(" "):
            spaces[-1], gap = True, gap[1:]
        if gap:
            words.append(gap)
            spaces.append(False)
        if token is not None:
            words.append(text[start:end])
            spaces.append(False)
            if token.get("missing") is True:
                missing.append((start, end))
            has_starts |= "sent_start" in token
            if token.get("sent_start") is True:
                starts.add(start)
        at = end
    sent_starts = frozenset(starts) if has_starts else None
    return replace(
        passage,
        words=words,
        spaces=spaces,
        unknown_spaces=record.data.get("unknown_spaces") is True,
        missing=missing,
        sent_starts=sent_starts,
    )


def _borders(token: Any, number: int, at: int, text: str, record: JsonRecord) -> tuple[int, int]:
    start = token.get("start") if isinstance(token, dict) else None
    end = token.get("end") if isinstance(token, dict) else None
    if type(start) is not int or type(end) is not int or not at <= start < end <= len(text):
        expected = f"'start' and 'end' of token {number} with {at} <= start < end <= {len(text)}"
        raise record.error(expected, token)
    if token.get("text", text[start:end]) != text[start:end]:
        expected = f"token {number}, {token['text']!r}, at characters {start} to {end}"
        raise record.error(expected, text[start:end])
    return start, end
