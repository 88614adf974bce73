"""Checkpoints of a training: folders that are whole or not there, of which two are kept."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import spacy
import thinc
import torch
from spacy.util import dict_to_dot

from ..errors import Plain, TrainingError, check_count, describe, is_number
from ..io import checksum, remove_folder, remove_left, replacing_folder
from .pipeline_state import Tensors

CHECKPOINTS = "checkpoints"  # the folder in that of the training
KEPT = 2
MINUTES = 10.0  # between checkpoints, where nobody has chosen
_KIND = "checkpoint of a training, version 1"
_TENSORS, _VALUES, _SUMS = "state.safetensors", "state.json", "checksums.json"
_NAME = re.compile(r"step-(\d+)")

# Settings that may differ when a training goes on: sections of variables count where they are used.
_FREE_SECTIONS = ("paths.", "system.", "variables.", "checkpoint.", "training.logger.")
_FREE = ("training.max_steps", "training.gpu_allocator")
_SHOWN = 5  # differences that an error names


@dataclass(frozen=True)
class Schedule:
    """When to write a checkpoint: the block [checkpoint] of a configuration.

    steps (int | None): After so many steps; None or 0 never.
    minutes (float | None): So long after the last one or the beginning; None or 0 never.
    RAISES: ValueError for a value out of range.
    """

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if self.steps is not None:
            check_count("checkpoint.steps", self.steps, least=0)
        if self.minutes is not None and not (is_number(self.minutes) and self.minutes >= 0):
            expected = "a number, 0 or more"
            raise ValueError(describe("checkpoint.minutes", expected=expected, got=self.minutes))

    def is_due(self, steps: int, written: float) -> bool:
        """Decide on a checkpoint after a step.

        steps (int): Steps taken since the beginning of the training.
        written (float): When the last checkpoint was written, by `time.monotonic`.
        """
        if self.steps and steps % self.steps == 0:
            return True
        return bool(self.minutes) and time.monotonic() - written >= 60 * (self.minutes or 0)


def read_schedule(block: Any) -> Schedule:
    """Read the block [checkpoint] of a configuration; None stands for a missing one.

    RETURNS (Schedule): Every `MINUTES` minutes if there is no block.
    RAISES: TrainingError for an unknown or unfit setting.
    """
    if block is None:
        return Schedule(minutes=MINUTES)
    try:
        return Schedule(**block)
    except TypeError:
        got = Plain(", ".join(block) if isinstance(block, dict) else repr(block))
        expected = "steps and minutes"
        raise TrainingError(describe("[checkpoint]", expected=expected, got=got)) from None
    except ValueError as error:
        raise TrainingError(str(error)) from None


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint.

    folder (Path): Where it is.
    tensors (dict[str, Tensor]): Weights, moments, random states.
    values (dict[str, Any]): All else.
    """

    folder: Path
    tensors: Tensors
    values: dict[str, Any]


def versions() -> dict[str, str]:
    """RETURNS (dict[str, str]): Versions of the libraries that compute."""
    return {"spacy": spacy.__version__, "thinc": thinc.__version__, "torch": torch.__version__}


def write_checkpoint(folder: Path, step: int, tensors: Tensors, values: dict[str, Any]) -> Path:
    """Write a checkpoint aside and put it in place, and remove all but the last two.

    folder (Path): The folder of checkpoints.
    step (int): Number of the last step.
    tensors, values: The state. Numbers in `values` keep all their bits.
    RETURNS (Path): The checkpoint's folder.
    RAISES: OSError that names the file, for example if the disk is full.
    """
    place = folder / f"step-{step:08d}"
    folder.mkdir(parents=True, exist_ok=True)
    remove_left(folder, _NAME.pattern)
    with replacing_folder(place, whole=True) as aside:
        safetensors.torch.save_file(tensors, aside / _TENSORS)
        text = json.dumps({"kind": _KIND, **values}, default=_plain)
        (aside / _VALUES).write_text(text, encoding="utf-8")
        sums = {name: checksum(aside / name) for name in (_TENSORS, _VALUES)}
        (aside / _SUMS).write_text(json.dumps(sums), encoding="utf-8")
    # Later ones were damaged, or this one would not have been written.
    before = [path for path in find_checkpoints(folder) if _step(path) <= step]
    for path in set(find_checkpoints(folder)) - set(before[:KEPT]):
        remove_folder(path)
    return place


