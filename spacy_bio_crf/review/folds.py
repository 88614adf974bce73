"""Folds of a corpus: models that have not seen the documents that they judge."""

import hashlib
import json
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spacy.tokens import Doc, DocBin
from spacy.util import load_config

from ..corpora.split import plain_text
from ..errors import Plain, TrainingError, describe
from ..gold.soft import WEIGHT
from ..io import lock_file, replacing, write_json
from ..tags.spans import SCORES, annotated_labels

SETTINGS, FINISHED = "folds.json", "finished.json"
DEV_SHARE = 10  # one in so many training documents chooses the best model
_LINES = 5  # of a failed training's output, in the message

_Say = Callable[[str], None]


@dataclass(frozen=True)
class FoldTraining:
    """Settings of the trainings.

    config (Path): A config for `spacy train`.
    overrides (Sequence[str]): Values for it, as on the command line.
    code (Path | None): A Python file with registered functions.
    gpu_id (int): The GPU, or -1.
    """

    config: Path
    overrides: Sequence[str] = ()
    code: Path | None = None
    gpu_id: int = -1


@dataclass(frozen=True)
class Fold:
    """A part of the corpus, and the model trained on all other parts.

    name (str): For messages.
    folder (Path): Its corpora, and its training.
    held_out (list[int]): The indices of its documents.
    """

    name: str
    folder: Path
    held_out: list[int]

    @property
    def model(self) -> Path:
        """RETURNS (Path): The trained pipeline."""
        return self.folder / "training" / "model-best"

    @property
    def is_finished(self) -> bool:
        """RETURNS (bool): The training has come to its end."""
        return (self.folder / FINISHED).is_file()


def deal(docs: Sequence[Doc], n_folds: int, *, seed: int) -> list[list[int]]:
    """Deal documents out at random, equal texts to one fold. White space is not compared.

    docs (Sequence[Doc]): The documents.
    n_folds (int): The number of folds.
    seed (int): The same one gives the same folds on every machine.
    RETURNS (list[list[int]]): The indices of each fold's documents, in order.
    RAISES: TrainingError if there are fewer texts than folds.
    """
    groups: dict[str, list[int]] = {}
    for i, doc in enumerate(docs):
        groups.setdefault(plain_text(doc.text), []).append(i)
    if not 2 <= n_folds <= len(groups):
        expected = f"2 to {len(groups)}, the number of different texts"
        raise TrainingError(describe("folds", expected=expected, got=n_folds))
    order = list(groups.values())
    random.Random(seed).shuffle(order)
    return [sorted(i for group in order[k::n_folds] for i in group) for k in range(n_folds)]


def prepare_folds(
    docs: Sequence[Doc], folder: Path, training: FoldTraining, *, n_folds: int, seed: int
) -> list[Fold]:
    """Write the corpora of all folds, or find those of an earlier run.

    docs (Sequence[Doc]): All documents.
    folder (Path): A folder for the folds.
    training (FoldTraining): The settings of the trainings.
    n_folds, seed (int): As for `deal`.
    RETURNS (list[Fold]): The folds.
    RAISES: TrainingError if the folder has folds of another corpus or other settings.
    """
    dealt = deal(docs, n_folds, seed=seed)
    settings = {"folds": n_folds, "seed": seed, "corpus": _digest(docs), **_described(training)}
    path = folder / SETTINGS
    if path.is_file():
        known = json.loads(path.read_bytes())
        other = [key for key in settings if known.get(key) != settings[key]]
        if other:
            got = Plain(f"folds with another {' and '.join(other)}")
            remedy = "name another folder, or remove this one"
            expected = "folds of this corpus and these settings"
            raise TrainingError(describe(str(folder), expected=expected, got=got, remedy=remedy))
    folds = []
    for k, held_out in enumerate(dealt):
        fold = Fold(f"fold {k + 1} of {n_folds}", folder / f"fold-{k + 1}", held_out)
        if not path.is_file():
            held_back = set(held_out)
            write_fold(fold, [doc for i, doc in enumerate(docs) if i not in held_back])
        folds.append(fold)
    write_json(path, settings)
    return folds


def write_fold(fold: Fold, docs: Sequence[Doc]) -> None:
    """Write the corpora that the model of a fold is trained on.

    fold (Fold): The fold.
    docs (Sequence[Doc]): The documents that it does not hold out. Every tenth text is not trained
        on, but chooses the best model.
    """
    texts = list(dict.fromkeys(plain_text(doc.text) for doc in docs))
    chosen = set(texts[:: max(2, min(DEV_SHARE, len(texts)))])
    dev = [doc for doc in docs if plain_text(doc.text) in chosen]
    train = [doc for doc in docs if plain_text(doc.text) not in chosen]
    for name, part in (("train", train or dev), ("dev", dev)):
        with replacing(fold.folder / f"{name}.spacy") as aside:
            DocBin(docs=part, store_user_data=True).to_disk(aside)


