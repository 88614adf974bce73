"""`bio-ner convert`: annotated files of many formats to spaCy's `.spacy`, JSONL or columns."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from wasabi import msg

if TYPE_CHECKING:
    from ..corpora import Summary

SHOWN = 10
REPAIR_TEXTS = {
    "begun": "continues no entity of its label: read as the beginning of one",
    "closed": "is not followed by the end of its entity: read as the end",
    "discarded": "begins what is not a complete entity: discarded",
}


def convert_cli(
    paths: list[Path] = typer.Argument(  # noqa: B008
        ...,
        help="Input files and folders (all files in them), then the output file, whose name says "
        "its format: .spacy, .jsonl, .conll, .iob2 or .tsv",
    ),
    format: str = typer.Option(
        "auto",
        "--format",
        help="Format of the input: auto (by content), columns, conllu, jsonl, label-studio, "
        "datasets, brat, xml or spacy",
    ),
    scheme: str = typer.Option(
        "auto", "--scheme", help="auto, BIO (IOB2), IOB1, BIOES (IOBES), BILUO (BILOU), BMES, BMEWO"
    ),
    token_column: int | None = typer.Option(
        None, "--token-column", help="Column of the tokens: 1 is the first, -1 the last"
    ),
    tag_column: int | None = typer.Option(
        None, "--tag-column", help="Column of the tags: 1 is the first, -1 the last"
    ),
    text_key: str | None = typer.Option(None, "--text-key", help="Key of the text in JSON"),
    tags_key: str | None = typer.Option(
        None, "--tags-key", help="Key or column of the tags in a data set, such as fine_ner_tags"
    ),
    tag_names: str | None = typer.Option(
        None, "--tag-names", metavar="O,B-X,…", help="The tags that ids in a data set stand for"
    ),
    discontinuous: str = typer.Option(
        "missing",
        "--discontinuous",
        help="Entities of brat in several pieces: missing (left without annotation), cover (all "
        "from first to last), parts (an entity each) or error",
    ),
    scenario: str = typer.Option(
        "total", "--scenario", help="Categories of HAREM: total (all) or selective (five)"
    ),
    alternatives: str = typer.Option(
        "most",
        "--alt",
        help="Which alternative of HAREM's ALT to read: with most entities, or with most coverage",
    ),
    misaligned: str = typer.Option(
        "missing",
        "--misaligned",
        help="Entities that do not fit tokens: strict (an error), expand, contract, or missing "
        "(their tokens are left without annotation, never O)",
    ),
    overlaps: str = typer.Option(
        "longest",
        "--overlaps",
        help="Entities that share tokens: the longest stays, the first stays, or error",
    ),
    lang: str = typer.Option("en", "--lang", "-l", help="Language code of Docs and tokenizer"),
    n_sents: int = typer.Option(1, "--n-sents", "-n", help="Sentences in a Doc, at the most"),
    group_docs: bool = typer.Option(
        False, "--group-docs", help="One Doc per document mark (-DOCSTART-, # newdoc) or file"
    ),
    repair: str = typer.Option(
        "begin",
        "--repair",
        help="Tags that break their scheme: begin (a stray I- begins an entity) or discard",
    ),
    split: str | None = typer.Option(
        None,
        "--split",
        metavar="80/10/10",
        help="Deal documents out to three files, or two: OUTPUT-train, OUTPUT-dev and OUTPUT-test",
    ),
    seed: int = typer.Option(0, "--seed", help="Seed of the split"),
    rename: list[str] = typer.Option(  # noqa: B008
        [], "--map", metavar="OLD=NEW", help="Rename a label; may be given several times"
    ),
    drop: list[str] = typer.Option(  # noqa: B008
        [], "--drop", metavar="LABEL", help="Make a label's entities O; may be given several times"
    ),
    force: bool = typer.Option(False, "--force", "-F", help="Write over an existing output"),
) -> None:
    """Convert annotated files to spaCy's training data, and say what was found in them."""
    from ..corpora import ConvertError, convert

    *inputs, output = paths
    if not inputs:
        msg.fail(f"Expected input files or folders and then the output, got only {output}", exits=1)
    try:
        names = _names(rename)
        summary = convert(
            inputs,
            output,
            format=format,
            scheme=scheme,
            token_column=token_column,
            tag_column=tag_column,
            repair=repair,
            text_key=text_key,
            tags_key=tags_key,
            tag_names=tag_names.split(",") if tag_names else None,
            discontinuous=discontinuous,
            scenario=scenario,
            alternatives=alternatives,
            misaligned=misaligned,
            overlaps=overlaps,
            lang=lang,
            n_sents=n_sents,
            group_docs=group_docs,
            split=split,
            seed=seed,
            rename=names,
            drop=drop,
            force=force,
            progress=True,
        )
    except (ConvertError, OSError) as err:
        msg.fail(str(err), exits=1)
    _show(summary, misaligned)
    for label in [*names, *drop]:
        if label not in summary.labels_read:
            msg.warn(f"No entity with the label {label} that --map or --drop names")


def _names(pairs: list[str]) -> dict[str, str]:
    """From "OLD=NEW" to {"OLD": "NEW"}."""
    from ..corpora import ConvertError

    names: dict[str, str] = {}
    for pair in pairs:
        old, equals, new = pair.partition("=")
        if not equals:
            raise ConvertError(f"--map: got {pair!r}, expected OLD=NEW")
        if names.setdefault(old, new) != new:
            raise ConvertError(f"--map: got two names for {old}: {names[old]} and {new}")
    return names


def _show(summary: "Summary", misaligned: str) -> None:
    for note, n_files in summary.notes.items():
        msg.info(f"Read {n_files} file{'s' if n_files > 1 else ''} as {note}")
    if summary.repairs:
        msg.warn(f"Repaired {len(summary.repairs)} tags that break their scheme:")
        for r in summary.repairs[:SHOWN]:
            msg.text(f"  {r.path}, line {r.line}: {r.tag} {REPAIR_TEXTS[r.what]}")
        if len(summary.repairs) > SHOWN:
            msg.text(f"  and {len(summary.repairs) - SHOWN} more")
    if summary.misaligned:
        n = len(summary.misaligned)
        msg.warn(f"Entities that do not fit tokens: {n} (--misaligned {misaligned}):")
        for entity in summary.misaligned[:SHOWN]:
            msg.text(f"  {entity.place}: {entity.text!r} ({entity.label})")
        if n > SHOWN:
            msg.text(f"  and {n - SHOWN} more")
    for what, n in summary.remarks.items():
        msg.info(f"{what} ({n})")
    for what, n in summary.dropped.items():
        msg.warn(f"Dropped: {what} ({n})")
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
