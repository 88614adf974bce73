"""Parts in this process or in several."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any

from spacy.language import Language

from ..cores import available_cores, waiting_settings
from ..errors import AnnotateError

Load = Callable[[], Language]
PartWork = Callable[[Language, Any], Any]
WAITING = 10_000  # parts that wait in a pool, at the most
DEATHS = 3  # of processes at one part, before it is given up

_load: Any = None
_work: Any = None
_nlp: Any = None


def run_parts(
    nlp: Language, work: PartWork, parts: Sequence[Any], *, n_process: int, load: Load | None = None
) -> Generator[Any, None, None]:
    """Annotate parts, in this process or in several.

    nlp (Language): The pipeline.
    work (PartWork): Annotates a part; it is pickled if `load` is given.
    parts (Sequence[Any]): The parts.
    n_process (int): Processes; 1 is this one.
    load (Load | None): Loads the pipeline in each process, which gets as many threads as there are
        cores for it; it is pickled. None: processes are forked, share this one's pipeline, and have
        one thread each, because OpenMP hangs in a fork of a process that has used more.
    YIELDS (Any): The results, in the order of the parts.
    RAISES: AnnotateError if processes die at a part again and again.
    """
    if n_process == 1:
        yield from (work(nlp, part) for part in parts)
        return
    if load is None and "fork" not in multiprocessing.get_all_start_methods():
        raise AnnotateError("n_process: expected `load` on a system without forks, got None")
    left, deaths = list(parts), 0
    while left:
        # After a death one part runs alone, so that each part comes to be the first.
        some, width = (left[:1], 1) if deaths else (left, n_process)
        done = 0
        try:
            for result in _run_pool(nlp, work, some, load, width, available_cores() // n_process):
                yield result
                done, deaths = done + 1, 0
        except BrokenProcessPool as err:
            deaths += 1
            if deaths == DEATHS:
                raise died(left[0]) from err
        left = left[done:]


def died(part: Any) -> AnnotateError:
    """RETURNS (AnnotateError): The error that ends a run at which `DEATHS` processes died."""
    return AnnotateError(
        f"{part}: expected a process that annotates it, got {DEATHS} that died, maybe for want of "
        "memory"
    )


def _run_pool(
    nlp: Language, work: PartWork, parts: list[Any], load: Load | None, width: int, cores: int
) -> Iterator[Any]:
    context = multiprocessing.get_context("spawn" if load else "fork")
    pool = ProcessPoolExecutor(width, context, _begin, (load or (lambda: nlp), work, load is None))
    wanted = {"OMP_NUM_THREADS": str(max(1, cores)), **waiting_settings()}
    unset = wanted.keys() - os.environ.keys()
    os.environ.update({name: wanted[name] for name in unset})
    try:
        for first in range(0, len(parts), WAITING):
            yield from pool.map(_do, parts[first : first + WAITING])
    finally:
        for name in unset:
            del os.environ[name]
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(load: Load, work: PartWork, is_fork: bool) -> None:
    global _load, _work
    _load, _work = load, work
    # Ctrl-C goes to all processes; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_die_with, args=(parent.sentinel,), daemon=True).start()
    torch: Any = sys.modules.get("torch")
    if is_fork and torch is not None:
        torch.set_num_threads(1)


def _die_with(sentinel: int) -> None:
    """End with the parent: one that is killed ends nobody, and a pool waits for work for ever."""
    wait([sentinel])
    os._exit(1)


def _do(part: Any) -> Any:
    global _nlp
    # Not in `_begin`, whose errors the parent does not see.
    _nlp = _nlp or _load()
    return _work(_nlp, part)
