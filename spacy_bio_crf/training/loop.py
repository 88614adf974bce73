"""Training loop of `bio-ner train`: the steps of `spacy train`, with checkpoints."""

import shutil
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

from spacy.language import Language
from spacy.schemas import ConfigSchemaTraining
from spacy.training.loop import (
    DIR_MODEL_BEST,
    DIR_MODEL_LAST,
    create_before_to_disk_callback,
    create_evaluation_callback,
    create_train_batches,
    subdivide_batch,
    update_meta,
)
from spacy.util import registry, resolve_dot_names
from thinc.api import fix_random_seed, set_gpu_allocator

from ..errors import Plain, TrainingError, describe
from ..io import remove_folder, replacing_folder
from .checkpoint import (
    CHECKPOINTS,
    Checkpoint,
    Schedule,
    compare_config,
    compare_corpus,
    compare_labels,
    compare_shapes,
    read_newest,
    versions,
    write_checkpoint,
)
from .corpus_place import CorpusPlace, Digest, ExampleReader
from .logger import Logger, LogStep
from .pipeline_state import PipelineState, add_labels, pack_states, unpack_states
from .processes import Processes
from .random_states import States, read_random_states, set_random_states
from .record import Record
from .shared_evaluation import SharedEvaluation
from .shared_steps import SharedSteps

Say = Callable[[str, str], None]  # a kind, "info", "warn" or "good", and a message
Watch = Callable[[dict[str, Any]], None]


