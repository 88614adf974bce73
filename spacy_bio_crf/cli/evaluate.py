"""Command `bio-ner evaluate`: score a pipeline, report its errors, compare it with another one."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer
from wasabi import msg
from wasabi import table as wasabi_table

from .loading import PLOTS_REMEDY, load_pipeline

if TYPE_CHECKING:
    from ..metrics.tables import Table


def evaluate_cli(
    model: Path = typer.Argument(..., help="A pipeline that sets doc.ents"),  # noqa: B008
    corpus: Path = typer.Argument(  # noqa: B008
        ..., help="Annotated documents (.spacy, or a folder of such files)"
    ),
    output: Path | None = typer.Option(  # noqa: B008
        None, "--output", "-o", help="Write all figures as JSON"
    ),
    report: Path | None = typer.Option(  # noqa: B008
        None, "--report", "-r", help="Write a page with tables, plots and errors (.html)"
    ),
    compare: Path | None = typer.Option(  # noqa: B008
        None, "--compare", "-c", metavar="MODEL", help="Another pipeline to test against"
    ),
    train: Path | None = typer.Option(  # noqa: B008
        None, "--train", "-t", metavar="CORPUS", help="Training data: scores of seen and new names"
    ),
    log: Path | None = typer.Option(  # noqa: B008
        None, "--log", help="Training log (.jsonl) whose learning curve goes into the report"
    ),
    resamples: int = typer.Option(
        10_000, "--resamples", min=0, help="Samples of intervals and of the test; 0: neither"
    ),
    seed: int = typer.Option(0, "--seed", help="Seed of the samples"),
    bins: int = typer.Option(10, "--bins", "-b", min=1, help="Bins of the reliability diagram"),
    max_errors: int = typer.Option(
        300, "--max-errors", min=0, help="Errors of each kind in the report, at the most; 0: all"
    ),
    all_documents: bool = typer.Option(
        False, "--all-documents", "-a", help="Show all documents in the report, gold and predicted"
    ),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Print no tables"),
    all_tables: bool = typer.Option(
        False, "--all-tables", help="Print all tables, not only scores and numbers of errors"
    ),
    limit: int = typer.Option(0, "--limit", "-l", min=0, help="Documents, at the most; 0: all"),
    gpu_id: int = typer.Option(-1, "--gpu-id", "-g", help="GPU, or -1 for the CPU"),
) -> None:
    """Score a pipeline and show where it fails.

    Scores are strict, with partial credit, and per token.
    """
    from ..errors import Plain, describe
    from ..io import write_json, write_text
    from ..metrics import analyze, predict, read_documents
    from ..metrics import compare as compare_documents
    from ..metrics.breakdowns import read_surfaces
    from ..metrics.chance import Chance
    from ..metrics.documents import read_corpus
    from ..metrics.tables import comparison_tables, tables
    from ..training.logger import read_log

    for option, given in (("--log", log is not None), ("--all-documents", all_documents)):
        if given and report is None:
            expected = "--report, the page that it adds to"
            msg.fail(describe(option, expected=expected, got=Plain("no --report")), exits=1)
    for path in (corpus, train, log):
        if path is not None and not path.exists():
            wanted = "a training log (.jsonl)" if path == log else "annotated documents (.spacy)"
            msg.fail(describe(str(path), expected=wanted, got=Plain("no such file")), exits=1)
    try:
        rows = read_log(log) if log is not None else []
    except ValueError as error:
        msg.fail(str(error), exits=1)
    if report is not None:
        from ..report import page

        if page.plots is None:
            msg.warn(f"--report: no plots, for matplotlib is not installed; {PLOTS_REMEDY}")

    nlp = load_pipeline(model, gpu_id)
    try:
        training_data = read_corpus(nlp, train) if train is not None else None
        examples = predict(nlp, corpus, limit=limit)
        if compare is not None:
            other = predict(load_pipeline(compare, gpu_id), corpus, limit=limit)
    except ValueError as error:
        msg.fail(str(error), exits=1)
    known = None
    if training_data is not None:
        known = read_surfaces(eg.reference for eg in training_data)
    chance = Chance(resamples=resamples, seed=seed)
    metrics = {
        "model": str(model),
        "corpus": str(corpus),
        **analyze(examples, known=known, chance=chance, bins=bins),
    }
    documents = read_documents(examples)
    if compare is not None:
        metrics["comparison"] = {
            "model": str(compare),
            **compare_documents(documents, read_documents(other), chance=chance),
        }
    if not quiet:
        typer.echo(f"\n{model} on {corpus}, {metrics['documents']} documents")
        shown = tables(metrics)
        if not all_tables:
            shown = [shown[0], shown[-1]]
        for table in (*shown, *comparison_tables(metrics)):
            typer.echo("\n" + _text(table))
        if not all_tables:
            typer.echo("\nAll tables: --all-tables, or in the page that --report writes")
    if output is not None:
        write_json(output, metrics)
        msg.good(f"Figures: {output}")
    if report is not None:
        text = page.render_report(
            metrics, documents, log=rows, max_errors=max_errors, all_documents=all_documents
        )
        write_text(report, text)
        msg.good(f"Report: {report}")


def _text(table: "Table") -> str:
    """A table for the terminal."""
    aligns: list[Literal["l", "r"]] = ["l"]
    aligns += ["r"] * (len(table.header) - 1)
    body = wasabi_table(table.rows, header=table.header, aligns=aligns, divider=True, max_col=60)
    return table.title + body + (f"{table.note}\n" if table.note else "")
