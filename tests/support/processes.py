"""Processes that tests start by a fork, and that may die."""

import os
from collections.abc import Callable


def fork(work: Callable[[], object]) -> int:
    """Do something in a process of its own. Its code is 0 at the end, and 1 after an error, which
    it writes to stderr. RETURNS (int): The process."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    except BaseException as err:
        os.write(2, f"{err!r}\n".encode())
        os._exit(1)
    os._exit(0)


def exit_code(pid: int) -> int:
    """Wait for a process. RETURNS (int): Its code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
