"""The texts of files, whether they are annotated or not."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from ..errors import Plain
from .conversion import input_files, read
from .options import DEFAULTS
from .readers.argilla import nested
from .readers.json_records import JsonRecord
from .readers.record_files import TEXT_KEYS, read_records
from .sniff import choose_format

# Formats whose records may have a text: the key of the object that it is in, and its usual keys.
_RECORDS: dict[str, tuple[str | None, tuple[str, ...]]] = {
    "jsonl": (None, TEXT_KEYS),
    "label-studio": ("data", ("text",)),
    "argilla": ("fields", ("text",)),
    "datasets": (None, ("text",)),
    "token-spans": (None, ("text",)),
}


def texts_in(
    inputs: Path | Iterable[Path], *, text_key: str = "text", lang: str = "xx"
) -> Iterator[str]:
    """Read the texts of files in any format that `read` knows.

    Those of records are taken as they stand: without an annotation, and rejected or ignored ones
    too. In other formats they are those of the Docs of `read`.

    inputs (Path | Iterable[Path]): Files or folders.
    text_key (str): Key of the text in records; those without it have it under a usual key.
    lang (str): Language code of texts without tokens.
    YIELDS (str): The texts, in order.
    RAISES: ConvertError for what can't be read.
    """
    options = replace(DEFAULTS, text_key=text_key)
    files = input_files(inputs)
    format, paths = choose_format(files, options)
    if format not in _RECORDS or not _have_texts(paths, format, text_key):
        yield from (doc.text for doc in read(files, lang=lang)[0])
        return
    for path in paths:
        for record in read_records(path):
            text = _text_of(record, format, text_key)
            if text is None:
                got = Plain(f"texts under {list(_strings(record, format))}")
                raise record.error(f"a text under {text_key!r}", got)
            yield text


def _have_texts(paths: Iterable[Path], format: str, text_key: str) -> bool:
    """Whether the first record has a text, and not tokens alone."""
    records = (record for path in paths for record in read_records(path))
    first = next(records, None)
    return first is not None and _text_of(first, format, text_key) is not None


def _text_of(record: JsonRecord, format: str, text_key: str) -> str | None:
    texts = _strings(record, format)
    holder, keys = _RECORDS[format]
    if holder is not None and len(texts) == 1:
        return next(iter(texts.values()))
    return next((texts[key] for key in (text_key, *keys) if key in texts), None)


def _strings(record: JsonRecord, format: str) -> dict[str, str]:
    holder = _RECORDS[format][0]
    record = nested(record) if format == "argilla" else record
    data = record.data if holder is None else record.data.get(holder)
    return {k: v for k, v in data.items() if isinstance(v, str)} if isinstance(data, dict) else {}
