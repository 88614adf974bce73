"""Annotate batches in this process or in several, in order."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import TypeVar

from spacy.language import Language

from .pipeline import Job, Result, annotate_job
from .records import AnnotateError

T = TypeVar("T")
AHEAD = 2  # batches for each process that are worked on or wait

_nlp: Language | None = None


def run_jobs(
    nlp: Language,
    jobs: Iterable[tuple[T, Job]],
    *,
    n_process: int,
    load: Callable[[], Language] | None = None,
) -> Iterator[tuple[T, Result]]:
    """Annotate batches.

    nlp (Language): The pipeline.
    jobs (Iterable[tuple[T, Job]]): The batches, each with whatever belongs to it. They are drawn as
        they are needed: `AHEAD` for each process at the most.
    n_process (int): Processes; 1 is this one.
    load (Callable[[], Language] | None): Loads the pipeline in each process, as has to be on a GPU;
        it is pickled. None: processes are forked and share this one's, where that is possible.
    YIELDS (tuple[T, Result]): The results, in the order of the batches.
    RAISES: AnnotateError if a process dies.
    """
    if n_process == 1:
        for key, job in jobs:
            yield key, annotate_job(nlp, job)
        return
    with_fork = load is None
    if with_fork and "fork" not in multiprocessing.get_all_start_methods():
        raise AnnotateError("--n-process: expected a system that forks, or a pipeline to load")
    context = multiprocessing.get_context("fork" if with_fork else "spawn")
    pool = ProcessPoolExecutor(
        n_process,
        mp_context=context,
        initializer=_begin,
        initargs=((lambda: nlp) if load is None else load,),
    )
    waiting: deque[tuple[T, Future[Result]]] = deque()
    try:
        for key, job in jobs:
            waiting.append((key, pool.submit(_work, job)))
            if len(waiting) >= AHEAD * n_process:
                key, future = waiting.popleft()
                yield key, future.result()
        while waiting:
            key, future = waiting.popleft()
            yield key, future.result()
    except BrokenProcessPool as err:
        raise AnnotateError(
            f"--n-process {n_process}: a process died, maybe for want of memory: {err}"
        ) from err
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(load: Callable[[], Language]) -> None:
    global _nlp
    # Ctrl-C goes to all processes; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_die_with, args=(parent.sentinel,), daemon=True).start()
    _nlp = load()


def _die_with(sentinel: int) -> None:
    """A parent that is killed can end nobody, and a pool's processes wait for work for ever."""
    wait([sentinel])
    os._exit(1)


def _work(job: Job) -> Result:
    if _nlp is None:
        raise RuntimeError("a process was given work before its pipeline")
    return annotate_job(_nlp, job)
