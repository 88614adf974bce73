"""Checkpoints as folders: whole or refused, the last two kept, and compared with a training."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spacy_bio_crf.errors import TrainingError
from spacy_bio_crf.io import checksum
from spacy_bio_crf.training.checkpoint import (
    Checkpoint,
    Schedule,
    compare_config,
    compare_corpus,
    compare_labels,
    compare_shapes,
    find_checkpoints,
    read_checkpoint,
    read_newest,
    read_schedule,
    versions,
    write_checkpoint,
)

VALUES: dict[str, Any] = {"number": 0.1 + 0.2, "nan": math.nan, "text": "ä"}


def write(folder: Path, step: int) -> Path:
    tensors = {"weights/a": torch.arange(4.0), "empty": torch.empty(0), "step": torch.tensor(3.0)}
    return write_checkpoint(folder, step, tensors, VALUES)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_is_read(tmp_path: Path):
    place = write_checkpoint(
        tmp_path / "new" / "folder", 7, {"b": torch.ones(2).bfloat16()}, {"f": np.float32(0.1)}
    )
    assert place == tmp_path / "new" / "folder" / "step-00000007"
    found = read_checkpoint(place)
    assert found.values == {"f": float(np.float32(0.1))}
    assert found.tensors["b"].dtype is torch.bfloat16
    found = read_checkpoint(write(tmp_path, 1))
    assert found.values["number"] == 0.1 + 0.2 and math.isnan(found.values["nan"])
    assert found.values["text"] == "ä" and found.tensors["step"].shape == ()


def test_nothing_is_in_place_before_it_is_whole(tmp_path: Path, monkeypatch):
    seen = []

    def look(path: Path) -> tuple[int, str]:
        seen.append(names(tmp_path)[0].startswith("."))
        return checksum(path)

    monkeypatch.setattr("spacy_bio_crf.training.checkpoint.checksum", look)
    write(tmp_path, 1)
    assert seen == [True, True] and names(tmp_path) == ["step-00000001"]


def test_two_are_kept_and_foreign_files_stay(tmp_path: Path):
    (tmp_path / "notes").mkdir()
    left = tmp_path / ".step-00000002.123-0123abcd.tmp"
    left.mkdir()
    for step in (1, 5, 10, 100_000_000):
        write(tmp_path, step)
    assert names(tmp_path) == ["notes", "step-00000010", "step-100000000"]
    assert [path.name for path in find_checkpoints(tmp_path)] == [
        "step-100000000",
        "step-00000010",
    ]
    # One of an earlier step is written where the later ones could not be read.
    write(tmp_path, 12)
    assert names(tmp_path) == ["notes", "step-00000010", "step-00000012"]


def spoil(folder: Path, how: str) -> None:
    if how == "truncated":
        with (folder / "state.safetensors").open("r+b") as file:
            file.truncate(20)
    elif how == "changed":
        raw = bytearray((folder / "state.safetensors").read_bytes())
        raw[-1] ^= 1
        (folder / "state.safetensors").write_bytes(raw)
    elif how == "values":
        (folder / "state.json").write_text("{}")
    elif how == "missing":
        (folder / "state.json").unlink()
    elif how == "no sums":
        (folder / "checksums.json").unlink()
    elif how == "foreign":
        (folder / "checksums.json").write_text("{}")
        (folder / "state.json").write_text('{"kind": "another program"}')
    else:
        (folder / "checksums.json").write_text("[1, 2]")


HOW = ("truncated", "changed", "values", "missing", "no sums", "foreign", "list")


@pytest.mark.parametrize("how", HOW)
def test_damaged_ones_are_left_out(how: str, tmp_path: Path):
    write(tmp_path, 1)
    spoil(write(tmp_path, 2), how)
    said: list[str] = []
    found = read_newest(tmp_path, said.append)
    assert found is not None and found.folder.name == "step-00000001"
    assert len(said) == 1 and f"{tmp_path / 'step-00000002'}: expected a whole" in said[0]
    spoil(tmp_path / "step-00000001", how)
    with pytest.raises(TrainingError, match="2 damaged; remove the folder"):
        read_newest(tmp_path, said.append)


def test_no_checkpoints(tmp_path: Path):
    assert read_newest(tmp_path, print) is None
    assert read_newest(tmp_path / "missing", print) is None


def make(**values: Any) -> Checkpoint:
    return Checkpoint(Path("here"), {"weights/a/W": torch.zeros(2, 3)}, values)


def test_settings_that_count():
    config = {
        "paths": {"train": "a"},
        "training": {"dropout": 0.1, "max_steps": 10, "logger": {"@loggers": "one"}},
        "components": {"tagger": {"model": {"width": 8}}},
    }
    checkpoint = make(config=json.loads(json.dumps(config)))
    compare_config(checkpoint, config)
    free = json.loads(json.dumps(config))
    free.update(paths={"train": "b"}, checkpoint={"steps": 3}, system={"gpu_allocator": "x"})
    free["training"].update(max_steps=11, logger={"@loggers": "two", "output_file": "f"})
    compare_config(checkpoint, free)
    free["components"]["tagger"]["model"] = {"depth": 2}
    with pytest.raises(TrainingError) as error:
        compare_config(checkpoint, free)
    message = str(error.value)
    assert message.startswith("here: expected the configuration that it was written with, got ")
    assert "components.tagger.model.depth = 2 (was not set)" in message
    assert "components.tagger.model.width = not set (was 8)" in message
    many = {"training": {f"x{i}": i for i in range(9)}}
    with pytest.raises(TrainingError, match="and 6 more; begin anew"):
        compare_config(checkpoint, many)


def test_labels_that_differ():
    checkpoint = make(labels={"ner": ["A", "B"]})
    compare_labels(checkpoint, {"ner": ["A", "B"]})
    with pytest.raises(TrainingError, match="the 2 labels of 'ner' .* got 'C' is new, 'A' is"):
        compare_labels(checkpoint, {"ner": ["B", "C"]})
    with pytest.raises(TrainingError, match="another order"):
        compare_labels(checkpoint, {"ner": ["B", "A"]})
    with pytest.raises(TrainingError, match="the 0 labels of 'tagger' .* 'X' is new"):
        compare_labels(checkpoint, {"ner": ["A", "B"], "tagger": ["X"]})


def test_shapes_that_differ():
    compare_shapes(make(), {"weights/a/W": (2, 3)})
    with pytest.raises(TrainingError, match=r"a/W of shape \(2, 4\) \(was \(2, 3\)\)"):
        compare_shapes(make(), {"weights/a/W": (2, 4)})
    with pytest.raises(TrainingError, match=r"a/b of shape \(1,\) \(was None\)"):
        compare_shapes(make(), {"weights/a/W": (2, 3), "weights/a/b": (1,)})


def test_corpora_that_differ():
    checkpoint = make(digests={"training": "1"})
    compare_corpus(checkpoint, "training", "1")
    compare_corpus(checkpoint, "development", "any")
    with pytest.raises(TrainingError, match="here: expected the training corpus"):
        compare_corpus(checkpoint, "training", "2")
    # A checkpoint of an earlier version has the first part of a digest.
    compare_corpus(checkpoint, "training", "1-2")
    with pytest.raises(TrainingError, match="here: expected the training corpus"):
        compare_corpus(make(digests={"training": "1-2"}), "training", "1-3")


def test_when_a_checkpoint_is_due(monkeypatch):
    monkeypatch.setattr("spacy_bio_crf.training.checkpoint.time.monotonic", lambda: 1000.0)
    assert [n for n in range(1, 10) if Schedule(steps=3).is_due(n, 0.0)] == [3, 6, 9]
    assert Schedule(minutes=2).is_due(1, 880.0) and not Schedule(minutes=2).is_due(1, 881.0)
    assert Schedule(steps=3, minutes=2).is_due(1, 800.0)
    assert not Schedule().is_due(1, 0.0) and not Schedule(0, 0).is_due(3, 0.0)


def test_the_block_of_a_config():
    assert read_schedule(None) == Schedule(minutes=10)
    assert read_schedule({}) == Schedule()
    assert read_schedule({"steps": 5}) == Schedule(steps=5)


@pytest.mark.parametrize(
    "block, message",
    [
        ({"steps": -1}, "checkpoint.steps: expected a whole number, 0 or more, got -1"),
        ({"steps": 1.5}, "checkpoint.steps: expected a whole number"),
        ({"minutes": "many"}, "checkpoint.minutes: expected a number, 0 or more, got 'many'"),
        ({"minutes": -1}, "checkpoint.minutes: expected a number"),
        ({"hours": 1}, "[checkpoint]: expected steps and minutes, got hours"),
        (3, "[checkpoint]: expected steps and minutes, got 3"),
    ],
)
def test_a_block_out_of_range(block: Any, message: str):
    with pytest.raises(TrainingError) as error:
        read_schedule(block)
    assert message in str(error.value)


def test_versions():
    assert versions()["torch"] == torch.__version__
