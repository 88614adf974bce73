"""The engine for one machine, or for one of several that share an output."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path

from spacy.language import Language

from ..errors import AnnotateError
from ..io import import_pyarrow, replacing
from .inputs import Input, InputPart, to_rows
from .outputs import WRITTEN_FORMATS, Output
from .parts_folder import RESTART, PartsFolder
from .records import BadRecord, Counts, annotate_rows
from .workers import run_parts

VERSION = 1  # of the folder of parts
PART_DOCUMENTS = 1000  # in a part, at the most
HASHED = 1 << 20  # bytes of a file at once


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
    shard: tuple[int, int] | None = None,
    skip_bad: bool = False,
    docs_per_file: int | None = None,
    force: bool = False,
    restart: bool = False,
    load: Callable[[], Language] | None = None,
    code: Path | None = None,
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
    shard (tuple[int, int] | None): (I, N) does every N-th part from the I-th on, counted from 1.
        Such runs join nothing: a run without `shard` does what is missing and joins.
    skip_bad (bool): Leave out records that are bad or that the pipeline fails on.
    docs_per_file (int | None): Most documents in a part.
    force (bool): Write over an output that is no folder of parts.
    restart (bool): Begin anew where an earlier run could go on.
    load (Callable[[], Language] | None): Loads the pipeline in other processes; None: fork.
    code (Path | None): A file of code that belongs to the pipeline.
    report (Callable[[Progress], None]): Is called at the beginning and after each part.
    RETURNS (Counts): The account of all parts, or of the shard's.
    RAISES: AnnotateError if input, output or options do not fit, and for the first bad record
        unless `skip_bad`; finished parts stay for the next call.
    """
    _check_options(batch_size, n_process, docs_per_file, shard, restart)
    source = Input(path, format, text_key, entities_key)
    kind = _output_format(output, source)
    if one_file is None:
        one_file = bool(output.suffix) and docs_per_file is None
    folder = PartsFolder(output.with_name(f"{output.name}.parts") if one_file else output)
    digest = pipeline_digest(nlp, code)
    settings = {
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
        if old is not None and old.settings == settings and folder.is_joined(old, output):
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
        work = partial(_annotate_part, source, folder, form, batch_size, skip_bad)
        own_load = load and partial(_load_same, load, code, digest)
        results = run_parts(nlp, work, missing, n_process=n_process, load=own_load)
        for part, (account, bad) in zip(missing, results, strict=True):
            counts, done = counts.plus(account), done + part.size
            report(Progress(counts, bad, done, total, source.unit))
        if one_file and not is_shard:
            folder.join(manifest, form)
    if one_file and not is_shard:
        folder.deliver(output)
    return counts


def _annotate_part(
    source: Input,
    folder: PartsFolder,
    output: Output,
    batch_size: int | None,
    skip_bad: bool,
    nlp: Language,
    part: InputPart,
) -> tuple[Counts, list[BadRecord]]:
    found = source.read(part)
    if found.bad and not skip_bad:
        raise found.bad[0].error()
    is_table = not isinstance(found.rows, list)
    annotated = annotate_rows(
        nlp,
        to_rows(found.rows) if is_table and output.format != "parquet" else found.rows,
        text_key=source.text_key,
        entities_key=source.entities_key,
        batch_size=batch_size,
        skip_bad=skip_bad,
        places=found.places,
        with_docs=output.format == "spacy",
    )
    bad = [*found.bad, *annotated.bad]
    n_entities = sum(map(len, annotated.entities))
    counts = Counts(len(annotated.kept), annotated.words, n_entities, len(bad))
    target = folder.part(part.number, counts, output.format)
    try:
        with replacing(target) as aside:
            output.write(aside, found, annotated)
    # The system's own message has no path when a disk is full.
    except OSError as err:
        raise AnnotateError(f"{target}: the part can't be written: {err}") from err
    return counts, bad


def pipeline_digest(nlp: Language, code: Path | None = None) -> str:
    """RETURNS (str): A hash of all that a pipeline was loaded from, in 32 hexadecimal digits."""
    digest = blake2b(digest_size=16)
    files = [] if code is None else [("", code)]
    if nlp.path is None:
        digest.update(nlp.to_bytes())
    else:
        paths = [path for path in sorted(nlp.path.rglob("*")) if path.is_file()]
        files += [(path.relative_to(nlp.path).as_posix(), path) for path in paths]
    for name, path in files:
        # Python leaves its caches in the folder of a package.
        if "__pycache__" in name:
            continue
        digest.update(f"\0{name}\0".encode())
        with path.open("rb") as file:
            while chunk := file.read(HASHED):
                digest.update(chunk)
    return digest.hexdigest()


def _load_same(load: Callable[[], Language], code: Path | None, digest: str) -> Language:
    nlp = load()
    if pipeline_digest(nlp, code) != digest:
        raise AnnotateError(f"the pipeline has changed since the run began; {RESTART}")
    return nlp


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
    if output.is_dir() and PartsFolder(output).load() is None:
        others = [path.name for path in output.iterdir() if path.name[0] not in "._"]
        if others:
            wanted = "a new folder, or the parts of an earlier run"
            raise AnnotateError(f"{output}: expected {wanted}, got {others[0]!r}")
    if output.exists() and not (output.is_dir() and output == folder):
        if not force:
            raise AnnotateError(f"{output} exists already; `force` writes over it")
        if output == folder:
            output.unlink()
