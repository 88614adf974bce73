"""Saves that are killed while they replace a pipeline: the old one, the new one, or an error."""

import errno
import json
import os
import random
import shutil
import signal
import sys
import time
import warnings
from pathlib import Path

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc

from tests.support.components import component
from tests.support.pipelines import SENTENCES, MakeNlp, make_example, make_examples, spans_of, train
from tests.support.processes import exit_code, fork, fuse

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and kill -9")


def save_and_die(nlp: Language, output: Path, *, step: int | None = None) -> int:
    """Save in a process of its own, which may die. RETURNS (int): The process."""

    def work() -> None:
        if step is not None:
            sys.addaudithook(fuse(step, output))
        nlp.to_disk(output)

    return fork(work)


def answers(nlp: Language) -> list:
    docs = [Doc(nlp.vocab, words=words) for words, _ in SENTENCES]
    scores = [s.numpy().tolist() for s in component(nlp).lattice(docs).scores]
    return [scores, component(nlp).labels, [spans_of(doc) for doc in nlp.pipe(docs)]]


@pytest.fixture(params=["same settings", pytest.param("other settings", marks=pytest.mark.long)])
def pair(request, make_nlp: MakeNlp, trained: Language) -> tuple[Language, Language]:
    """An old and a new pipeline, of as many labels."""
    if request.param == "same settings":
        new = make_nlp(encoder_options={"dropout": 0.0})
        return trained, train(new, make_examples(new), steps=10)
    new = make_nlp(encoder_options={"dropout": 0.0, "window": 20, "overlap": 4})
    named = {"PER": "WHO", "LOC": "WHERE"}
    examples = [
        make_example(new, words, [(s, e, named[label]) for s, e, label in ents])
        for words, ents in SENTENCES
    ]
    return trained, train(new, examples, steps=10)


def outcome(output: Path, known: dict[str, list]) -> str:
    """Which pipeline is loaded: "old", "new", "error"; fails for any other."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = answers(spacy.load(output))
    except (OSError, ValueError) as error:
        print(error)
        return "error"
    names = [name for name, expected in known.items() if found == expected]
    assert names, f"a mixture: {found[1]}"
    return names[0]


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def check(output: Path, new: Language, known: dict[str, list], code: int) -> str:
    """What is there after a kill; and nothing is left of it after the next save."""
    found = outcome(output, known)
    assert code in (0, -signal.SIGKILL)
    assert code or found == "new"
    new.to_disk(output)
    assert files(output) == files(output.with_name("new"))
    return found


@pytest.mark.parametrize("stride", [3, pytest.param(1, marks=pytest.mark.long)])
def test_a_kill_at_any_step(pair, stride: int, tmp_path: Path):
    old, new = pair
    old.to_disk(tmp_path / "old")
    new.to_disk(tmp_path / "new")
    known = {"old": answers(old), "new": answers(new)}
    found, code, step = [], -signal.SIGKILL, 1 - stride
    while code:
        step += stride
        output = tmp_path / "output"
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(tmp_path / "old", output)
        code = exit_code(save_and_die(new, output, step=step))
        found.append(check(output, new, known, code))
    assert len(found) > 20 // stride and {"old", "new"} <= set(found)


FULL_DISK = """
import json, resource, sys
from pathlib import Path
import spacy

place = Path(sys.argv[1])
nlp = spacy.load(place)
ner = nlp.get_pipe("bio_ner")
failed = []
for limit in (0, 100, 1_000, 10_000, 50_000, 100_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    error = None
    try:
        ner.to_disk(place / "bio_ner", exclude=["vocab"])
    except OSError as e:
        error = e
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    failed.append(error and [error.errno, str(error)])
    spacy.load(place)
print(json.dumps(failed))
"""


def test_a_full_disk_leaves_the_old_component_and_is_told(trained, tmp_path: Path, run_python):
    """A limit on the size of files stands for the disk."""
    trained.to_disk(tmp_path / "model")
    before = files(tmp_path / "model")
    failed = json.loads(run_python(FULL_DISK, tmp_path / "model"))
    assert len([error for error in failed if error]) >= 4
    for number, message in filter(None, failed):
        assert number == errno.EFBIG and str(tmp_path / "model") in message
    assert files(tmp_path / "model") == before


@pytest.mark.long
def test_kills_at_random_moments(pair, tmp_path: Path):
    old, new = pair
    old.to_disk(tmp_path / "old")
    # How long a save takes in a process of its own.
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    start = time.perf_counter()
    exit_code(save_and_die(new, tmp_path / "new"))
    duration = time.perf_counter() - start
    known = {"old": answers(old), "new": answers(new)}
    moments, counts = random.Random(0), dict.fromkeys(("old", "new", "error"), 0)
    for _ in range(65):
        output = tmp_path / "output"
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(tmp_path / "old", output)
        pid = save_and_die(new, output)
        time.sleep(moments.uniform(0, 1.5 * duration))
        os.kill(pid, signal.SIGKILL)
        counts[check(output, new, known, exit_code(pid))] += 1
    print(f"65 kills: {counts}")
    # Some came too late, some in time.
    assert 0 < counts["new"] < 65
