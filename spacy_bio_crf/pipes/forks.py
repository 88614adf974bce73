"""Guards for forked processes, as of `nlp.pipe(n_process=2)`, and two libraries with threads."""

import os
from functools import lru_cache, partial

import torch

PARALLELISM = "TOKENIZERS_PARALLELISM"


@lru_cache(maxsize=1)
def install_fork_guards() -> None:
    """Let forked processes compute and tokenize on one thread.

    A fork has none of the threads that torch has used before: the first parallel computation would
    wait for them forever. The tokenizers library switches to one thread by itself, with a warning.
    """
    set_by_us: list[bool] = []

    def before() -> None:
        set_by_us.append(PARALLELISM not in os.environ)
        os.environ.setdefault(PARALLELISM, "false")

    def after() -> None:
        if set_by_us.pop():
            os.environ.pop(PARALLELISM, None)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=before, after_in_parent=after)
        os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))
