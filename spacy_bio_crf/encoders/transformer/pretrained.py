"""A pre-trained network and its tokenizer: fetched by name, kept as a Hugging Face folder."""

import contextlib
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import srsly
import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers import logging as hf_logging

from ...subwords.casing import NAME, add_casing

WEIGHTS = "model.safetensors"
# Names under which the architectures keep their dropout probabilities.
DROPOUTS = (
    "hidden_dropout_prob",
    "hidden_dropout",
    "attention_probs_dropout_prob",
    "dropout",
    "attention_dropout",
    "embedding_dropout",
    "mlp_dropout",
    "embd_pdrop",
    "attn_pdrop",
    "resid_pdrop",
)


@dataclass(frozen=True)
class Pretrained:
    """A network and the tokenizer that belongs to it.

    network (PreTrainedModel): The bare encoder, without any head or pooler, in float32.
    tokenizer (PreTrainedTokenizerBase): Fast where one exists, else slow.
    """

    network: Any
    tokenizer: Any


def fetch(name: str, *, revision: str | None = None, dropout: float | None = None) -> Pretrained:
    """Get a pre-trained encoder from a local folder or, by name, from the Hugging Face hub.

    name (str): A folder, or a name on the hub.
    revision (str | None): A branch, tag or commit on the hub.
    dropout (float | None): Every dropout probability of the network; None keeps those in its
        config.
    RETURNS (Pretrained): Network and tokenizer.
    RAISES: OSError if there is no such folder or name, or no network to reach the hub; ValueError
        if the folder has no tokenizer or the network is not a plain encoder.
    """
    options: dict[str, Any] = {} if revision is None else {"revision": revision}
    config = _read_config(name, **options)
    if dropout is not None:
        _set_dropout(config, dropout)
    network, missing = _load_network(name, config=config, **options)
    if missing:
        warnings.warn(
            f"The encoder {name!r} has no weights for {len(missing)} of its parameters, which start"
            f" at random: {', '.join(missing[:5])}{' …' if len(missing) > 5 else ''}",
            stacklevel=2,
        )
    return Pretrained(network, _load_tokenizer(name, **options))


def outline(name: str, *, revision: str | None = None) -> Pretrained:
    """The tokenizer of an encoder, and a network of its shape that has no weights and takes no
    memory: enough to cut texts and to know the encoder's limit.

    name (str): A folder, or a name on the hub.
    revision (str | None): A branch, tag or commit on the hub.
    RETURNS (Pretrained): Network (on torch's "meta" device) and tokenizer.
    RAISES: As `fetch`.
    """
    options: dict[str, Any] = {} if revision is None else {"revision": revision}
    config = _read_config(name, **options)
    with torch.device("meta"):
        network = AutoModel.from_config(config)
    return Pretrained(network, _load_tokenizer(name, **options))


def fetch_tokenizer(name: str, *, revision: str | None = None) -> Any:
    """Get the tokenizer of a pre-trained encoder alone.

    name (str): A folder, or a name on the hub.
    revision (str | None): A branch, tag or commit on the hub.
    RETURNS (PreTrainedTokenizerBase): The tokenizer.
    RAISES: ValueError if there is none that can be read.
    """
    options: dict[str, Any] = {} if revision is None else {"revision": revision}
    return _load_tokenizer(name, **options)


def load(folder: Path) -> Pretrained:
    """Read what `save` wrote. Never reaches for the hub and never unpickles.

    folder (Path): A Hugging Face folder with safetensors weights.
    RETURNS (Pretrained): Network and tokenizer.
    RAISES: OSError if a file is missing; ValueError if weights or the tokenizer are.
    """
    for needed in ("config.json", WEIGHTS):
        if not (folder / needed).is_file():
            raise OSError(f"The encoder's folder {folder} has no {needed}.")
    config = AutoConfig.from_pretrained(str(folder), local_files_only=True)
    network, missing = _load_network(
        str(folder), config=config, local_files_only=True, use_safetensors=True
    )
    if missing:
        raise ValueError(
            f"{folder / WEIGHTS} lacks the weights of {len(missing)} parameters that its"
            f" config.json asks for, the first of them {missing[0]}."
        )
    return Pretrained(network, _load_tokenizer(str(folder), local_files_only=True))


