"""Read data sets as Hugging Face's `datasets` library keeps them: "tokens" and "ner_tags" in JSON,
JSON lines or Parquet."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ...tags.schemes import MISSING
from ..passages import ConvertError, ReadOptions, Sentence, Summary, no_tick
from .class_names import names_beside, names_in_features
from .json_records import JsonRecord, json_records
from .tagged import Block, read_tagged

TOKEN_KEYS = ("tokens", "words")
TAG_KEYS = ("ner_tags", "ner", "tags", "ner_labels", "labels")
ID_KEYS = ("document_id", "doc_id")
IGNORED_ID = -100  # what trainers leave out of the loss
ROWS = "rows"  # the answer of the data sets' server has all rows in one object
BATCH = 1000  # rows of Parquet


def read_datasets(
    paths: Sequence[Path], options: ReadOptions, summary: Summary
) -> Iterator[Sentence]:
    """Read one sentence from every record: a list of tokens, and a list of tags or of their ids.

    Ids need the names of the classes: from `tag_names`, from the features that the file has itself
    (Parquet; the answer of the data sets' server) or from a "dataset_info.json" beside it. A record
    whose "document_id" or "doc_id" is another than the one before begins a document.

    paths (Sequence[Path]): The files.
    options (ReadOptions): `tag_names`, `tags_key`, scheme and rule of repair.
    summary (Summary): Gets repairs, drops and notes.
    YIELDS (Sentence): The sentences, in order.
    RAISES: ConvertError if a record has no tokens and tags of one length, or ids without names.
    """
    names: dict[Path, Sequence[str] | None] = {}
    notes: dict[Path, str] = {}
    for path in paths:
        record = next(_records(path, no_tick), None)
        if record is None:
            continue
        token_key, tag_key = _keys(record, options.tags_key)
        names[path] = options.tag_names or _names(path, tag_key)
        kind = "tags" if names[path] is None else f"ids of {len(names[path] or ())} tags"
        notes[path] = f"{token_key!r} with {kind} in {tag_key!r}"

    def blocks(path: Path, tick: Callable[[int], None]) -> Iterator[Block]:
        document_id = None
        for record in _records(path, tick):
            token_key, tag_key = _keys(record, options.tags_key)
            words = record.data[token_key]
            tags = [_tag(tag, names[path], tag_key, record) for tag in record.data[tag_key]]
            if len(words) != len(tags):
                raise record.error(
                    f"expected as many tags as tokens, found {len(tags)} in {tag_key!r} and "
                    f"{len(words)} in {token_key!r}"
                )
            for word in words:
                if not isinstance(word, str):
                    raise record.error(f"expected strings in {token_key!r}, found {word!r}")
            name = str(next((record.data[k] for k in ID_KEYS if k in record.data), ""))
            yield Block(
                words=words,
                tags=tags,
                lines=[record.line] * len(tags),
                line=record.line,
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
            f"expected a list of tokens ({', '.join(TOKEN_KEYS)}) and a list of tags "
            f"({', '.join(candidates)}), found the keys {', '.join(map(repr, data))}; name the "
            "tags' key with --tags-key"
        )
    return token_key, tag_key


def _tag(tag: Any, names: Sequence[str] | None, key: str, record: JsonRecord) -> str:
    if isinstance(tag, str):
        return tag
    if type(tag) is not int:
        raise record.error(f"expected tags or ids of tags in {key!r}, found {tag!r}")
    if tag == IGNORED_ID:
        return MISSING
    if names is None:
        raise record.error(
            f"{key!r} has ids of tags (such as {tag}), and no names of tags are known: expected "
            "--tag-names O,B-…,I-… in the order of the ids, or a dataset_info.json beside the file"
        )
    if not 0 <= tag < len(names):
        raise record.error(f"expected ids from 0 to {len(names) - 1} in {key!r}, found {tag}")
    return names[tag]


def _records(path: Path, tick: Callable[[int], None]) -> Iterator[JsonRecord]:
    if is_parquet(path):
        yield from _parquet_rows(path, tick)
        return
    for record in json_records(path, tick):
        rows = record.data.get(ROWS)
        if not isinstance(rows, list):
            yield record
            continue
        for number, row in enumerate(rows, start=1):
            data = row.get("row", row) if isinstance(row, dict) else row
            if not isinstance(data, dict):
                raise record.error(f"expected objects in {ROWS!r}, found {data!r}")
            yield JsonRecord(data, record.line, f"{record.place}, row {number}")


def _names(path: Path, tag_key: str) -> Sequence[str] | None:
    """The names of the tags that ids stand for, as far as the data say them."""
    features: Any = None
    if is_parquet(path):
        metadata = _open_parquet(path).schema_arrow.metadata or {}
        features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features")
    else:
        first = next(json_records(path)).data
        if isinstance(first.get(ROWS), list):
            features = first.get("features")
    return names_in_features(features, tag_key) or names_beside(path, tag_key)


def is_parquet(path: Path) -> bool:
    """RETURNS (bool): Does the file begin as Parquet files do?"""
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _open_parquet(path: Path) -> Any:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as err:
        raise ConvertError(
            f"{path}: reading Parquet needs pyarrow, which is not installed ({err}): "
            "pip install pyarrow, or save the data as JSON lines (Dataset.to_json)"
        ) from None
    try:
        return ParquetFile(path)
    except (ArrowException, OSError) as err:
        raise ConvertError(f"{path}: expected a Parquet file: {err}") from None


def _parquet_rows(path: Path, tick: Callable[[int], None]) -> Iterator[JsonRecord]:
    file = _open_parquet(path)
    per_row = path.stat().st_size // max(1, file.metadata.num_rows)
    number = 0
    for batch in file.iter_batches(batch_size=BATCH):
        tick(per_row * batch.num_rows)
        for row in batch.to_pylist():
            number += 1
            yield JsonRecord(row, number, f"{path}, row {number}")
