"""Command `bio-ner agree`: the agreement of annotators, and where they differ."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from wasabi import msg

from ..errors import Plain, counted, describe
from .loading import blank_pipeline, check_apart, name_options, show_table, writing
from .reader_options import read_annotated, takes_reader_options

if TYPE_CHECKING:
    from spacy.tokens import Doc

    from ..metrics.agreement import Annotations
    from ..metrics.tables import Table
    from ..tags.spans import Span


@takes_reader_options
def agree_cli(
    corpora: list[Path] = typer.Argument(  # noqa: B008
        ...,
        metavar="A B …",
        help="The same documents by two annotators or more: .spacy, any format that convert reads",
    ),
    output: Path | None = typer.Option(  # noqa: B008
        None, "--output", "-o", help="Write all figures as JSON"
    ),
    report: Path | None = typer.Option(  # noqa: B008
        None, "--report", "-r", help="Write a page with the disagreements in their texts (.html)"
    ),
    max_shown: int = typer.Option(
        300, "--max-shown", min=0, help="Disagreements of two annotators in the report; 0: all"
    ),
    lang: str = typer.Option("xx", "--lang", help="Language of texts without tokens"),
    **options: Any,
) -> None:
    """Measure the agreement of annotators.

    F1 of entities and tokens, Cohen's kappa, and Krippendorff's alpha.
    """
    from ..io import write_json, write_text
    from ..metrics.agreement import agreement, read_sides

    if len(corpora) < 2:
        got = Plain(str(len(corpora)))
        msg.fail(describe("agree", expected="two annotators or more", got=got), exits=1)
    for path in corpora:
        if corpora.count(path) > 1:
            expected, got = "each corpus once", Plain(f"{path} twice")
            msg.fail(describe("agree", expected=expected, got=got), exits=1)
        if not path.exists():
            expected, got = "annotated documents", Plain("no such file")
            msg.fail(describe(str(path), expected=expected, got=got), exits=1)
    check_apart({"--output": output, "--report": report}, corpora)
    nlp = blank_pipeline(lang)
    options["lang"] = lang
    try:
        annotated = {
            name: [eg.reference for eg in read_annotated(nlp, path, options, agree_cli)]
            for name, path in zip(_names(corpora), corpora, strict=True)
        }
        sides = read_sides(annotated)
    except (ValueError, OSError) as error:
        msg.fail(name_options(str(error), agree_cli), exits=1)
    figures = agreement(sides)
    tables = _tables(figures)
    for table in tables:
        show_table(table)
    if output is not None:
        with writing("--output"):
            write_json(output, figures)
        msg.good(f"Figures: {output}")
    if report is not None:
        with writing("--report"):
            write_text(report, _page(sides, annotated, tables, max_shown))
        msg.good(f"Report: {report}")


def _names(paths: list[Path]) -> list[str]:
    """The names of the files if they differ, or else their paths."""
    stems = [path.stem for path in paths]
    return stems if len(set(stems)) == len(stems) else [str(path) for path in paths]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _tables(figures: "Mapping[str, Any]") -> "list[Table]":
    from ..metrics.tables import Table, percent

    rows: list[tuple[str, ...]] = [
        (
            " and ".join(pair["annotators"]),
            percent(pair["entity"]["all"]["f"]),
            percent(pair["token"]["f"]),
            _number(pair["cohen"]),
            _number(pair["cohen_of_entities"]),
            str(pair["disagreements"]),
        )
        for pair in figures["pairs"]
    ]
    note = (
        f"{counted(figures['documents'], 'document')}, {counted(figures['tokens'], 'token')}."
        " F1: no chance model. Cohen's kappa: each annotator draws labels of tokens from a"
        " distribution of their own; on all tokens, and on those in an entity of either."
    )
    header = ("", "entity F1", "token F1", "kappa", "kappa in entities", "disagreements")
    shown = [Table("Each two annotators", header, rows, note)]
    rows = []
    for label, alpha in figures["krippendorff"]["per_type"].items():
        scores = [pair["entity"]["per_type"].get(label) for pair in figures["pairs"]]
        found = [percent(row["f"]) if row else "-" for row in scores]
        rows.append((label, _number(alpha), *found))
    alls = [percent(pair["entity"]["all"]["f"]) for pair in figures["pairs"]]
    rows.append(("all", _number(figures["krippendorff"]["all"]), *alls))
    names = [" and ".join(pair["annotators"]) for pair in figures["pairs"]]
    note = (
        "Krippendorff's alpha, nominal: all annotators draw labels of tokens from one pool of those"
        " given, without putting them back; of one label, whether a token has it."
    )
    title = "By label: alpha, and entity F1 of each two"
    return [*shown, Table(title, ("", "alpha", *names), rows, note)]


def _page(
    sides: "Annotations", annotated: "Mapping[str, list[Doc]]", tables: "list[Table]", most: int
) -> str:
    from ..corpora.corrections import correction_data
    from ..metrics.agreement import connected, disagreements
    from ..report.review_page import Entry, Wording, render_review

    entries = []
    for a, b, documents, mistakes in disagreements(sides):
        for one in mistakes[: most or None]:
            i, document = one.document, documents[one.document]
            doc = annotated[sides.names[a]][i]
            own = [[span] if span else [] for span in (one.gold, one.predicted)]
            # What the second one has annotated in part is not among the entities compared.
            change = connected(one.spans, sides.spans[a][i], document.predicted)
            first = annotated[sides.names[0]][i]
            entries.append(
                Entry(
                    kind=one.kind,
                    place=f"{sides.names[b]} against {sides.names[a]}, document {i + 1},"
                    f" token {one.spans[0][0] + 1}",
                    words=document.words,
                    sides=(document.gold, document.predicted),
                    own=(own[0], own[1]),
                    correction=correction_data(i, doc, *_on_tokens(doc, first, *change)),
                )
            )
    wording = Wording(
        title=f"Agreement of {', '.join(sides.names)}",
        summary=f"{counted(len(sides.words), 'document')}.",
        heading="Disagreements",
        listing="In the order of the text",
        explanation=(
            "Kinds are those of the second annotator's entities as predictions, and the first one's"
            " as gold. A correction gives the first one's corpus the other's entity, and all that"
            " overlap it: bio-ner suspects --apply applies a file of them."
        ),
        noun="disagreements",
        sides=("first", "second"),
        orders={"text": "as in the text"},
    )
    return render_review(entries, tables, wording)


def _on_tokens(
    doc: "Doc", first: "Doc", remove: "Sequence[Span]", add: "Sequence[Span]"
) -> "tuple[Sequence[Span], Sequence[Span]]":
    """A correction on the tokens of `first`, on those of the document that it corrects."""
    from spacy.tokens import Span as SpacySpan

    from ..metrics.agreement import carry_span

    if [token.text for token in doc] == [token.text for token in first]:
        return remove, add
    added = [carry_span(doc, SpacySpan(first, *span)) for span in add]
    gone = [
        (ent.start, ent.end, ent.label_)
        for ent in doc.ents
        if carry_span(first, ent) in remove
        or any(ent.start < end and ent.end > start for start, end, _ in added)
    ]
    return gone, added
