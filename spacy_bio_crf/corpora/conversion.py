"""Conversion of annotated files to training data."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from spacy.tokens import Doc
from spacy.util import get_lang_class
from spacy.vocab import Vocab, create_vocab
from tqdm import tqdm

from ..errors import ConvertError, Plain, describe
from ..io import files_below
from .build import Builder
from .options import DEFAULTS, ConvertOptions
from .passages import Summary, Unit
from .sniff import choose_format, known_formats, listed
from .split import PARTS, find_leaks, split_docs
from .tag_labels import leave_open, without_tags
from .write import LAYERED_OUTPUT, check_output, write_outputs

_DELAY = 1.0  # seconds before a progress bar is shown

Inputs = Path | str | Iterable[Path | str]


def convert(
    inputs: Inputs,
    output: Path | str,
    options: ConvertOptions = DEFAULTS,
    *,
    progress: bool = False,
    **changes: Any,
) -> Summary:
    """Convert files to training data. The output is complete or absent, even after an error.

        convert("train.conll", "train.spacy", group_docs=True)

    inputs (Path | str | Iterable[Path | str]): One or several files or folders. A folder stands for
        all files below it, sorted, without hidden ones.
    output (Path | str): The file to write; its suffix, a key of `write.WRITERS`, is its format.
    options (ConvertOptions): The options.
    progress (bool): Show a bar for long input if stderr is a terminal.
    **changes (Any): Options that differ from those, by their names in `ConvertOptions`.
    RETURNS (Summary): The account of what was read, written, repaired and left out.
    RAISES: ConvertError if the input or an option is no good; nothing is written then.
    """
    options = replace(options, **changes)
    named = _named(inputs)
    paths, format = _input(named, options)
    output = Path(output)
    names = [output.with_stem(f"{output.stem}-{part}") for part in PARTS[: len(options.shares)]]
    outputs = names or [output]
    for path in outputs:
        check_output(path, force=options.force)
        if options.layers and path.suffix != LAYERED_OUTPUT:
            expected = f"an output file whose name ends in {LAYERED_OUTPUT}, for `layers`"
            raise ConvertError(describe(str(path), expected=expected, got=path.suffix))
    _check_apart(outputs, paths, named)
    summary = Summary()
    total = sum(path.stat().st_size for path in paths)
    with tqdm(
        total=total,
        unit="B",
        unit_scale=True,
        delay=_DELAY,
        leave=False,
        disable=None if progress else True,  # None: unless stderr is a terminal
    ) as bar:
        docs = _docs(paths, format, options, summary, bar)
        parts: Sequence[Iterable[Doc]] = [(doc for _, doc in docs)]
        if options.shares:
            numbered = list(docs)
            if not numbered:
                raise _empty(paths, summary)
            dealt, summary.split_by = split_docs(numbered, options.shares, seed=options.seed)
            summary.leaks = find_leaks(dealt)
            parts = dealt
        write_outputs(
            dict(zip(outputs, parts, strict=True)), summary, lambda: _empty(paths, summary)
        )
    return summary


def read(
    inputs: Inputs, options: ConvertOptions = DEFAULTS, **changes: Any
) -> tuple[list[Doc], Summary]:
    """Read files as `convert` does, and write nothing.

    inputs (Path | str | Iterable[Path | str]): As for `convert`.
    options (ConvertOptions): The options, without those for the output.
    **changes (Any): Options that differ from those, by their names in `ConvertOptions`.
    RETURNS (tuple[list[Doc], Summary]): The Docs in order, and the account of what was read,
        repaired and left out.
    RAISES: ConvertError if the input or an option is no good.
    """
    options = replace(options, **changes)
    options.check_read_only()
    paths, format = _input(inputs, options)
    summary = Summary()
    return [doc for _, doc in _docs(paths, format, options, summary)], summary


def _docs(
    paths: Sequence[Path],
    format: str,
    options: ConvertOptions,
    summary: Summary,
    bar: tqdm | None = None,
) -> Iterator[tuple[int, Doc]]:
    """The Docs of files, each with the number of its document. The bar shows the bytes read."""
    units = known_formats()[format].read(paths, options, summary)
    if bar is not None:
        units = _watched(units, summary, bar)
    units = without_tags(leave_open(units, options, summary), options, summary)
    return Builder(*_language(options.lang), options, summary).build(units)


def _input(inputs: Inputs, options: ConvertOptions) -> tuple[list[Path], str]:
    """The files to read, and their format."""
    paths = input_files(inputs)
    format, paths = choose_format(paths, options)
    options.check_format(format)
    return paths, format


def _named(inputs: Inputs) -> list[Path]:
    return [Path(one) for one in ([inputs] if isinstance(inputs, (str, Path)) else inputs)]


def input_files(inputs: Inputs) -> list[Path]:
    """RETURNS (list[Path]): All files that inputs stand for, as for `convert`, each once."""
    paths: dict[str, Path] = {}  # by their absolute names
    for given in _named(inputs):
        if given.is_dir():
            found = sorted(files_below(given))
            if not found:
                raise ConvertError(
                    describe(str(given), expected="a folder with files", got=Plain("none in it"))
                )
        elif given.is_file():
            found = [given]
        else:
            raise ConvertError(
                describe(str(given), expected="a file or folder", got=Plain("nothing there"))
            )
        for path in found:
            paths.setdefault(os.path.abspath(path), path)
    if not paths:
        raise ConvertError(describe("inputs", expected="a file or folder", got=Plain("none")))
    return list(paths.values())


def _check_apart(outputs: Sequence[Path], paths: Sequence[Path], named: Sequence[Path]) -> None:
    """Check that no output of an earlier run is read as one of a folder's files.

    RAISES: ConvertError if one is, unless it is named itself.
    """
    found = {os.path.realpath(path) for path in paths} - {os.path.realpath(path) for path in named}
    for output in outputs:
        if os.path.realpath(output) in found:
            expected, got = "an output that is no input", Plain("one of the files of a folder")
            raise ConvertError(describe(str(output), expected=expected, got=got))


def _empty(paths: Sequence[Path], summary: Summary) -> ConvertError:
    place = listed(map(str, paths))
    dropped = listed(f"{what} ({n})" for what, n in summary.dropped.items())
    if summary.skipped:
        errors = f"with errors ({len(summary.skipped)}), the first: {summary.skipped[0]}"
        dropped = f"{dropped}, {errors}" if dropped else errors
    got = Plain(f"none; left out: {dropped}" if dropped else "none")
    return ConvertError(describe(place, expected="a sentence with a token", got=got))


def _watched(units: Iterable[Unit], summary: Summary, bar: tqdm) -> Iterator[Unit]:
    """The units; the bar shows how many bytes they have taken."""
    for unit in units:
        bar.update(summary.bytes_read - bar.n)
        yield unit
    bar.update(summary.bytes_read - bar.n)


def _language(lang: str) -> tuple[Vocab, Callable[[str], Doc]]:
    """A language's vocabulary, and its tokenizer, which is made when the first text needs it."""
    try:
        language = get_lang_class(lang)
    except ImportError as err:
        message = describe("lang", expected="a language that spaCy has", got=lang)
        raise ConvertError(f"{message}: {err}") from None
    vocab = create_vocab(language.lang, language.Defaults)

    @cache
    def tokenizer() -> Callable[[str], Doc]:
        try:
            return language(vocab).tokenizer
        except ImportError as err:
            expected = "a language whose tokenizer is installed"
            raise ConvertError(f"{describe('lang', expected=expected, got=lang)}: {err}") from None

    return vocab, lambda text: tokenizer()(text)
