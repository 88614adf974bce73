"""The training loop: the same bytes as `spacy train`, in one go and interrupted."""

import errno
import io
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.training.initialize import init_nlp

from spacy_bio_crf.errors import TrainingError
from spacy_bio_crf.io import replacing_folder
from spacy_bio_crf.training import checkpoint, loop
from spacy_bio_crf.training.checkpoint import Schedule
from spacy_bio_crf.training.loop import Training
from tests.support.pipelines import MakeNlp, make_examples
from tests.support.trainings import (
    TAGGER,
    TOK2VEC,
    TRAINING,
    assert_same,
    bio_ner,
    contents,
    run_spacy,
    run_training,
    write_corpus,
    write_training,
)

pytestmark = pytest.mark.filterwarnings("ignore:The pre-trained transformer")

NER = {
    "factory": "ner",
    "update_with_oracle_cut_size": 5,
    "model": {
        "@architectures": "spacy.TransitionBasedParser.v2",
        "state_type": "ner",
        "extra_state_tokens": False,
        "hidden_width": 16,
        "maxout_pieces": 2,
        "use_upper": True,
        "tok2vec": TOK2VEC["model"],
    },
}
LOWER = {"@augmenters": "spacy.lower_case.v1", "level": 0.5}

KINDS = ("bio_ner", "tagger", "streamed", "mixed", "shared", "adapter")


@spacy.registry.callbacks("test.drift_weights.v1")
def make_drift():
    """A callback that moves the random state on, and notes its steps in the pipeline."""

    def drift(nlp, info: dict[str, Any]) -> None:
        random.random()
        nlp.meta.setdefault("seen", []).append(info["step"])
        nlp.vocab.strings.add(f"step {info['step']}")

    return drift


@spacy.registry.callbacks("test.note_saving.v1")
def make_note():
    def note(nlp):
        nlp.meta["description"] = "saved"
        return nlp

    return note


def write(kind: str, folder: Path, encoder: Path, **changes: Any) -> Path:
    tagger = {"tok2vec": TOK2VEC, "tagger": TAGGER}
    if kind == "bio_ner":
        return write_training(folder, {"bio_ner": bio_ner(encoder)}, **changes)
    if kind == "adapter":
        lora = {"r": 4, "alpha": 8}
        return write_training(folder, {"bio_ner": bio_ner(encoder, lora=lora)}, **changes)
    if kind == "tagger":
        return write_training(folder, tagger, **changes)
    if kind == "streamed":
        # Reader, shuffling and training draw from one source of random numbers, in turns.
        augmented = {"corpora": {"train": {"augmenter": LOWER}}, "training": {"max_epochs": -1}}
        return write_training(folder, {"ner": NER}, **augmented, **changes)
    if kind == "shared":
        shared = {"encoder": {"@architectures": "spacy-bio-crf.SharedEncoder.v1"}}
        components = {
            "bio_encoder": {
                "factory": "bio_encoder",
                "model": bio_ner(encoder)["model"]["encoder"],
            },
            "bio_tagger": {"factory": "bio_tagger", "target": "tag", "model": shared},
            "bio_ner": {"factory": "bio_ner", "model": shared},
        }
        return write_training(folder, components, **changes)
    source = spacy.blank("xx")
    alone = {"@architectures": "spacy.Tagger.v2", "nO": None, "tok2vec": TOK2VEC["model"]}
    source.add_pipe("tagger", name="known", config={"model": alone}).add_label("W0")
    source.initialize()
    folder.mkdir(parents=True, exist_ok=True)
    source.to_disk(folder / "source")
    components = {
        "known": {"source": str(folder / "source")},
        **tagger,
        "trainable_lemmatizer": {
            "factory": "trainable_lemmatizer",
            "min_tree_freq": 1,
            "model": {
                "@architectures": "spacy.Tagger.v2",
                "nO": None,
                "tok2vec": TAGGER["model"]["tok2vec"],
            },
        },
        "bio_ner": bio_ner(encoder, "softmax", lr_scale=0.1),
    }
    training = {
        "max_epochs": 4,
        "max_steps": 0,
        "patience": 20,
        "annotating_components": ["tagger"],
        "frozen_components": ["known"],
        "before_update": {"@callbacks": "test.drift_weights.v1"},
        "before_to_disk": {"@callbacks": "test.note_saving.v1"},
        "optimizer": {"@optimizers": "RAdam.v1", "learn_rate": 0.01, "use_averages": False},
    }
    return write_training(folder, components, training=training, **changes)