def save(pretrained: Pretrained, folder: Path) -> None:
    """Write network and tokenizer as a Hugging Face folder with safetensors weights.

    pretrained (Pretrained): What to write.
    folder (Path): Where; made if missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pretrained.network.save_pretrained(str(folder), safe_serialization=True, max_shard_size="100GB")
    pretrained.tokenizer.save_pretrained(str(folder))


def to_bytes(pretrained: Pretrained) -> bytes:
    """The content of the folder `save` writes, as one bytestring.

    pretrained (Pretrained): What to pack.
    RETURNS (bytes): msgpack of `{file name: content}`.
    """
    with tempfile.TemporaryDirectory() as place:
        save(pretrained, Path(place))
        files = {path.name: path.read_bytes() for path in sorted(Path(place).iterdir())}
    return srsly.msgpack_dumps(files)


def from_bytes(data: bytes) -> Pretrained:
    """Read what `to_bytes` packed.

    data (bytes): msgpack of `{file name: content}`.
    RETURNS (Pretrained): Network and tokenizer.
    """
    files: dict[str, bytes] = srsly.msgpack_loads(data)
    with tempfile.TemporaryDirectory() as place:
        for name, content in files.items():
            # The base name alone: a crafted bytestring must not write outside the folder.
            (Path(place) / Path(name).name).write_bytes(content)
        return load(Path(place))


def _read_config(name: str, **options: Any) -> Any:
    try:
        config = AutoConfig.from_pretrained(name, **options)
    except (OSError, ValueError) as error:
        raise OSError(
            f"Can't load the encoder {name!r}: expected a folder with a config.json, or the name of"
            f" a model on the Hugging Face hub and a connection to it. The reason given: {error}"
        ) from error
    if getattr(config, "is_encoder_decoder", False):
        raise ValueError(
            f"The encoder {name!r} is an encoder-decoder ({config.model_type}); expected an encoder"
            " such as BERT, RoBERTa, DeBERTa, XLM-R, DistilBERT or ModernBERT."
        )
    return config


def _set_dropout(config: Any, dropout: float) -> None:
    found = [key for key in DROPOUTS if isinstance(getattr(config, key, None), float | int)]
    if not found:
        raise ValueError(
            f"Option 'dropout' of the encoder is {dropout}; expected none, because a"
            f" {config.model_type} has no dropout probability this package knows of."
        )
    for key in found:
        setattr(config, key, dropout)


def _load_network(name: str, **options: Any) -> tuple[Any, list[str]]:
    """The network in float32, and the names of its parameters that no weights were found for."""
    with _quiet():
        network, report = AutoModel.from_pretrained(name, output_loading_info=True, **options)
    if f"{NAME}.weight" in report["unexpected_keys"]:
        add_casing(network)
        with safe_open(Path(name) / WEIGHTS, framework="pt") as weights:
            network.casing.weight.data.copy_(weights.get_tensor(f"{NAME}.weight"))
    # The pooler's weights are absent from our own folders and unused in any.
    if getattr(network, "pooler", None) is not None:
        network.pooler = None
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    return network.float(), missing


def _load_tokenizer(name: str, **options: Any) -> Any:
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **options)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise ValueError(
            f"The encoder {name!r} has no tokenizer that can be read; expected tokenizer.json or"
            f" the vocabulary files of its family beside config.json. The reason given: {error}"
        ) from error
    if not len(tokenizer):
        raise ValueError(f"The tokenizer of the encoder {name!r} has an empty vocabulary.")
    return tokenizer


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    level = hf_logging.get_verbosity()
    hf_logging.set_verbosity_error()
    try:
        yield
    finally:
        hf_logging.set_verbosity(level)
