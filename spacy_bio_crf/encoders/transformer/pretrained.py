"""Pre-trained networks and their tokenizers: fetched by name, saved as Hugging Face folders."""

import contextlib
import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import srsly
import torch
from huggingface_hub import utils as hub
from safetensors import safe_open
from torch import nn
from transformers import logging as hf_logging
from transformers.utils import cached_file

from ...errors import BioError, Plain, describe
from ...io import write_json
from .families import check_family
from .folder import (
    CONFIG,
    PLAIN_CLASS,
    TOKENIZER,
    TOKENIZER_SETTINGS,
    WEIGHTS,
    check_config,
    check_sizes,
    check_tokenizer_settings,
    check_vocabulary,
    check_weights,
    check_whole,
    is_plausible,
    read_json_settings,
    without_code,
)
from .surgery import CASING, add_casing, set_dropout

# Temporary files of safetensors, which a killed process leaves behind.
STRAY = ".tmp*"


@dataclass(frozen=True)
class Pretrained:
    """A network and its tokenizer.

    network (PreTrainedModel): The bare encoder, without any head or pooler, in float32.
    tokenizer (PreTrainedTokenizerBase): Fast if the family has a fast one, else slow.
    """

    network: Any
    tokenizer: Any


def fetch(name: str, *, revision: str | None = None, dropout: float | None = None) -> Pretrained:
    """Get a pre-trained encoder from a local folder or, by name, from the Hugging Face hub.

    dropout (float | None): Every dropout probability of the network; None keeps those in its
        config.
    RAISES: OSError if there is no such folder or name, or no network to reach the hub; ValueError
        if the folder has no tokenizer or the network is not a plain encoder.
    """
    config = read_config(name, revision=revision or "main")
    if dropout is not None:
        set_dropout(config, dropout)
    network, missing, _ = _load_network(name, config, revision=revision or "main")
    if missing:
        warnings.warn(
            f"The encoder {name!r} has no weights for {len(missing)} of its parameters, which start"
            f" at random: {', '.join(missing[:5])}{' …' if len(missing) > 5 else ''}",
            stacklevel=2,
        )
    return Pretrained(network, fetch_tokenizer(name, revision=revision))


def outline(name: str, *, revision: str | None = None) -> Pretrained:
    """Get what cuts texts into windows: a tokenizer, and a network on torch's "meta" device, which
    has no weights and takes no memory. RAISES: As `fetch`."""
    config = read_config(name, revision=revision or "main")
    return Pretrained(_build(name, config), fetch_tokenizer(name, revision=revision))


def fetch_tokenizer(name: str, *, revision: str | None = None, **options: Any) -> Any:
    """RETURNS (PreTrainedTokenizerBase): An encoder's tokenizer alone. RAISES: ValueError if it
    can't be read."""
    from transformers import AutoTokenizer

    return load_tokenizer(name, AutoTokenizer, revision=revision or "main", **options)


def load_folder(folder: Path, *, base: Path | None = None) -> Pretrained:
    """Read what `save_folder` wrote. Never reaches for the hub and never unpickles.

    base (Path | None): Another folder, with the weights.
    RAISES: OSError if a file is missing; ValueError if a weight or the tokenizer is.
    """
    place = base or folder
    for path in (folder / CONFIG, place / WEIGHTS):
        if not path.is_file():
            expected, got = path.name, Plain("no such file")
            raise OSError(describe(str(path.parent), expected=expected, got=got))
    config = read_config(str(folder), local_files_only=True)
    network, missing, others = _load_network(
        str(place), config, local_files_only=True, use_safetensors=True
    )
    if missing or others:
        expected = "weights of all parameters that config.json asks for"
        if missing:
            got = Plain(f"none of {len(missing)}, the first of them {missing[0]}")
        else:
            got = Plain(f"{len(others)} more, the first of them {others[0]}")
        raise ValueError(describe(str(place / WEIGHTS), expected=expected, got=got))
    return Pretrained(network, load_saved_tokenizer(folder))


def save_folder(pretrained: Pretrained, folder: Path) -> None:
    """Write network and tokenizer as a Hugging Face folder with safetensors weights.

    transformers 4 and 5 read the same from it, whichever has written it.
    """
    save_network(pretrained.network, folder)
    save_tokenizer(pretrained.tokenizer, folder)


