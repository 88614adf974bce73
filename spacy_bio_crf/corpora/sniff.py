"""The input formats, and detection of a file's format by its name and content."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ..errors import ConvertError, Plain, describe
from .options import DEFAULTS, DETECT, PLUGINS, READERS, ConvertOptions
from .passages import Summary, Unit
from .readers.argilla import ANSWER_KEYS, is_flat, read_argilla
from .readers.brat import COMPANIONS, read_brat
from .readers.columns import read_columns
from .readers.conll2012 import looks_like_conll2012, read_conll2012
from .readers.conllu import has_tags_in_misc, looks_like_conllu, read_conllu
from .readers.csv_tables import looks_like_table, read_tables
from .readers.datasets import INFO_FILES, NAME_FILES, TAG_KEYS, TOKEN_KEYS, read_datasets
from .readers.docbin import read_docbin
from .readers.inline_xml import looks_like_xml, read_xml
from .readers.jsonl import SPAN_KEYS, read_jsonl
from .readers.label_studio import ANNOTATION_KEYS, read_label_studio
from .readers.layout_detection import detect_layout
from .readers.pubtator import looks_like_pubtator, read_pubtator
from .readers.record_files import TEXT_KEYS, holds_records, is_table, read_records
from .readers.tag_forms import PLAIN
from .readers.token_spans import have_token_spans, read_token_spans
from .readers.webanno import looks_like_webanno, read_webanno

FALLBACK = "columns"
STANDOFF = ".ann"  # brat's files of annotation
HEAD = 1 << 16  # bytes of a file that detection looks at
SAMPLE = 100  # records likewise
_ZLIB = b"\x78\x9c"  # the first bytes of zlib at its usual level, which DocBin uses

# Streams the units of files, in order. The options are those of its format; repairs, losses, notes
# and remarks go to the summary. RAISES: ConvertError, with file and line, for what can't be read.
Reader = Callable[[Sequence[Path], ConvertOptions, Summary], Iterator[Unit]]


@dataclass(frozen=True)
class Format:
    """An input format. `ConvertOptions` says which options it uses.

    read (Reader): Reads its files.
    suffixes (tuple[str, ...]): Endings of file names that are enough to recognize it.
    companions (tuple[str, ...]): Names of files that lie beside the input and are no input.
    detects (Callable[[str], bool] | None): Whether the beginning of a file, without white space
        before it, is of the format. The first format that says so is taken.
    """

    read: Reader
    suffixes: tuple[str, ...] = ()
    companions: tuple[str, ...] = ()
    detects: Callable[[str], bool] | None = None


# In the order of detection
INPUT_FORMATS: dict[str, Format] = {
    "columns": Format(read_columns),
    "csv": Format(read_tables, detects=looks_like_table),
    "conllu": Format(read_conllu),
    "datasets": Format(
        read_datasets,
        companions=(*INFO_FILES, *NAME_FILES, "state.json", "dataset_dict.json", "README.md"),
    ),
    "token-spans": Format(read_token_spans),
    "conll2012": Format(read_conll2012, detects=looks_like_conll2012),
    "jsonl": Format(read_jsonl),
    "label-studio": Format(read_label_studio),
    "argilla": Format(read_argilla),
    "brat": Format(read_brat, suffixes=(STANDOFF,), companions=COMPANIONS),
    "xml": Format(read_xml, detects=looks_like_xml),
    "webanno": Format(read_webanno, detects=looks_like_webanno),
    "pubtator": Format(read_pubtator, detects=looks_like_pubtator),
    "spacy": Format(read_docbin, suffixes=(".spacy",)),
}


def known_formats() -> dict[str, Format]:
    """The formats of this package, and those of others: entry points of the group
    `spacy_bio_crf_readers`, each a `Format` under its name."""
    formats = dict(INPUT_FORMATS)
    for name, point in PLUGINS.items():
        found = point.load()
        if not isinstance(found, Format) or name in INPUT_FORMATS:
            expected = "a Format whose name no other format has"
            got = name if isinstance(found, Format) else found
            raise ConvertError(describe(f"{READERS}, {point.value}", expected=expected, got=got))
        formats[name] = found
    return formats


def choose_format(paths: Sequence[Path], options: ConvertOptions) -> tuple[str, list[Path]]:
    """The one format of all input files, a key of `INPUT_FORMATS`, and the files to read.

    options (ConvertOptions): The format's name, or else what helps to detect it.
    RAISES: ConvertError if the files have several formats.
    """
    name = options.format
    if name == DETECT:
        name = _common_format(paths, options)
    companions = known_formats()[name].companions
    return name, [path for path in paths if path.name not in companions] or list(paths)


def _common_format(paths: Sequence[Path], options: ConvertOptions) -> str:
    first_of: dict[str, Path] = {}
    companions = {name for format in known_formats().values() for name in format.companions}
    standoff = any(path.suffix == STANDOFF for path in paths)
    for path in paths:
        found = None if path.name in companions else detect_format(path, options)
        # Next to standoff annotation, a text without any is input of the same format.
        if found is not None and standoff and path.suffix == ".txt":
            found = "brat"
        if found is not None:
            first_of.setdefault(found, path)
    if len(first_of) > 1:
        examples = listed(f"{path} ({name})" for name, path in first_of.items())
        raise ConvertError(
            describe(
                "inputs",
                expected="files of one format",
                got=Plain(examples),
                remedy="convert them one format at a time",
            )
        )
    return next(iter(first_of), None) or _format_of_nothing(paths, options)


def _format_of_nothing(paths: Sequence[Path], options: ConvertOptions) -> str:
    """A format for files without anything in them: tools export `[]` and tables without rows."""
    if any(map(is_table, paths)):
        return "datasets"
    return "jsonl" if any(holds_records(p, _head(p, options)) for p in paths) else FALLBACK


def detect_format(path: Path, options: ConvertOptions = DEFAULTS) -> str | None:
    """A file's format by its name if that is enough, else by its beginning; None if it is empty.

    RAISES: ConvertError if it is JSON of no known kind.
    """
    formats = known_formats()
    for name, format in formats.items():
        if path.suffix.lower() in format.suffixes:
            return name
    if path.suffix == ".txt" and path.with_suffix(STANDOFF).is_file():
        return "brat"
    with path.open("rb") as file:
        if file.read(len(_ZLIB)) == _ZLIB:
            return "spacy"
    text = _head(path, options)
    if not text:
        return None
    if holds_records(path, text):
        return _kind_of_records(path, options)
    for name in (*PLUGINS, *INPUT_FORMATS):
        detects = formats[name].detects if name in formats else None
        if detects is not None and detects(text):
            return name
    if looks_like_conllu(text) and (has_tags_in_misc(text) or not _has_tag_column(path, options)):
        return "conllu"
    return FALLBACK


def _head(path: Path, options: ConvertOptions) -> str:
    """The beginning of a file, without white space before it, with the line ends of Unix."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    text = head.decode(options.encoding, errors="replace").removeprefix("\ufeff").lstrip()
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _has_tag_column(path: Path, options: ConvertOptions) -> bool:
    """Whether a column has tags with prefixes: lemmas may look like labels alone."""
    try:
        layout = detect_layout(path, options)
    except ConvertError:
        return False
    return layout is not None and layout.form is not PLAIN


