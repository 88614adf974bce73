"""Facts about a pre-trained encoder, told by its files without its weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import srsly
from transformers.utils import cached_file

from .pretrained import outline
from .surgery import find_limit, find_special_ids, has_layers

# Files and words of a model card that tell an encoder trained to compare sentences.
MODULES = "modules.json"
CARD = "README.md"
COMPARES = {"sentence-transformers", "sentence-similarity"}


@dataclass(frozen=True)
class EncoderFacts:
    """What a configuration needs to know of an encoder.

    family (str): Its architecture, such as "bert".
    layers (int): How many it has.
    width (int): Of its vectors.
    parameters (int): How many it has.
    limit (int | None): Most sub-words of a text that it sees at once; None for no limit.
    lower_cases (bool): Its tokenizer drops capitals.
    compares_sentences (bool): It was trained to compare sentences.
    can_drop_layers (bool): Its last layers can be left out.
    languages (tuple[str, ...]): Those that its model card names.
    heads (tuple[str, ...]): The classes of network that were saved, such as "BertForMaskedLM".
    """

    family: str
    layers: int
    width: int
    parameters: int
    limit: int | None
    lower_cases: bool
    compares_sentences: bool
    can_drop_layers: bool
    languages: tuple[str, ...]
    heads: tuple[str, ...]


def inspect_encoder(name: str, *, revision: str | None = None) -> EncoderFacts:
    """Look at the configuration, the tokenizer and the model card of an encoder.

    name (str): A folder, or a name on the hub.
    revision (str | None): A branch, tag or commit on the hub.
    RETURNS (EncoderFacts): The facts.
    RAISES: OSError if there is no such folder or name, or no network to reach the hub; ValueError
        if it has no tokenizer or is not a plain encoder.
    """
    found = outline(name, revision=revision)
    config = found.network.config
    special = find_special_ids(found.tokenizer, config)
    card = _read_card(name, revision)
    tags = {card.get("library_name"), card.get("pipeline_tag"), *_listed(card.get("tags"))}
    return EncoderFacts(
        family=config.model_type,
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        parameters=sum(weights.numel() for weights in found.network.parameters()),
        limit=find_limit(found.network, len(special)),
        lower_cases=_lower_cases(found.tokenizer),
        compares_sentences=_find_file(name, MODULES, revision) is not None or bool(tags & COMPARES),
        can_drop_layers=has_layers(found.network),
        # "pt-br" is Portuguese.
        languages=tuple(v.partition("-")[0].lower() for v in _listed(card.get("language"))),
        heads=tuple(_listed(getattr(config, "architectures", None))),
    )


def _lower_cases(tokenizer: Any) -> bool:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return bool(getattr(tokenizer, "do_lower_case", False))
    text = "Ana RUIZ"
    return backend.normalizer is not None and backend.normalizer.normalize_str(text).islower()


def _find_file(name: str, file: str, revision: str | None) -> Path | None:
    if Path(name).is_dir():
        path = Path(name) / file
        return path if path.is_file() else None
    try:
        found = cached_file(name, file, revision=revision)
    except OSError:  # no such file, or no network
        return None
    return None if found is None else Path(found)


def _read_card(name: str, revision: str | None) -> dict[str, Any]:
    """The fields at the head of the model card, between lines of three dashes."""
    path = _find_file(name, CARD, revision)
    text = "" if path is None else path.read_text(encoding="utf-8", errors="replace")
    if not text.startswith("---"):
        return {}
    try:
        fields = srsly.yaml_loads(text.split("---")[1])
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(v) for v in value or ()]