@pytest.fixture(scope="module", params=KINDS)
def by_spacy(request, tmp_path_factory, tiny_encoder: Path) -> Path:
    """A folder with a configuration and, in `spacy`, the models of `spacy train`."""
    folder = tmp_path_factory.mktemp(request.param)
    run_spacy(write(request.param, folder, tiny_encoder), folder / "spacy")
    return folder


def test_models_of_spacy_train_in_one_go(by_spacy: Path):
    run_training(by_spacy / "config.cfg", by_spacy / "ours")
    assert_same(by_spacy / "spacy", by_spacy / "ours")


def test_models_of_spacy_train_with_interruptions(by_spacy: Path):
    config, output = by_spacy / "config.cfg", by_spacy / "interrupted"
    run_training(config, output, stop=11)
    said = run_training(config, output, resume=True, stop=16)
    assert any(f"Going on after step 9, from {output}" in message for message in said)
    run_training(config, output, resume=True)
    assert_same(by_spacy / "spacy", output)


def folder_of(tmp_path: Path, **changes: Any) -> Path:
    return write_training(tmp_path, {"tok2vec": TOK2VEC, "tagger": TAGGER}, **changes)


def test_a_finished_training_goes_on_with_more_steps(tmp_path: Path):
    config = folder_of(tmp_path)
    run_training(config, tmp_path / "whole")
    run_training(config, tmp_path / "more", overrides={"training.max_steps": 12})
    found = sorted(path.name for path in (tmp_path / "more" / "checkpoints").iterdir())
    assert found == ["step-00000009", "step-00000012"]
    before = contents(tmp_path / "more" / "model-last")
    # No step is left: the pipeline is saved as it was.
    run_training(config, tmp_path / "more", resume=True, overrides={"training.max_steps": 12})
    assert contents(tmp_path / "more" / "model-last") == before
    run_training(config, tmp_path / "more", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "more")


def test_the_log_goes_on(tmp_path: Path):
    log = tmp_path / "log.jsonl"
    logger = {"@loggers": "spacy.ConsoleLogger.v3", "output_file": str(log)}
    config = folder_of(tmp_path, training={"logger": logger})
    run_training(config, tmp_path / "whole")
    expected = log.read_text()
    assert len(expected.splitlines()) == 5
    log.unlink()
    run_training(config, tmp_path / "output", stop=14)
    # Steps after the checkpoint are taken and told once more.
    run_training(config, tmp_path / "output", resume=True)
    assert log.read_text() == expected
    record = json.loads((tmp_path / "output/checkpoints/step-00000024/state.json").read_text())
    assert record["record"]["step"] == 24 and record["record"]["words"] > 0


def test_models_and_checkpoints_of_an_earlier_training_go(tmp_path: Path):
    config = folder_of(tmp_path)
    run_training(config, tmp_path / "output")
    (tmp_path / "output" / "model-best" / "left").touch()
    (tmp_path / "output" / "own").touch()
    run_training(config, tmp_path / "output", stop=0, schedule=Schedule())
    assert not (tmp_path / "output" / "checkpoints").exists()
    assert (tmp_path / "output" / "own").exists()
    assert not (tmp_path / "output" / "model-best" / "left").exists()


def test_a_best_model_replaces_all_of_the_one_before(tmp_path: Path):
    training = Training(init_nlp(spacy.util.load_config(folder_of(tmp_path))), tmp_path / "output")
    training.run(io.StringIO(), io.StringIO())
    left = tmp_path / "output" / "model-best" / "left"
    left.touch()
    training._save(tmp_path / "output", is_best=False)
    assert left.exists()
    training._save(tmp_path / "output", is_best=True)
    assert not left.exists()


def test_a_best_model_that_is_gone_is_told(tmp_path: Path):
    config, output = folder_of(tmp_path), tmp_path / "output"
    run_training(config, output, stop=7)
    shutil.rmtree(output / "model-best")
    said = run_training(config, output, resume=True, stop=8)
    assert "warn: No model-best is there; the next best one will be" in said


