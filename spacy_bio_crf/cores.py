"""The cores that this process may use, threads that do not take them from each other, and GPUs."""

import os
import sys
from pathlib import Path
from typing import Any

from .errors import BioError, describe

CGROUP, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
QUOTAS = (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"])
# Whoever has set one of these has chosen the number of threads.
CHOICES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_THREAD_LIMIT")
# OpenMP reads these when torch is imported. Threads that wait for each other at a barrier spin on
# cores that others need; libgomp, torch's on Linux, sleeps after so many turns.
PASSIVE = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"}


def available_cores() -> int:
    """RETURNS (int): The cores this process may use, by its affinity and its cgroups' quotas."""
    cores = _affinity()
    for folder in _cgroups():
        for files in QUOTAS:
            try:
                texts = [(folder / file).read_text() for file in files]
                quota, period = (int(number) for number in " ".join(texts).split())
            except (OSError, ValueError):  # no such file, or "max"
                continue
            if quota > 0 and period > 0:
                cores = min(cores, max(1, quota // period))
    return cores


def _affinity() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _cgroups() -> list[Path]:
    """The folders of this process's cgroups and of all above them, in versions 1 and 2."""
    folders = [CGROUP, CGROUP / "cpu"]
    try:
        lines = MEMBERSHIP.read_text().splitlines()
    except OSError:
        return folders
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "" or "cpu" in controllers.split(","):
            # The path may be that of the host, which a container does not see.
            own = Path(path.lstrip("/"))
            bases = [CGROUP] if controllers == "" else [CGROUP / controllers, CGROUP / "cpu"]
            folders += [base / above for base in bases for above in (own, *own.parents)]
    return folders


def fit_threads() -> None:
    """Give torch no more threads than there are cores, where nobody has chosen their number."""
    torch: Any = sys.modules.get("torch")
    if torch is None or any(name in os.environ for name in CHOICES):
        return
    threads = torch.get_num_threads()
    # What torch takes by itself: all cores, or one of the two threads of each.
    defaults = {n // k for n in (os.cpu_count() or 1, _affinity()) for k in (1, 2)}
    if threads in defaults and threads > available_cores():
        torch.set_num_threads(available_cores())


def waiting_settings() -> dict[str, str]:
    """RETURNS (dict[str, str]): `PASSIVE` for processes to start; empty if one of them is set."""
    return {} if PASSIVE.keys() & os.environ.keys() else PASSIVE


def use_gpu(gpu_id: int, *, error: type[BioError] = BioError) -> None:
    """Let spaCy use a GPU.

    gpu_id (int): Its number; a negative one is the CPU, and changes nothing.
    error (type[BioError]): The type of the error.
    RAISES: `error` if there is no such GPU, or no CuPy to use it.
    """
    if gpu_id < 0:
        return
    import spacy

    try:
        spacy.require_gpu(gpu_id)
    # CuPy and torch have errors of their own for a number that no GPU has.
    except (ValueError, RuntimeError) as reason:
        expected = "-1 for the CPU, or the number of a GPU that spaCy can use"
        remedy = f"the reason given: {reason}"
        raise error(describe("gpu_id", expected=expected, got=gpu_id, remedy=remedy)) from reason
