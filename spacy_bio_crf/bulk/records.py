"""Annotation of a batch of rows: the one function that every engine calls."""

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from spacy.language import Language
from spacy.tokens import Doc, DocBin

from ..doc_scores import read_scores
from ..errors import AnnotateError, Plain, describe

DIGITS = 6  # of a score; those after them depend on the number of threads
VALUE_SHOWN = 60  # characters of a bad value in a message
ROW_FIELDS = "spacy_bio_crf_row"  # in `doc.user_data`: fields that a component adds to its row
MAX_INT = (1 << 63) - 1  # most readers of JSON and msgpack take none beyond


class BadRecord(NamedTuple):
    """A record that can't be annotated."""

    place: str  # "file, line 3"
    reason: str  # what was expected there, and what is there

    def error(self) -> AnnotateError:
        """RETURNS (AnnotateError): The error that ends a run at this record."""
        return AnnotateError(f"{self.place}: {self.reason}; `skip_bad` leaves such records out")


class Counts(NamedTuple):
    """The account of a run or of a part."""

    documents: int = 0  # annotated and written
    words: int = 0  # their tokens
    entities: int = 0
    skipped: int = 0  # bad records that were left out

    def plus(self, *others: "Counts") -> "Counts":
        """RETURNS (Counts): The sum of accounts."""
        return Counts(*map(sum, zip(self, *others, strict=True)))


@dataclass
class Annotated:
    """Rows with their entities."""

    rows: Any = None  # a list of dicts or a pyarrow.Table, as in the input, without the bad ones
    kept: list[int] = field(default_factory=list)  # the number of each row in the input
    bad: list[BadRecord] = field(default_factory=list)
    words: int = 0  # the tokens of all rows
    entities: list[list[dict[str, Any]]] = field(default_factory=list)  # of each row
    fields: list[dict[str, Any]] = field(default_factory=list)  # that components add to each row
    docs: DocBin = field(default_factory=lambda: DocBin(store_user_data=True))  # if asked for


def annotate_rows(
    nlp: Language,
    rows: Any,
    *,
    text_key: str = "text",
    entities_key: str = "entities",
    batch_size: int | None = None,
    skip_bad: bool = False,
    places: Sequence[str] | None = None,
    with_docs: bool = False,
) -> Annotated:
    """Add the entities to a batch of rows. The order stays, and a bad record harms no other.

    nlp (Language): A pipeline that sets `doc.ents`. Entities of groups of labels, which may
        overlap, are taken from `doc.spans`.
    rows (Any): A list of dicts, or a pyarrow.Table.
    text_key (str): Key or column of the text.
    entities_key (str): Key or column that the entities get. An entity has "start" and exclusive
        "end" in characters, "label", and "score" where a component gives one.
    batch_size (int | None): Most documents in a batch of the pipeline; None takes the pipeline's.
    skip_bad (bool): Leave out rows without a text, and those on which the pipeline fails.
    places (Sequence[str] | None): The name of each row in messages; None numbers them.
    with_docs (bool): Return the Docs too. Their `user_data` has the row's place ("source") and its
        other fields ("record").
    RETURNS (Annotated): The rows.
    RAISES: AnnotateError for the first bad record, unless `skip_bad`.
    """
    fields = rows
    if not isinstance(rows, list):
        names = [name for name in rows.column_names if name in (text_key, entities_key)]
        fields = rows.select(names).to_pylist()
    places = places or [f"row {number}" for number in range(1, len(fields) + 1)]
    result = Annotated()

    def drop(number: int, reason: str) -> None:
        result.bad.append(BadRecord(places[number], reason))
        if not skip_bad:
            raise result.bad[-1].error()

    good = []
    for number, row in enumerate(fields):
        if problem := find_problem(row, text_key, entities_key):
            drop(number, problem)
        else:
            good.append(number)
    size = nlp.batch_size if batch_size is None else batch_size
    keys = _overlapping_keys(nlp)
    for first in range(0, len(good), size):
        batch = good[first : first + size]
        # New words are forgotten after each batch (since spaCy 3.8), or the vocabulary would grow.
        with nlp.memory_zone() if hasattr(nlp, "memory_zone") else nullcontext():
            docs = _annotate_texts(nlp, [fields[number][text_key] for number in batch])
            for number, doc in zip(batch, docs, strict=True):
                if isinstance(doc, str):
                    drop(number, f"the pipeline failed: {doc}")
                    continue
                added = doc.user_data.pop(ROW_FIELDS, {})
                if taken := sorted(added.keys() & fields[number].keys()):
                    drop(number, f"expected no key {taken[0]!r}, which is written beside it")
                    continue
                result.kept.append(number)
                result.words += len(doc)
                result.entities.append(_entities(doc, keys))
                result.fields.append(added)
                if with_docs:
                    record = {k: v for k, v in fields[number].items() if k != text_key}
                    doc.user_data.update(source=plain(places[number]), record=plain(record))
                    _add_doc(result.docs, doc, places[number])
    if isinstance(rows, list):
        new = zip(result.kept, result.entities, result.fields, strict=True)
        result.rows = [{**rows[i], entities_key: found, **added} for i, found, added in new]
    else:
        import pyarrow as pa

        if result.bad:
            # Not `take`, which lacks some types.
            rows = pa.concat_tables([rows.slice(0, 0), *(rows.slice(n, 1) for n in result.kept)])
        column = pa.array(result.entities, entities_type())
        result.rows = rows.append_column(entities_key, column)
    return result