def test_no_checkpoints_without_a_schedule(tmp_path: Path):
    run_training(folder_of(tmp_path), tmp_path / "output", schedule=Schedule())
    names = sorted(path.name for path in (tmp_path / "output").iterdir())
    assert names == ["model-best", "model-last"]
    loaded = spacy.load(tmp_path / "output" / "model-best")
    assert loaded.meta["performance"]["tag_acc"] > 0.5


def test_an_error_ends_with_the_last_model(tmp_path: Path, monkeypatch):
    config, said = folder_of(tmp_path), []
    training = Training(
        init_nlp(spacy.util.load_config(config)),
        tmp_path / "output",
        say=lambda kind, message: said.append(f"{kind}: {message}"),
    )

    def fail(info: dict[str, Any]) -> None:
        raise RuntimeError("here")

    with pytest.raises(RuntimeError):
        training.run(io.StringIO(), io.StringIO(), watch=fail)
    assert "warn: Aborting and saving the last model: RuntimeError('here')" in said
    spacy.load(tmp_path / "output" / "model-last")


def test_a_full_disk_while_a_model_is_saved(tmp_path: Path, monkeypatch):
    config, output = folder_of(tmp_path), tmp_path / "output"
    run_training(config, output, stop=7)
    before = contents(output)
    place = output / "model-last"

    def fail(nlp, path: Path, **options: Any) -> None:
        (path / "half").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spacy.language.Language, "to_disk", fail)
    with pytest.raises(OSError, match=str(place)):
        run_training(config, output, resume=True)
    # Both models and the checkpoint are whole.
    after = contents(output)
    assert {name: after[name] for name in before} == before


