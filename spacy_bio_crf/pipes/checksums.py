"""Checksums that tie the files of a saved component together, and to those it was saved beside."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from thinc.api import Config

from ..encoders.shared import FACTORY, SHARED_ENCODER
from ..encoders.transformer.adapter_files import BASE, shared_files
from ..io import checksum, write_json

CHECKSUMS = "checksums.json"
# Parts of a saved component: nothing else in its folder is read.
FIELDS = ("cfg", "vocab", "model", "encoder")
BESIDE = "../"
_LFS = b"version https://git-lfs"


def write_checksums(folder: Path, place: Path) -> None:
    """Write size and SHA-256 of a component's files, and the settings that it was saved with.

    The pipeline's tokenizer belongs to them. So do the weights of earlier components where the
    component has no encoder of its own, those of a `bio_encoder` as its own checksums have them,
    and those that adapters share.

    folder (Path): The files, still aside.
    place (Path): The folder that they are meant for, in that of the pipeline.
    """
    place = Path(os.path.abspath(place))
    settings = _read_settings(place)
    names = settings.get("nlp", {}).get("pipeline", [])
    beside = [place.parent / "tokenizer"]
    weights: dict[str, Any] = {}
    if place.name in names and not (folder / "encoder").is_dir():
        earlier = names[: names.index(place.name)]
        if _reads_shared(settings, place.name):
            factories = {n: own.get("factory") for n, own in settings["components"].items()}
            earlier = [name for name in earlier if factories.get(name) == FACTORY]
            for name in earlier:
                weights |= _weights_of(place.parent / name)
        beside += [place.parent / name / "model" for name in earlier]
    beside += shared_files(folder / "encoder")
    files = {_name(path, folder): checksum(path) for path in _own_files(folder, FIELDS)}
    files |= {BESIDE + _name(p, place.parent): checksum(p) for p in beside if p.is_file()}
    write_json(
        folder / CHECKSUMS, {"files": files | weights, "settings": _own_settings(settings, place)}
    )


def find_damage(folder: Path, exclude: Iterable[str] = ()) -> list[str]:
    """Find the files of a component that are not as they were saved.

    folder (Path): The component's folder.
    exclude (Iterable[str]): Names of fields that are not read.
    RETURNS (list[str]): Their names, with what is wrong; empty for a component without checksums,
        as version 0.1.0 saved it.
    """
    folder = Path(os.path.abspath(folder))
    if not has_checksums(folder):
        return []
    fields = [field for field in FIELDS if field not in exclude]
    found = {_name(path, folder) for path in _own_files(folder, fields)}
    faults = []
    try:
        files = _read(folder)["files"]
        for name, (size, digest) in files.items():
            beside = folder.parent / name.removeprefix(BESIDE)
            if name.startswith(BESIDE + BASE):
                if "encoder" in fields and (fault := _fault(beside, size, digest)):
                    faults.append(f"{beside} ({fault})")
            elif name.startswith(BESIDE) and beside.parent.name == "encoder":
                # Its component compares them with the files.
                if _weights_of(beside.parents[1]).get(name, [size, digest]) != [size, digest]:
                    faults.append(f"{beside} (of another pipeline)")
            elif name.startswith(BESIDE):
                if beside.is_file() and _fault(beside, size, digest):
                    faults.append(f"{beside} (of another pipeline)")
            elif name.partition("/")[0] in fields and (
                fault := _fault(folder / name, size, digest)
            ):
                faults.append(f"{name} ({fault})")
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return [f"{CHECKSUMS} (damaged)"]
    return faults + [f"{name} (was not there)" for name in sorted(found - set(files))]


def has_checksums(folder: Path) -> bool:
    """RETURNS (bool): The folder has a file of checksums, whatever is in it."""
    return (folder / CHECKSUMS).exists()


def find_other_labels(folder: Path, labels: Iterable[str]) -> str | None:
    """Compare a component's labels with those in the `meta.json` of its pipeline.

    folder (Path): The component's folder.
    labels (Iterable[str]): Its labels.
    RETURNS (str | None): What is wrong; None if they are equal, or there are none in `meta.json`.
    """
    folder = Path(os.path.abspath(folder))
    path = folder.parent / "meta.json"
    try:
        known = json.loads(path.read_bytes())["labels"][folder.name]
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return None
    return None if known == list(labels) else f"{path} (with labels of another pipeline)"


def find_changed_settings(folder: Path) -> list[str]:
    """Compare the settings in a pipeline's `config.cfg` with those that a component was saved with.

    folder (Path): The component's folder.
    RETURNS (list[str]): Names of settings that differ, such as "model.encoder.window".
    """
    folder = Path(os.path.abspath(folder))
    saved = _read(folder).get("settings") if has_checksums(folder) else None
    present = _own_settings(_read_settings(folder), folder)
    return list(_differences(saved, present)) if saved and present else []


def _read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / CHECKSUMS).read_bytes())


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _own_files(folder: Path, fields: Iterable[str]) -> Iterator[Path]:
    for field in fields:
        path = folder / field
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (p for p in found if p.is_file() and not p.name.startswith("."))


def _reads_shared(settings: dict[str, Any], name: str) -> bool:
    """Whether a component has the encoder of another one."""
    model = settings.get("components", {}).get(name, {}).get("model", {})
    return model.get("encoder", {}).get("@architectures") == SHARED_ENCODER


def _weights_of(folder: Path) -> dict[str, Any]:
    """Sizes and checksums of the files of another component's encoder, as it was saved."""
    files = _read(folder)["files"] if has_checksums(folder) else {}
    return {
        f"{BESIDE}{folder.name}/{name}": own
        for name, own in files.items()
        if name.startswith("encoder/")
    }


def _fault(path: Path, size: int, digest: str) -> str | None:
    """What a file looks like that is not as it was saved; None if it is."""
    if not path.is_file():
        return "no such file"
    found = path.stat().st_size
    if found == size and checksum(path)[1] == digest:
        return None
    with path.open("rb") as file:
        if file.read(len(_LFS)) == _LFS:
            return "a pointer of Git LFS: run git lfs pull"
    return f"{found:,} of {size:,} bytes" if found < size else "other content"


def _read_settings(place: Path) -> dict[str, Any]:
    """The configuration of the pipeline that a component's folder is in; empty if there is none."""
    try:
        return Config().from_disk(place.parent / "config.cfg", interpolate=False)
    except (OSError, ValueError):
        return {}


def _own_settings(settings: dict[str, Any], place: Path) -> dict[str, Any]:
    return settings.get("components", {}).get(place.name, {})


def _differences(one: Any, two: Any, name: str = "") -> Iterator[str]:
    if isinstance(one, dict) and isinstance(two, dict):
        for key in sorted(one | two):
            yield from _differences(one.get(key), two.get(key), f"{name}.{key}" if name else key)
    elif one != two:
        yield name
