"""Trainings in several processes: the steps of one, and the same steps in all."""

import hashlib
import io
import json
import random
import time
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.tokens import DocBin
from spacy.training.initialize import init_nlp
from thinc.api import PyTorchShim

from spacy_bio_crf.training.checkpoint import Schedule, read_checkpoint
from spacy_bio_crf.training.loop import Training
from spacy_bio_crf.training.pipeline_state import PipelineState
from spacy_bio_crf.training.processes import Processes
from spacy_bio_crf.training.shared_steps import SharedSteps
from tests.support.together import difference, run_together, train_together
from tests.support.trainings import (
    TAGGER,
    TOK2VEC,
    assert_same,
    bio_ner,
    run_training,
    write_corpus,
    write_training,
)
from tests.training.test_loop import NER

pytestmark = pytest.mark.filterwarnings("ignore:The pre-trained transformer")

SHARED = {"encoder": {"@architectures": "spacy-bio-crf.SharedEncoder.v1"}}
EVEN = {"dropout": 0.0, "max_steps": 50}  # without chance, and long enough to drift apart


def write(kind: str, folder: Path, encoder: Path, **training: Any) -> Path:
    """The configuration of a training without any dropout."""
    ner = bio_ner(encoder, dropout=0.0)
    components: dict[str, dict[str, Any]] = {
        "mixed": {"tok2vec": TOK2VEC, "tagger": TAGGER, "bio_ner": ner},
        "shared": {
            "bio_encoder": {"factory": "bio_encoder", "model": ner["model"]["encoder"]},
            "bio_tagger": {"factory": "bio_tagger", "target": "tag", "model": SHARED},
            "bio_ner": {"factory": "bio_ner", "model": SHARED},
        },
        "adapter": {"bio_ner": bio_ner(encoder, dropout=0.0, lora={"r": 4, "alpha": 8})},
        "bf16": {"bio_ner": bio_ner(encoder, dropout=0.0, precision="bf16")},
        "fp16": {"bio_ner": bio_ner(encoder, dropout=0.0, precision="fp16")},
        "tagger": {"tok2vec": TOK2VEC, "tagger": TAGGER},
    }
    return write_training(folder, components[kind], training={**EVEN, **training})


def performance(output: Path) -> dict[str, Any]:
    return json.loads((output / "model-last" / "meta.json").read_text())["performance"]


@pytest.mark.parametrize("kind", ["mixed", "shared"])
def test_two_processes_take_the_steps_of_one(kind: str, tiny_encoder: Path, tmp_path: Path):
    config = write(kind, tmp_path, tiny_encoder)
    run_training(config, tmp_path / "one")
    assert train_together(config, tmp_path / "two") == [0, 0]
    assert difference(tmp_path / "one" / "model-last", tmp_path / "two" / "model-last") < 1e-6
    alone, together = performance(tmp_path / "one"), performance(tmp_path / "two")
    losses = {name for name in alone if name.endswith("_loss")}
    assert losses and {k: together[k] for k in losses} == pytest.approx(
        {k: alone[k] for k in losses}, rel=1e-5
    )
    assert {k: v for k, v in alone.items() if k not in losses} == {
        k: v for k, v in together.items() if k not in losses
    }


@pytest.mark.filterwarnings("ignore:precision = 'fp16' is many times slower")
@pytest.mark.parametrize(
    ("kind", "most"),
    [("adapter", 1e-6), ("tagger", 1e-6), ("bf16", 1e-3), ("fp16", 1e-3)],
)
def test_few_steps_of_other_kinds(kind: str, most: float, tiny_encoder: Path, tmp_path: Path):
    config = write(kind, tmp_path, tiny_encoder, max_steps=8)
    run_training(config, tmp_path / "one")
    assert train_together(config, tmp_path / "two") == [0, 0]
    assert difference(tmp_path / "one" / "model-last", tmp_path / "two" / "model-last") < most


def test_categories_of_documents(tmp_path: Path, tiny_encoder: Path):
    config = write("tagger", tmp_path, tiny_encoder)
    for name in ("train", "dev"):
        path = tmp_path / f"{name}.spacy"
        docs = list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))
        for doc in docs:
            doc.cats = {"EVEN": float(len(doc) % 2 == 0), "LONG": float(len(doc) > 7)}
        DocBin(docs=docs).to_disk(path)
    nlp = spacy.blank("en")
    nlp.add_pipe("textcat_multilabel", name="textcat")
    changed = spacy.util.load_config(config)
    changed["nlp"]["pipeline"] = ["textcat"]
    changed["components"] = {"textcat": nlp.config["components"]["textcat"]}
    changed["training"]["max_steps"] = 8
    changed.to_disk(config)
    run_training(config, tmp_path / "one")
    assert train_together(config, tmp_path / "two") == [0, 0]
    assert difference(tmp_path / "one" / "model-last", tmp_path / "two" / "model-last") < 1e-6


