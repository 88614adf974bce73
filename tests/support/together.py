"""Trainings by several processes, as torchrun starts them, in forks of this one."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import spacy
from thinc.api import PyTorchShim

from spacy_bio_crf.training.processes import Processes, join
from tests.support.processes import exit_code, fork
from tests.support.trainings import run_training


def run_together(work: Callable[[Processes], object], count: int = 2) -> list[int]:
    """Do something in several processes. RETURNS (list[int]): Their codes, as of `exit_code`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def begin(rank: int) -> None:
        for name, value in {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": count,
            "LOCAL_WORLD_SIZE": count,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "TORCHELASTIC_RUN_ID": "test",
        }.items():
            os.environ[name] = str(value)
        processes = join()
        assert processes is not None
        work(processes)
        processes.leave()

    return [exit_code(pid) for pid in [fork(lambda r=rank: begin(r)) for rank in range(count)]]


def train_together(config: Path, output: Path, count: int = 2, **options: Any) -> list[int]:
    """Train in several processes; options as of `run_training`."""
    return run_together(
        lambda processes: run_training(config, output, processes=processes, **options), count
    )


def weights_of(model: Path) -> dict[str, np.ndarray]:
    """All parameters of a saved pipeline, by component, layer and name."""
    nlp, found = spacy.load(model), {}
    for name, pipe in nlp.pipeline:
        for i, node in enumerate(pipe.model.walk()):
            for param in node.param_names:
                if node.has_param(param):
                    found[f"{name}/{i}/{param}"] = np.array(node.get_param(param))
            for shim in node.shims:
                if isinstance(shim, PyTorchShim):
                    for param, value in shim._model.state_dict().items():
                        found[f"{name}/{i}/{param}"] = value.numpy()
    return found


def difference(one: Path, other: Path) -> float:
    """RETURNS (float): The greatest difference of two pipelines' networks, as a part of the norm of
    all parameters of one. Parts of it may have no gradient but rounding, as biases of keys have."""
    first, second = weights_of(one), weights_of(other)
    assert first.keys() == second.keys() and first
    networks: dict[str, list[str]] = {}
    for key in first:
        networks.setdefault(key.rpartition("/")[0], []).append(key)

    def norm(arrays: list[np.ndarray]) -> float:
        return float(np.sqrt(sum((a.astype(np.float64) ** 2).sum() for a in arrays)))

    return max(
        norm([second[key] - first[key] for key in keys]) / norm([first[key] for key in keys])
        for keys in networks.values()
    )