def _kind_of_records(path: Path, options: ConvertOptions) -> str | None:
    records = list(islice(read_records(path, encoding=options.encoding, bad=[]), SAMPLE))
    if not records:
        return None
    # The first one that has something in it.
    filled = (r for r in records if not any(r.data.get(key) == [] for key in TOKEN_KEYS))
    record = next(filled, records[0])
    data = record.data
    if isinstance(data.get("data"), dict) and any(
        key in data for key in (*ANNOTATION_KEYS, "predictions")
    ):
        return "label-studio"
    whole = isinstance(data.get("fields"), dict) and any(key in data for key in ANSWER_KEYS)
    if whole or is_flat(data):
        return "argilla"
    if any(_is_list_of_strings(data.get(key)) for key in TOKEN_KEYS) and any(
        _is_list_of_tags(data.get(key)) for key in (options.tags_key or "", *TAG_KEYS)
    ):
        return "datasets"
    if have_token_spans([record, *records], options):
        return "token-spans"
    if any(isinstance(data.get(key), str) for key in (options.text_key or "", *TEXT_KEYS)):
        return "jsonl"
    raise record.error(
        f"JSON with a text ({listed(TEXT_KEYS)}) and spans ({listed(SPAN_KEYS)}), with "
        f"tokens ({listed(TOKEN_KEYS)}) and tags ({listed(TAG_KEYS)}) or entities, or Label "
        "Studio's tasks",
        Plain(f"the keys {listed(map(repr, data))}"),
        remedy="name the format with `format`, or keys with `text_key`, `spans_key`, `tags_key`",
    )


def _is_list_of_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_list_of_tags(value: object) -> bool:
    """Whether a value may be tags and not entities, which are lists or objects."""
    return isinstance(value, list) and value != [] and not isinstance(value[0], (list, dict))


def listed(names: Iterable[str], *, most: int = 5) -> str:
    """The first names, for a message, and the number of the others."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