def test_fewer_documents_than_processes(tiny_encoder: Path, tmp_path: Path):
    batcher = {"@batchers": "spacy.batch_by_sequence.v1", "size": 2, "get_length": None}
    config = write("mixed", tmp_path, tiny_encoder, max_steps=6)
    changed = spacy.util.load_config(config)
    changed["training"]["batcher"] = batcher
    changed.to_disk(config)
    run_training(config, tmp_path / "one")
    # Each batch is cut into parts of one document by accumulate_gradient.
    assert train_together(config, tmp_path / "three", count=3) == [0, 0, 0]
    assert difference(tmp_path / "one" / "model-last", tmp_path / "three" / "model-last") < 1e-6


def test_adapters_that_only_the_first_step_makes(tiny_encoder: Path, tmp_path: Path):
    config = write("adapter", tmp_path / "first", tiny_encoder, max_steps=2)
    run_training(config, tmp_path / "first")
    source = {"bio_ner": {"source": str(tmp_path / "first" / "model-last")}}
    config = write_training(tmp_path / "second", source, training={**EVEN, "max_steps": 3})
    changed = spacy.util.load_config(config)
    changed["training"]["batcher"] = {"@batchers": "spacy.batch_by_sequence.v1", "size": 2}
    changed.to_disk(config)
    run_training(config, tmp_path / "one")
    # A batch has two documents: one of the three processes has none in the first step.
    assert train_together(config, tmp_path / "three", count=3) == [0, 0, 0]
    assert difference(tmp_path / "one" / "model-last", tmp_path / "three" / "model-last") < 1e-6


def digest(nlp: spacy.Language) -> str:
    """A digest of all weights, to the last bit."""
    found = hashlib.sha256()
    for _, pipe in nlp.pipeline:
        for node in pipe.model.walk():  # type: ignore[attr-defined]
            for param in node.param_names:
                if node.has_param(param):
                    found.update(np.asarray(node.get_param(param)).tobytes())
            for shim in node.shims:
                if isinstance(shim, PyTorchShim):
                    for value in shim._model.state_dict().values():
                        found.update(value.numpy().tobytes())
    return found.hexdigest()


@pytest.mark.filterwarnings("ignore:spaCy's parsers")
def test_all_have_the_same_weights_even_without_a_seed(tiny_encoder: Path, tmp_path: Path):
    config = write_training(
        tmp_path,
        {"ner": NER, "bio_ner": bio_ner(tiny_encoder)},
        training={"seed": None, "max_steps": 7},
        system={"seed": None},
    )

    def work(processes: Processes) -> None:
        random.seed(processes.rank)
        np.random.seed(processes.rank)
        torch.manual_seed(processes.rank)
        nlp = init_nlp(spacy.util.load_config(config))
        training = Training(nlp, tmp_path / "output", processes=processes)
        training.run(io.StringIO(), io.StringIO())
        (tmp_path / f"{processes.rank}").write_text(digest(nlp))
        # Each has had a dropout of its own.
        states = training._shared.random_states()
        assert states[0]["torch"] != states[1]["torch"]
        assert states[0]["numpy"] != states[1]["numpy"]
        assert states[0]["python"] == states[1]["python"]

    assert run_together(work) == [0, 0]
    assert (tmp_path / "0").read_text() == (tmp_path / "1").read_text()


def test_going_on(tiny_encoder: Path, tmp_path: Path):
    config = write_training(
        tmp_path,
        {"tok2vec": TOK2VEC, "tagger": TAGGER, "bio_ner": bio_ner(tiny_encoder)},
        training={"max_steps": 14},
    )
    assert train_together(config, tmp_path / "whole") == [0, 0]
    assert train_together(config, tmp_path / "parts", stop=8) == [0, 0]
    assert train_together(config, tmp_path / "parts", resume=True) == [0, 0]
    assert_same(tmp_path / "whole", tmp_path / "parts")
    # The end was a checkpoint, too.
    more: dict[str, Any] = {"resume": True, "overrides": {"training.max_steps": 16}}
    for name in ("whole", "parts"):
        assert train_together(config, tmp_path / name, **more) == [0, 0]
    assert_same(tmp_path / "whole", tmp_path / "parts")
    # With another number of processes it goes on, and says what to expect.
    more["overrides"]["training.max_steps"] = 18
    said = run_training(config, tmp_path / "whole", **more)
    assert any("Number of processes: 1. Written by 2 of them" in message for message in said)
    assert train_together(config, tmp_path / "parts", count=3, **more) == [0, 0, 0]
    log = json.loads(
        (tmp_path / "parts" / "checkpoints" / "step-00000018" / "state.json").read_text()
    )
    assert log["processes"] == 3 and log["record"]["step"] == 18


