"""From input files to output files: options, reader, builder, writer."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..tags.schemes import REPAIRS, scheme_name
from .overlaps import OVERLAPS
from .passages import ConvertError, ReadOptions, Summary
from .progress import progress_bar
from .readers.brat import DISCONTINUOUS
from .readers.inline_xml import ALTERNATIVES, SCENARIOS
from .sniff import FORMATS, choose_format, listed

if TYPE_CHECKING:
    from spacy.tokens import Doc
    from spacy.vocab import Vocab

MISALIGNED = ("strict", "expand", "contract", "missing")


def convert(
    inputs: Iterable[Path | str],
    output: Path | str,
    *,
    format: str = "auto",
    scheme: str = "auto",
    token_column: int | None = None,
    tag_column: int | None = None,
    repair: str = "begin",
    text_key: str | None = None,
    tags_key: str | None = None,
    tag_names: Sequence[str] | None = None,
    discontinuous: str = "missing",
    scenario: str = "total",
    alternatives: str = "most",
    misaligned: str = "missing",
    overlaps: str = "longest",
    lang: str = "en",
    n_sents: int = 1,
    group_docs: bool = False,
    split: str | None = None,
    seed: int = 0,
    rename: Mapping[str, str] | None = None,
    drop: Iterable[str] = (),
    force: bool = False,
    progress: bool = False,
) -> Summary:
    """Convert files to training data. The output is complete or absent, whatever happens.

    inputs (Iterable[Path | str]): Files, and folders, which stand for all files in them, sorted.
    output (Path | str): The file to write, in the format of its suffix, a key of `write.WRITERS`.
    format (str): A key of `FORMATS`, or "auto": by the files' content.
    scheme (str): The tag scheme as `scheme.scheme_name` knows it, or "auto": by the tags.
    token_column (int | None): The column of the tokens, from 1 or, negative, from the end. None:
        found out from the file.
    tag_column (int | None): The column of the tags likewise.
    repair (str): What becomes of tags that break their scheme: "begin" or "discard".
    text_key (str | None): The key of the text in JSON; None: found out.
    tags_key (str | None): The key or the column of the tags in a data set; None: found out.
    tag_names (Sequence[str] | None): The tags that tag ids stand for; None: as the data say.
    discontinuous (str): What becomes of brat's entities in pieces (`brat.DISCONTINUOUS`).
    scenario (str): HAREM's: "total" or "selective".
    alternatives (str): Which of HAREM's alternatives is read (`inline_xml.ALTERNATIVES`).
    misaligned (str): What becomes of entities that don't fit tokens (`misaligned.POLICIES`).
    overlaps (str): Which of two entities that share tokens stays (`overlaps.OVERLAPS`).
    lang (str): The language code of the Docs' vocabulary and of the tokenizer for whole texts.
    n_sents (int): Sentences in a Doc, for formats of sentences; a Doc never goes past the end of a
        document.
    group_docs (bool): One Doc for each document: as marked in the files, or else for each file.
        Where the format has whole texts, each is a Doc anyway.
    split (str | None): Shares such as "80/10/10": documents are dealt out at random to files with
        "-train", "-dev" and "-test" after the output's name.
    seed (int): The seed of the split.
    rename (Mapping[str, str] | None): New names for labels.
    drop (Iterable[str]): Labels, as they stand in the input, whose entities become O.
    force (bool): Write over an existing output.
    progress (bool): Show a bar for long input if stderr is a terminal.
    RETURNS (Summary): What was read, written, repaired and left out.
    RAISES: ConvertError if the input or an option is no good; nothing is written then.
    """
    # Everything that needs spaCy comes after everything that can fail without it.
    given = {name: value for name, value in locals().items() if name in _DEFAULTS}
    _check(given)
    new_names = _new_names(rename or {}, drop)
    if group_docs and n_sents != 1:
        raise ConvertError(f"--group-docs and --n-sents {n_sents}: expected one of the two")
    if scheme != "auto":
        try:
            given["scheme"] = scheme_name(scheme)
        except ValueError as err:
            raise ConvertError(f"--{err}; auto goes by the tags") from None
    paths = _files(inputs)
    format, paths = choose_format(paths, format)
    _check_applies(given, format)

    from .build import Builder
    from .split import PARTS, find_leaks, read_shares, split_docs
    from .write import check_output, write_outputs

    output = Path(output)
    shares = read_shares(split) if split is not None else ()
    outputs = [output.with_name(f"{output.stem}-{p}{output.suffix}") for p in PARTS[: len(shares)]]
    outputs = outputs or [output]
    for path in outputs:
        check_output(path, force=force)
    vocab, tokenize = _language(lang)
    summary = Summary()
    builder = Builder(
        vocab=vocab,
        tokenize=tokenize,
        n_sents=None if group_docs else n_sents,
        rename=new_names,
        misaligned=misaligned,
        overlaps=overlaps,
        summary=summary,
    )
    given["tag_names"] = tuple(tag_names) if tag_names else None
    known = {f.name for f in fields(ReadOptions)}
    read_options = {name: value for name, value in given.items() if name in known}
    read_options["scheme"] = None if scheme == "auto" else given["scheme"]
    with progress_bar(paths, show=progress) as tick:
        options = ReadOptions(**read_options, tick=tick)
        docs = builder.build(FORMATS[format].read(paths, options, summary))
        empty = f"no sentence with a token in {listed(map(str, paths))}"
        if not shares:
            write_outputs({output: (doc for _, doc in docs)}, summary, empty=empty)
            return summary
        numbered = list(docs)
    if not numbered:
        raise ConvertError(empty)
    parts, summary.split_by = split_docs(numbered, shares, seed=seed)
    summary.leaks = find_leaks(parts)
    write_outputs(dict(zip(outputs, parts, strict=True)), summary, empty=empty)
    return summary


def read(
    inputs: Iterable[Path | str],
    *,
    format: str = "auto",
    misaligned: str = "missing",
    overlaps: str = "longest",
    lang: str = "en",
    n_sents: int = 1,
    group_docs: bool = False,
) -> tuple[list["Doc"], Summary]:
    """Read files as `convert` does, and write nothing.

    inputs (Iterable[Path | str]): Files, and folders, which stand for all files in them, sorted.
    format (str), misaligned (str), overlaps (str), lang (str), n_sents (int), group_docs (bool): As
        for `convert`.
    RETURNS (tuple[list[Doc], Summary]): The Docs in order, and what was read, repaired and left
        out.
    RAISES: ConvertError if the input or an option is no good.
    """
    from .build import Builder

    if group_docs and n_sents != 1:
        raise ConvertError(f"--group-docs and --n-sents {n_sents}: expected one of the two")
    format, paths = choose_format(_files(inputs), format)
    vocab, tokenize = _language(lang)
    summary = Summary()
    builder = Builder(
        vocab=vocab,
        tokenize=tokenize,
        n_sents=None if group_docs else n_sents,
        rename={},
        misaligned=misaligned,
        overlaps=overlaps,
        summary=summary,
    )
    records = FORMATS[format].read(paths, ReadOptions(), summary)
    return [doc for _, doc in builder.build(records)], summary


@dataclass(frozen=True)
class _Option:
    """An option that only some formats know: its value if nobody gives one, and what it may be."""

    default: Any
    choices: tuple[str, ...] = ()


_DEFAULTS: dict[str, _Option] = {
    "scheme": _Option("auto"),
    "token_column": _Option(None),
    "tag_column": _Option(None),
    "repair": _Option("begin", REPAIRS),
    "text_key": _Option(None),
    "tags_key": _Option(None),
    "tag_names": _Option(None),
    "discontinuous": _Option("missing", DISCONTINUOUS),
    "scenario": _Option("total", SCENARIOS),
    "alternatives": _Option("most", ALTERNATIVES),
    "misaligned": _Option("missing", MISALIGNED),
    "overlaps": _Option("longest", OVERLAPS),
    "n_sents": _Option(1),
}


def _flag(name: str) -> str:
    return "--alt" if name == "alternatives" else "--" + name.replace("_", "-")


def _check(given: Mapping[str, Any]) -> None:
    """Find fault with values that no format could take."""
    for name, value in given.items():
        choices = _DEFAULTS[name].choices
        if choices and value not in choices:
            known = ", ".join(choices)
            raise ConvertError(f"{_flag(name)}: got {value!r}, expected one of {known}")
    for name in ("token_column", "tag_column"):
        if given[name] == 0:
            raise ConvertError(
                f"{_flag(name)}: got 0, expected 1 for the first column, -1 for the last"
            )
    if given["n_sents"] < 1:
        raise ConvertError(f"--n-sents: got {given['n_sents']}, expected 1 or more")


def _check_applies(given: Mapping[str, Any], format: str) -> None:
    """An option that a format has no use for is a mistake, not something to ignore."""
    for name, value in given.items():
        if value != _DEFAULTS[name].default and name not in FORMATS[format].options:
            takers = [key for key, other in FORMATS.items() if name in other.options]
            raise ConvertError(
                f"{_flag(name)} {value}: means nothing for the format {format}, only for "
                f"{', '.join(takers)}"
            )


def _new_names(rename: Mapping[str, str], drop: Iterable[str]) -> dict[str, str | None]:
    names: dict[str, str | None] = dict(rename)
    for old, new in rename.items():
        if not old or not new:
            raise ConvertError(f"--map: got {old}={new}, expected OLD=NEW with two labels")
    for label in drop:
        if label in rename:
            raise ConvertError(f"--drop {label} contradicts --map {label}={rename[label]}")
        names[label] = None
    return names


def _files(inputs: Iterable[Path | str]) -> list[Path]:
    """All files that the inputs stand for, each once."""
    paths: dict[Path, None] = {}
    for given in map(Path, inputs):
        if given.is_dir():
            found = sorted(p for p in given.iterdir() if p.is_file() and p.name[0] != ".")
            if not found:
                raise ConvertError(f"{given}: there are no files in this folder")
            paths.update(dict.fromkeys(found))
        elif given.is_file():
            paths[given] = None
        else:
            raise ConvertError(f"{given}: there is no such file or folder")
    if not paths:
        raise ConvertError("expected one input file or folder at least, got none")
    return list(paths)


def _language(lang: str) -> "tuple[Vocab, Callable[[str], Doc]]":
    """A language's vocabulary, and its tokenizer, which is made when the first text needs it."""
    from spacy.util import get_lang_class
    from spacy.vocab import create_vocab

    try:
        language = get_lang_class(lang)
    except ImportError as err:
        raise ConvertError(f"--lang: spaCy has no language {lang!r}: {err}") from None
    vocab = create_vocab(language.lang, language.Defaults)
    tokenizer: list[Any] = []

    def tokenize(text: str) -> "Doc":
        if not tokenizer:
            try:
                tokenizer.append(language(vocab).tokenizer)
            except ImportError as err:
                raise ConvertError(f"--lang {lang}: its tokenizer cannot be made: {err}") from None
        return tokenizer[0](text)

    return vocab, tokenize
