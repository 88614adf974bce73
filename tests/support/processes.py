"""Processes that tests start by a fork, and that may die."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

STEPS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.scandir", "os.listdir")


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


def fuse(number: int, output: Path):
    """An audit hook that kills the process at a step, counted from 1, that touches the output."""
    left = number

    def hook(event: str, arguments: tuple) -> None:
        nonlocal left
        if event in STEPS and str(output) in str(arguments[0]):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook
