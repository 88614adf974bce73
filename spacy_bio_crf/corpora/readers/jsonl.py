"""Reader of JSON records with a text and character spans.

Prodigy and spaCy write such records as JSONL, doccano and Label Studio (JSON_MIN) export them. The
training data of spaCy 2 are pairs of a text and an object, which `record_files` reads as one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from ...errors import ConvertError, Plain
from ..options import DETECT, ConvertOptions
from ..passages import Passage, Summary
from .char_spans import locate
from .entity_values import (
    Given,
    as_number,
    checked_text,
    has_entities,
    may_be_entities,
    read_entities,
)
from .json_records import JsonRecord
from .record_files import TEXT_KEYS, read_records

# Keys of the entities: Prodigy; doccano and Label Studio; doccano; spaCy; other tools.
SPAN_KEYS = (
    "spans", "label", "labels", "entities", "annotations", "annotation", "ents", "ner",
    "named_entities", "entity_mentions", "mentions",
)  # fmt: skip
UNANNOTATED = "texts without any annotation, all of whose tokens are left without (`no_spans`)"
EMPTY = "texts without entities, accepted or with an annotator: they have none (`no_spans`)"
BINARY = "texts have a binary answer: only the accepted entities are known (`answers`)"
REJECTED = "entities rejected in a binary answer, known to be wrong (doc.spans['{key}'])"
JUDGED = "texts have an answer for each entity: what else is in them is unknown (`answers`)"
LEFT = "entities without an answer, or ignored, whose tokens are left unannotated"
OTHER_KEYS = "texts have entities, it seems, under {others}, which were not read (`spans_key`)"
_NO_ENTITIES = ("tokens", "sentences", "sents", "relations")
# Signs that somebody has looked at a text: Label Studio's JSON_MIN, doccano.
_LOOKED_AT = ("annotation_id", "annotator", "is_confirmed", "annotation_approver")
_NER_VIEWS = (None, "ner", "ner_manual", "spans", "spans_manual", "relations", "blocks", "review")


def read_jsonl(
    paths: Sequence[Path], options: ConvertOptions, summary: Summary
) -> Iterator[Passage | ConvertError]:
    """Read texts with character spans, one JSON object for each text.

    Of texts without a list of entities, `no_spans` says whether they are annotated; an empty list
    means that there is no entity. Texts whose "answer" is not "accept" are left out, but for binary
    answers: these tell of the entities alone whether they are right. Entities may also have answers
    of their own: rejected ones are known to be wrong, ignored ones are left unannotated. "tokens"
    in Prodigy's form are taken over: "missing": true marks an unannotated token, "sent_start": true
    the first token of a sentence. "unknown_spaces": true beside them means that the text was put
    together from the tokens.

    paths (Sequence[Path]): The files.
    options (ConvertOptions): `text_key`, `spans_key`, `offsets`, `ends`, `no_spans`, `answers` and
        `incorrect_spans_key` are read.
    summary (Summary): Gets notes, remarks and losses.
    YIELDS (Passage | ConvertError): The texts, in order; an error for a record that has no text, or
        spans or tokens that are not of it.
    """
    for path in paths:
        keys: dict[str, None] = {}
        before = ""
        bad: list[ConvertError] = []
        for record in read_records(path, summary.tick, encoding=options.encoding, bad=bad):
            yield from bad
            bad.clear()
            answer = record.data.get("answer", "accept")
            binary = _is_binary(record.data, options)
            if answer != "accept" and not (binary and answer == "reject"):
                summary.dropped[f"text with the answer {answer!r}"] += 1
                continue
            try:
                passage, judged = _passage(path, record, options, keys, summary, before)
            except ConvertError as err:
                yield err
                continue
            before = passage.document_id
            of_text = binary and not judged
            yield _answered(passage, answer, options, summary) if of_text else passage
        yield from bad
        found = " or ".join(map(repr, keys)) or "no spans"
        summary.notes[f"JSON records with text and {found}"] += 1


def _passage(
    path: Path,
    record: JsonRecord,
    options: ConvertOptions,
    keys: dict[str, None],
    summary: Summary,
    before: str,
) -> tuple[Passage, bool]:
    """A text, and whether its entities have answers of their own."""
    data = record.data
    key = options.text_key or next((k for k in TEXT_KEYS if k in data), TEXT_KEYS[0])
    text = checked_text(data.get(key), key, record)
    given, judged = _given(record, text, options, keys, summary)
    spans, missing = locate(text, given or [], record, options, summary)
    if given is None and not _is_empty(data, options):
        summary.remarks[UNANNOTATED] += 1
        missing = [(0, len(text))]
    elif given is None:
        summary.remarks[EMPTY] += 1
    meta = data.get("meta")
    name = meta.get("document_id") if isinstance(meta, dict) else None
    name = record.name("id") if name is None else str(name)
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
    if judged:
        passage = _judged(passage, judged, record, options, summary)
    tokens = data.get("tokens")
    return passage if tokens is None else with_tokens(passage, tokens, record), bool(judged)


def _given(
    record: JsonRecord, text: str, options: ConvertOptions, keys: dict[str, None], summary: Summary
) -> tuple[list[Given] | None, dict[str, list[Given]]]:
    """The entities of a record, None if it has no key for them; and those with other answers than
    "accept", by their answer."""
    data = record.data
    size = len(text.encode("utf-8"))
    filled = [k for k, v in data.items() if k not in _NO_ENTITIES and has_entities(v, size)]
    names = (options.spans_key,) if options.spans_key else SPAN_KEYS
    known = [k for k in names if data.get(k) is not None]
    if "ents" in known and isinstance(data.get("spans"), dict):
        # spaCy's `Doc.to_json` has groups of other spans there.
        known.remove("spans")
    # Some tools put the label of the whole text under a key that others have for entities.
    lists = [k for k in known if isinstance(data[k], (list, dict))]
    key = next((k for k in [*lists, *known] if k in filled), next(iter([*lists, *known]), None))
    others = [k for k in filled if k != key and (key is None or data[k] != data[key])]
    predicted = [k for k in others if k.startswith("pred")]
    if key is None and len(others) > len(predicted) and not options.spans_key:
        raise record.error(
            f"entities under one of {', '.join(SPAN_KEYS)}",
            Plain(f"some under {', '.join(map(repr, others))}"),
            remedy="name the key with `spans_key`",
        )
    if key is None:
        seen = {*others, *_NO_ENTITIES}
        others += [k for k, v in data.items() if k not in seen and may_be_entities(v)]
    if others and not options.spans_key:
        summary.remarks[OTHER_KEYS.format(others=", ".join(map(repr, others)))] += 1
    if key is None:
        return None, {}
    keys[key] = None
    accepted, rest = _by_answer(data[key])

    def read(value: Any) -> list[Given]:
        return read_entities(value, key, record, summary, layers=options.layers)

    return read(accepted), {answer: read(value) for answer, value in rest.items()}


def _is_empty(data: dict[str, Any], options: ConvertOptions) -> bool:
    """Whether a text without a key for entities is one that has none."""
    if options.no_spans != DETECT:
        return options.no_spans == "empty"
    accepted = data.get("answer") == "accept" and data.get("_view_id") in _NER_VIEWS
    return accepted or any(data.get(key) for key in _LOOKED_AT)


def _is_binary(data: dict[str, Any], options: ConvertOptions) -> bool:
    """Whether the answer is to the entities that are shown, and not to the whole text."""
    if options.answers != DETECT:
        return options.answers == "binary" and "answer" in data
    marked = data.get("_is_binary")
    return marked if isinstance(marked, bool) else data.get("_view_id") == "ner"


def _answered(passage: Passage, answer: str, options: ConvertOptions, summary: Summary) -> Passage:
    summary.remarks[BINARY] += 1
    passage = replace(passage, missing=[(0, len(passage.text))])
    if answer == "accept":
        return passage
    if passage.spans:
        summary.remarks[REJECTED.format(key=options.incorrect_spans_key)] += len(passage.spans)
    return replace(passage, spans=[], incorrect=passage.spans)


def _by_answer(entities: Any) -> tuple[Any, dict[str, list[Any]]]:
    """The accepted entities, and the others by their answer; all, and none of these, if they have
    no answers of their own."""
    if not isinstance(entities, list) or not any(
        isinstance(entity, dict) and "answer" in entity for entity in entities
    ):
        return entities, {}
    judged: dict[str, list[Any]] = {"accept": [], "reject": [], "ignore": []}
    for entity in entities:
        answer = entity.get("answer") if isinstance(entity, dict) else None
        judged[answer if answer in judged else "ignore"].append(entity)
    return judged.pop("accept"), judged


def _judged(
    passage: Passage,
    judged: dict[str, list[Given]],
    record: JsonRecord,
    options: ConvertOptions,
    summary: Summary,
) -> Passage:
    """Add the entities with other answers than "accept"."""
    rejected, ignored = (
        locate(passage.text, judged[answer], record, options, summary)[0]
        for answer in ("reject", "ignore")
    )
    missing = [*passage.missing, *(span[:2] for span in ignored)]
    if options.answers != "complete":
        summary.remarks[JUDGED] += 1
        missing = [(0, len(passage.text))]
    if rejected:
        summary.remarks[REJECTED.format(key=options.incorrect_spans_key)] += len(rejected)
    if ignored:
        summary.remarks[LEFT] += len(ignored)
    return replace(passage, missing=missing, incorrect=rejected)


def with_tokens(passage: Passage, tokens: Any, record: JsonRecord) -> Passage:
    """Take over the tokens of a record. White space between tokens, but for one space after each,
    becomes a token, because a Doc keeps every character of its text."""
    if not isinstance(tokens, list):
        raise record.error("a list under 'tokens'", tokens)
    text, words, spaces = passage.text, list[str](), list[bool]()
    missing, starts = list(passage.missing), dict[int, bool | None]()
    if all(isinstance(token, str) for token in tokens):
        tokens = list(_found(tokens, text, record))
    at = 0
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
            starts[start] = token.get("sent_start", False)
        at = end
    if True in starts.values():
        # Tokens of white space between those given begin no sentence.
        offsets = accumulate(len(w) + s for w, s in zip(words, spaces, strict=True))
        starts = dict.fromkeys(offsets, False) | starts | {0: True}
    else:
        starts = {}
    return replace(
        passage,
        words=words,
        spaces=spaces,
        unknown_spaces=record.data.get("unknown_spaces") is True,
        missing=missing,
        sent_starts=starts or None,
    )


def _found(words: list[str], text: str, record: JsonRecord) -> Iterator[dict[str, int]]:
    """Tokens given as words alone, with their places in the text."""
    end = 0
    for number, word in enumerate(words):
        start = text.find(word, end)
        if start < 0:
            raise record.error(f"token {number}, {word!r}, in the text", text[end : end + 40])
        end = start + len(word)
        yield {"start": start, "end": end}


def _borders(token: Any, number: int, at: int, text: str, record: JsonRecord) -> tuple[int, int]:
    start = as_number(token.get("start")) if isinstance(token, dict) else None
    end = as_number(token.get("end")) if isinstance(token, dict) else None
    if start is None or end is None or not at <= start < end <= len(text):
        expected = f"'start' and 'end' of token {number} with {at} <= start < end <= {len(text)}"
        raise record.error(expected, token)
    if token.get("text", text[start:end]) != text[start:end]:
        expected = f"token {number}, {token['text']!r}, at characters {start} to {end}"
        raise record.error(expected, text[start:end])
    return start, end
