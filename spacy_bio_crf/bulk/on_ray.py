"""The engine for a cluster of Ray: its actors hold the pipeline, and annotate part after part.

    Ray Data:   read a part    →   actors: annotate it, write it   →   the driver: its account

The parts, their folder and its manifest are those of `local.annotate`, on a file system that all
machines share. With a CPU for each actor, Ray fuses reading into it; with a GPU, other tasks read.
"""

import logging
import os
import pickle
import socket
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, Dataset, Datasource, ReadTask
from ray.data.block import BlockMetadata
from ray.exceptions import RayError
from spacy.language import Language

from ..cores import waiting_settings
from ..errors import AnnotateError, Plain, describe
from .fingerprint import load_model, pipeline_digest
from .inputs import InputPart
from .partition import TABLE_DOCUMENTS, annotate_partition
from .work import PartResult, Work
from .workers import DEATHS, died

COLUMN = "pickled"  # of a part that was read, and of its account
# Ray takes about 30 ms for a task, and a part of short documents a few times as long.
TASK_PARTS = 8
# Tasks of each worker at the least, so that all of them end at about the same time.
WORKER_TASKS = 8


@dataclass(frozen=True)
class RayCluster:
    """A cluster of Ray, and what each worker gets of it.

    address (str | None): The cluster, such as "auto" or "ray://head:10001"; None is RAY_ADDRESS,
        or else a new cluster on this machine that ends with the run.
    workers (int | None): Most workers; None: as many as there is room for.
    cores (int | None): Cores of a worker, and its threads; None: one, and with GPUs none at all.
    num_gpus (float): GPUs of a worker; it may be a share of one.
    RAISES: AnnotateError if a number is out of range.
    """

    address: str | None = None
    workers: int | None = None
    cores: int | None = None
    num_gpus: float = 0

    def __post_init__(self) -> None:
        for name, value, least in (
            ("workers", self.workers, 1),
            ("cores", self.cores, 1),
            ("num_gpus", self.num_gpus, 0),
        ):
            if value is not None and value < least:
                raise AnnotateError(describe(name, expected=f"{least} or more", got=value))

    def run(
        self, work: Work, load: Callable[[], Language], parts: Sequence[InputPart]
    ) -> Generator[PartResult, None, None]:
        """Do parts, in any order; see `work.Engine`."""
        if not parts:
            return
        with self._connected():
            task = ray.put((work, Path.cwd()))
            groups = _groups(parts, self._room())
            dataset = ray.data.read_datasource(
                _Parts(task, groups),
                override_num_blocks=len(groups),
                num_cpus=1 if self.num_gpus else self._resources()["num_cpus"],
            )
            results = dataset.map_batches(
                _PartWorker,
                fn_constructor_args=(task, load),
                # Ray asks for a number with GPUs, and without one it reads in the actors.
                batch_size=1 if self.num_gpus else None,
                batch_format="pyarrow",
                **self._resources(),
            )
            done = 0
            try:
                for table in results.iter_batches(batch_size=None, batch_format="pyarrow"):
                    for content in table[COLUMN].to_pylist():
                        result = pickle.loads(content)
                        if isinstance(result, str):
                            raise AnnotateError(result)
                        done += 1
                        yield result
            except RayError as err:
                raise _lost(err) from err
        if done < len(parts):
            wanted, got = f"{len(parts)} parts", Plain(f"{done}; the same call goes on")
            raise AnnotateError(describe("engine", expected=wanted, got=got))

    def _resources(self) -> dict[str, Any]:
        """Arguments of `map_batches`."""
        return {
            "compute": ActorPoolStrategy(min_size=1, max_size=self.workers),
            "num_cpus": self.cores or (0 if self.num_gpus else 1),
            "num_gpus": self.num_gpus or None,
        }

    def _room(self) -> int:
        """RETURNS (int): How many workers there is room for now. A cluster may grow."""
        there, own = ray.cluster_resources(), self._resources()
        rooms = [
            there.get(name, 0) // own[key]
            for name, key in (("CPU", "num_cpus"), ("GPU", "num_gpus"))
            if own[key]
        ]
        return max(1, int(min([*rooms, self.workers or float("inf")], default=1)))

    @contextmanager
    def _connected(self) -> Iterator[None]:
        if ray.is_initialized():
            yield
            return
        settings = waiting_settings()
        environment = {"env_vars": settings} if settings else None
        try:
            ray.init(self.address, runtime_env=environment, logging_level=logging.WARNING)
        except (ConnectionError, ValueError, RuntimeError, RayError) as err:
            message = describe("address", expected="a cluster of Ray", got=Plain(err))
            raise AnnotateError(message) from err
        try:
            yield
        finally:
            ray.shutdown()