def test_each_process_has_new_random_numbers_at_each_step(tiny_encoder: Path, tmp_path: Path):
    batcher = {"size": {"start": 80, "stop": 80}}  # something to do for both
    training = {"max_steps": 4, "batcher": batcher}
    config = write_training(tmp_path, {"bio_ner": bio_ner(tiny_encoder)}, training=training)
    schedule = Schedule(steps=1)
    assert train_together(config, tmp_path / "output", schedule=schedule) == [0, 0]
    states = []
    for folder in sorted((tmp_path / "output" / "checkpoints").iterdir()):
        tensors = read_checkpoint(folder).tensors
        found = {k: bytes(v.numpy()) for k, v in tensors.items() if k.endswith("/torch")}
        states.append(found)
    assert [list(found) for found in states] == 2 * [["random/now/torch", "random/process-1/torch"]]
    assert len({state for found in states for state in found.values()}) == 4


def test_a_checkpoint_when_the_first_process_finds_it_due(tiny_encoder: Path, tmp_path: Path):
    config = write("tagger", tmp_path, tiny_encoder, max_steps=5)

    def work(processes: Processes) -> None:
        # The clock of the other process stands still.
        minutes = 1e-9 if processes.rank == 0 else 1e9
        run_training(
            config, tmp_path / "output", schedule=Schedule(minutes=minutes), processes=processes
        )

    assert run_together(work) == [0, 0]
    found = sorted(path.name for path in (tmp_path / "output" / "checkpoints").iterdir())
    assert found == ["step-00000004", "step-00000005"]


def failures(config: Path, output: Path, capfd: pytest.CaptureFixture, spoil: Any) -> str:
    """Spoil something in one process. RETURNS (str): The errors of both."""

    def work(processes: Processes) -> None:
        run_training(config, output, processes=processes, **spoil(processes.rank))

    began = time.monotonic()
    assert run_together(work) == [1, 1]
    assert time.monotonic() - began < 60
    return capfd.readouterr().err


def test_processes_that_differ(tiny_encoder: Path, tmp_path: Path, capfd: pytest.CaptureFixture):
    config = write("tagger", tmp_path, tiny_encoder, max_steps=3)
    other = tmp_path / "other"
    write_corpus(tmp_path / "other.spacy", 30, seed=5)
    told = failures(
        config,
        other,
        capfd,
        lambda rank: (
            {"overrides": {"corpora.train.path": str(tmp_path / "other.spacy")}} if rank else {}
        ),
    )
    assert (
        told.count("expected the same batch, got another one in process 1 than in process 0") == 2
    )
    width = {"overrides": {"components.tok2vec.model.embed_size": 300}}
    told = failures(config, other, capfd, lambda rank: width if rank else {})
    assert told.count("expected weights of the same shapes") == 2
    run_training(config, tmp_path / "first", schedule=Schedule(steps=1))
    told = failures(config, tmp_path / "first", capfd, lambda rank: {"resume": rank == 0})
    assert told.count("expected the step to go on from") == 2


def test_an_error_in_one_process_ends_both(
    tiny_encoder: Path, tmp_path: Path, capfd: pytest.CaptureFixture
):
    config = write("mixed", tmp_path, tiny_encoder, max_steps=12)

    def spoil(rank: int) -> dict[str, Any]:
        if rank == 1:
            from spacy_bio_crf.pipes.labeller import SequenceLabeller

            update, calls = SequenceLabeller.update, []

            def failing(self: Any, *args: Any, **kwargs: Any) -> Any:
                calls.append(1)
                if len(calls) == 6:
                    raise ZeroDivisionError("in the sixth part")
                return update(self, *args, **kwargs)

            SequenceLabeller.update = failing  # type: ignore[method-assign]
        return {}

    told = failures(config, tmp_path / "output", capfd, spoil)
    assert "ZeroDivisionError('in the sixth part')" in told
    assert "got one that has ended, or does not answer" in told
    # What the first process had is saved.
    assert spacy.load(tmp_path / "output" / "model-last").pipe_names[-1] == "bio_ner"


class Foreign:
    is_trainable = True

    def __init__(self, name: str):
        self.name = name


def test_warnings_of_steps_that_are_not_those_of_one_process():
    nlp = spacy.blank("en")
    nlp.add_pipe("ner")
    state = PipelineState(nlp, None)  # type: ignore[arg-type]
    state.pipes.append(("strange", Foreign("strange")))  # type: ignore[arg-type]
    two: Any = SimpleNamespace(rank=0, count=2)
    with pytest.warns(UserWarning) as caught:
        SharedSteps(state, two)
    told = [str(warning.message) for warning in caught]
    assert "Components of other packages: strange." in told[0]
    assert "spaCy's parsers have a dropout of their own" in told[1] and ": ner." in told[1]
    one: Any = SimpleNamespace(rank=0, count=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SharedSteps(state, one)
