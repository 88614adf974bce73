"""`bio-ner evaluate`: how good a pipeline is, where it fails, and whether another one is better."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from wasabi import msg

from .loading import load_pipeline

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.training import Example


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
    limit: int = typer.Option(0, "--limit", "-l", min=0, help="Documents, at the most; 0: all"),
    gpu_id: int = typer.Option(-1, "--gpu-id", "-g", help="GPU, or -1 for the CPU"),
) -> None:
    """Score a pipeline strictly, with partial credit and per token, and show where it fails."""
    if report is None and log is not None:
        msg.fail("--log draws a curve into the report: give --report, too", exits=1)
    for path in (corpus, train, log):
        if path is not None and not path.exists():
            wanted = "a training log (.jsonl)" if path == log else "annotated documents (.spacy)"
            msg.fail(f"No file {path}: expected {wanted}", exits=1)

    from ..metrics import analyse, read_documents
    from ..metrics.bootstrap import Chance
    from ..metrics.breakdowns import read_surfaces
    from ..metrics.files import write_json, write_text
    from ..metrics.tables import comparison_tables, tables

    nlp = load_pipeline(model, gpu_id)
    examples = _predict(nlp, corpus, limit)
    known = None
    if train is not None:
        known = read_surfaces(eg.reference for eg in _read(nlp, train))
    chance = Chance(resamples=resamples, seed=seed)
    metrics = {
        "model": str(model),
        "corpus": str(corpus),
        **analyse(examples, known=known, chance=chance, bins=bins),
    }
    documents = read_documents(examples)
    if compare is not None:
        from ..metrics import compare as compare_documents

        other = read_documents(_predict(load_pipeline(compare, gpu_id), corpus, limit))
        metrics["comparison"] = {
            "model": str(compare),
            **compare_documents(documents, other, chance=chance),
        }
    typer.echo(f"\n{model} on {corpus}, {metrics['documents']} documents")
    for table in (*tables(metrics), *comparison_tables(metrics)):
        typer.echo("\n" + table.text())
    if output is not None:
        write_json(output, metrics)
        msg.good(f"Figures: {output}")
    if report is not None:
        from ..report import render_report
        from ..training.logger import read_log

        rows = []
        if log is not None:
            try:
                rows = read_log(log)
            except ValueError as error:
                msg.fail(str(error), exits=1)
        write_text(report, render_report(metrics, documents, log=rows, max_errors=max_errors))
        msg.good(f"Report: {report}")


def _predict(nlp: "Language", corpus: Path, limit: int) -> "list[Example]":
    from ..metrics import predict

    try:
        return predict(nlp, corpus, limit=limit)
    except ValueError as error:
        msg.fail(str(error), exits=1)
        raise


def _read(nlp: "Language", corpus: Path) -> "list[Example]":
    from ..metrics.documents import read_corpus

    try:
        return read_corpus(nlp, corpus)
    except ValueError as error:
        msg.fail(str(error), exits=1)
        raise
