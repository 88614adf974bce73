"""`bio-ner annotate`: find the entities in a corpus of any size."""

import multiprocessing
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from wasabi import msg

from ..errors import Plain, counted, describe
from .loading import find_taggers, name_options, printable

if TYPE_CHECKING:
    from ..bulk import Progress
    from ..bulk.work import Engine

SHOWN = 10  # skipped records that are named
DELAY = 1.0  # seconds before a bar is shown
REFRESH = 0.1  # seconds between two looks of it
ENGINES = ("local", "ray")
RAY_REMEDY = 'pip install "spacy_bio_crf[ray]"'
BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt}{unit} [{elapsed}<{remaining}{postfix}]"


def annotate_cli(
    model: Path = typer.Argument(..., help="A pipeline: folder or installed package"),  # noqa: B008
    path: Path = typer.Argument(  # noqa: B008
        ...,
        metavar="IN",
        help="A text file (a document on each line), JSONL or Parquet; or a folder of text files "
        "(a document in each), of JSONL or of Parquet",
    ),
    output: Path = typer.Argument(  # noqa: B008
        ...,
        metavar="OUT",
        help="One file, whose suffix is its format: .jsonl, .parquet or .spacy; without a suffix a "
        "folder of parts, JSONL or, from Parquet, Parquet",
    ),
    format: str = typer.Option(
        "auto", "--format", help="Format of the input: auto (by suffix), text, jsonl or parquet"
    ),
    text_key: str = typer.Option("text", "--text-key", help="Key or column of the text"),
    entities_key: str = typer.Option(
        "entities", "--entities-key", help="Key or column that the entities get"
    ),
    batch_size: int | None = typer.Option(
        None, "--batch-size", "-b", min=1, help="Most documents in a batch; else the pipeline's"
    ),
    n_process: int | None = typer.Option(
        None,
        "--n-process",
        "-n",
        min=1,
        help="Number of processes (1 by default); with --engine ray the most workers (by default "
        "as many as there is room for)",
    ),
    max_length: int | None = typer.Option(
        None, "--max-length", min=1, help="Most characters in a document; else the pipeline's"
    ),
    skip_bad: bool = typer.Option(
        False,
        "--skip-bad",
        help="Leave out and report records that are bad or that the pipeline fails on, instead of "
        "stopping at the first",
    ),
    docs_per_file: int | None = typer.Option(
        None,
        "--docs-per-file",
        min=1,
        help="Most documents in a part (1000 by default); makes OUT a folder of parts",
    ),
    one_file: bool | None = typer.Option(
        None,
        "--one-file/--parts",
        help="Join the parts to one file at the end, or make OUT a folder of parts; else by OUT's "
        "suffix and --docs-per-file",
    ),
    shard: str | None = typer.Option(
        None,
        "--shard",
        metavar="I/N",
        help="Annotate every N-th part, from the I-th on (from 1 to N), and join nothing: for N "
        "machines that share OUT",
    ),
    force: bool = typer.Option(False, "--force", "-F", help="Write over an existing output"),
    restart: bool = typer.Option(
        False, "--restart", help="Begin anew where an earlier run could go on"
    ),
    code: Path | None = typer.Option(  # noqa: B008
        None, "--code", "-c", help="Python file with functions that the pipeline needs"
    ),
    gpu_id: int = typer.Option(-1, "--gpu-id", "-g", help="GPU, or -1 for the CPU"),
    engine: str = typer.Option(
        "local", "--engine", help="Who does the work: local (this machine) or ray (a cluster)"
    ),
    address: str | None = typer.Option(
        None, "--address", help="Ray: the cluster; else RAY_ADDRESS, or one on this machine"
    ),
    cores: int | None = typer.Option(
        None, "--cores", min=1, help="Ray: cores of a worker (by default 1, beside GPUs none)"
    ),
    num_gpus: float | None = typer.Option(
        None, "--num-gpus", min=0, help="Ray: GPUs of a worker, or its share of one"
    ),
) -> None:
    """Write the entities of all documents in IN to OUT.

    A run that ended early goes on when the command is given again.
    """
    from ..bulk import AnnotateError, annotate
    from ..bulk.fingerprint import load_model

    apart = loads_apart(n_process or 1, gpu_id)
    try:
        cluster = _cluster(engine, address, n_process, cores, num_gpus, gpu_id)
        if cluster is not None:
            apart, n_process, gpu_id = True, 1, 0 if num_gpus else -1
        nlp = load_model(model, code, -1 if apart else gpu_id, max_length)
        if (taggers := find_taggers(nlp)) and output.suffix != ".spacy":
            msg.warn(
                f"Labels of {', '.join(taggers)} are in .spacy output alone; OUT gets entities"
            )
        with bulk_reporter(with_bar=cluster is None) as report:
            counts = annotate(
                nlp,
                path,
                output,
                format=format,
                text_key=text_key,
                entities_key=entities_key,
                batch_size=batch_size,
                n_process=n_process or 1,
                engine=cluster,
                shard=None if shard is None else _read_shard(shard),
                skip_bad=skip_bad,
                docs_per_file=docs_per_file,
                one_file=one_file,
                force=force,
                restart=restart,
                load=partial(load_model, model, code, gpu_id, max_length) if apart else None,
                code=code,
                report=report,
            )
    except (AnnotateError, OSError) as err:
        msg.fail(name_options(str(err), annotate_cli), exits=1)
    except KeyboardInterrupt:
        msg.fail("Interrupted: the same command goes on from here")
        raise typer.Exit(130) from None
    if counts.skipped:
        msg.warn(f"Skipped: {counted(counts.skipped, 'record')}")
    whose = "" if shard is None else f" (shard {shard})"
    msg.good(
        f"{output}{whose}: {counted(counts.documents, 'document')}, "
        f"{counted(counts.words, 'word')}, {counted(counts.entities, 'entity')}"
    )