def save_network(network: Any, folder: Path) -> None:
    """Write what `save_folder` writes of a network."""
    folder.mkdir(parents=True, exist_ok=True)
    for stray in folder.glob(STRAY):
        stray.unlink()
    with quiet():
        network.save_pretrained(str(folder), max_shard_size="100GB")
    # safetensors gives its files to their owner alone; the others follow the umask.
    mode = (folder / CONFIG).stat().st_mode
    for path in folder.glob("*.safetensors"):
        path.chmod(mode)
    settle_config(folder)


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Write what `save_folder` writes of a tokenizer."""
    with quiet():
        tokenizer.save_pretrained(str(folder))
    _settle_tokenizer(folder)


def pack_folder(folder: Path) -> bytes:
    """RETURNS (bytes): The files of a folder, as msgpack of `{name: content}`."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return srsly.msgpack_dumps({p.relative_to(folder).as_posix(): p.read_bytes() for p in paths})


def unpack_folder(data: bytes, folder: Path) -> None:
    """Write the files that `pack_folder` has read, in a folder or those within it."""
    files: dict[str, bytes] = srsly.msgpack_loads(data)
    for name, content in files.items():
        # Plain names alone: a crafted bytestring must not write outside the folder.
        parts = [p for p in re.split(r"[/\\]", name) if p.strip(".") and ":" not in p]
        path = folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def read_config(name: str, **options: Any) -> Any:
    from transformers import AutoConfig

    try:
        found = cached_file(name, CONFIG, **options)
        if found is None:
            raise OSError(f"there is no {CONFIG} in it")
    except (OSError, ValueError) as error:
        expected = (
            "a folder with a config.json, or the name of a model on the Hugging Face hub and a"
            " connection to it"
        )
        got, reason = Plain("neither"), f"the reason given: {error}"
        raise OSError(
            describe(f"encoder {name!r}", expected=expected, got=got, remedy=reason)
        ) from error
    path = Path(found)
    if not Path(name).is_dir():
        check_whole(name, **options)
    settings = read_json_settings(path)
    check_config(path, settings)
    with _named(path, "settings of a network that transformers knows"):
        config = AutoConfig.from_pretrained(name, trust_remote_code=False, **options)
        config = type(config).from_dict(without_code(settings))
        config.name_or_path = name
    check_family(name, config)
    for key in ("num_hidden_layers", "num_attention_heads"):
        number = getattr(config, key, None)
        if isinstance(number, int) and number < 1:
            raise BioError(describe(f"{path}, {key}", expected="1 or more", got=number))
    return config


def _build(name: str, config: Any) -> Any:
    """A network without weights, which takes no memory."""
    from transformers import AutoModel

    with _named(f"encoder {name!r}, {CONFIG}", "settings of a network"), torch.device("meta"):
        return AutoModel.from_config(config, trust_remote_code=False)


def _load_network(name: str, config: Any, **options: Any) -> tuple[Any, list[str], list[str]]:
    """The network in float32, its parameters without weights, and weights that it has not."""
    from transformers import AutoModel

    folder = Path(name)
    if folder.is_dir():
        shapes = check_weights(folder)
        # A network without weights takes a tenth of a second.
        if shapes and not is_plausible(config.to_dict(), shapes):
            check_sizes(folder, _build(name, config), shapes)
    with _named(f"encoder {name!r}", f"weights that fit its {CONFIG}"), quiet():
        network, report = AutoModel.from_pretrained(
            name, config=config, output_loading_info=True, trust_remote_code=False, **options
        )
        if f"{CASING}.weight" in report["unexpected_keys"]:
            add_casing(network)
            with safe_open(folder / WEIGHTS, framework="pt") as weights:
                network.casing.weight.data.copy_(weights.get_tensor(f"{CASING}.weight"))
    # The pooler's weights are absent from our own folders and unused in any.
    if getattr(network, "pooler", None) is not None:
        # SqueezeBERT and LayoutLM call theirs; others are made for being without one.
        optional = "add_pooling_layer" in signature(type(network).__init__).parameters
        network.pooler = None if optional else nn.Identity()
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    others = sorted({*report["unexpected_keys"]} - {f"{CASING}.weight"})
    own_weights(network)
    return network, missing, others


def own_weights(network: Any) -> None:
    """Copy weights, in float32: as transformers reads them, they are a view of their file, and
    whoever writes to it would change them."""
    for tensor in [*network.parameters(), *network.buffers()]:
        dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
        tensor.data = tensor.data.to(dtype, copy=True)


