"""Reader of Hugging Face's data sets: "tokens" and "ner_tags" in JSON, Parquet or Arrow."""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from ...errors import ConvertError, Plain, describe
from ...io import Tick, read_text
from ...tags.schemes import MISSING
from ..options import ConvertOptions
from ..passages import Sentence, Summary
from .entity_values import as_number, checked_text
from .json_records import JsonRecord, json_records
from .record_files import is_table, read_records, table_metadata
from .tagged import Block, read_tagged

TOKEN_KEYS = ("tokens", "words")
TAG_KEYS = ("ner_tags", "ner", "tags", "ner_labels", "labels")
ID_KEYS = ("document_id", "doc_id")
INFO_FILES = ("dataset_info.json", "dataset_infos.json")
# Files of tags and ids as T-NER and others have them beside their data.
NAME_FILES = tuple(
    f"{name}.json" for name in ("label", "labels", "label2id", "id2label", "tag2id", "tags")
) + ("labels.txt", "tags.txt")
IGNORED_ID = -100  # the id that trainers leave out of the loss


def read_datasets(
    paths: Sequence[Path], options: ConvertOptions, summary: Summary
) -> Iterator[Sentence | ConvertError]:
    """Read one sentence from each record: a list of tokens, and a list of tags or of their ids.

    Ids need the names of the tags: from `tag_names`, from the features in the file itself (Parquet,
    Arrow, the answer of the data sets' server) or from one of `INFO_FILES` or `NAME_FILES` beside
    it. A new document begins whenever "document_id" or "doc_id" changes.

    paths (Sequence[Path]): The files.
    options (ConvertOptions): `tag_names`, `tags_key`, the scheme and the rule of repair are read.
    summary (Summary): Gets repairs, losses and notes.
    YIELDS (Sentence | ConvertError): The sentences, in order; an error for a record that is none,
        or has no tokens and tags of one length.
    RAISES: ConvertError for ids without names.
    """
    notes: dict[Path, str] = {}

    @cache
    def names(path: Path, tag_key: str) -> Sequence[str]:
        return options.tag_names or _names(path, tag_key, options.encoding)

    for path in paths:
        found = _first_keys(path, options)
        if found is not None:
            record, token_key, tag_key = found
            ids = [n for n in map(as_number, record.data[tag_key]) if n is not None]
            if not {*ids} <= {IGNORED_ID} and not names(path, tag_key):
                raise _no_names(next(n for n in ids if n != IGNORED_ID), tag_key, record)
            kind = f"ids of {len(names(path, tag_key))} tags" if ids else "tags"
            notes[path] = f"{token_key!r} with {kind} in {tag_key!r}"

    def blocks(path: Path, tick: Tick | None) -> Iterator[Block]:
        document_id = None
        bad: list[ConvertError] = []
        for record in read_records(path, tick, encoding=options.encoding, bad=bad):
            yield from (Block(error=error) for error in bad)
            bad.clear()
            name = record.name(*ID_KEYS)
            block = _block(record, options, partial(names, path))
            block.starts_document, block.document_id = name != document_id, name
            yield block
            document_id = name
        yield from (Block(error=error) for error in bad)

    return read_tagged(blocks, notes, options, summary)


def _first_keys(path: Path, options: ConvertOptions) -> tuple[JsonRecord, str, str] | None:
    """The first record with tokens and tags, and their keys; None if there is no record."""
    error: ConvertError | None = None
    for record in read_records(path, encoding=options.encoding, bad=[]):
        try:
            return record, *_keys(record, options.tags_key)
        except ConvertError as err:
            if not options.skip_bad:
                raise
            error = error or err
    if error is not None:
        raise error
    return None


def _block(
    record: JsonRecord, options: ConvertOptions, names: Callable[[str], Sequence[str]]
) -> Block:
    """The sentence of a record, or the error in it."""
    try:
        token_key, tag_key = _keys(record, options.tags_key)
        words = record.data[token_key]
        tags = [_tag(tag, names, tag_key, record) for tag in record.data[tag_key]]
        if len(words) != len(tags):
            got = Plain(f"{len(tags)} in {tag_key!r} and {len(words)} in {token_key!r}")
            raise record.error("as many tags as tokens", got)
        for word in words:
            if not isinstance(word, str):
                raise record.error(f"strings in {token_key!r}", word)
            checked_text(word, token_key, record)
    except ConvertError as error:
        return Block(error=error)
    return Block(words=words, tags=tags, lines=[record.number] * len(tags), line=record.number)