def loads_apart(n_process: int, gpu_id: int) -> bool:
    """Whether each of several processes loads the pipeline itself.

    A fork can use neither a GPU nor several threads, and some systems have none.
    """
    from ..cores import available_cores

    can_fork = "fork" in multiprocessing.get_all_start_methods()
    has_threads = available_cores() >= 2 * n_process
    return n_process > 1 and (gpu_id >= 0 or has_threads or not can_fork)


def _read_shard(value: str) -> tuple[int, int]:
    from ..errors import AnnotateError

    match = re.fullmatch(r"(\d+)/(\d+)", value)
    if match is None:
        raise AnnotateError(f"shard: expected I/N, such as 1/16, got {value!r}")
    return int(match[1]), int(match[2])


def _cluster(
    engine: str,
    address: str | None,
    workers: int | None,
    cores: int | None,
    num_gpus: float | None,
    gpu_id: int,
) -> "Engine | None":
    """The engine that is not this machine, if one is asked for."""
    from ..errors import AnnotateError, check_choice

    check_choice("engine", engine, ENGINES, error=AnnotateError)
    if engine == "local":
        options = {"address": address, "cores": cores, "num_gpus": num_gpus}
        for name, value in options.items():
            if value is not None:
                message = describe(name, expected="--engine ray beside it", got="local")
                raise AnnotateError(message)
        return None
    if gpu_id >= 0:
        raise AnnotateError(describe("gpu_id", expected="--num-gpus with Ray", got=gpu_id))
    try:
        from ..bulk.on_ray import RayCluster
    except ImportError as error:
        got = Plain(f"{type(error).__name__}: {error}")
        message = describe("engine", expected="Ray", got=got, remedy=RAY_REMEDY)
        raise AnnotateError(message) from error
    return RayCluster(address, workers, cores, num_gpus or 0)


@contextmanager
def bulk_reporter(*, with_bar: bool) -> "Iterator[Callable[[Progress], None]]":
    """A bar with words per second, where stderr is a terminal, and a line for each bad record.

    Ray has a bar of its own.
    """
    from tqdm import tqdm

    bar: tqdm | None = None
    begun, named, words_before = 0.0, 0, 0

    def report(progress: "Progress") -> None:
        nonlocal bar, begun, named, words_before
        counts = progress.counts
        if bar is None:
            begun, words_before = time.monotonic(), counts.words
            if counts.documents or counts.skipped:
                msg.info(
                    f"Going on after {counted(counts.documents, 'document')} of an earlier run"
                    + (f" (skipped: {counted(counts.skipped, 'record')})" if counts.skipped else "")
                )
            # None: only where stderr is a terminal.
            disable = None if with_bar else True
            bar = tqdm(
                total=progress.total,
                unit=progress.unit,
                unit_scale=True,
                bar_format=BAR,
                delay=DELAY,
                mininterval=REFRESH,
                leave=False,
                disable=disable,
            )
        for bad in progress.skipped:
            named += 1
            if named <= SHOWN:
                end = "" if named < SHOWN else ", and so on"
                tqdm.write(printable(f"Skipped: {bad.place}: {bad.reason}{end}"))
        words = counts.words - words_before
        rate = words / max(time.monotonic() - begun, 1e-9)
        bar.set_postfix_str(f"{counts.documents:,} documents, {rate:,.0f} words/s", refresh=False)
        bar.update(progress.done - bar.n)

    try:
        yield report
    finally:
        if bar is not None:
            bar.close()