def test_a_full_disk_while_a_checkpoint_is_written(tmp_path: Path, monkeypatch):
    config, output = folder_of(tmp_path), tmp_path / "output"
    run_training(config, output, stop=7)
    before = contents(output / "checkpoints")

    def fail(tensors, path: Path) -> None:
        path.write_text("half")
        raise RuntimeError("Error while serializing: I/O error: No space left (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.safetensors.torch, "save_file", fail)
        said = run_training(config, output, resume=True, stop=16)
    told = [message for message in said if message.startswith("warn: No checkpoint of step 9")]
    assert len(told) == 1 and str(output / "checkpoints" / "step-00000009") in told[0]
    assert contents(output / "checkpoints") == before
    # The training went on, and the older checkpoint serves.
    run_training(config, output, resume=True)
    run_spacy(config, tmp_path / "spacy")
    assert_same(tmp_path / "spacy", output)


def test_other_settings_are_refused(tmp_path: Path):
    config, output = folder_of(tmp_path), tmp_path / "output"
    run_training(config, output, stop=7)
    before = contents(output)
    other = {"training.dropout": 0.1, "training.patience": 7}
    with pytest.raises(TrainingError) as error:
        run_training(config, output, resume=True, overrides=other)
    assert "training.dropout = 0.1 (was 0.2), training.patience = 7 (was 0)" in str(error.value)
    assert contents(output) == before
    # Those of logger, allocator and the number of steps may differ.
    free = {"training.max_steps": 8, "training.logger.progress_bar": True}
    free["training.gpu_allocator"] = "pytorch"
    run_training(config, output, resume=True, overrides=free)


@pytest.mark.parametrize("optimizer", ["Adam.v1", "RAdam.v1"])
def test_labels_that_came_up_in_a_stream_are_there_when_it_goes_on(
    make_nlp: MakeNlp, tmp_path: Path, optimizer: str
):
    nlp = make_nlp()
    nlp.initialize(lambda: make_examples(nlp))
    nlp.to_disk(tmp_path / "source")
    training = {
        **TRAINING,
        "max_epochs": -1,
        "max_steps": 12,
        "optimizer": {"@optimizers": optimizer, "learn_rate": 0.001},
    }
    blocks = {"bio_ner": {"source": str(tmp_path / "source")}}
    config = write_training(tmp_path, blocks, training=training)
    docs = list(spacy.tokens.DocBin().from_disk(tmp_path / "train.spacy").get_docs(nlp.vocab))
    for doc in docs[10:]:
        doc.set_ents([spacy.tokens.Span(doc, 0, 1, "TIME")], default="outside")
    spacy.tokens.DocBin(docs=docs).to_disk(tmp_path / "train.spacy")
    run_training(config, tmp_path / "whole")
    run_training(config, tmp_path / "parts", stop=10)
    assert (
        "TIME"
        in json.loads((tmp_path / "parts/checkpoints/step-00000009/state.json").read_text())[
            "labels"
        ]["bio_ner"]
    )
    run_training(config, tmp_path / "parts", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "parts")


def test_other_labels_are_refused(tmp_path: Path):
    config, output = folder_of(tmp_path), tmp_path / "output"
    run_training(config, output, stop=7)
    nlp = spacy.blank("en")
    docs = list(spacy.tokens.DocBin().from_disk(tmp_path / "train.spacy").get_docs(nlp.vocab))
    for doc in docs:
        for token in doc:
            token.tag_ = {"W0": "W7"}.get(token.tag_, token.tag_)
    spacy.tokens.DocBin(docs=docs).to_disk(tmp_path / "train.spacy")
    with pytest.raises(TrainingError) as error:
        run_training(config, output, resume=True)
    for part in ("labels of 'tagger'", "'W7' is new", "'W0' is missing"):
        assert part in str(error.value)


@pytest.mark.parametrize("name", ["train", "dev"])
def test_another_corpus_is_refused(name: str, tmp_path: Path):
    config, output = folder_of(tmp_path), tmp_path / "output"
    run_training(config, output, stop=7)
    before = contents(output)
    shutil.copy(tmp_path / f"{name}.spacy", tmp_path / "kept")
    path = tmp_path / f"{name}.spacy"
    # The same sentences and labels; one tag differs.
    nlp = spacy.blank("en")
    docs = list(spacy.tokens.DocBin().from_disk(path).get_docs(nlp.vocab))
    docs[-1][0].tag_ = "W1"
    spacy.tokens.DocBin(docs=docs).to_disk(path)
    kind = {"train": "training", "dev": "development"}[name]
    with pytest.raises(TrainingError, match=f"the {kind} corpus that it was written with"):
        run_training(config, output, resume=True)
    assert contents(output) == before
    shutil.copy(tmp_path / "kept", path)
    run_training(config, output, resume=True)


def test_a_shorter_corpus_is_refused(tmp_path: Path):
    streamed = {"max_epochs": 2, "max_steps": 0}
    config, output = folder_of(tmp_path, training=streamed), tmp_path / "output"
    run_training(config, output, stop=11)
    write_corpus(tmp_path / "train.spacy", 8, seed=0)
    with pytest.raises(TrainingError, match="the training corpus that it was written with"):
        run_training(config, output, resume=True)


def test_damaged_checkpoints_leave_the_older_one(tmp_path: Path):
    config, output = folder_of(tmp_path), tmp_path / "output"
    run_training(config, output, stop=12)
    with (output / "checkpoints/step-00000009/state.safetensors").open("r+b") as file:
        file.truncate(1000)
    said = run_training(config, output, resume=True)
    damaged = output / "checkpoints/step-00000009"
    assert f"warn: Left out: {damaged}: expected a whole checkpoint" in said[0]
    assert any("Going on after step 4" in message for message in said)
    run_spacy(config, tmp_path / "spacy")
    assert_same(tmp_path / "spacy", output)


def test_minutes(tmp_path: Path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])
    config = spacy.util.load_config(folder_of(tmp_path))
    output = tmp_path / "output"
    training = Training(init_nlp(config), output, schedule=Schedule(minutes=2))
    written = []

    def watch(info: dict[str, Any]) -> None:
        now[0] += 40.0
        written.append(sorted(p.name for p in (output / "checkpoints").glob("step-*")))

    training.run(io.StringIO(), io.StringIO(), watch=watch)
    assert written[2] == [] and written[3] == ["step-00000002"]
    assert written[5] == ["step-00000002"] and written[6] == ["step-00000002", "step-00000005"]


def test_a_model_takes_the_place_of_all_that_was_there(tmp_path: Path):
    (tmp_path / "model" / "old").mkdir(parents=True)
    with replacing_folder(tmp_path / "model", whole=True) as folder:
        (folder / "new").touch()
        assert (tmp_path / "model" / "old").exists()
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["new"]
