"""Threads that share a pipeline: each answer is that of a pipeline that nobody shares, exactly."""

import random
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc

from tests.support.pipelines import SENTENCES

THREADS = 8
PRECISIONS = ["fp32", "bf16", "auto", "int8"]


@pytest.fixture(scope="module")
def saved(trained: Language, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared")
    trained.to_disk(folder)
    return folder


@pytest.fixture(autouse=True)
def _hasty_threads() -> Iterator[None]:
    """Threads take turns a hundred times as often as by default."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    yield
    sys.setswitchinterval(before)


def load(saved: Path, precision: str) -> Language:
    return spacy.load(saved, config={"components.bio_ner.model.encoder.precision": precision})


def texts(n: int) -> list[str]:
    """Texts of 1 to 60 words, some of which have several windows."""
    draw = random.Random(0)
    words = sorted({word for sentence, _ in SENTENCES for word in sentence})
    return [" ".join(draw.choices(words, k=draw.randint(1, 60))) for _ in range(n)]


def answer(doc: Doc) -> list[tuple[Any, ...]]:
    scores = doc.spans["bio_ner"].attrs["scores"]
    return [*scores, *((ent.start, ent.end, ent.label_, ent._.confidence) for ent in doc.ents)]


def compare(saved: Path, precision: str, n: int) -> None:
    given = texts(n)
    expected = [answer(doc) for doc in map(load(saved, precision), given)]
    assert sum(map(len, expected)) > n
    # Loaded anew, so that all threads come first to what is made at the first call.
    nlp = load(saved, precision)
    together = Barrier(THREADS)

    def work(share: int) -> list[list[tuple[Any, ...]]]:
        together.wait()
        return [answer(nlp(text)) for text in given[share::THREADS]]

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(work, range(THREADS)))
    different = [
        text
        for share in range(THREADS)
        for text, a, b in zip(
            given[share::THREADS], found[share], expected[share::THREADS], strict=True
        )
        if a != b
    ]
    assert not different


@pytest.mark.parametrize("precision", PRECISIONS)
def test_threads_answer_as_one_alone(saved: Path, precision: str):
    compare(saved, precision, 240)


@pytest.mark.long
@pytest.mark.parametrize("precision", PRECISIONS)
def test_threads_answer_as_one_alone_for_long(saved: Path, precision: str):
    compare(saved, precision, 10_000)


def test_streams_in_threads(saved: Path):
    given = texts(160)
    shares = [given[share::THREADS] for share in range(THREADS)]
    alone = load(saved, "int8")
    expected = [[answer(doc) for doc in alone.pipe(share, batch_size=7)] for share in shares]
    nlp = load(saved, "int8")
    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(lambda s: [answer(d) for d in nlp.pipe(s, batch_size=7)], shares)
        assert list(found) == expected


def test_the_precision_may_change_meanwhile(saved: Path):
    """Each answer is one of those that the two precisions give."""
    given = texts(120)
    known = [[answer(doc) for doc in map(load(saved, p), given)] for p in ("fp32", "int8")]
    nlp = load(saved, "fp32")
    ner: Any = nlp.get_pipe("bio_ner")

    def work(i: int) -> bool:
        if i % 5 == 0:
            ner.precision = "int8" if ner.precision == "fp32" else "fp32"
        return answer(nlp(given[i])) in (known[0][i], known[1][i])

    with ThreadPoolExecutor(THREADS) as pool:
        assert all(pool.map(work, range(len(given))))
    assert known[0] != known[1]
