"""Files of a Hugging Face folder, checked before transformers reads them.

A folder is data: nothing in it chooses code or names a place to fetch from, and its sizes are those
of its weights.
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from transformers.utils import cached_file

from ...errors import BioError, Plain, describe

CONFIG, WEIGHTS = "config.json", "model.safetensors"
TOKENIZER, TOKENIZER_SETTINGS = "tokenizer.json", "tokenizer_config.json"
# Where transformers looks for weights, in this order; an index lists several files.
WEIGHT_FILES = (
    WEIGHTS,
    f"{WEIGHTS}.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# The class that takes tokenizer.json as it is; transformers 5 knows it by another name as well.
PLAIN_CLASS = "PreTrainedTokenizerFast"
# Names of tokenizers, the backends in transformers 5. Some are in no list of either version.
TOKENIZER_CLASS = re.compile(r"(?!Auto|Rag)\w+(Tokenizer(Fast)?|Backend)")
TOKENS = ("special_tokens_map.json", "added_tokens.json")
VOCABULARIES = ("tokenizer*.json", "vocab.*", "merges.txt", "*.model")
POINTER, ARCHIVE = b"version https://git-lfs", b"PK\x03\x04"
MOST_BYTES, MOST_DEPTH = 2**24, 50  # of settings
# Greater numbers are refused as sizes of networks and windows. Angles, and what scales them, are
# not sizes.
MOST_ROWS, MOST_LAYERS, FEW = 2**24, 1000, 100
NOT_SIZES = ("theta", "base", "freq", "factor")
# Settings that have transformers import or fetch code, or read another file than the folder's.
CODE = (
    "implementation",
    "auto_map",
    "auto_class",
    "kernel_config",
    "trust_remote",
    "revision",
)
FILES = ("transformers_weights", "base_model_name_or_path")
ADAPTER = "adapter_config.json"

Shapes = dict[str, tuple[int, ...]]  # of weights, by their names


def check_vocabulary(folder: Path) -> None:
    """RAISES: BioError for an empty or damaged file, or one that Git LFS has not fetched."""
    for pattern in VOCABULARIES:
        for path in sorted(folder.glob(pattern)):
            _check_content(path)
    for name in TOKENS:
        if (folder / name).is_file():
            read_json_settings(folder / name)


def check_weights(folder: Path) -> Shapes:
    """Check the files of weights that transformers would read.

    RETURNS (Shapes): Of weights in safetensors; empty for other formats.
    RAISES: BioError for a damaged file, one that Git LFS has not fetched, or an adapter, which
        names the network that it belongs to.
    """
    check_whole(str(folder))
    weights = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if weights is None:
        return {}
    files = [weights]
    if weights.suffix == ".json":
        parts = read_json_settings(weights).get("weight_map")
        names = sorted({*parts.values()}) if isinstance(parts, dict) else []
        for name in names:
            if not isinstance(name, str) or Path(name).name != name:
                raise BioError(
                    describe(str(weights), expected="names of files beside it", got=name)
                )
        files = [folder / name for name in names]
    shapes: Shapes = {}
    for path in files:
        if not path.is_file():
            raise OSError(describe(str(folder), expected=path.name, got=Plain("no such file")))
        if path.suffix == ".safetensors":
            shapes.update(read_shapes(path))
            continue
        _check_content(path)
        if _begins(path, ARCHIVE) and not is_zipfile(path):
            raise _damaged(path, "the beginning of an archive", "copy the file again")
    return shapes


def check_whole(name: str, **options: Any) -> None:
    """RAISES: BioError for an adapter in a folder or, by name, on the hub: transformers would fetch
    the network that it names, if peft is there. Options are those of `cached_file`."""
    try:
        found = cached_file(name, ADAPTER, **options)
    except OSError:  # no such file, or no network
        return
    if found is not None:
        got, remedy = Plain("an adapter"), "merge the adapter into its network and save that"
        raise BioError(describe(name, expected="a whole network", got=got, remedy=remedy))


def _begins(path: Path, start: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(start)) == start


def _check_content(path: Path) -> None:
    if _begins(path, POINTER):
        raise _damaged(path, "the pointer of a file in Git LFS", "run `git lfs pull`")
    if not path.stat().st_size:
        raise _damaged(path, "nothing", "copy the file again")


def read_shapes(path: Path) -> Shapes:
    """RETURNS (Shapes): Of the weights in a file of safetensors. RAISES: BioError for a damaged
    file, or one that Git LFS has not fetched."""
    _check_content(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        # Of a file that is none the first bytes may be any number.
        text = file.read(length) if length <= size - 8 else b""
    try:
        header = json.loads(text)
        weights = {name: entry for name, entry in header.items() if name != "__metadata__"}
        shapes = {name: tuple(map(int, entry["shape"])) for name, entry in weights.items()}
        end = 8 + length + max((entry["data_offsets"][1] for entry in weights.values()), default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        raise _damaged(path, "no header of safetensors", "copy the file again") from None
    if end != size:
        raise _damaged(path, f"no weights of {end:,} bytes", "copy the file again")
    return shapes


def _damaged(path: Path, content: str, remedy: str) -> BioError:
    size = f"{path.stat().st_size:,} bytes"
    what = "weights" if path.suffix in (".safetensors", ".bin") else "a whole file"
    return BioError(
        describe(str(path), expected=what, got=Plain(f"{size}: {content}"), remedy=remedy)
    )


def read_json_settings(path: Path) -> dict[str, Any]:
    """Read a file of settings. RAISES: BioError if it is damaged, long or deep."""
    _check_content(path)
    if path.stat().st_size > MOST_BYTES:
        got = Plain(f"{path.stat().st_size:,}")
        raise BioError(describe(str(path), expected=f"at most {MOST_BYTES:,} bytes", got=got))
    try:
        settings = json.loads(path.read_bytes())
        deep = any(depth > MOST_DEPTH for _, _, depth in _walk(settings))
    except ValueError as error:
        raise _damaged(path, f"no JSON ({error})", "copy the file again") from error
    except RecursionError:
        settings, deep = {}, True
    if deep:
        expected = f"JSON of at most {MOST_DEPTH} levels"
        raise BioError(describe(str(path), expected=expected, got=Plain("more")))
    if not isinstance(settings, dict):
        raise BioError(describe(str(path), expected="settings by name", got=settings))
    return settings


def check_config(path: Path, settings: dict[str, Any]) -> None:
    """RAISES: BioError for quantized weights, or a size that no network has."""
    for key, value, _ in _walk(settings):
        if key in ("quantization_config", "compression_config") and value:
            place = f"{path}, {key}"
            raise BioError(
                describe(place, expected="weights that are not quantized", got=Plain("others"))
            )
        number = isinstance(value, int | float) and not _is_no_size(key)
        most = MOST_LAYERS if "layer" in key else MOST_ROWS
        if number and not value <= most:
            raise BioError(describe(f"{path}, {key}", expected=f"at most {most:,}", got=value))


def is_plausible(settings: dict[str, Any], shapes: Shapes) -> bool:
    """Whether every size that could cost memory is that of a weight."""
    known = {size for shape in shapes.values() for size in shape}
    return all(
        value in known or value <= FEW or key.endswith("_id") or _is_no_size(key)
        for key, value, _ in _walk(settings)
        if isinstance(value, int)
    )


def _is_no_size(key: str) -> bool:
    return any(word in key for word in NOT_SIZES)


def without_code(settings: Any) -> Any:
    """RETURNS (Any): Settings, and those within them, without any that would choose code."""
    if isinstance(settings, dict):
        return {
            key: without_code(value)
            for key, value in settings.items()
            if key not in FILES and not any(word in key for word in CODE)
        }
    return [without_code(value) for value in settings] if isinstance(settings, list) else settings


def check_sizes(folder: Path, network: Any, shapes: Shapes) -> None:
    """Compare a network that has no weights yet with a folder's.

    network (PreTrainedModel): On torch's "meta" device.
    RAISES: BioError for a weight of another shape, or one that is missing and larger than all
        weights together.
    """
    total = sum(map(math.prod, shapes.values()))
    prefix = f"{network.base_model_prefix}."
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        shape = shapes.get(name, shapes.get(prefix + name))
        if shape is None and tensor.numel() > max(total, MOST_ROWS):
            shape = ()
        if shape is not None and shape != tuple(tensor.shape):
            place = f"{folder}, {name}"
            expected = f"the shape that {CONFIG} gives, {tuple(tensor.shape)}"
            got = shape or Plain("no such weight")
            raise BioError(describe(place, expected=expected, got=got))


def _walk(value: Any) -> Iterator[tuple[str, Any, int]]:
    """Each value within settings, with the key that it stands under and its depth."""
    waiting = [("", value, 1)]
    while waiting:
        key, value, depth = waiting.pop()
        yield key, value, depth
        if isinstance(value, dict):
            waiting.extend((inner, own, depth + 1) for inner, own in value.items())
        elif isinstance(value, list):
            waiting.extend((key, own, depth + 1) for own in value)


def check_tokenizer_settings(name: str, **options: Any) -> None:
    """Look through what a tokenizer's settings name. Options are those of `cached_file`.

    name (str): A folder, or a name on the hub.
    RAISES: ValueError for a class that is none of transformers, or another place's file.
    """
    for file in (TOKENIZER_SETTINGS, CONFIG):
        try:
            path = cached_file(name, file, **options)
        except OSError:
            continue  # a folder without this file
        if path is None:
            continue
        settings = read_json_settings(Path(path))
        for key, value in settings.items():
            place = f"{path}, {key}"
            is_class = value is None or TOKENIZER_CLASS.fullmatch(str(value))
            if key == "tokenizer_class" and not is_class:
                raise ValueError(describe(place, expected="a tokenizer of transformers", got=value))
            # Many folders name files of their maker's machine. These are not there to be read.
            named = key.endswith("_file") and file == TOKENIZER_SETTINGS and value is not None
            if named and _is_elsewhere(value, Path(path).parent):
                raise ValueError(describe(place, expected="a file of its folder", got=value))


def _is_elsewhere(file: Any, folder: Path) -> bool:
    """Whether a name is that of a file outside a folder, or of none that could be told."""
    if not isinstance(file, str):
        return True
    try:
        return Path(file).exists() and folder.resolve() not in Path(file).resolve().parents
    except (OSError, ValueError):
        return True