def _keys(record: JsonRecord, tags_key: str | None) -> tuple[str, str]:
    """The keys of tokens and tags, both lists."""
    data = record.data
    token_key = next((k for k in TOKEN_KEYS if isinstance(data.get(k), list)), None)
    candidates = TAG_KEYS if tags_key is None else (tags_key,)
    tag_key = next((k for k in candidates if isinstance(data.get(k), list)), None)
    if token_key is None or tag_key is None:
        raise record.error(
            f"a list of tokens ({', '.join(TOKEN_KEYS)}) and a list of tags "
            f"({', '.join(candidates)})",
            Plain(f"the keys {', '.join(map(repr, data))}"),
            remedy="name the tags' key with `tags_key`",
        )
    return token_key, tag_key


def _tag(
    tag: Any, names_under: Callable[[str], Sequence[str]], key: str, record: JsonRecord
) -> str:
    number = as_number(tag)
    if number is None and isinstance(tag, str):
        return checked_text(tag, key, record)
    if number is None:
        raise record.error(f"tags or ids of tags in {key!r}", tag)
    if number == IGNORED_ID:
        return MISSING
    names = names_under(key)
    if not names:
        raise _no_names(number, key, record)
    if not 0 <= number < len(names):
        raise record.error(f"ids from 0 to {len(names) - 1} in {key!r}", tag)
    return names[number]


def _no_names(number: int, key: str, record: JsonRecord) -> ConvertError:
    return record.error(
        f"tags in {key!r}, or ids whose names are known",
        Plain(f"the id {number}"),
        remedy="give `tag_names` in the order of the ids, or put a label.json or "
        "dataset_info.json beside it",
    )


def _names(path: Path, tag_key: str, encoding: str) -> Sequence[str]:
    """The names of the tags that ids stand for, as far as the data have them."""
    features: Any = None
    if is_table(path):
        described = table_metadata(path).get(b"huggingface", b"{}")
        features = json.loads(described).get("info", {}).get("features")
    elif path.suffix != ".py":
        features = next(json_records(path, encoding=encoding)).data.get("features")
    return _names_in_features(features, tag_key) or _names_beside(path, tag_key) or ()


def _names_in_features(features: Any, key: str) -> Sequence[str] | None:
    """A column's class names, in the order of their ids."""
    if isinstance(features, list):  # of objects with "name" and "type"
        features = {f.get("name"): f.get("type") for f in features if isinstance(f, dict)}
    return _class_names(features.get(key)) if isinstance(features, dict) else None


def _names_beside(path: Path, key: str) -> Sequence[str] | None:
    """A column's class names in one of `INFO_FILES` or `NAME_FILES` in the file's folder."""
    for beside in map(path.with_name, (*INFO_FILES, *NAME_FILES)):
        if not beside.is_file():
            continue
        text = read_text(beside, ConvertError).removeprefix("\ufeff")
        try:
            info = json.loads(text) if beside.suffix == ".json" else text.split()
        except ValueError as err:
            got = Plain(f"something else ({err})")
            raise ConvertError(describe(str(beside), expected="JSON", got=got)) from None
        if beside.name in NAME_FILES:
            return _names_by_id(info, beside)
        # "dataset_infos.json" has a description for each configuration.
        infos = [info, *info.values()] if isinstance(info, dict) else []
        for one in infos:
            names = _names_in_features(one.get("features") if isinstance(one, dict) else None, key)
            if names is not None:
                return names
    return None


def _names_by_id(info: Any, path: Path) -> Sequence[str]:
    """The names in a list, or in an object with ids or names as keys."""
    if isinstance(info, dict):
        pairs = [
            (key, value) if isinstance(value, int) else (value, key) for key, value in info.items()
        ]
        names = {str(number): name for name, number in pairs}
        info = [names.get(str(i)) for i in range(len(info))]
    if not isinstance(info, list) or not info or not all(isinstance(name, str) for name in info):
        expected = (
            "a list of tags, or an object with a tag for each id from 0, or an id for each tag"
        )
        raise ConvertError(describe(str(path), expected=expected, got=Plain("something else")))
    return info


def _class_names(feature: Any) -> Sequence[str] | None:
    """The names in a feature: of a class, or of a sequence of classes however deep."""
    if isinstance(feature, list):
        return next((n for n in map(_class_names, feature) if n is not None), None)
    if not isinstance(feature, dict):
        return None
    names = feature.get("names")
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return names
    return _class_names(feature.get("feature"))