def find_problem(row: dict[str, Any], text_key: str, entities_key: str) -> str | None:
    """RETURNS (str | None): The reason why a row can't be annotated; None if it can."""
    if text_key not in row:
        keys = ", ".join(map(repr, list(row)[:8])) or "none"
        return f"expected the key {text_key!r} (`text_key`), got the keys {keys}"
    text = row[text_key]
    if not isinstance(text, str):
        return f"expected a string under {text_key!r}, got {text!r:.{VALUE_SHOWN}}"
    if entities_key in row:
        return f"expected no key {entities_key!r}; name another one with `entities_key`"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as err:
        return f"expected Unicode text, got half a surrogate pair in it: {text[err.start]!r}"
    return None


def entities_type() -> Any:
    """RETURNS (pyarrow.DataType): The type of a column of entities."""
    import pyarrow as pa

    fields = {"start": pa.int64(), "end": pa.int64(), "label": pa.string(), "score": pa.float64()}
    return pa.list_(pa.struct(fields.items()))


def plain(value: Any) -> Any:
    """Express a value in JSON's types: dates and times in ISO's form, bytes in base64, decimals and
    huge integers as strings, NaN and infinity as null."""
    text = json.dumps(value, ensure_ascii=False, default=_to_text)
    # Half a surrogate pair, which JSON can hold and UTF-8 can't, becomes a question mark.
    data = text.encode("utf-8", "replace")
    return json.loads(data, parse_constant=lambda _: None, parse_int=_small_int)


def _to_text(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _small_int(digits: str) -> int | str:
    return int(digits) if -MAX_INT <= int(digits) <= MAX_INT else digits


def _annotate_texts(nlp: Language, texts: list[str]) -> Iterator[Doc | str]:
    """For each text its Doc, or the error of the pipeline."""
    docs: list[Doc] = []
    # Components raise what they like. The text at fault is found below.
    with suppress(Exception):
        docs = list(nlp.pipe(texts, batch_size=len(texts)))
    # An error handler may have dropped documents of the batch without naming them.
    if [doc.text for doc in docs] == texts:
        return iter(docs)
    return (_annotate_text(nlp, text) for text in texts)


def _annotate_text(nlp: Language, text: str) -> Doc | str:
    if len(text) > nlp.max_length:  # spaCy's E088 names no option of the command
        return (
            f"expected at most {nlp.max_length} characters, got {len(text)}; --max-length (of the "
            "pipeline: nlp.max_length) is the limit"
        )
    try:
        doc = nlp(text)
    except Exception as err:
        return f"{type(err).__name__}: {err}"
    return doc if doc.text == text else "expected a Doc with the record's text, got another text"


def _add_doc(docs: DocBin, doc: Doc, place: str) -> None:
    try:
        docs.add(doc)
    # Components put into `user_data` what they like.
    except Exception as err:
        got = Plain(f"{type(err).__name__}: {err}")
        expected = "a Doc that .spacy can hold"
        raise AnnotateError(describe(place, expected=expected, got=got)) from err


def _overlapping_keys(nlp: Language) -> list[str]:
    """The groups in `doc.spans` of components that tag groups of labels."""
    pipes: list[Any] = [pipe for _, pipe in nlp.pipeline]
    return [pipe.spans_key for pipe in pipes if getattr(pipe, "tag_groups", None) is not None]


def _entities(doc: Doc, keys: Sequence[str]) -> list[dict[str, Any]]:
    scores = read_scores(doc)
    found: list[dict[str, Any]] = []
    ents = list(doc.ents)
    if keys:
        spans = [*ents, *(span for key in keys for span in doc.spans.get(key, ()))]
        unique = {(span.start, span.end, span.label_): span for span in spans}
        ents = [unique[place] for place in sorted(unique)]
    for ent in ents:
        found.append({"start": ent.start_char, "end": ent.end_char, "label": ent.label_})
        score = scores.get((ent.start, ent.end, ent.label_))
        if score is not None:
            found[-1]["score"] = round(score, DIGITS)
    return found
