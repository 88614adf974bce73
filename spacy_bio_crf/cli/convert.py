"""`bio-ner convert`: annotated files of many formats to spaCy's `.spacy`, JSONL or columns."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, get_type_hints

import typer
from wasabi import msg

from ..corpora import REPAIR_KINDS, ConvertOptions, Summary, convert
from ..errors import ConvertError, Plain, describe
from .loading import name_options

_SHOWN = 10
# Options that the command line takes as text and `_parsed` converts.
_AS_TEXT: dict[str, Any] = {
    "tag_names": str | None,
    "rename": list[str],
    "drop": list[str],
    "entity_elements": list[str],
}


def flags_of(option: "Field[Any]") -> tuple[str, ...]:
    """RETURNS (tuple[str, ...]): An option's names on the command line, the long one first."""
    return option.metadata["flags"] or ("--" + option.name.replace("_", "-"),)


def help_of(option: "Field[Any]") -> str:
    """RETURNS (str): An option's description and choices, as `--help` shows them."""
    choices = option.metadata["choices"]
    listed = ", ".join(f"{c} ({meaning})" if meaning else c for c, meaning in choices.items())
    return option.metadata["help"] + (f": {listed}" if listed else "")


def _takes_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace a command's `**options` by a parameter for each field of `ConvertOptions`."""
    signature = inspect.signature(command)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    types = get_type_hints(ConvertOptions) | _AS_TEXT
    added = [
        inspect.Parameter(
            option.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=types[option.name],
            default=typer.Option(
                default_of(option),
                *flags_of(option),
                metavar=option.metadata["metavar"],
                help=help_of(option),
            ),
        )
        for option in fields(ConvertOptions)
    ]
    command.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
    command.__annotations__ |= {p.name: p.annotation for p in added}
    return command


def default_of(option: "Field[Any]") -> Any:
    """RETURNS (Any): An option's default on the command line."""
    if _AS_TEXT.get(option.name) == list[str]:
        return []
    return None if option.default is MISSING else option.default


@_takes_options
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
        options = _parsed(options)
        summary = convert(inputs, output, progress=True, **options)
    except (ConvertError, OSError) as err:
        msg.fail(name_options(str(err), convert_cli), exits=1)
    _show(summary, options["misaligned"])
    for label in [*options["rename"], *options["drop"]]:
        if label not in summary.labels_read:
            msg.warn(f"No entity with the label {label} that --map or --drop names")


def _parsed(options: dict[str, Any]) -> dict[str, Any]:
    """The command's options as fields of `ConvertOptions`."""
    names: dict[str, str] = {}
    for pair in options["rename"]:
        old, equals, new = pair.partition("=")
        if not equals:
            raise ConvertError(describe("rename", expected="OLD=NEW", got=pair))
        if names.setdefault(old, new) != new:
            got = [names[old], new]
            raise ConvertError(describe("rename", expected=f"one new name for {old}", got=got))
    tag_names = options["tag_names"]
    return options | {"rename": names, "tag_names": tag_names.split(",") if tag_names else None}


def _show(summary: Summary, misaligned: str) -> None:
    for note, n_files in summary.notes.items():
        msg.info(f"Read {n_files} file{'s' if n_files > 1 else ''} as {note}")
    if summary.repairs:
        msg.warn(f"Repaired {len(summary.repairs)} tags that break their scheme:")
        for r in summary.repairs[:_SHOWN]:
            fault, reading = REPAIR_KINDS[r.what]
            msg.text(f"  {r.path}, line {r.line}: {r.tag} {fault}: {reading}")
        if len(summary.repairs) > _SHOWN:
            msg.text(f"  and {len(summary.repairs) - _SHOWN} more")
    if summary.misaligned:
        n = len(summary.misaligned)
        msg.warn(f"Entities that do not fit tokens: {n} (--misaligned {misaligned}):")
        for entity in summary.misaligned[:_SHOWN]:
            msg.text(f"  {entity.place}: {entity.text!r} ({entity.label})")
        if n > _SHOWN:
            msg.text(f"  and {n - _SHOWN} more")
    for what, n in summary.remarks.items():
        msg.info(f"{name_options(what, convert_cli)} ({n})")
    for what, n in summary.dropped.items():
        msg.warn(f"Dropped: {name_options(what, convert_cli)} ({n})")
    if summary.missing:
        msg.info(f"Tokens without annotation, neither entity nor O: {summary.missing}")
    if summary.entities:
        total = ("total", sum(summary.entities.values()))
        msg.table([*sorted(summary.entities.items()), total], header=("Label", "Entities"))
    else:
        msg.warn("There is no entity in the output")
    sentences = f"{summary.sentences} sentences, " if summary.sentences else ""
    if summary.split_by:
        msg.info(f"Split by {summary.split_by}")
    for leak in summary.leaks:
        first, second = leak.parts
        if leak.texts:
            msg.warn(
                f"{first} and {second} share {leak.texts} whole texts, such as {leak.example!r}"
            )
        else:
            msg.info(
                f"{first} and {second} share {leak.sentences} sentences, such as {leak.example!r}"
            )
    names = ", ".join(f"{path} ({n})" for path, n in summary.outputs.items())
    if len(summary.outputs) == 1:
        names = str(next(iter(summary.outputs)))
    msg.good(f"{names}: {summary.documents} documents, {sentences}{summary.tokens} tokens")
