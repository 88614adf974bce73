"""Reader of Hugging Face's data sets: "tokens" and "ner_tags" in JSON, JSON lines or Parquet."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...errors import ConvertError, Plain, describe
from ...io import Tick, open_parquet
from ...tags.schemes import MISSING
from ..options import ConvertOptions
from ..passages import Sentence, Summary
from .json_records import JsonRecord, json_records
from .tagged import Block, read_tagged

TOKEN_KEYS = ("tokens", "words")
TAG_KEYS = ("ner_tags", "ner", "tags", "ner_labels", "labels")
ID_KEYS = ("document_id", "doc_id")
INFO_FILES = ("dataset_info.json", "dataset_infos.json")
IGNORED_ID = -100  # the id that trainers leave out of the loss
ROWS_KEY = "rows"  # the answer of the data sets' server has all rows in one object
_BATCH = 1000  # rows of Parquet


def read_datasets(
    paths: Sequence[Path], options: ConvertOptions, summary: Summary
) -> Iterator[Sentence]:
    """Read one sentence from each record: a list of tokens, and a list of tags or of their ids.

    Ids need the names of the tags: from `tag_names`, from the features in the file itself (Parquet;
    the answer of the data sets' server) or from a "dataset_info.json" beside it. A new document
    begins whenever "document_id" or "doc_id" changes.

    paths (Sequence[Path]): The files.
    options (ConvertOptions): `tag_names`, `tags_key`, the scheme and the rule of repair are read.
    summary (Summary): Gets repairs, losses and notes.
    YIELDS (Sentence): The sentences, in order.
    RAISES: ConvertError if a record has no tokens and tags of one length, or ids without names.
    """
    names: dict[Path, Sequence[str] | None] = {}
    notes: dict[Path, str] = {}
    for path in paths:
        record = next(_records(path, None, options.encoding), None)
        if record is None:
            continue
        token_key, tag_key = _keys(record, options.tags_key)
        names[path] = options.tag_names or _names(path, tag_key, options.encoding)
        kind = "tags" if names[path] is None else f"ids of {len(names[path] or ())} tags"
        notes[path] = f"{token_key!r} with {kind} in {tag_key!r}"

    def blocks(path: Path, tick: Tick | None) -> Iterator[Block]:
        document_id = None
        for record in _records(path, tick, options.encoding):
            token_key, tag_key = _keys(record, options.tags_key)
            words = record.data[token_key]
            tags = [_tag(tag, names[path], tag_key, record) for tag in record.data[tag_key]]
            if len(words) != len(tags):
                raise record.error(
                    "as many tags as tokens",
                    Plain(f"{len(tags)} in {tag_key!r} and {len(words)} in {token_key!r}"),
                )
            for word in words:
                if not isinstance(word, str):
                    raise record.error(f"strings in {token_key!r}", word)
            name = str(next((record.data[k] for k in ID_KEYS if k in record.data), ""))
            yield Block(
                words=words,
                tags=tags,
                lines=[record.number] * len(tags),
                line=record.number,
                starts_document=name != document_id,
                document_id=name,
            )
            document_id = name

    return read_tagged(blocks, notes, options, summary)


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


def _tag(tag: Any, names: Sequence[str] | None, key: str, record: JsonRecord) -> str:
    if isinstance(tag, str):
        return tag
    if type(tag) is not int:
        raise record.error(f"tags or ids of tags in {key!r}", tag)
    if tag == IGNORED_ID:
        return MISSING
    if names is None:
        raise record.error(
            f"tags in {key!r}, or ids whose names are known",
            Plain(f"the id {tag}"),
            remedy="give `tag_names` in the order of the ids, or put a dataset_info.json beside it",
        )
    if not 0 <= tag < len(names):
        raise record.error(f"ids from 0 to {len(names) - 1} in {key!r}", tag)
    return names[tag]


def _records(path: Path, tick: Tick | None, encoding: str) -> Iterator[JsonRecord]:
    if _is_parquet(path):
        yield from _parquet_rows(path, tick)
        return
    for record in json_records(path, tick, encoding=encoding):
        rows = record.data.get(ROWS_KEY)
        if not isinstance(rows, list):
            yield record
            continue
        for number, row in enumerate(rows, start=1):
            data = row.get("row", row) if isinstance(row, dict) else row
            if not isinstance(data, dict):
                raise record.error(f"objects in {ROWS_KEY!r}", data)
            yield JsonRecord(data, record.number, f"{record.place}, row {number}")


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _parquet_rows(path: Path, tick: Tick | None) -> Iterator[JsonRecord]:
    number = 0
    with open_parquet(path, ConvertError) as file:
        per_row = path.stat().st_size // max(1, file.metadata.num_rows)
        for batch in file.iter_batches(batch_size=_BATCH):
            if tick is not None:
                tick(per_row * batch.num_rows)
            for row in batch.to_pylist():
                number += 1
                yield JsonRecord(row, number, f"{path}, row {number}")


def _names(path: Path, tag_key: str, encoding: str) -> Sequence[str] | None:
    """The names of the tags that ids stand for, if the data have them."""
    features: Any = None
    if _is_parquet(path):
        with open_parquet(path, ConvertError) as file:
            metadata = file.schema_arrow.metadata or {}
        features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features")
    else:
        first = next(json_records(path, encoding=encoding)).data
        if isinstance(first.get(ROWS_KEY), list):
            features = first.get("features")
    return _names_in_features(features, tag_key) or _names_beside(path, tag_key)


def _names_in_features(features: Any, key: str) -> Sequence[str] | None:
    """A column's class names, in the order of their ids."""
    if isinstance(features, list):  # of objects with "name" and "type"
        features = {f.get("name"): f.get("type") for f in features if isinstance(f, dict)}
    return _class_names(features.get(key)) if isinstance(features, dict) else None


def _names_beside(path: Path, key: str) -> Sequence[str] | None:
    """A column's class names in one of `INFO_FILES` in the file's folder."""
    for info_name in INFO_FILES:
        info_path = path.with_name(info_name)
        if not info_path.is_file():
            continue
        try:
            info = json.loads(info_path.read_text(encoding="utf-8"))
        except ValueError as err:
            got = Plain(f"something else ({err})")
            raise ConvertError(describe(str(info_path), expected="JSON", got=got)) from None
        # "dataset_infos.json" has a description for each configuration.
        infos = [info, *info.values()] if isinstance(info, dict) else []
        for one in infos:
            names = _names_in_features(one.get("features") if isinstance(one, dict) else None, key)
            if names is not None:
                return names
    return None


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
