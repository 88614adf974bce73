"""Reader of records with tokens, and entities by the numbers of their tokens.

    {"tokenized_text": ["Ana", "Ruiz", "ran"], "ner": [[0, 1, "PER"]]}                    GLiNER
    {"tokens": ["Ana", "Ruiz", "ran"], "entities": [{"start": 0, "end": 2, "type": "PER"}]} SpERT
    {"sentences": [["Ana", "ran"], ["Bo"]], "ner": [[[0, 0, "PER"]], [[2, 2, "PER"]]]}    DyGIE
    {"sents": [["Ana"], ["Bo"]], "vertexSet": [[{"pos": [0, 1], "sent_id": 1, "type": "PER"}]]}

Ends are inclusive or exclusive, and tokens are counted within a document or each of its sentences:
what fits all entities of a file.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, product
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import ConvertError, Plain
from ...tags.spans import Span
from ..options import DETECT, ConvertOptions
from ..passages import Sentence, Summary
from .char_spans import NO_LABEL
from .entity_values import Given, checked_text, has_entities, read_entities
from .json_records import JsonRecord
from .record_files import TEXT_KEYS, WORD_KEYS, read_records

ENTITY_KEYS = (
    "ner", "entities", "entity_mentions", "spans", "vertexSet", "mentions", "labels", "label",
)  # fmt: skip
DOCUMENT_KEYS = ("document_id", "doc_id", "doc_key", "title")
UNTAGGED = "records without a key for entities, whose tokens are left unannotated (`no_spans`)"
UNSURE_ENDS = "files in which the ends of entities, taken to be {ends}, may be otherwise (`ends`)"


class Way(NamedTuple):
    """A way to count: ends are inclusive; tokens are counted within the sentence."""

    inclusive: bool
    within: bool


@dataclass(frozen=True)
class _Indexed:
    """A record: its sentences, and entities, each with its sentence's number if that is known."""

    record: JsonRecord
    sentences: list[list[str]]
    entities: list[tuple[int | None, Given]]
    n_objects: int  # of the entities

    def places(self, way: Way) -> list[tuple[int, int, int] | None]:
        """Sentence, start and exclusive end in it of each entity; None where it does not fit."""
        firsts = [0, *accumulate(map(len, self.sentences))]
        found: list[tuple[int, int, int] | None] = []
        for of, given in self.entities:
            number = bisect_right(firsts, given.start) - 1 if of is None else of
            words = self.sentences[number] if 0 <= number < len(self.sentences) else []
            first = 0 if of is not None and way.within else firsts[number] if words else 0
            start, end = given.start - first, given.end + way.inclusive - first
            fits = 0 <= start < end <= len(words)
            if fits and given.text is not None and given.checked:
                fits = "".join(given.text.split()) == "".join("".join(words[start:end]).split())
            found.append((number, start, end) if fits else None)
        return found


def have_token_spans(records: Sequence[JsonRecord], options: ConvertOptions) -> bool:
    """RETURNS (bool): Whether the first record has tokens and entities, and the entities of none
    are by the numbers of characters."""
    found = [_may_count_tokens(record.data, options) for record in records]
    return found[0] is not None and False not in found


def _may_count_tokens(data: dict[str, Any], options: ConvertOptions) -> bool | None:
    """Whether the entities of a record may be by the numbers of its tokens; None without both."""
    found, key = _sentences(data), _key(data, options)
    if found is None or key is None:
        return None
    value = [_plain(item) for item in _listed(data[key])]
    in_text = any(isinstance(data.get(k), str) for k in (options.text_key or "", *TEXT_KEYS))
    return not in_text or not any(value) or has_entities(value, sum(map(len, found[1])))


def read_token_spans(
    paths: Sequence[Path], options: ConvertOptions, summary: Summary
) -> Iterator[Sentence]:
    """Read one or several sentences from each record. A document begins whenever its name changes.

    paths (Sequence[Path]): The files.
    options (ConvertOptions): `spans_key`, `ends`, `no_spans` and `encoding` are read.
    summary (Summary): Gets notes, remarks and losses.
    YIELDS (Sentence): The sentences, in order.
    RAISES: ConvertError if a record has no tokens, or an entity is not on tokens of one sentence.
    """
    for path in paths:
        way = _way(path, options, summary)
        before = None
        for record in read_records(path, summary.tick, encoding=options.encoding):
            indexed = _read(record, options, summary)
            name = record.name(*DOCUMENT_KEYS)
            unannotated = _key(record.data, options) is None and options.no_spans != "empty"
            summary.remarks.update([UNTAGGED] if unannotated else ())
            entities: defaultdict[int, list[Span]] = defaultdict(list)
            for place, (_, given) in zip(indexed.places(way), indexed.entities, strict=True):
                if place is not None:
                    entities[place[0]].append((*place[1:], given.label))
            for number, words in enumerate(indexed.sentences):
                spans = [span for span in entities[number] if span[2]]
                missing = set(range(len(words)) if unannotated else ())
                for start, end, label in entities[number]:
                    if not label:
                        missing.update(range(start, end))
                        text = " ".join(words[start:end])
                        summary.lose(NO_LABEL, place=record.place, text=text, label="")
                for start, end, _ in spans:
                    missing.difference_update(range(start, end))
                yield Sentence(
                    words=words,
                    spans=spans,
                    missing=sorted(missing),
                    spaces=None,
                    path=path,
                    line=record.number,
                    starts_document=number == 0 and name != before,
                    document_id=name,
                )
            before = name


