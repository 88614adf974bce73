"""`annotate` in several processes gives what it gives in one."""

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import spacy
import torch
from spacy.language import Language

from spacy_bio_crf.bulk import AnnotateError, workers
from spacy_bio_crf.bulk.workers import run_parts
from tests.support.annotate_tools import folder, make_ruler  # noqa: F401
from tests.support.pipelines import SENTENCES

# ruff: noqa: F811

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
TEXTS = [f"Ana Ruiz {i} in Rio{' !' * (i % 5)}" for i in range(50)]


@forks
@pytest.mark.parametrize("suffix", [".jsonl", ".spacy"])
@pytest.mark.parametrize("size", [1, 7, 100])
def test_two_processes_write_what_one_writes(folder, suffix, size):
    texts = TEXTS[:20] + ["poison"] + TEXTS[20:]
    path = folder.write("a.jsonl", [{"text": t, "id": i} for i, t in enumerate(texts)])
    path.write_bytes(path.read_bytes() + b"bad\n")
    options = {"docs_per_file": size, "one_file": True, "skip_bad": True}
    one = folder.annotate(path, f"one{suffix}", **options)
    two = folder.annotate(path, f"two{suffix}", n_process=2, **options)
    assert one.read_bytes() == two.read_bytes()


@forks
def test_two_processes_with_bio_ner(folder, trained):
    texts = [" ".join(words) for words, _ in SENTENCES] * 4
    path = folder.write("a.txt", "\n".join(texts))
    options = {"nlp": trained, "docs_per_file": 5, "one_file": True}
    one = folder.annotate(path, "one.jsonl", **options)
    two = folder.annotate(path, "two.jsonl", n_process=2, **options)
    assert b'"score"' in one.read_bytes()
    assert one.read_bytes() == two.read_bytes()


@forks
def test_the_first_bad_record_is_named(folder):
    path = folder.write("a.txt", "\n".join(["Rio"] * 10 + ["poison"] + ["Rio"] * 10 + ["poison"]))
    options = {"n_process": 2, "docs_per_file": 2, "one_file": True}
    assert "a.txt, line 11: the pipeline failed: RuntimeError: can't read poison" in folder.error(
        path, **options
    )
    assert len(folder.rows(path, skip_bad=True, **options)) == 20


def slow_first(nlp, part):
    """Later parts are ready sooner."""
    time.sleep(0.1 if part == 0 else 0)
    return part, os.getpid()


@forks
def test_results_come_in_order(monkeypatch):
    monkeypatch.setattr(workers, "WAITING", 7)
    results = list(run_parts(make_ruler(), slow_first, range(20), n_process=2))
    assert [part for part, _ in results] == [*range(20)]
    assert len({pid for _, pid in results}) == 2 and os.getpid() not in {p for _, p in results}


@pytest.mark.slow
def test_processes_that_load_the_pipeline_themselves(folder, tmp_path):
    """As on a GPU, where there is no fork, and where each has several threads."""
    nlp = folder.nlp
    nlp.remove_pipe("fragile")
    nlp.to_disk(tmp_path / "model")
    path = folder.write("a.txt", "\n".join(TEXTS))
    options = {"docs_per_file": 9, "one_file": True, "nlp": spacy.load(tmp_path / "model")}
    one = folder.annotate(path, "one.jsonl", **options)
    load = partial(spacy.load, tmp_path / "model")
    two = folder.annotate(path, "two.jsonl", n_process=2, load=load, **options)
    assert one.read_bytes() == two.read_bytes()
    # What the processes load is another pipeline.
    nlp.get_pipe("entity_ruler").add_patterns([{"label": "X", "pattern": "in"}])
    nlp.to_disk(tmp_path / "other")
    other = partial(spacy.load, tmp_path / "other")
    error = folder.error(path, "three.jsonl", n_process=2, load=other, **options)
    assert (
        str(error)
        .replace(f"{tmp_path}/", "")
        .startswith("other: expected the pipeline with which the run began, '")
    )
    assert error.endswith("; `restart` begins anew")


# -- processes that die ---------------------------------------------------------------------------


class Deadly:
    """Kills its process at a text, as often as a file has lines."""

    def __init__(self, lives: Path) -> None:
        self.lives = lives

    def __call__(self, doc):
        if "deadly" in doc.text:
            left = self.lives.read_text()
            self.lives.write_text(left[1:])
            if left:
                os.kill(os.getpid(), signal.SIGKILL)
        return doc


@forks
@pytest.mark.parametrize("deaths", [1, 2])
def test_the_part_of_a_process_that_dies_is_done_again(folder, deaths):
    Language.component("deadly", func=Deadly(folder.write("lives", "x" * deaths)))
    folder.nlp.add_pipe("deadly")
    path = folder.write("a.txt", "Rio\n" * 20 + "deadly\n" + "Rio\n" * 20)
    rows = folder.rows(path, n_process=2, docs_per_file=2, one_file=True)
    assert [row["text"] for row in rows] == ["Rio"] * 20 + ["deadly"] + ["Rio"] * 20
    assert (folder.path / "lives").read_text() == ""


@forks
def test_a_part_whose_processes_always_die_is_named(folder):
    Language.component("deadly", func=Deadly(folder.write("lives", "x" * 1000)))
    folder.nlp.add_pipe("deadly")
    path = folder.write("a.txt", "Rio\n" * 20 + "deadly\n" + "Rio\n" * 20)
    options = {"n_process": 2, "docs_per_file": 2, "one_file": True}
    assert folder.error(path, **options) == (
        "a.txt, records 21 to 22: expected a process that annotates it, got 3 that died, maybe "
        "for want of memory"
    )
    # The parts before it are there.
    assert folder.finished()[:10] == [*range(10)] and 10 not in folder.finished()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts processes in /proc")
def test_no_process_is_left(folder):
    def count():
        with open(f"/proc/{os.getpid()}/task/{os.getpid()}/children") as file:
            return len(file.read().split())

    before = count()
    path = folder.write("a.txt", "\n".join(TEXTS))
    folder.annotate(path, n_process=3, docs_per_file=5, one_file=True)
    assert count() == before


def test_a_system_without_forks_needs_a_way_to_load(monkeypatch):
    monkeypatch.setattr("multiprocessing.get_all_start_methods", lambda: ["spawn"])
    with pytest.raises(AnnotateError, match="n_process: expected `load` on a system without"):
        list(run_parts(make_ruler(), slow_first, [0], n_process=2))


# -- cores and threads ----------------------------------------------------------------------------


def threads_of(nlp, part):
    names = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY")
    return torch.get_num_threads(), [os.environ.get(name) for name in names]


@forks
def test_a_fork_has_one_thread(monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        results = run_parts(make_ruler(), threads_of, [0, 1], n_process=2)
        assert [threads for threads, _ in results] == [1, 1]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.parametrize("chosen", [None, "1"])
def test_processes_that_load_share_the_cores(monkeypatch, chosen):
    for name in "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT":
        monkeypatch.delenv(name, raising=False)
    if chosen:
        monkeypatch.setenv("OMP_NUM_THREADS", chosen)
    monkeypatch.setattr(workers, "available_cores", lambda: 4)
    load = partial(spacy.blank, "en")
    ((threads, values),) = run_parts(make_ruler(), threads_of, [0], n_process=2, load=load)
    assert threads == int(chosen or 2)
    assert values == [chosen or "2", "passive"]
    assert os.environ.get("OMP_NUM_THREADS") == chosen and "OMP_WAIT_POLICY" not in os.environ
