"""Annotated documents for commands: every format that `convert` reads, and its options."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import typer
from wasabi import msg

from ..corpora import REPAIR_KINDS, ConvertOptions, Summary, read
from ..errors import ConvertError, Plain, describe
from .loading import name_options

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.training import Example

_SHOWN = 10
# Options that the command line takes as text and `parse_options` converts.
_AS_TEXT: dict[str, Any] = {
    "tag_names": str | None,
    "rename": list[str],
    "drop": list[str],
    "labels_annotated": list[str],
    "entity_elements": list[str],
    "ignore": list[str],
}


def flags_of(option: "Field[Any]") -> tuple[str, ...]:
    """RETURNS (tuple[str, ...]): An option's names on the command line, the long one first."""
    return option.metadata["flags"] or ("--" + option.name.replace("_", "-"),)


def help_of(option: "Field[Any]") -> str:
    """RETURNS (str): An option's description and choices, as `--help` shows them."""
    choices = option.metadata["choices"]
    listed = ", ".join(f"{c} ({meaning})" if meaning else c for c, meaning in choices.items())
    return option.metadata["help"] + (f": {listed}" if listed else "")


def default_of(option: "Field[Any]") -> Any:
    """RETURNS (Any): An option's default on the command line."""
    if _AS_TEXT.get(option.name) == list[str]:
        return []
    return None if option.default is MISSING else option.default


def takes_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace a command's `**options` by a parameter for each field of `ConvertOptions`."""
    return _with_options(command, lambda option: flags_of(option))


def takes_reader_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace a command's `**options` by a parameter for each option of reading.

    They have no short names, and leave out those that the command has itself.
    """
    return _with_options(
        command,
        lambda option: () if option.metadata["only_convert"] else flags_of(option)[:1],
    )


def _with_options(
    command: Callable[..., None], flags: Callable[["Field[Any]"], tuple[str, ...]]
) -> Callable[..., None]:
    signature = inspect.signature(command)
    own = {n: p for n, p in signature.parameters.items() if p.kind is not p.VAR_KEYWORD}
    types = get_type_hints(ConvertOptions) | _AS_TEXT
    added = [
        inspect.Parameter(
            option.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=types[option.name],
            default=typer.Option(
                default_of(option),
                *flags(option),
                metavar=option.metadata["metavar"],
                help=help_of(option),
            ),
        )
        for option in fields(ConvertOptions)
        if flags(option) and option.name not in own
    ]
    command.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*own.values(), *added]
    )
    command.__annotations__ |= {p.name: p.annotation for p in added}
    return command


def parse_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): A command's options as fields of `ConvertOptions`."""
    names: dict[str, str] = {}
    for pair in options["rename"]:
        old, equals, new = pair.partition("=")
        if not equals:
            raise ConvertError(describe("rename", expected="OLD=NEW", got=pair))
        if names.setdefault(old, new) != new:
            got = [names[old], new]
            raise ConvertError(describe("rename", expected=f"one new name for {old}", got=got))
    tag_names = options["tag_names"]
    return {**options, "rename": names, "tag_names": tag_names.split(",") if tag_names else None}


def show_reading(summary: Summary, misaligned: str, command: Callable[..., None]) -> None:
    """Print how files were read, repaired and cut, and name options as the command does."""
    for note, n_files in summary.notes.items():
        msg.info(f"Read {n_files} file{'s' if n_files > 1 else ''} as {note}")
    _show_some("Left out because of errors: {} (--skip-bad):", summary.skipped, command)
    repairs = [
        f"{r.path}, line {r.line}: {r.tag} {REPAIR_KINDS[r.what][0]}: {REPAIR_KINDS[r.what][1]}"
        for r in summary.repairs
    ]
    _show_some("Tags that break their scheme, repaired: {}", repairs)
    misfits = [f"{e.place}: {e.text!r} ({e.label})" for e in summary.misaligned]
    _show_some(f"Entities that do not fit tokens: {{}} (--misaligned {misaligned}):", misfits)
    for what, n in summary.remarks.items():
        msg.info(f"{name_options(what, command)} ({n})")
    for what, n in summary.dropped.items():
        msg.warn(f"Dropped: {name_options(what, command)} ({n})")
    if summary.missing:
        msg.info(f"Tokens without annotation, neither entity nor O: {summary.missing}")


def show_unknown_labels(summary: Summary, options: Mapping[str, Any]) -> None:
    """Warn of labels that options name, from `parse_options`, and that nothing has."""
    for names, found, labels in (
        ("--map or --drop names", summary.labels_read, (*options["rename"], *options["drop"])),
        ("--ignore names", summary.labels_ignored, options["ignore"]),
        # After renaming, as the documents have them.
        ("--labels-annotated names", summary.entities, options["labels_annotated"]),
    ):
        for label in labels:
            if label not in found:
                msg.warn(f"No entity with the label {label} that {names}")


def _show_some(
    title: str, lines: Sequence[str], command: Callable[..., None] | None = None
) -> None:
    if lines:
        msg.warn(title.format(len(lines)))
        for line in lines[:_SHOWN]:
            msg.text(f"  {line if command is None else name_options(line, command)}")
        if len(lines) > _SHOWN:
            msg.text(f"  and {len(lines) - _SHOWN} more")


def is_docbins(path: Path) -> bool:
    """RETURNS (bool): Whether a path is a `.spacy` file, or a folder with such files."""
    return path.suffix == ".spacy" or (path.is_dir() and any(path.rglob("*.spacy")))


def read_annotated(
    nlp: "Language",
    path: Path,
    options: Mapping[str, Any],
    command: Callable[..., None],
    *,
    limit: int = 0,
) -> "list[Example]":
    """Read annotated documents of any format, tokenized as for `spacy train`.

    Files other than `.spacy` give what `convert` would write, and its account is printed.

    nlp (Language): The pipeline whose tokenizer makes the blank documents.
    path (Path): A file or a folder.
    options (Mapping[str, Any]): A command's options of reading; without a `lang`, the pipeline's
        counts.
    command (Callable[..., None]): The command, whose options messages name.
    limit (int): Read at most this many documents; 0 reads all.
    RETURNS (list[Example]): Blank documents beside their references.
    RAISES: ValueError that names the path if it can't be read or has no documents.
    """
    from ..metrics.documents import make_examples, read_corpus

    given = {key: value for key, value in parse_options(options).items() if value is not None}
    chosen = ConvertOptions(**{"lang": nlp.lang, **given})
    if is_docbins(path) and chosen == ConvertOptions(lang=chosen.lang):
        return read_corpus(nlp, path, limit=limit)
    docs, summary = read(path, chosen)
    show_reading(summary, chosen.misaligned, command)
    show_unknown_labels(summary, given)
    examples = make_examples(nlp, docs[: limit or None])
    if not examples:
        got = Plain("no documents")
        raise ConvertError(describe(str(path), expected="annotated documents", got=got))
    return examples
