"""Adapters as files: beside the settings of their network, apart from its weights.

    pipeline/bio_ner/encoder/   config.json, the tokenizer, and the adapters as peft has them
    pipeline/base-1a2b3c4d…/    config.json and the weights, once for all components

The base is named by its content. A component that is saved by itself has it in `encoder/base`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import safe_open
from torch import Tensor

from ...errors import BioError, Plain, describe
from ...io import replacing_folder, write_json
from .adapters import Lora, adapted_layers, adapter_weights, base_of, base_parameters
from .folder import ADAPTER, CONFIG, WEIGHTS, read_shapes
from .pretrained import Pretrained, load_folder, save_network, save_tokenizer, settle_config
from .shared_base import digest_of

ADAPTER_WEIGHTS = "adapter_model.safetensors"
# Where a component that is saved by itself has its base, and how that of a pipeline is named.
OWN_BASE, BASE = "base", "base-"
# What spaCy writes to a pipeline's folder before any component.
_PIPELINE = ("config.cfg", "meta.json")
_DIGEST, _DIGITS = "base", 16
_PREFIX = "base_model.model."
# Bases that have been found to be whole, so that each component of a pipeline need not read all.
_WHOLE: dict[tuple, None] = {}
_REMEMBERED = 64


def save_apart(pretrained: Pretrained, lora: Lora, digest: str, folder: Path) -> None:
    """Write adapters, tokenizer and settings, and the base unless it is there.

    pretrained (Pretrained): With a network that has adapters.
    lora (Lora): Their settings.
    digest (str): That of the base, by `digest_of`.
    folder (Path): The folder `encoder` of a component.
    """
    folder.mkdir(parents=True, exist_ok=True)
    network = pretrained.network
    pipeline = folder.parent.parent
    base = folder / OWN_BASE
    if all((pipeline / name).is_file() for name in _PIPELINE):
        base = pipeline / _name_of(digest)
    if not _is_whole(base, digest):
        with replacing_folder(base) as aside:
            save_network(base_of(network), aside)
    network.config.save_pretrained(str(folder))
    settle_config(folder)
    save_tokenizer(pretrained.tokenizer, folder)
    weights = {f"{_PREFIX}{n}": t.cpu().contiguous() for n, t in adapter_weights(network).items()}
    data = safetensors.torch.save(weights, metadata={"format": "pt", _DIGEST: digest})
    (folder / ADAPTER_WEIGHTS).write_bytes(data)
    write_json(folder / ADAPTER, _peft_settings(network, lora, base.name))


def read_encoder(folder: Path) -> tuple[Pretrained, dict[str, Tensor] | None]:
    """Read what `save_folder` or `save_apart` wrote.

    RETURNS (tuple[Pretrained, dict[str, Tensor] | None]): A network without adapters and its
        tokenizer; weights of adapters, for `add_adapters`, if there are some.
    RAISES: As `load_folder` and `load_apart`.
    """
    if (folder / ADAPTER_WEIGHTS).exists():
        return load_apart(folder)
    return load_folder(folder), None


def load_apart(folder: Path) -> tuple[Pretrained, dict[str, Tensor]]:
    """Read what `save_apart` wrote.

    RETURNS (tuple[Pretrained, dict[str, Tensor]]): A network without adapters and its tokenizer;
        weights of adapters, for `add_adapters`.
    RAISES: OSError if a file is missing; ValueError if one is damaged, or the base another one.
    """
    path = folder / ADAPTER_WEIGHTS
    digest = _read_digest(path)
    base = find_base(folder)
    if base is None:
        place, expected = str(folder.parent.parent), f"the folder {_name_of(digest)}"
        remedy = "copy the whole folder of the pipeline"
        raise OSError(
            describe(place, expected=expected, got=Plain("no such folder"), remedy=remedy)
        )
    seen = _state_of(base, digest)
    pretrained = load_folder(folder, base=base)
    if seen not in _WHOLE:
        if digest_of(base_parameters(pretrained.network)) != digest:
            expected = f"the weights that the adapters in {folder} were trained on"
            raise BioError(describe(str(base / WEIGHTS), expected=expected, got=Plain("others")))
        _remember(seen)
    weights = safetensors.torch.load_file(path)
    return pretrained, {name.removeprefix(_PREFIX): t for name, t in weights.items()}


def find_base(folder: Path) -> Path | None:
    """RETURNS (Path | None): The folder of the base of what `save_apart` wrote to another; None if
    it is not there."""
    own = folder / OWN_BASE
    shared = folder.parent.parent / _name_of(_read_digest(folder / ADAPTER_WEIGHTS))
    return next((base for base in (own, shared) if base.is_dir()), None)


def shared_files(folder: Path) -> list[Path]:
    """RETURNS (list[Path]): Files outside a component that belong to what `save_apart` wrote to its
    folder `encoder`."""
    base = find_base(folder) if (folder / ADAPTER_WEIGHTS).is_file() else None
    return [] if base is None or base.parent == folder else sorted(base.iterdir())


def _name_of(digest: str) -> str:
    return f"{BASE}{digest[:_DIGITS]}"


def _is_whole(base: Path, digest: str) -> bool:
    """Whether a folder has the weights of a digest."""
    try:
        if not (base / CONFIG).is_file():
            return False
        seen = _state_of(base, digest)
        if seen in _WHOLE:
            return True
        read_shapes(base / WEIGHTS)
        is_whole = digest_of(safetensors.torch.load_file(base / WEIGHTS)) == digest
    except (OSError, ValueError):
        return False
    if is_whole:
        _remember(seen)
    return is_whole


def _state_of(base: Path, digest: str) -> tuple:
    """The digest of a base, and all that changes when its file does."""
    path = (base / WEIGHTS).resolve()
    if not path.is_file():
        return (digest,)
    state = path.stat()
    return digest, str(path), state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


def _remember(state: tuple) -> None:
    while len(_WHOLE) >= _REMEMBERED:
        _WHOLE.pop(next(iter(_WHOLE)))
    _WHOLE[state] = None


def _read_digest(path: Path) -> str:
    read_shapes(path)
    with safe_open(path, framework="pt") as file:
        digest = (file.metadata() or {}).get(_DIGEST, "")
    # Part of the name of a folder: nothing else may be in it.
    if not re.fullmatch("[0-9a-f]{64}", digest):
        expected = "the SHA-256 of the weights that the adapters belong to"
        raise BioError(describe(f"{path}, {_DIGEST}", expected=expected, got=digest))
    return digest


def _peft_settings(network: Any, lora: Lora, base: str) -> Mapping[str, Any]:
    return {
        "base_model_name_or_path": f"../../{base}" if base != OWN_BASE else OWN_BASE,
        "bias": "none",
        "inference_mode": True,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "peft_type": "LORA",
        "r": lora.r,
        "target_modules": adapted_layers(network),
        "task_type": "FEATURE_EXTRACTION",
    }
