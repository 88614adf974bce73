"""`annotate` in several processes gives what it gives in one."""

import itertools
import os
import signal
import sys
import time
from functools import partial

import pytest
import spacy

from spacy_bio_crf.bulk import AnnotateError
from spacy_bio_crf.bulk.pipeline import Job
from spacy_bio_crf.bulk.workers import run_jobs
from tests.support.annotate_tools import folder, make_ruler  # noqa: F401
from tests.support.pipelines import SENTENCES

# ruff: noqa: F811

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
TEXTS = [f"Ana Ruiz {i} in Rio{' !' * (i % 5)}" for i in range(50)]


@forks
@pytest.mark.parametrize("suffix", [".jsonl", ".spacy"])
@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_two_processes_write_what_one_writes(folder, suffix, batch_size):
    texts = TEXTS[:20] + ["poison"] + TEXTS[20:]
    path = folder.write("a.jsonl", [{"text": t, "id": i} for i, t in enumerate(texts)])
    path.write_bytes(path.read_bytes() + b"bad\n")
    options = {"batch_size": batch_size, "skip_bad": True}
    one = folder.annotate(path, f"one{suffix}", **options)
    two = folder.annotate(path, f"two{suffix}", n_process=2, **options)
    assert one.read_bytes() == two.read_bytes()


@forks
def test_two_processes_with_bio_ner(folder, trained):
    texts = [" ".join(words) for words, _ in SENTENCES] * 4
    path = folder.write("a.txt", "\n".join(texts))
    one = folder.annotate(path, "one.jsonl", nlp=trained, batch_size=5)
    two = folder.annotate(path, "two.jsonl", nlp=trained, batch_size=5, n_process=2)
    assert b'"score"' in one.read_bytes()
    assert one.read_bytes() == two.read_bytes()


@forks
def test_errors_come_in_order(folder):
    path = folder.write("a.txt", "\n".join(["Rio"] * 10 + ["poison"] + ["Rio"] * 10 + ["poison"]))
    assert "a.txt, line 11: the pipeline failed: RuntimeError: can't read poison" in folder.error(
        path, n_process=2, batch_size=2
    )
    assert len(folder.rows(path, n_process=2, batch_size=2, skip_bad=True)) == 20


class Slow:
    """Later batches are ready sooner."""

    def __call__(self, doc):
        time.sleep(0.1 if doc.text == "0" else 0)
        return doc


def test_results_come_in_order_and_batches_are_drawn_as_needed():
    nlp = spacy.blank("en")
    spacy.Language.component("slow_first", func=Slow())
    nlp.add_pipe("slow_first")
    drawn = []

    def jobs():
        for i in itertools.count():
            drawn.append(i)
            yield i, Job([str(i)])

    stream = run_jobs(nlp, jobs(), n_process=2)
    for expected in range(5):
        key, result = next(stream)
        assert key == expected and result.outcomes[0].words == 1
        assert len(drawn) <= expected + 4
    stream.close()


@pytest.mark.slow
def test_processes_that_load_the_pipeline_themselves(folder, tmp_path):
    """As on a GPU, and where there is no fork."""
    nlp = folder.nlp
    nlp.remove_pipe("fragile")
    nlp.to_disk(tmp_path / "model")
    path = folder.write("a.txt", "\n".join(TEXTS))
    one = folder.annotate(path, "one.jsonl", batch_size=9)
    load = partial(spacy.load, tmp_path / "model")
    two = folder.annotate(path, "two.jsonl", batch_size=9, n_process=2, load=load)
    assert one.read_bytes() == two.read_bytes()


class Deadly:
    def __call__(self, doc):
        if "deadly" in doc.text:
            os.kill(os.getpid(), signal.SIGKILL)
        return doc


@forks
def test_a_process_that_dies_ends_the_run(folder):
    spacy.Language.component("deadly", func=Deadly())
    folder.nlp.add_pipe("deadly")
    path = folder.write("a.txt", "Rio\n" * 20 + "deadly\n" + "Rio\n" * 20)
    message = "--n-process 2: a process died, maybe for want of memory"
    assert message in folder.error(path, n_process=2, batch_size=2)
    folder.nlp.remove_pipe("deadly")
    # What was done before is kept, but this is another pipeline.
    assert "the interrupted run had another pipeline" in folder.error(path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts processes in /proc")
def test_no_process_is_left(folder):
    def count():
        with open(f"/proc/{os.getpid()}/task/{os.getpid()}/children") as file:
            return len(file.read().split())

    before = count()
    path = folder.write("a.txt", "\n".join(TEXTS))
    folder.annotate(path, n_process=3, batch_size=5)
    assert count() == before


def test_a_system_without_forks_needs_a_way_to_load(monkeypatch):
    monkeypatch.setattr("multiprocessing.get_all_start_methods", lambda: ["spawn"])
    with pytest.raises(AnnotateError, match="--n-process: expected a system that forks"):
        list(run_jobs(make_ruler(), [], n_process=2))