def find_checkpoints(folder: Path) -> list[Path]:
    """RETURNS (list[Path]): Checkpoints in a folder, whole or not, the latest first."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted((p for p in found if _NAME.fullmatch(p.name) and p.is_dir()), key=_step)[::-1]


def read_newest(folder: Path, warn: Callable[[str], None]) -> Checkpoint | None:
    """Read the latest whole checkpoint.

    folder (Path): The folder of checkpoints.
    warn (Callable[[str], None]): Called with a message for each damaged one.
    RETURNS (Checkpoint | None): None if there are no checkpoints at all.
    RAISES: TrainingError if all of them are damaged.
    """
    found = find_checkpoints(folder)
    for path in found:
        try:
            return read_checkpoint(path)
        except TrainingError as error:
            warn(str(error))
    if found:
        remedy = "remove the folder, or begin anew without resuming"
        got = Plain(f"{len(found)} damaged")
        raise TrainingError(
            describe(str(folder), expected="a whole checkpoint", got=got, remedy=remedy)
        )
    return None


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint.

    RAISES: TrainingError if files are missing, damaged or of something else.
    """
    expected = "a whole checkpoint"
    try:
        for name, (size, digest) in json.loads((folder / _SUMS).read_bytes()).items():
            if list(checksum(folder / name)) != [size, digest]:
                got = Plain(f"a damaged {name}")
                raise TrainingError(describe(str(folder), expected=expected, got=got))
        values = json.loads((folder / _VALUES).read_bytes())
        if values.pop("kind") != _KIND:
            raise ValueError("not of this kind")
        return Checkpoint(folder, safetensors.torch.load_file(folder / _TENSORS), values)
    except TrainingError:
        raise
    except OSError as error:
        got = Plain(f"{error.strerror}: {error.filename}")
        raise TrainingError(describe(str(folder), expected=expected, got=got)) from None
    except Exception as error:  # of JSON, safetensors, or other shapes of the same names
        got = Plain(f"files of something else ({type(error).__name__}: {error})")
        raise TrainingError(describe(str(folder), expected=expected, got=got)) from None


def compare_config(checkpoint: Checkpoint, config: dict[str, Any]) -> None:
    """Compare the configuration of a training that goes on with that of a checkpoint.

    config (dict): The present one, filled and without variables.
    RAISES: TrainingError that names the settings that differ.
    """
    saved, present = (_counting(c) for c in (checkpoint.values["config"], config))
    missing = object()
    differing = [
        f"{name} = {_value(present, name)} (was {_value(saved, name)})"
        for name in sorted(saved | present)
        if saved.get(name, missing) != present.get(name, missing)
    ]
    if differing:
        raise TrainingError(
            describe(
                str(checkpoint.folder),
                expected="the configuration that it was written with",
                got=_listed(differing),
                remedy="begin anew without resuming, or put the settings back",
            )
        )


def compare_labels(checkpoint: Checkpoint, labels: dict[str, list[str]]) -> None:
    """Compare labels by component.

    RAISES: TrainingError that names the component and the labels that differ.
    """
    saved = checkpoint.values["labels"]
    for name in sorted(saved | labels):
        before, now = saved.get(name, []), list(labels.get(name, []))
        if before != now:
            more = [f"{x!r} is new" for x in now if x not in before]
            less = [f"{x!r} is missing" for x in before if x not in now]
            got = _listed(more + less) if more or less else Plain("another order")
            expected = f"the {len(before)} labels of {name!r} that it was written with"
            raise TrainingError(describe(str(checkpoint.folder), expected=expected, got=got))


def compare_shapes(checkpoint: Checkpoint, shapes: dict[str, tuple[int, ...]]) -> None:
    """Compare names and shapes of weights.

    RAISES: TrainingError that names the weights that differ.
    """
    saved = {k: tuple(t.shape) for k, t in checkpoint.tensors.items() if k.startswith("weights/")}
    differing = [
        f"{name.removeprefix('weights/')} of shape {shapes.get(name)} (was {saved.get(name)})"
        for name in sorted(saved | shapes)
        if saved.get(name) != shapes.get(name)
    ]
    if differing:
        expected, got = "weights as in this pipeline", _listed(differing)
        raise TrainingError(describe(str(checkpoint.folder), expected=expected, got=got))


def compare_corpus(checkpoint: Checkpoint, name: str, digest: str) -> None:
    """Compare the digest of a corpus, with a checkpoint of an earlier version its first part.

    name (str): "training" or "development".
    RAISES: TrainingError if the corpus has changed.
    """
    if checkpoint.values["digests"].get(name) not in (None, digest, digest.partition("-")[0]):
        raise TrainingError(
            describe(
                str(checkpoint.folder),
                expected=f"the {name} corpus that it was written with",
                got=Plain("another one"),
                remedy="put the corpus back, or begin anew without resuming",
            )
        )


def _counting(config: dict[str, Any]) -> dict[str, Any]:
    flat = dict_to_dot(json.loads(json.dumps(config)))
    return {k: v for k, v in flat.items() if not k.startswith(_FREE_SECTIONS) and k not in _FREE}


def _plain(value: Any) -> Any:
    """A number of NumPy, torch or CuPy as Python's; anything else that JSON lacks as text."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value)


def _value(config: dict[str, Any], name: str) -> str:
    return repr(config[name]) if name in config else "not set"


def _listed(found: list[str]) -> Plain:
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return Plain(", ".join(found[:_SHOWN]) + more)


def _step(path: Path) -> int:
    found = _NAME.fullmatch(path.name)
    return int(found[1]) if found else -1
