"""`bio-ner convert`: annotated files of many formats to spaCy's `.spacy`, JSONL or columns."""

from pathlib import Path
from typing import Any

import typer
from wasabi import msg

from ..corpora import Summary, convert
from ..errors import ConvertError, Plain, counted, describe
from .loading import name_options
from .reader_options import parse_options, show_reading, show_unknown_labels, takes_options


@takes_options
def convert_cli(
    paths: list[Path] = typer.Argument(  # noqa: B008
        ...,
        help="Input files and folders (all files below them), then the output file, whose suffix "
        "is its format: .spacy, .jsonl, .conll, .iob2 or .tsv",
    ),
    **options: Any,
) -> None:
    """Convert annotated files to spaCy's training data.

    The command reports what it found in them.
    """
    *inputs, output = paths
    if not inputs:
        expected = "input files or folders, and then the output"
        msg.fail(describe("paths", expected=expected, got=Plain(f"only {output}")), exits=1)
    try:
        options = parse_options(options)
        summary = convert(inputs, output, progress=True, **options)
    except (ConvertError, OSError) as err:
        msg.fail(name_options(str(err), convert_cli), exits=1)
    _show(summary, options["misaligned"])
    show_unknown_labels(summary, options)


def _show(summary: Summary, misaligned: str) -> None:
    show_reading(summary, misaligned, convert_cli)
    if summary.entities:
        total = ("total", sum(summary.entities.values()))
        msg.table([*sorted(summary.entities.items()), total], header=("Label", "Entities"))
    else:
        msg.warn("There is no entity in the output")
    sentences = f"{counted(summary.sentences, 'sentence')}, " if summary.sentences else ""
    if summary.split_by:
        msg.info(f"Split by {summary.split_by}")
    for leak in summary.leaks:
        first, second = leak.parts
        if leak.texts:
            msg.warn(
                f"{first} and {second} share {counted(leak.texts, 'whole text')}, such as"
                f" {leak.example!r}"
            )
        else:
            msg.info(
                f"{first} and {second} share {counted(leak.sentences, 'sentence')}, such as"
                f" {leak.example!r}"
            )
    names = ", ".join(f"{path} ({n})" for path, n in summary.outputs.items())
    if len(summary.outputs) == 1:
        names = str(next(iter(summary.outputs)))
    documents, tokens = counted(summary.documents, "document"), counted(summary.tokens, "token")
    msg.good(f"{names}: {documents}, {sentences}{tokens}")