def annotate_dataset(
    dataset: Dataset,
    model: Path | str,
    *,
    text_key: str = "text",
    entities_key: str = "entities",
    batch_size: int | None = None,
    skip_bad: bool = False,
    code: Path | None = None,
    max_length: int | None = None,
    workers: int | None = None,
    cores: int | None = None,
    num_gpus: float = 0,
    task_rows: int | None = None,
) -> Dataset:
    """Add the entities to the rows of a dataset of Ray. Nothing is run before it is consumed.

    dataset (Dataset): Any dataset with a column of texts.
    model (Path | str): A folder or an installed package, here and on each machine. A worker that
        finds another pipeline there ends the run.
    text_key (str): Column of the text.
    entities_key (str): Column that the entities get.
    batch_size (int | None): Most documents in a batch of the pipeline; None takes the pipeline's.
    skip_bad (bool): Leave out rows without a text, and those on which the pipeline fails.
    code (Path | None): A file of code that belongs to the pipeline, on each machine.
    max_length (int | None): Most characters in a document; None takes the pipeline's.
    workers (int | None): Most workers; None: as many as there is room for.
    cores (int | None): Cores of a worker, and its threads; None: one, and with GPUs none at all.
    num_gpus (float): GPUs of a worker; it may be a share of one.
    task_rows (int | None): Rows of a task; None: those of a block, which Ray limits in bytes, but
        1,000 with GPUs, for which Ray asks for a number.
    RETURNS (Dataset): The rows with the column of entities at the end.
    RAISES: AnnotateError if the pipeline can't be loaded here, or a number is out of range.
    """
    cluster = RayCluster(workers=workers, cores=cores, num_gpus=num_gpus)
    model = Path(model).resolve() if Path(model).exists() else model
    code = code and code.resolve()
    nlp = load_model(model, code, -1, max_length)
    worker = partial(
        annotate_partition,
        model=model,
        text_key=text_key,
        entities_key=entities_key,
        batch_size=batch_size,
        skip_bad=skip_bad,
        code=code,
        gpu_id=0 if num_gpus else -1,
        max_length=max_length,
        digest=pipeline_digest(nlp, code),
    )
    return dataset.map_batches(
        _TableWorker,
        fn_constructor_args=(worker,),
        batch_size=task_rows or (TABLE_DOCUMENTS if num_gpus else None),
        batch_format="pyarrow",
        **cluster._resources(),
    )


class _TableWorker:
    """An actor that annotates the blocks of a dataset."""

    def __init__(self, worker: Callable[[list[pa.Table]], Iterator[pa.Table]]) -> None:
        self._worker = worker

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        yield from self._worker([table])


def _groups(parts: Sequence[InputPart], workers: int) -> list[Sequence[InputPart]]:
    """Put parts into tasks: `TASK_PARTS` in each, or fewer if workers would be without one."""
    size = max(1, min(TASK_PARTS, len(parts) // (workers * WORKER_TASKS)))
    return [parts[i : i + size] for i in range(0, len(parts), size)]


class _Parts(Datasource):
    """Parts as rows of a dataset, some in each task, so that tasks are sized by their text."""

    def __init__(self, task: Any, groups: Sequence[Sequence[InputPart]]) -> None:
        super().__init__()
        self._task, self._groups = task, groups

    def estimate_inmemory_data_size(self) -> int | None:
        return None

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None
    ) -> list[ReadTask]:
        return [
            ReadTask(
                partial(_read_parts, self._task, group),
                BlockMetadata(len(group), None, None, None),
            )
            for group in self._groups
        ]


def _read_parts(task: Any, parts: Sequence[InputPart]) -> Iterator[pa.Table]:
    for part in parts:
        found: Any
        try:
            found = _fetch(task).source.read(part)
        except (AnnotateError, OSError) as err:
            found = str(err)
        yield _table((part, found))


class _PartWorker:
    """An actor that annotates and writes parts.

    Errors are returned, not raised: Ray would wrap them in its own, and begin the part anew.
    """

    def __init__(self, task: Any, load: Callable[[], Language]) -> None:
        self._task, self._load = task, load
        self._nlp: Language | None = None

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        for content in table[COLUMN].to_pylist():
            part, found = pickle.loads(content)
            try:
                result: Any = self._do(part, found)
            except (AnnotateError, OSError) as err:
                result = str(err)
            yield _table(result)
            if isinstance(result, str):
                return

    def _do(self, part: InputPart, found: Any) -> PartResult:
        if isinstance(found, str):
            raise AnnotateError(found)
        work = _fetch(self._task)
        begun = work.folder.begin_part(part.number)
        if begun > DEATHS:
            raise died(part)
        finished = work.folder.finished() if begun > 1 else {}
        if part.number in finished:
            # The worker died after the part was written.
            return PartResult(part.size, finished[part.number][1], [])
        if self._nlp is None:
            # Not in `__init__`: an actor that dies there is begun anew for ever.
            try:
                self._nlp = self._load()
            except AnnotateError as err:
                raise AnnotateError(f"{socket.gethostname()}: {err}") from err
        result = work.annotate(self._nlp, part, found)
        work.folder.end_part(part.number)
        return result


@lru_cache(maxsize=1)
def _fetch(task: Any) -> Work:
    work, folder = ray.get(task)
    # Paths may be relative to the driver's folder, and are part of the rows of some formats.
    with suppress(OSError):
        os.chdir(folder)
    return work


def _table(value: Any) -> pa.Table:
    return pa.table({COLUMN: pa.array([pickle.dumps(value, 5)], pa.large_binary())})


def _lost(error: RayError) -> AnnotateError:
    """What has happened to the cluster, in a line."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    got = Plain(f"{type(error).__name__}: {lines[0] if lines else ''}")
    remedy = "the same call goes on"
    return AnnotateError(
        describe("engine", expected="workers that annotate", got=got, remedy=remedy)
    )
