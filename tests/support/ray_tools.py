"""For the tests of engines: a small cluster of Ray, and pipelines that its workers can load."""

import json
import logging
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import spacy
from spacy.language import Language

from spacy_bio_crf.bulk.fingerprint import load_model
from tests.support.annotate_tools import PATTERNS

CODE = Path(__file__).with_name("watched.py")


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster with two cores and what it takes for a GPU. This process is
    connected to it."""
    ray = pytest.importorskip("ray")
    # On a busy machine, workers with the niceness that Ray gives them would hardly begin.
    os.environ.setdefault("RAY_worker_niceness", "0")
    context = ray.init(
        "local",
        num_cpus=2,
        num_gpus=1,
        object_store_memory=80 << 20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    yield context.address_info["gcs_address"]
    ray.shutdown()


class Workshop:
    """A folder with a pipeline on disk, its code, and what its component leaves."""

    def __init__(self, path: Path) -> None:
        self.path, self.marks = path, path / "marks"
        self.marks.mkdir()
        self.code = CODE

    def save(self, name: str = "model", **options: object) -> Path:
        """Write a pipeline. Its component has these options."""
        spacy.util.import_file("python_code", self.code)
        nlp = spacy.blank("xx")
        nlp.add_pipe("entity_ruler").add_patterns(PATTERNS)
        nlp.add_pipe("watched", config={"folder": str(self.marks), **options})
        nlp.to_disk(self.path / name)
        return self.path / name

    def load(self, name: str = "model") -> Callable[[], Language]:
        """A way to load a pipeline in any process."""
        return partial(load_model, self.path / name, self.code)

    def pids(self) -> set[int]:
        """The processes that have annotated something."""
        return {int(path.name.removeprefix("pid-")) for path in self.marks.glob("pid-*")}


def rows_of(path: Path) -> list[dict]:
    """The rows of a JSONL file or of a folder of such parts."""
    files = sorted(path.glob("part-*")) if path.is_dir() else [path]
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]
