"""Commands that are killed at random moments, on this machine and on a cluster of Ray: the rows
are those of an undisturbed run, none lost, none twice."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spacy_bio_crf.bulk import annotate
from tests.support.ray_tools import Workshop, cluster, rows_of  # noqa: F401

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs kill -9")
DOCUMENTS, PER_PART = 240, 6
KINDS = ("one process", "two processes", "a worker of Ray", "a driver of Ray")
RUNS = [(kind, seed) for kind in KINDS for seed in range(5)]
# tests/bulk/test_on_ray.py has a worker that dies.
SHORT = [("two processes", 0)]


@pytest.mark.parametrize(
    ("kind", "seed"),
    [pytest.param(*run, marks=() if run in SHORT else pytest.mark.long) for run in RUNS],
)
def test_sigkill_at_a_random_moment(tmp_path, request, start, kind, seed):
    generator = random.Random(f"{kind} {seed}")
    shop = Workshop(tmp_path)
    shop.save(pause=0.005)
    texts = [{"text": f"Ana Ruiz {i} in Rio", "i": i} for i in range(DOCUMENTS)]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, texts)))
    annotate(shop.load()(), path, tmp_path / "whole.jsonl")
    for mark in shop.marks.iterdir():
        mark.unlink()
    options = ["--docs-per-file", str(PER_PART), "--one-file"]
    if kind in KINDS[2:]:
        options += ["--engine", "ray", "--address", request.getfixturevalue("cluster")]
        options += ["--n-process", "2"]
    else:
        options += ["--n-process", str(KINDS.index(kind) + 1)]
    driver = start(shop, path, options)
    parts = tmp_path / "out.jsonl.parts"
    wait_for(driver, lambda: len(list(parts.glob("part-*"))) >= generator.randint(1, 30))
    time.sleep(generator.random() * 0.05)
    victims = [driver.pid]
    if kind == "a worker of Ray":
        victims = sorted(shop.pids())[: generator.randint(1, 2)]
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    code = driver.wait(120)
    if victims == [driver.pid]:
        assert code == -signal.SIGKILL
        assert not (tmp_path / "out.jsonl").exists()
        again = start(shop, path, options)
        code = again.wait(120)
    assert code == 0
    assert rows_of(tmp_path / "out.jsonl") == rows_of(tmp_path / "whole.jsonl")
    assert not parts.exists()


@pytest.fixture
def start() -> Iterator[Callable[[Workshop, Path, list[str]], subprocess.Popen]]:
    """Give the command; what still runs at the end of a test that failed is ended."""
    started: list[subprocess.Popen] = []

    def begin(shop: Workshop, path: Path, options: list[str]) -> subprocess.Popen:
        command = [sys.executable, "-m", "spacy", "bio-ner", "annotate", shop.path / "model", path]
        command += [shop.path / "out.jsonl", "--code", shop.code, *options]
        with (shop.path / "log").open("ab") as log:
            process = subprocess.Popen(
                list(map(str, command)), stdout=log, stderr=log, start_new_session=True
            )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(driver: subprocess.Popen, happened) -> None:
    deadline = time.monotonic() + 120
    while not happened():
        assert driver.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
