"""A run: from the input through the pipeline to the output, where it was interrupted or from the
beginning."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from spacy.language import Language

from .batches import Batch, batches
from .fingerprint import pipeline_digest
from .outputs import choose_output
from .part import Part, part_folder
from .pipeline import Job, Outcome, Result
from .records import AnnotateError, Bad, Counts
from .sources import open_source
from .workers import run_jobs


@dataclass(frozen=True)
class Progress:
    """What a run tells about itself after each batch.

    counts (Counts): What was done, before an interruption too.
    skipped (list[Bad]): The records of the batch that were left out.
    done (int): How much of the input has been read.
    total (int): Of how much.
    unit (str): Bytes ("B") or "rows".
    """

    counts: Counts
    skipped: list[Bad]
    done: int
    total: int
    unit: str


def no_report(progress: Progress) -> None:
    """Nobody wants to know."""


def annotate(
    nlp: Language,
    path: Path,
    output: Path,
    *,
    format: str = "auto",
    text_key: str = "text",
    entities_key: str = "entities",
    batch_size: int | None = None,
    n_process: int = 1,
    skip_bad: bool = False,
    docs_per_file: int | None = None,
    force: bool = False,
    restart: bool = False,
    load: Callable[[], Language] | None = None,
    code: Path | None = None,
    report: Callable[[Progress], None] = no_report,
) -> Counts:
    """Annotate the documents of a file or folder, in memory that does not grow with it.

    If it is interrupted, at any point and in any way, the same call goes on from there, and the
    output is the same as without the interruption.

    nlp (Language): A pipeline that sets `doc.ents`.
    path (Path): The input, see `sources.open_source`.
    output (Path): The output, whose suffix says its format: .jsonl, .parquet or .spacy.
    format (str): The input's format.
    text_key (str): Key or column of the text.
    entities_key (str): Key or column that entities get.
    batch_size (int | None): Most documents in a batch; None takes the pipeline's.
    n_process (int): Processes.
    skip_bad (bool): Leave out records that are bad or that the pipeline fails on.
    docs_per_file (int | None): With .spacy, make a folder of files of so many documents.
    force (bool): May the output exist?
    restart (bool): Begin anew where an interrupted run could go on.
    load (Callable[[], Language] | None): Loads the pipeline in other processes; None: fork.
    code (Path | None): A file of code that belongs to the pipeline.
    report (Callable[[Progress], None]): Is called at the beginning and after each batch.
    RETURNS (Counts): What was done.
    RAISES: AnnotateError if input, output or options do not fit, and for the first bad record
        unless `skip_bad`; what came before it is kept for the next call.
    """
    for option, value in (
        ("--batch-size", batch_size),
        ("--n-process", n_process),
        ("--docs-per-file", docs_per_file),
    ):
        if value is not None and value < 1:
            raise AnnotateError(f"{option}: got {value}, expected 1 or more")
    kind, source = open_source(path, format=format, text_key=text_key, entities_key=entities_key)
    out = choose_output(
        output,
        source,
        format=kind,
        text_key=text_key,
        entities_key=entities_key,
        docs_per_file=docs_per_file,
    )
    _check_paths(path, output, force=force)
    settings = {
        "pipeline": pipeline_digest(nlp, [] if code is None else [code]),
        "format of the input": kind,
        "text key": text_key,
        "entities key": entities_key,
    }
    part = Part(output, settings, restart=restart)
    try:
        counts = replace(part.state.counts)

        def tell(done: int, skipped: list[Bad]) -> None:
            report(Progress(replace(counts), skipped, done, source.total, source.unit))

        tell(0, [])
        found = batches(
            source,
            part.state.mark,
            size=nlp.batch_size if batch_size is None else batch_size,
            skip_bad=skip_bad,
        )
        jobs = ((b, Job([r.text for r in b.records], out.notes(b))) for b in found)
        for batch, result in run_jobs(nlp, jobs, n_process=n_process, load=load):
            skipped = [*batch.bad, *_failed(batch, result.outcomes)]
            if skipped and not skip_bad:
                raise AnnotateError(f"{skipped[0]}; --skip-bad leaves such records out")
            counts = _added(counts, result, skipped)
            part.add(out.rows(batch, result), batch.after, counts)
            tell(batch.done, skipped)
        part.finish(out.finish)
    finally:
        part.close()
    return counts


def _check_paths(path: Path, output: Path, *, force: bool) -> None:
    if output.exists() and not force:
        raise AnnotateError(f"{output} exists already; use --force to write over it")
    for own in (output, part_folder(output)):
        if own.resolve() == path.resolve() or path.resolve() in own.resolve().parents:
            raise AnnotateError(f"{output}: expected an output outside of the input {path}")


def _failed(batch: Batch, outcomes: list[Outcome]) -> Iterator[Bad]:
    for record, outcome in zip(batch.records, outcomes, strict=True):
        if outcome.error is not None:
            yield Bad(record.place, f"the pipeline failed: {outcome.error}")


def _added(counts: Counts, result: Result, skipped: list[Bad]) -> Counts:
    kept = [outcome for outcome in result.outcomes if outcome.error is None]
    return Counts(
        documents=counts.documents + len(kept),
        words=counts.words + sum(outcome.words for outcome in kept),
        entities=counts.entities + sum(len(outcome.entities) for outcome in kept),
        skipped=counts.skipped + len(skipped),
    )