class Training:
    """A training of a pipeline, as `spacy train` has it, that can go on where it was interrupted.

    nlp (Language): The initialized pipeline.
    output (Path | None): Folder of models and checkpoints.
    use_gpu (int): The GPU, or -1.
    schedule (Schedule | None): When to write checkpoints; None never.
    resume (bool): Go on from the last whole checkpoint. If there is none, or if False, models and
        checkpoints in the folder are removed when the training runs.
    say (Say): Called with messages.
    around (Callable | None): Takes the reader of the training corpus and gives another one, with
        more in it.
    processes (Processes | None): The processes that train together; None trains alone. All read the
        checkpoint, and the first one writes.
    RAISES: TrainingError for a checkpoint of another training.
    """

    def __init__(
        self,
        nlp: Language,
        output: Path | None,
        *,
        use_gpu: int = -1,
        schedule: Schedule | None = None,
        resume: bool = False,
        say: Say = lambda kind, message: None,
        around: Callable[[ExampleReader], ExampleReader] | None = None,
        processes: Processes | None = None,
    ):
        self.nlp = nlp
        self._first = processes is None or processes.rank == 0
        self.output = output if self._first else None
        self.say = say
        self.record = Record()
        self._schedule = schedule or Schedule()
        self._n_strings = len(nlp.vocab.strings)
        self._config = config = nlp.config.interpolate()
        self._resume = resume
        self._start = self._find_start(output) if resume else None
        if config["training"]["seed"] is not None:
            fix_random_seed(config["training"]["seed"])
        if use_gpu >= 0 and config["training"]["gpu_allocator"]:
            set_gpu_allocator(config["training"]["gpu_allocator"])
        self._settings = settings = registry.resolve(
            config["training"], schema=ConfigSchemaTraining
        )
        if around is not None and settings["max_epochs"] < 0:
            expected = "a corpus in memory, 0 or more, for what is added to it"
            got = settings["max_epochs"]
            raise TrainingError(describe("training.max_epochs", expected=expected, got=got))
        names = [settings["train_corpus"], settings["dev_corpus"]]
        train, dev = resolve_dot_names(config, names)
        self._train = Digest(train if around is None else around(train))
        self._dev = Digest(dev)
        self._place = CorpusPlace(
            create_train_batches(nlp, self._train, settings["batcher"], settings["max_epochs"])
        )
        evaluated: Any = nlp if processes is None else SharedEvaluation(nlp, processes)
        self._evaluate = create_evaluation_callback(
            evaluated, lambda _: self._dev(nlp), settings["score_weights"]
        )
        self._before_to_disk = create_before_to_disk_callback(settings["before_to_disk"])
        self._optimizer = settings["optimizer"]
        self._frozen = settings["frozen_components"]
        self._state = PipelineState(nlp, self._optimizer, self._frozen)
        self._shared = None if processes is None else SharedSteps(self._state, processes)
        self._own_states: States | None = None  # of this process, from a checkpoint
        self._started = self._written = time.monotonic()
        self._saved = -1  # the step of the last checkpoint

    def run(self, stdout: IO, stderr: IO, *, watch: Watch = lambda info: None) -> None:
        """Train to the end, and save the pipeline.

        stdout, stderr (IO): For the logger of the configuration.
        watch (Watch): Called with what is known of each step, as spaCy's loggers are of
            evaluations; `score` is None in other steps.
        RAISES: TrainingError for a checkpoint of another training; OSError that names the file if
            a model can't be written.
        """
        random_states = None
        if self._start is not None:
            random_states = self._restore(self._start)
        elif self.output is not None:
            for name in (DIR_MODEL_BEST, DIR_MODEL_LAST, CHECKPOINTS):
                remove_folder(self.output / name)
        self._introduce()
        log_step, finish_log = self._set_up_logger(stdout, stderr)
        for info in self.record.log:
            log_step(info)
        if random_states is not None:
            set_random_states(random_states, seed=self.record.step)
        if self._shared is not None:
            seed = self._config["training"]["seed"]
            self._shared.begin(step=self.record.step, seed=seed, own=self._own_states)
        self._started = self._written = time.monotonic()
        try:
            for info, is_best in self._steps():
                if is_best is not None:
                    self._end_evaluation(info, is_best)
                log_step(info if is_best is not None else None)
                watch(info)
                due = bool(self.output) and self._schedule.is_due(info["step"] + 1, self._written)
                if self._end_step(due):
                    self._write_checkpoint()
        except Exception as error:
            if self.output is not None:
                self.say("warn", f"Aborting and saving the last model: {error!r}")
            raise
        finally:
            finish_log()
            if self.output is not None:
                self._save(self.output, is_best=False)
        due = self.output is not None and (self.output / CHECKPOINTS).exists()
        due = due and self._saved != self.record.step
        if due if self._shared is None else self._shared.processes.tell(due):
            # So that the training can go on with a larger max_steps.
            self._write_checkpoint()
        if self.output is not None:
            self.say("good", f"Saved pipeline to output directory {self.output / DIR_MODEL_LAST}")

    def _introduce(self) -> None:
        self.say("info", f"Pipeline: {self.nlp.pipe_names}")
        if self._frozen:
            self.say("info", f"Frozen components: {self._frozen}")
        if self._settings["annotating_components"]:
            names = self._settings["annotating_components"]
            self.say("info", f"Set annotations on update for: {names}")
        self.say("info", f"Initial learn rate: {self._optimizer.learn_rate}")

    def _set_up_logger(self, stdout: IO, stderr: IO) -> tuple[LogStep, Callable[[], None]]:
        if not self._first:
            return lambda info: None, lambda: None
        logger: Logger = self._settings["logger"]
        block = self._config["training"]["logger"]
        if self._resume and (log := block.get("output_file")) is not None:
            # spaCy's logger writes no file over another one; what was in it is told to it again.
            Path(log).unlink(missing_ok=True)
            logger = registry.resolve({"logger": block})["logger"]
        with self.nlp.select_pipes(disable=self._frozen):
            return logger(self.nlp, stdout, stderr)

    def _steps(self) -> Iterator[tuple[dict[str, Any], bool | None]]:
        """Train step by step. The order is that of `spacy.training.loop.train_while_improving`."""
        record, settings = self.record, self._settings
        patience, max_steps = settings["patience"], settings["max_steps"]
        before = record.seconds
        while not record.is_over(patience=patience, max_steps=max_steps):
            try:
                epoch, batch = next(self._place)
            except StopIteration:
                return
            record.step, record.epoch = record.step + 1, epoch
            if settings["before_update"]:
                settings["before_update"](self.nlp, {"step": record.step, "epoch": epoch})
            self._update(batch)
            score = other_scores = is_best = None
            if record.step % settings["eval_frequency"] == 0:
                score, other_scores = self._score()
                record.results.append((score, record.step))
                is_best = score == max(record.results)[0]
            record.words += sum(len(example) for example in batch)
            record.seconds = before + time.monotonic() - self._started
            info = {
                "epoch": epoch,
                "step": record.step,
                "score": score,
                "other_scores": other_scores,
                "losses": record.losses,
                "checkpoints": list(record.results),
                "seconds": int(record.seconds),
                "words": record.words,
            }
            yield info, is_best

    def _update(self, batch: list) -> None:
        parts = subdivide_batch(batch, self._settings["accumulate_gradient"])
        losses = self.record.losses if self._shared is None else {}
        for part in parts if self._shared is None else self._shared.shares(list(parts)):
            self.nlp.update(
                part,
                drop=self._settings["dropout"],
                losses=losses,
                sgd=False,  # type: ignore[arg-type]
                exclude=self._frozen,
                annotates=self._settings["annotating_components"],
            )
        if self._shared is not None:
            for name, loss in self._shared.add_up(losses).items():
                self.record.losses[name] = self.record.losses.get(name, 0.0) + loss
        for name, pipe in self.nlp.pipeline:
            trains = name not in self._frozen and getattr(pipe, "is_trainable", False)
            if trains and pipe.model not in (True, False, None):  # type: ignore[attr-defined]
                pipe.finish_update(self._optimizer)  # type: ignore[attr-defined]
        self._optimizer.step_schedules()

    def _end_step(self, due: bool) -> bool:
        """RETURNS (bool): Write a checkpoint now, as the first process finds it due."""
        return due if self._shared is None else self._shared.end(due)

    def _score(self) -> tuple[float, dict[str, Any]]:
        with self.nlp.use_params(self._optimizer.averages or {}):
            return self._evaluate()

    def _end_evaluation(self, info: dict[str, Any], is_best: bool) -> None:
        with self.nlp.select_pipes(disable=self._frozen):
            update_meta(self._settings, self.nlp, info)
        if self.output is not None:
            self._save(self.output, is_best=is_best)
            info["output_path"] = str(self.output / DIR_MODEL_LAST)
        self.record.log.append(info)
        self.record.losses = {}

    def _save(self, output: Path, *, is_best: bool) -> None:
        """Write model-last, and copy it to model-best; each is put in place in one step."""
        last = output / DIR_MODEL_LAST
        with (
            replacing_folder(last, whole=True) as folder,
            self.nlp.use_params(self._optimizer.averages or {}),
        ):
            self._before_to_disk(self.nlp).to_disk(folder)
        if is_best:
            with replacing_folder(output / DIR_MODEL_BEST, whole=True) as folder:
                shutil.copytree(last, folder, dirs_exist_ok=True)

    def _find_start(self, output: Path | None) -> Checkpoint | None:
        if output is None:
            raise TrainingError(describe("resume", expected="an output folder", got=Plain("none")))
        folder = output / CHECKPOINTS
        start = read_newest(folder, lambda message: self.say("warn", f"Left out: {message}"))
        if start is None:
            self.say("info", f"No checkpoint in {folder}: the training begins")
            return None
        compare_config(start, self._config)
        add_labels(self.nlp, start.values["labels"])
        compare_labels(start, self._labels())
        other = [f"{k} {v}" for k, v in start.values["versions"].items() if versions()[k] != v]
        if other:
            self.say("warn", f"{start.folder} was written with {', '.join(other)}")
        return start

    def _labels(self) -> dict[str, list[str]]:
        return {name: list(map(str, found)) for name, found in self.nlp.pipe_labels.items()}

    def _write_checkpoint(self) -> None:
        """Write the state between two steps. If the disk is full, training goes on without."""
        shared = self._shared
        now, *others = [read_random_states()] if shared is None else shared.random_states()
        if self.output is None:
            return
        tensors, values = self._state.read()
        by_name: dict[Any, States] = {**self._place.states, "now": now}
        by_name.update({f"process-{rank}": states for rank, states in enumerate(others, start=1)})
        tensors.update(pack_states(by_name))
        values = {
            "config": self._config,
            "labels": self._labels(),
            "versions": versions(),
            "digests": {"training": self._train.value, "development": self._dev.value},
            "drawn": self._place.drawn,
            "record": self.record.data(),
            "meta": self.nlp.meta,
            "strings": list(islice(self.nlp.vocab.strings, self._n_strings, None)),
            "pipeline": values,
            "processes": 1 + len(others),
        }
        try:
            write_checkpoint(self.output / CHECKPOINTS, self.record.step, tensors, values)
        except OSError as error:
            self.say("warn", f"No checkpoint of step {self.record.step}: {error}")
        self._written, self._saved = time.monotonic(), self.record.step

    def _restore(self, start: Checkpoint) -> States:
        """Set all but the random states, which come last."""
        tensors, values = start.tensors, start.values
        self._state.grow(tensors)
        compare_shapes(start, self._state.shapes())
        random_states = unpack_states(tensors)
        now = random_states.pop("now")
        steps = values["record"]["step"] + 1
        if self._shared is not None:
            rank = self._shared.processes.rank
            self._own_states = random_states.get(f"process-{rank}")
        drawn = {int(n): states for n, states in random_states.items() if n.isdigit()}
        found = self._place.draw_again(values["drawn"], drawn)
        digest = self._train.value if found == values["drawn"] else "shorter"
        compare_corpus(start, "training", digest)
        for _ in self._dev(self.nlp):
            pass
        compare_corpus(start, "development", self._dev.value)
        for string in values["strings"]:
            self.nlp.vocab.strings.add(string)
        self._state.set(tensors, values["pipeline"], steps=steps)
        self.nlp.meta = values["meta"]
        self.record = Record.from_data(values["record"])
        self._saved = self.record.step
        if self.record.results and not (start.folder.parents[1] / DIR_MODEL_BEST).is_dir():
            self.say("warn", f"No {DIR_MODEL_BEST} is there; the next best one will be")
        count = 1 if self._shared is None else self._shared.processes.count
        if (before := values.get("processes", 1)) != count:
            told = f"Written by {before} of them, so that the result is not equal to the bit"
            self.say("info", f"Number of processes: {count}. {told}")
        self.say("info", f"Going on after step {self.record.step}, from {start.folder}")
        return now