def load_saved_tokenizer(folder: Path) -> Any:
    from transformers import PreTrainedTokenizerFast

    if (folder / TOKENIZER).is_file():
        # The families' own classes build the tokenizer anew in transformers 5: this one reads it.
        with quiet():
            return load_tokenizer(str(folder), PreTrainedTokenizerFast, local_files_only=True)
    tokenizer = fetch_tokenizer(str(folder), local_files_only=True)
    if tokenizer.is_fast:
        warnings.warn(
            f"{folder} was saved with a tokenizer written in Python, which this version of"
            " transformers replaces with another one: sub-words may differ.",
            stacklevel=2,
        )
    return tokenizer


def settle_config(folder: Path) -> None:
    """Write the angles of rotary embeddings where transformers 4 has them, too."""
    path = folder / CONFIG
    config = json.loads(path.read_text(encoding="utf-8"))
    angles = config.get("rope_parameters")
    if not angles:
        return
    if "rope_theta" in angles:
        scaling = {key: value for key, value in angles.items() if key != "rope_theta"}
        config["rope_theta"] = angles["rope_theta"]
        if scaling.get("rope_type", "default") != "default":
            config["rope_scaling"] = scaling
    # ModernBERT has one for each kind of attention.
    kinds = {"full_attention": "global_rope_theta", "sliding_attention": "local_rope_theta"}
    for kind, key in kinds.items():
        if kind in angles:
            config[key] = angles[kind]["rope_theta"]
    write_json(path, config)


def _settle_tokenizer(folder: Path) -> None:
    """Write the settings of a tokenizer so that every version of transformers reads them."""
    path = folder / TOKENIZER_SETTINGS
    settings = json.loads(path.read_text(encoding="utf-8"))
    for key in ("backend", "is_local", "local_files_only"):  # tell how it was read
        settings.pop(key, None)
    if (folder / TOKENIZER).is_file():
        settings["tokenizer_class"] = PLAIN_CLASS
    if isinstance(settings.get("extra_special_tokens"), list):
        settings["additional_special_tokens"] = settings.pop("extra_special_tokens")
    write_json(path, settings)


def load_tokenizer(name: str, kind: Any, **options: Any) -> Any:
    if Path(name).is_dir():
        check_vocabulary(Path(name))
    try:
        check_tokenizer_settings(name, **options)
        tokenizer = kind.from_pretrained(name, trust_remote_code=False, **options)
        tokenizer("a")
        size, special = len(tokenizer), {*tokenizer.all_special_tokens}
    except Exception as error:
        # Libraries raise anything for a damaged file, the tokenizers library Exception itself.
        raise _no_tokenizer(name, _damage(Path(name) / TOKENIZER) or _first_cause(error)) from error
    # transformers 5 makes a tokenizer of special sub-words alone where there are no files.
    if size <= len(special):
        raise _no_tokenizer(name, "its vocabulary is empty")
    return tokenizer


def _damage(path: Path) -> str | None:
    """Why a file is no tokenizer, if it is none."""
    from tokenizers import Tokenizer

    if path.is_file():
        try:
            Tokenizer.from_file(str(path))
        except Exception as error:  # the library's own type
            return f"{path} ({path.stat().st_size:,} bytes) is damaged: {error}"
    return None


def _first_cause(error: BaseException) -> BaseException:
    """The error that others followed: transformers 4 takes any for a package that is missing."""
    while isinstance(error, ImportError | OSError) and error.__context__ is not None:
        error = error.__context__
    return error


def _no_tokenizer(name: str, reason: Any) -> ValueError:
    expected = "tokenizer.json or the vocabulary files of its family beside config.json"
    got, remedy = Plain("no tokenizer that can be read"), f"the reason given: {reason}"
    return ValueError(describe(f"encoder {name!r}", expected=expected, got=got, remedy=remedy))


@contextlib.contextmanager
def _named(place: Any, expected: str) -> Iterator[None]:
    """Name what transformers could not read: of damaged files it may raise anything."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        got, remedy = Plain("others"), f"the reason given: {_first_cause(error)!r}"
        raise BioError(describe(str(place), expected=expected, got=got, remedy=remedy)) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from progress bars and warnings; downloads are shown as before."""
    level, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    downloads = not hub.are_progress_bars_disabled()
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    if downloads:
        hub.enable_progress_bars()
    try:
        yield
    finally:
        hf_logging.set_verbosity(level)
        if bars:
            hf_logging.enable_progress_bar()
        if not downloads:
            hub.disable_progress_bars()