def _digest(docs: Sequence[Doc]) -> str:
    digest = hashlib.sha256()
    for doc in docs:
        entities = [(ent.start, ent.end, ent.label_) for ent in doc.ents]
        words = [(token.text_with_ws, token.ent_iob) for token in doc]
        digest.update(repr((words, entities)).encode("utf-8", "surrogatepass"))
        spans = [
            (key, [(s.start, s.end, s.label_) for s in group], list(group.attrs.get(SCORES, ())))
            for key, group in sorted(doc.spans.items())
        ]
        labels = annotated_labels(doc)
        more = (spans, doc.user_data.get(WEIGHT), None if labels is None else sorted(labels))
        if more != ([], None, None):
            digest.update(repr(more).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _described(training: FoldTraining) -> dict[str, Any]:
    digests = {
        name: None if path is None else hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in (("config", training.config), ("code", training.code))
    }
    return {**digests, "values": list(training.overrides)}


def train_folds(
    folds: Sequence[Fold],
    training: FoldTraining,
    *,
    jobs: int = 1,
    say: _Say = lambda message: None,
) -> None:
    """Train the models of folds, each in a process of its own, by `bio-ner train`.

    A fold that is finished is not trained again; one that is not goes on from its checkpoint.

    folds (Sequence[Fold]): From `prepare_folds`.
    training (FoldTraining): The settings.
    jobs (int): Trainings at once.
    say (Callable[[str], None]): Called with messages.
    RAISES: TrainingError with the end of the output of a training that fails.
    """
    options = _corpus_options(training)
    left = []
    for fold in folds:
        if fold.is_finished:
            say(f"{fold.name}: trained before")
        else:
            left.append(fold)
    runs = _Runs(training, options, say)
    with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
        try:
            for _ in pool.map(runs.train, left):
                pass
        except BaseException:
            runs.end()
            raise


def _corpus_options(training: FoldTraining) -> Callable[[Fold], list[str]]:
    """Options that name a fold's corpora, and a log of its own if the config has one."""
    config = load_config(training.config, interpolate=False)
    settings = config.get("training", {})
    names = [settings.get(f"{part}_corpus", f"corpora.{part}") for part in ("train", "dev")]
    has_log = settings.get("logger", {}).get("output_file") is not None

    def options(fold: Fold) -> list[str]:
        given = []
        for name, part in zip(names, ("train", "dev"), strict=True):
            given += [f"--{name}.path", str(fold.folder / f"{part}.spacy")]
        if has_log:
            given += ["--training.logger.output_file", str(fold.folder / "log.jsonl")]
        return given

    return options


@dataclass
class _Runs:
    """Processes that train; after `end` there are none, and none begin."""

    training: FoldTraining
    options: Callable[[Fold], list[str]]
    say: _Say
    running: list[subprocess.Popen] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    ended: bool = False

    def train(self, fold: Fold) -> None:
        log = fold.folder / "output.txt"
        with log.open("ab") as output:
            with self.lock:
                if self.ended:
                    return
                # The process holds the lock on, should this one be killed.
                if not lock_file(output):
                    got = Plain("another process that trains it")
                    raise TrainingError(describe(fold.name, expected="no process", got=got))
                process = subprocess.Popen(
                    self._command(fold), stdin=subprocess.DEVNULL, stdout=output, stderr=output
                )
                self.running.append(process)
            self.say(f"{fold.name}: training, with its output in {log}")
            code = process.wait()
        if code:
            lines = log.read_text("utf-8", "replace").strip().splitlines()[-_LINES:]
            got = Plain(f"exit code {code}: {' / '.join(map(str.strip, lines))}")
            raise TrainingError(describe(fold.name, expected="a training that ends well", got=got))
        write_json(fold.folder / FINISHED, {"model": str(fold.model.relative_to(fold.folder))})
        self.say(f"{fold.name}: trained")

    def end(self) -> None:
        with self.lock:
            self.ended = True
            for process in self.running:
                process.terminate()

    def _command(self, fold: Fold) -> list[str]:
        training = self.training
        command = [sys.executable, "-m", "spacy", "bio-ner", "train", str(training.config)]
        command += ["--output", str(fold.folder / "training"), "--resume"]
        command += ["--gpu-id", str(training.gpu_id)]
        if training.code is not None:
            command += ["--code", str(training.code)]
        return [*command, *self.options(fold), *training.overrides]
