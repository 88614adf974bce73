"""Pre-trained networks and their tokenizers: fetched by name, saved as Hugging Face folders."""

import contextlib
import json
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import srsly
import torch
from huggingface_hub import utils as hub
from safetensors import safe_open
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedTokenizerFast
from transformers import logging as hf_logging

from ...errors import Plain, describe
from ...io import write_json
from .surgery import CASING, add_casing, set_dropout

CONFIG, WEIGHTS = "config.json", "model.safetensors"
TOKENIZER, TOKENIZER_SETTINGS = "tokenizer.json", "tokenizer_config.json"
# The class that takes tokenizer.json as it is; transformers 5 knows it by another name as well.
PLAIN_CLASS = "PreTrainedTokenizerFast"


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
    network, missing = _load_network(name, config=config, revision=revision or "main")
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
    with torch.device("meta"):
        network = AutoModel.from_config(config)
    return Pretrained(network, fetch_tokenizer(name, revision=revision))


def fetch_tokenizer(name: str, *, revision: str | None = None) -> Any:
    """RETURNS (PreTrainedTokenizerBase): An encoder's tokenizer alone. RAISES: ValueError if it
    can't be read."""
    return load_tokenizer(name, revision=revision or "main")


def load_folder(folder: Path) -> Pretrained:
    """Read what `save_folder` wrote. Never reaches for the hub and never unpickles.

    RAISES: OSError if a file is missing; ValueError if a weight or the tokenizer is.
    """
    for needed in (CONFIG, WEIGHTS):
        if not (folder / needed).is_file():
            raise OSError(describe(str(folder), expected=needed, got=Plain("no such file")))
    config = AutoConfig.from_pretrained(str(folder), local_files_only=True)
    network, missing = _load_network(
        str(folder), config=config, local_files_only=True, use_safetensors=True
    )
    if missing:
        expected = "weights of all parameters that config.json asks for"
        got = Plain(f"none of {len(missing)}, the first of them {missing[0]}")
        raise ValueError(describe(str(folder / WEIGHTS), expected=expected, got=got))
    return Pretrained(network, _load_saved_tokenizer(folder))


def save_folder(pretrained: Pretrained, folder: Path) -> None:
    """Write network and tokenizer as a Hugging Face folder with safetensors weights.

    transformers 4 and 5 read the same from it, whichever has written it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with quiet():
        pretrained.network.save_pretrained(str(folder), max_shard_size="100GB")
        pretrained.tokenizer.save_pretrained(str(folder))
    _settle_config(folder / CONFIG)
    _settle_tokenizer(folder)


def to_bytes(pretrained: Pretrained) -> bytes:
    """RETURNS (bytes): The files of `save_folder`, as msgpack of `{file name: content}`."""
    with tempfile.TemporaryDirectory() as place:
        save_folder(pretrained, Path(place))
        files = {path.name: path.read_bytes() for path in sorted(Path(place).iterdir())}
    return srsly.msgpack_dumps(files)


def from_bytes(data: bytes) -> Pretrained:
    """Read what `to_bytes` wrote."""
    files: dict[str, bytes] = srsly.msgpack_loads(data)
    with tempfile.TemporaryDirectory() as place:
        for name, content in files.items():
            # The base name alone: a crafted bytestring must not write outside the folder.
            (Path(place) / Path(name).name).write_bytes(content)
        return load_folder(Path(place))


def read_config(name: str, **options: Any) -> Any:
    try:
        config = AutoConfig.from_pretrained(name, **options)
    except (OSError, ValueError) as error:
        expected = (
            "a folder with a config.json, or the name of a model on the Hugging Face hub and a"
            " connection to it"
        )
        got, reason = Plain("neither"), f"the reason given: {error}"
        raise OSError(
            describe(f"encoder {name!r}", expected=expected, got=got, remedy=reason)
        ) from error
    if getattr(config, "is_encoder_decoder", False):
        expected = "an encoder such as BERT, RoBERTa, DeBERTa, XLM-R, DistilBERT or ModernBERT"
        got = Plain(f"an encoder-decoder ({config.model_type})")
        raise ValueError(describe(f"encoder {name!r}", expected=expected, got=got))
    return config


def _load_network(name: str, **options: Any) -> tuple[Any, list[str]]:
    """The network in float32, and the names of its parameters without weights."""
    with quiet():
        network, report = AutoModel.from_pretrained(name, output_loading_info=True, **options)
    if f"{CASING}.weight" in report["unexpected_keys"]:
        add_casing(network)
        with safe_open(Path(name) / WEIGHTS, framework="pt") as weights:
            network.casing.weight.data.copy_(weights.get_tensor(f"{CASING}.weight"))
    # The pooler's weights are absent from our own folders and unused in any.
    if getattr(network, "pooler", None) is not None:
        network.pooler = None
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    return network.float(), missing


def _load_saved_tokenizer(folder: Path) -> Any:
    if (folder / TOKENIZER).is_file():
        # The families' own classes build the tokenizer anew in transformers 5: this one reads it.
        read = PreTrainedTokenizerFast.from_pretrained
        with quiet():
            return load_tokenizer(str(folder), read=read, local_files_only=True)
    tokenizer = load_tokenizer(str(folder), local_files_only=True)
    if tokenizer.is_fast:
        warnings.warn(
            f"{folder} was saved with a tokenizer written in Python, which this version of"
            " transformers replaces with another one: sub-words may differ.",
            stacklevel=2,
        )
    return tokenizer


def _settle_config(path: Path) -> None:
    """Write the angles of rotary embeddings where transformers 4 has them, too."""
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


def load_tokenizer(
    name: str, *, read: Callable[..., Any] = AutoTokenizer.from_pretrained, **options: Any
) -> Any:
    try:
        tokenizer = read(name, **options)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise _no_tokenizer(name, _damage(Path(name) / "tokenizer.json") or error) from error
    # transformers 5 makes a tokenizer of special sub-words alone where there are no files.
    if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        raise _no_tokenizer(name, "its vocabulary is empty")
    return tokenizer


def _damage(path: Path) -> str | None:
    """Where a file is no JSON; transformers would name a package that it does without."""
    try:
        json.loads(path.read_bytes())
    except ValueError as error:
        return f"{path} is damaged: {error}"
    except OSError:
        pass
    return None


def _no_tokenizer(name: str, reason: Any) -> ValueError:
    expected = "tokenizer.json or the vocabulary files of its family beside config.json"
    got, remedy = Plain("no tokenizer that can be read"), f"the reason given: {reason}"
    return ValueError(describe(f"encoder {name!r}", expected=expected, got=got, remedy=remedy))


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
