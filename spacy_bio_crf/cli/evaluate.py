"""Command `bio-ner evaluate`: score a pipeline, report its errors, compare it with another one."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from wasabi import msg

from ..errors import Plain, counted, describe
from .loading import (
    PLOTS_REMEDY,
    check_apart,
    find_overlapping,
    find_taggers,
    load_pipeline,
    name_options,
    printable,
    show_table,
    writing,
)
from .reader_options import read_annotated, takes_reader_options

if TYPE_CHECKING:
    from spacy.training import Example

    from ..pipes.bio_tagger import TokenTagger

META = "meta.json"


@takes_reader_options
def evaluate_cli(
    model: Path = typer.Argument(..., help="A pipeline that finds entities"),  # noqa: B008
    corpus: Path = typer.Argument(  # noqa: B008
        ..., help="Annotated documents: .spacy, any format that convert reads, or a folder"
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
    to_meta: bool = typer.Option(
        False, "--to-meta", help="Write the scores into MODEL's meta.json, for `spacy package`"
    ),
    gpu_id: int = typer.Option(-1, "--gpu-id", "-g", help="GPU, or -1 for the CPU"),
    lang: str | None = typer.Option(
        None, "--lang", help="Language of texts without tokens; the pipeline's if not given"
    ),
    **options: Any,
) -> None:
    """Score a pipeline and show where it fails.

    Scores are strict, with partial credit, and per token; for bio_tagger, of each label.
    """
    from ..io import write_json, write_text
    from ..metrics import analyze, predict, read_documents
    from ..metrics import compare as compare_documents
    from ..metrics.breakdowns import read_surfaces
    from ..metrics.chance import Chance
    from ..metrics.labels import analyze_labels, compare_accuracy
    from ..metrics.layered import make_layers
    from ..training.logger import read_log

    _check_options(model, all_documents, to_meta, log=log, report=report)
    inputs = [path for path in (corpus, train, log) if path is not None]
    for path in inputs:
        if not path.exists():
            wanted = "a training log (.jsonl)" if path == log else "annotated documents"
            msg.fail(describe(str(path), expected=wanted, got=Plain("no such file")), exits=1)
    check_apart({"--output": output, "--report": report}, inputs)
    try:
        rows = read_log(log) if log is not None else []
    except ValueError as error:
        msg.fail(str(error), exits=1)
    if report is not None:
        from ..report import page

        if page.plots is None:
            msg.warn(f"--report: no plots, for matplotlib is not installed; {PLOTS_REMEDY}")

    nlp = load_pipeline(model, gpu_id)
    options["lang"] = lang
    own = find_overlapping(nlp)
    layers = None if own is None else make_layers(**own)
    try:
        training_data = (
            read_annotated(nlp, train, options, evaluate_cli) if train is not None else None
        )
        examples = predict(nlp, read_annotated(nlp, corpus, options, evaluate_cli, limit=limit))
        if compare is not None:
            theirs = load_pipeline(compare, gpu_id)
            other = predict(
                theirs, read_annotated(theirs, corpus, options, evaluate_cli, limit=limit)
            )
    except (ValueError, OSError) as error:
        msg.fail(name_options(str(error), evaluate_cli), exits=1)
    known = None
    if training_data is not None:
        known = read_surfaces((eg.reference for eg in training_data), layers)
    chance = Chance(resamples=resamples, seed=seed)
    metrics = {
        "model": str(model),
        "corpus": str(corpus),
        **analyze(examples, known=known, chance=chance, bins=bins, layers=layers),
    }
    taggers = find_taggers(nlp)
    labels = {n: analyze_labels(examples, target=pipe.target) for n, pipe in taggers.items()}
    if labels:
        metrics["labels"] = labels
    documents = read_documents(examples, layers)
    if compare is not None:
        their_layers = None
        if layers is not None:
            # The gold is the same; another pipeline may have its predictions elsewhere.
            their_key = (find_overlapping(theirs) or {}).get("spans_key")
            their_layers = replace(layers, spans_key=their_key)
        metrics["comparison"] = {
            "model": str(compare),
            **compare_documents(documents, read_documents(other, their_layers), chance=chance),
        }
        for figures in labels.values():
            tested = compare_accuracy(examples, other, target=figures["target"], chance=chance)
            if tested is not None:
                figures["comparison"] = {"model": str(compare), **tested}
    idle = []
    tested_labels = any("comparison" in figures for figures in labels.values())
    if compare is not None and metrics["comparison"]["difference"] is None and not tested_labels:
        idle.append("--compare")
    if train is not None and not metrics["entity"]["per_type"]:
        idle.append("--train")
    if idle:
        why = "neither gold nor predictions have entities that count"
        msg.warn(f"{', '.join(idle)}: without effect, for {why}")
    if not quiet:
        has_entities = any(eg.reference.ents or eg.predicted.ents for eg in examples)
        _print_tables(metrics, all_tables, only_labels=bool(labels) and not has_entities)
    if output is not None:
        with writing("--output"):
            write_json(output, metrics)
        msg.good(f"Figures: {output}")
    if to_meta:
        with writing("--to-meta"):
            _write_meta(model / META, examples, own or {}, taggers)
        msg.good(f"Scores: {model / META}")
    if report is not None:
        text = page.render_report(
            metrics, documents, log=rows, max_errors=max_errors, all_documents=all_documents
        )
        with writing("--report"):
            write_text(report, text)
        msg.good(f"Report: {report}")


def _check_options(
    model: Path, all_documents: bool, to_meta: bool, *, log: Path | None, report: Path | None
) -> None:
    """End the command with a message for options that would have no effect."""
    for option, given in (("--log", log is not None), ("--all-documents", all_documents)):
        if given and report is None:
            expected = "--report, the page that it adds to"
            msg.fail(describe(option, expected=expected, got=Plain("no --report")), exits=1)
    if to_meta and not (model / META).is_file():
        got = Plain(f"no {META} in {model}")
        msg.fail(describe("--to-meta", expected="a pipeline's folder", got=got), exits=1)


def _print_tables(metrics: Mapping[str, Any], all_tables: bool, *, only_labels: bool) -> None:
    """Print scores and numbers of errors, or all tables; of labels of tokens alone if there are no
    entities."""
    from ..metrics.labels import label_tables
    from ..metrics.tables import BREAKDOWN_TITLES, OVERLAP_KEYS, comparison_tables, tables

    documents_read = counted(metrics["documents"], "document")
    typer.echo(printable(f"\n{metrics['model']} on {metrics['corpus']}, {documents_read}"))
    shown = [] if only_labels else tables(metrics)
    if shown and not all_tables:
        names = [f"Per entity, by {BREAKDOWN_TITLES[key]}" for key in OVERLAP_KEYS]
        shown = [shown[0], *(t for t in shown if t.title in names), shown[-1]]
    for name, figures in metrics.get("labels", {}).items():
        shown += label_tables(name, figures)
    for table in (*shown, *comparison_tables(metrics)):
        show_table(table)
    if not all_tables:
        typer.echo("\nAll tables: --all-tables, or in the page that --report writes")


def _write_meta(
    path: Path,
    examples: "list[Example]",
    options: dict[str, Any],
    taggers: "Mapping[str, TokenTagger]",
) -> None:
    """Put the scores of spaCy's and our scorers into a pipeline's meta data."""
    from ..io import write_json
    from ..metrics.scorer import score_examples

    meta = json.loads(path.read_bytes())
    scores = score_examples(examples, **options)
    for tagger in taggers.values():
        scores |= tagger.score(examples)
    meta["performance"] = {**meta.get("performance", {}), **scores}
    write_json(path, meta)