def _way(path: Path, options: ConvertOptions, summary: Summary) -> Way:
    """The way to count that fits all entities of a file, or else the one usual for its form."""
    ways = [Way(*way) for way in product((False, True), repeat=2)]
    if options.ends != DETECT:
        ways = [way for way in ways if way.inclusive == (options.ends == "inclusive")]
    # Ends are inclusive in GLiNER and in lists (DyGIE), exclusive in objects (SpERT, DocRED).
    lists = objects = False
    for record in read_records(path, encoding=options.encoding):
        indexed = _read(record, options, Summary())
        fitting = [way for way in ways if None not in indexed.places(way)]
        if not fitting:
            raise _misplaced(indexed, ways)
        ways = fitting
        n_objects = 0 if "tokenized_text" in record.data else indexed.n_objects
        objects |= n_objects > 0
        lists |= n_objects < len(indexed.entities)
    usual = Way(inclusive=lists and not objects, within=objects)
    way = max(ways, key=lambda way: (way.inclusive == usual.inclusive, way.within == usual.within))
    ends = "inclusive" if way.inclusive else "exclusive"
    summary.notes[f"tokens with entities by number, ends {ends}"] += 1
    if len({way.inclusive for way in ways}) > 1 and (lists or objects):
        summary.remarks[UNSURE_ENDS.format(ends=ends)] += 1
    return way


def _misplaced(indexed: _Indexed, ways: list[Way]) -> ConvertError:
    found = [indexed.places(way) for way in ways]
    for i, (_, given) in enumerate(indexed.entities):
        if all(places[i] is None for places in found):
            size = sum(map(len, indexed.sentences))
            text = f"{given.text!r} ({given.label})" if given.text else f"label {given.label!r}"
            return indexed.record.error(
                f"an entity on tokens of one sentence, of {size} tokens in all",
                Plain(f"tokens {given.start} to {given.end} for {text}"),
            )
    expected = "ends of entities that are all inclusive or all exclusive throughout the file"
    return indexed.record.error(expected, Plain("both"))


def _read(record: JsonRecord, options: ConvertOptions, summary: Summary) -> _Indexed:
    found = _sentences(record.data)
    if found is None:
        expected = f"tokens under one of {', '.join(WORD_KEYS)}"
        raise record.error(expected, Plain(f"the keys {', '.join(map(repr, record.data))}"))
    words_key, sentences = found
    for word in chain.from_iterable(sentences):
        checked_text(word, words_key, record)
    key = _key(record.data, options)
    value = [] if key is None else _listed(record.data[key])
    # A list of entities for each sentence, or one for the record.
    by_sentence = len(sentences) == len(value) > 1 and all(
        isinstance(part, list) and _is_nested(part) for part in value
    )
    entities: list[tuple[int | None, Given]] = []
    n_objects = 0
    for number, part in enumerate(value):
        for item in part if isinstance(part, list) and _is_nested(part) else [part]:
            of = item.get("sent_id") if isinstance(item, dict) else None
            of = number if by_sentence and of is None else of
            own = [_plain(item)]
            given = read_entities(own, str(key), record, summary, layers=options.layers)
            entities += [(of, one) for one in given]
            n_objects += len(given) * (isinstance(item, dict) and "index" not in item)
    return _Indexed(record, sentences, entities, n_objects)


def _sentences(data: dict[str, Any]) -> tuple[str, list[list[str]]] | None:
    """The tokens of a record's sentences, if it has any, and their key."""
    for key in WORD_KEYS:
        value = data.get(key)
        if isinstance(value, list) and value:
            lists = value if isinstance(value[0], list) else [value]
            if all(isinstance(words, list) for words in lists) and all(
                isinstance(word, str) for words in lists for word in words
            ):
                return key, lists
    return None


def _key(data: dict[str, Any], options: ConvertOptions) -> str | None:
    keys = (options.spans_key,) if options.spans_key else ENTITY_KEYS
    return next((key for key in keys if isinstance(data.get(key), (list, dict))), None)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_nested(value: list[Any]) -> bool:
    return all(isinstance(item, (list, dict)) for item in value)


def _plain(value: Any) -> Any:
    """An entity whose tokens are listed under "index" as one with a start and an inclusive end."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    index = value.get("index") if isinstance(value, dict) else None
    if isinstance(index, list) and index and all(type(number) is int for number in index):
        first, last = index[0], index[-1]
        return (
            {**value, "start": first, "end": last} if index == [*range(first, last + 1)] else value
        )
    return value
