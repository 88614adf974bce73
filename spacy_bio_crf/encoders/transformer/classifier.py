"""Token classifiers as Hugging Face folders: an encoder and the linear layer on top of it."""

import json
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoModelForTokenClassification

from ...errors import BioError, Plain, describe
from ...io import write_json
from .folder import check_weights
from .pretrained import (
    TOKENIZER_SETTINGS,
    Pretrained,
    fetch_tokenizer,
    own_weights,
    quiet,
    read_config,
    save_folder,
)
from .surgery import CASING, find_limit, find_special_ids

# The one family with layers between encoder and classifier, which `heads.emitter.Transform` is for.
TRANSFORMED = "modernbert"


@dataclass(frozen=True)
class Classifier:
    """A token classifier.

    pretrained (Pretrained): The encoder and its tokenizer.
    names (tuple[str, ...]): The name of each row, from `id2label`.
    weight (Tensor): float32 [K, d].
    bias (Tensor): float32 [K].
    transform (dict[str, Tensor]): Weights of ModernBERT's layers between encoder and classifier;
        otherwise empty.
    """

    pretrained: Pretrained
    names: tuple[str, ...]
    weight: Tensor
    bias: Tensor
    transform: dict[str, Tensor]


def read_classifier(
    name: str, *, revision: str | None = None
) -> tuple[Classifier, tuple[Tensor, Tensor]]:
    """Read a checkpoint of any `AutoModelForTokenClassification` with one linear layer on top.

    Code that comes with a checkpoint is never run, and nothing is unpickled.

    name (str): A folder, or a name on the hub.
    revision (str | None): A branch, tag or commit on the hub.
    RETURNS (tuple): The classifier, in float32; and a sample: vectors of some sub-words, [m, d],
        with the logits that the checkpoint computes for them, [m, K].
    RAISES: OSError if it can't be found; BioError if it is no such checkpoint or not complete.
    """
    place = f"checkpoint {name!r}"
    options = {"revision": revision or "main"}
    config = read_config(name, **options)
    if Path(name).is_dir():
        check_weights(Path(name))
    try:
        with quiet():
            network, report = AutoModelForTokenClassification.from_pretrained(
                name,
                config=config,
                use_safetensors=True,
                output_loading_info=True,
                trust_remote_code=False,
                **options,
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        expected = f"whole weights of a token classifier, as safetensors, for a {config.model_type}"
        reason = f"the reason given: {error}"
        if isinstance(error, OSError):
            reason += f"; pickled weights, if you trust them, are converted by: {_conversion(name)}"
        got = Plain("none that can be read")
        raise BioError(describe(place, expected=expected, got=got, remedy=reason)) from error
    extra = sorted(key for key in report["unexpected_keys"] if "pooler" not in key)
    lacking = sorted(report["missing_keys"]) + sorted(map(str, report.get("mismatched_keys") or []))
    if extra or lacking:
        faults = [f"no weights that fit {lacking[0]}"] if lacking else []
        faults += [f"weights of {extra[0]}"] if extra else []
        raise not_linear(place, " and ".join(faults))
    own_weights(network.eval())
    dense, between = _layers_on_top(network, place)
    classifier = Classifier(
        Pretrained(network.base_model, fetch_tokenizer(name, revision=revision)),
        tuple(str(config.id2label[i]) for i in sorted(config.id2label)),
        dense.weight.detach(),
        dense.bias.detach(),
        {} if between is None else between.state_dict(),
    )
    return classifier, _sample(network)


def write_classifier(classifier: Classifier, folder: Path) -> None:
    """Write a folder that `transformers.pipeline("token-classification", …)` loads.

    classifier (Classifier): The classifier.
    folder (Path): Where; made if missing.
    RAISES: BioError if transformers has no token classifier of this build.
    """
    encoder = classifier.pretrained.network
    config = deepcopy(encoder.config)
    config.id2label = dict(enumerate(classifier.names))
    config.label2id = {name: i for i, name in enumerate(classifier.names)}
    place = f"encoder of the family {config.model_type}"
    if getattr(encoder, CASING, None) is not None:
        expected = "casing = false: a plain checkpoint has no embedding of words' shapes"
        raise BioError(describe(place, expected=expected, got=Plain("casing = true")))
    try:
        with quiet():
            network = AutoModelForTokenClassification.from_config(config).float()
    except ValueError as error:
        expected = "one with a token classifier in transformers"
        raise BioError(describe(place, expected=expected, got=Plain("none"))) from error
    dense, between = _layers_on_top(network, place)
    if (between is not None) != bool(classifier.transform):
        expected = "the layer that transformers puts before its classifier (import a checkpoint)"
        raise BioError(describe(place, expected=expected, got=Plain("a classifier without it")))
    # BigBird's token classifier and others have a pooler, which they do not use.
    own = network.base_model.state_dict().items()
    poolers = {key: torch.zeros_like(x) for key, x in own if key.startswith("pooler.")}
    network.base_model.load_state_dict({**poolers, **encoder.state_dict()})
    dense.load_state_dict({"weight": classifier.weight, "bias": classifier.bias})
    if between is not None:
        between.load_state_dict(classifier.transform)
    save_folder(Pretrained(network, classifier.pretrained.tokenizer), folder)
    special = len(find_special_ids(classifier.pretrained.tokenizer, config))
    limit = find_limit(encoder, special)
    settings = json.loads((folder / TOKENIZER_SETTINGS).read_text(encoding="utf-8"))
    # No network here is given types of sub-words, and some have no parameter for them.
    settings["model_input_names"] = ["input_ids", "attention_mask"]
    if limit is not None:
        settings["model_max_length"] = limit + special
    write_json(folder / TOKENIZER_SETTINGS, settings)


def _conversion(name: str) -> str:
    # In brackets, so that it may be broken into lines.
    read = f"getattr(__import__('transformers'), c).from_pretrained({name!r})"
    classes = "'AutoModelForTokenClassification', 'AutoTokenizer'"
    return f"python -c \"[{read}.save_pretrained('converted') for c in ({classes})]\""


def _layers_on_top(network: Any, place: str) -> tuple[nn.Linear, nn.Module | None]:
    """The classifier of a network, and what stands between the encoder and it."""
    *between, dense = [
        child
        for child in network.children()
        if child is not network.base_model and next(child.parameters(), None) is not None
    ]
    known = len(between) == (network.config.model_type == TRANSFORMED)
    if not known or not isinstance(dense, nn.Linear) or dense.bias is None:
        raise not_linear(place, ", ".join(type(child).__name__ for child in [*between, dense]))
    return dense, between[0] if between else None


def _sample(network: Any) -> tuple[Tensor, Tensor]:
    # shape: [1, 8]
    ids = torch.arange(8)[None] * network.config.vocab_size // 8
    with quiet(), torch.no_grad():
        return network.base_model(input_ids=ids)[0][0], network(input_ids=ids).logits[0]


def not_linear(place: str, got: str) -> BioError:
    """RETURNS (BioError): The error for a classifier of another build."""
    expected = "a token classifier with one linear layer after its encoder"
    return BioError(describe(place, expected=expected, got=Plain(got)))
