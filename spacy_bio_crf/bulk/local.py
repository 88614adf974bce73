"""A run: its plan, the parts that are missing, and the file that they are joined to."""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from spacy.language import Language

from ..errors import AnnotateError, describe
from ..io import import_pyarrow
from .fingerprint import load_same, pipeline_digest
from .inputs import Input
from .outputs import WRITTEN_FORMATS, Output
from .parts_folder import PartsFolder
from .records import BadRecord, Counts
from .work import Engine, Work
from .workers import run_parts

VERSION = 1  # of the folder of parts
PART_DOCUMENTS = 1000  # in a part, at the most


@dataclass(frozen=True)
class Progress:
    """The state of a run."""

    counts: Counts  # of all finished parts
    skipped: list[BadRecord]  # of the last part
    done: int  # the size of the finished parts of the input
    total: int  # the size of all its parts
    unit: str  # of both: "B" or "rows"


def annotate(
    nlp: Language,
    path: Path,
    output: Path,
    *,
    format: str = "auto",
    one_file: bool | None = None,
    text_key: str = "text",
    entities_key: str = "entities",
    batch_size: int | None = None,
    n_process: int = 1,
    engine: Engine | None = None,
    shard: tuple[int, int] | None = None,
    skip_bad: bool = False,
    docs_per_file: int | None = None,
    force: bool = False,
    restart: bool = False,
    load: Callable[[], Language] | None = None,
    code: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Counts:
    """Annotate the documents of a file or folder, part by part.

    If a run ends early, in any way, the same call goes on: it does the parts that are missing.

    nlp (Language): A pipeline that sets `doc.ents`.
    path (Path): The input, see `inputs.Input`.
    output (Path): A folder of parts, or one file. Its suffix names its format: .jsonl, .parquet or
        .spacy. Without a suffix Parquet becomes Parquet, and all else becomes JSON lines.
    format (str): The input's format.
    one_file (bool | None): Join the parts to one file at the end. None: if the output has a suffix
        and `docs_per_file` is None.
    text_key (str): Key or column of the text.
    entities_key (str): Key or column that the entities get.
    batch_size (int | None): Most documents in a batch of the pipeline; None takes the pipeline's.
    n_process (int): Processes.
    engine (Engine | None): Workers beyond this machine, such as `on_ray.RayCluster`; None: this
        machine's processes.
    shard (tuple[int, int] | None): (I, N) does every N-th part from the I-th on, counted from 1.
        Such runs join nothing: a run without `shard` does what is missing and joins.
    skip_bad (bool): Leave out records that are bad or that the pipeline fails on.
    docs_per_file (int | None): Most documents in a part.
    force (bool): Write over an output that is no folder of parts.
    restart (bool): Begin anew where an earlier run could go on.
    load (Callable[[], Language] | None): Loads the pipeline in other processes; None: fork. An
        engine needs it.
    code (Path | None): A file of code that belongs to the pipeline.
    settings (Mapping[str, Any] | None): More settings that must not change between runs, by names
        for messages; values of JSON.
    report (Callable[[Progress], None]): Is called at the beginning and after each part.
    RETURNS (Counts): The account of all parts, or of the shard's.
    RAISES: AnnotateError if input, output or options do not fit, and for the first bad record
        unless `skip_bad`; finished parts stay for the next call.
    """
    _check_options(batch_size, n_process, docs_per_file, shard, restart)
    if engine is not None and load is None:
        expected = "a function, for the workers of an engine"
        raise AnnotateError(describe("load", expected=expected, got=None))
    if engine is not None and n_process > 1:
        remedy = "an engine has a number of workers of its own"
        raise AnnotateError(
            describe("n_process", expected="1 beside `engine`", got=n_process, remedy=remedy)
        )
    source = Input(path, format, text_key, entities_key)
    kind = _output_format(output, source)
    if one_file is None:
        one_file = bool(output.suffix) and docs_per_file is None
    if one_file and not output.name.strip("."):
        raise AnnotateError(describe("output", expected="the name of a file", got=str(output)))
    folder = PartsFolder(output.with_name(f"{output.name}.parts") if one_file else output)
    digest = pipeline_digest(nlp, code)
    settings = {
        **(settings or {}),
        "version": VERSION,
        "pipeline": digest,
        "format of the input": source.format,
        "format of the output": kind,
        "text key": text_key,
        "entities key": entities_key,
        "number of documents in a part": docs_per_file or PART_DOCUMENTS,
    }
    if one_file and not restart:
        old = folder.load()
        is_same = old is not None and (old.settings, old.files) == (settings, source.stamps())
        if old is not None and is_same and folder.is_joined(old, output):
            folder.deliver(output)
            return old.joined or Counts()
    _check_output(path, output, folder.path, force)
    is_shard = shard is not None
    with folder.locked(is_shared=is_shard):
        if restart:
            folder.clear()
        manifest = folder.plan(source, settings, is_shard=is_shard)
        form = Output(kind, entities_key, manifest.schema)
        first, step = shard or (1, 1)
        parts = manifest.parts[first - 1 :: step]
        finished = folder.finished()
        missing = [part for part in parts if part.number not in finished]
        counts = Counts().plus(*(finished[p.number][1] for p in parts if p.number in finished))
        total = sum(part.size for part in parts)
        done = total - sum(part.size for part in missing)
        report(Progress(counts, [], done, total, source.unit))
        work = Work(source, folder, form, batch_size, skip_bad)
        own_load = load and partial(load_same, load, code, digest)
        if engine is None or own_load is None:
            results = run_parts(nlp, work, missing, n_process=n_process, load=own_load)
        else:
            folder.begin_run()
            results = engine.run(work, own_load, missing)
        # Whatever happens, no worker outlives this block.
        with closing(results):
            for size, account, bad in results:
                counts, done = counts.plus(account), done + size
                report(Progress(counts, bad, done, total, source.unit))
        if one_file and not is_shard:
            folder.join(manifest, form)
    if one_file and not is_shard:
        folder.deliver(output)
    return counts


def _check_options(
    batch_size: int | None,
    n_process: int,
    docs_per_file: int | None,
    shard: tuple[int, int] | None,
    restart: bool,
) -> None:
    numbers = {"batch_size": batch_size, "n_process": n_process, "docs_per_file": docs_per_file}
    for name, value in numbers.items():
        if value is not None and value < 1:
            raise AnnotateError(f"{name}: expected 1 or more, got {value}")
    if shard is None:
        return
    got = "/".join(map(str, shard))
    if not 1 <= shard[0] <= shard[1]:
        raise AnnotateError(f"shard: expected I/N with I from 1 to N, got {got}")
    if restart:
        remedy = "remove the output before the first shard begins"
        raise AnnotateError(f"restart: expected a run without `shard`, got {got}; {remedy}")


def _output_format(output: Path, source: Input) -> str:
    found = output.suffix.removeprefix(".")
    if not found:
        found = "parquet" if source.format == "parquet" else "jsonl"
    if found not in WRITTEN_FORMATS:
        wanted = f".{', .'.join(WRITTEN_FORMATS)} or no suffix"
        raise AnnotateError(f"{output}: expected {wanted}, got {output.suffix}")
    if found == "parquet":
        import_pyarrow(AnnotateError)
    return found


def _check_output(path: Path, output: Path, folder: Path, force: bool) -> None:
    """Check that nothing is written over but what earlier runs wrote, or by choice."""
    for own in (output, folder):
        if path.resolve() in (own.resolve(), *own.resolve().parents):
            raise AnnotateError(f"{own}: expected an output outside of the input {path}")
        if own.is_dir() and not PartsFolder(own).has_plan():
            others = [path.name for path in own.iterdir() if path.name[0] not in "._"]
            if others:
                wanted = "a new folder, or the parts of an earlier run"
                raise AnnotateError(f"{own}: expected {wanted}, got {others[0]!r}")
    if output.exists() and not (output.is_dir() and output == folder):
        if not force:
            raise AnnotateError(f"{output} exists already; `force` writes over it")
        if output == folder:
            output.unlink()
