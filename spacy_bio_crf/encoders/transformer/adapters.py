"""Low-rank adapters (LoRA) on the linear layers of a network, through peft.

Hu et al. 2021, section 4.1. A layer `y = x W^T + b` of W [o, i] becomes

    y = x W^T + b + (alpha / r) dropout(x) A^T B^T,    A [r, i] random, B [o, r] zero at first

where A and B alone are trained. Merged, it is again a linear layer, of W + (alpha / r) B A.
"""

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import BioError, Plain, check_count, describe, is_number
from .surgery import CASING

# The name that peft has for an adapter, which is part of the names of weights.
ADAPTER_NAME = "default"
# A learning rate that is usual for all weights, times this, suits adapters.
LORA_RATE_FACTOR = 10.0
_MARK, _BASE = "lora_", ".base_layer"
_SHOWN = 8  # names in an error


@dataclass(frozen=True)
class Lora:
    """The settings of adapters.

    r (int): The rank, 1 or more.
    alpha (float): Scales what is added, by alpha / r; above 0.
    dropout (float): Probability of dropout on the input of adapters, 0 <= p < 1.
    target_modules (list[str] | None): Names of linear layers, or the last parts of them, such as
        "query"; None takes all within the layers of the network.
    merge (bool): Predict with, and save, one network of merged weights; otherwise keep adapters
        apart from the network, which components in one process and one pipeline then share.
    RAISES: ValueError for a setting out of range.
    """

    r: int = 8
    alpha: float = 16
    dropout: float = 0.0
    target_modules: Sequence[str] | None = None
    merge: bool = True

    def __post_init__(self) -> None:
        check_count("lora.r", self.r, least=1)
        if not is_number(self.alpha) or not self.alpha > 0.0:
            self._refuse("alpha", "a number above 0")
        if not is_number(self.dropout) or not 0.0 <= self.dropout < 1.0:
            self._refuse("dropout", "0 <= p < 1")
        if not isinstance(self.merge, bool):
            self._refuse("merge", "true or false")
        names = self.target_modules
        if names is not None and (
            isinstance(names, str)
            or not isinstance(names, Sequence)
            or not names
            or not all(isinstance(name, str) and name for name in names)
        ):
            self._refuse("target_modules", "a list of names of linear layers, or null for all")

    def _refuse(self, option: str, expected: str) -> None:
        place = f"lora.{option}"
        raise ValueError(describe(place, expected=expected, got=getattr(self, option)))


def read_lora(settings: Mapping[str, Any] | None) -> Lora | None:
    """Read the encoder's option `lora`.

    RETURNS (Lora | None): The settings of adapters, with defaults for those that are not there;
        None if there are no adapters.
    RAISES: ValueError for anything but settings by name, unknown ones and those out of range.
    """
    if settings is None:
        return None
    known = [field.name for field in fields(Lora)]
    if not isinstance(settings, Mapping):
        raise ValueError(describe("lora", expected="settings by name, or null", got=settings))
    for key in settings:
        if key not in known:
            raise ValueError(describe("lora", expected=f"settings of {', '.join(known)}", got=key))
    return Lora(**settings)


def add_adapters(
    network: Any,
    lora: Lora,
    *,
    weights: Mapping[str, Tensor] | None = None,
) -> None:
    """Put adapters on the linear layers of a network, in place, and freeze all other weights.

    New adapters leave the function of the network as it is. The embedding of words' shapes, which
    starts at zero, goes on learning. Layers that are frozen before get no adapters.

    network (PreTrainedModel): The network, on any device.
    lora (Lora): The settings.
    weights (Mapping[str, Tensor] | None): Weights that `adapter_weights` gave, for the same layers;
        None begins anew.
    RAISES: ImportError without peft; ValueError if the network has no linear layers of the names,
        or the weights are those of other adapters.
    """
    LoraConfig, inject = _import_peft()
    if weights is None:
        names = find_targets(network, lora.target_modules)
    else:
        names = _find_layers_of(weights, network, lora)
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        # A pattern: peft takes a list for endings, and guesses where a name is part of another.
        target_modules="|".join(map(re.escape, names)),
        bias="none",
    )
    with warnings.catch_warnings():
        # Of networks whose embeddings are tied, or that are in no list of peft's.
        warnings.simplefilter("ignore")
        inject(config, network, ADAPTER_NAME)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(is_adapter(name) or name.startswith(CASING))
    if weights is not None:
        own = _own_parameters(network)
        with torch.no_grad():
            for name, tensor in weights.items():
                own[name].copy_(tensor)


def _import_peft() -> tuple[Any, Any]:
    # Not at the top: it takes seconds, and pipelines with merged weights do without.
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        remedy = 'pip install "spacy_bio_crf[lora]"'
        raise ImportError(
            describe("lora", expected="peft for adapters", got=Plain(error), remedy=remedy)
        ) from error
    return LoraConfig, inject_adapter_in_model


def find_targets(network: Any, names: Sequence[str] | None = None) -> list[str]:
    """Find the linear layers that get adapters.

    network (PreTrainedModel): A network without adapters.
    names (Sequence[str] | None): Names, or the last parts of them; None takes every linear layer
        that is within a list of layers.
    RETURNS (list[str]): The full names of those that are not frozen.
    RAISES: ValueError if there is none of a name, or all are frozen.
    """
    linear = {n: module for n, module in network.named_modules() if type(module) is nn.Linear}
    within = [name for name in linear if any(part.isdigit() for part in name.split("."))]
    found: dict[str, None] = {}
    for name in [None] if names is None else names:
        own = [n for n in linear if f".{n}".endswith(f".{name}")] if name else within
        if not own:
            endings = dict.fromkeys(n.rpartition(".")[2] for n in linear)
            listed = ", ".join(map(repr, list(endings)[:_SHOWN])) or "it has none"
            expected = f"names of linear layers of this {network.config.model_type} ({listed})"
            got = Plain("null") if name is None else name
            raise ValueError(describe("lora.target_modules", expected=expected, got=got))
        found |= dict.fromkeys(n for n in own if linear[n].weight.requires_grad)
    if not found:
        expected = "linear layers that are not frozen"
        got = Plain("none")
        raise ValueError(describe("lora.target_modules", expected=expected, got=got))
    return list(found)


def adapted_layers(network: nn.Module) -> list[str]:
    """RETURNS (list[str]): The full names of the layers with adapters."""
    return [name for name, module in network.named_modules() if _is_adapted(module)]


def is_adapter(name: str) -> bool:
    """RETURNS (bool): Whether a parameter of that name is one of an adapter."""
    return _MARK in name


def adapter_weights(network: nn.Module) -> dict[str, Tensor]:
    """RETURNS (dict[str, Tensor]): The weights of adapters and of the embedding of words' shapes,
    by the names that peft has for them in a network of its own."""
    return {name: p.detach() for name, p in _own_parameters(network).items()}


def base_parameters(network: nn.Module) -> dict[str, nn.Parameter]:
    """RETURNS (dict[str, Parameter]): All other parameters, by their names without adapters."""
    return {
        name.replace(_BASE, ""): parameter
        for name, parameter in network.named_parameters()
        if not is_adapter(name) and not name.startswith(CASING)
    }


def merged(network: nn.Module) -> Any:
    """RETURNS (PreTrainedModel): The network with merged linear layers in place of those with
    adapters; it shares all other weights."""
    return _without_adapters(network, _merge)


def base_of(network: nn.Module) -> Any:
    """RETURNS (PreTrainedModel): The network without adapters and without the embedding of words'
    shapes; it shares the weights."""
    base = _without_adapters(network, lambda layer: layer.base_layer)
    if getattr(base, CASING, None) is not None:
        delattr(base, CASING)
    return base


def _is_adapted(module: nn.Module) -> bool:
    return hasattr(module, f"{_MARK}A") and hasattr(module, "base_layer")


def _without_adapters(network: nn.Module, make: Callable[[Any], nn.Module]) -> nn.Module:
    shared: dict[int, Any] = {id(t): t for t in [*network.parameters(), *network.buffers()]}
    copy = deepcopy(network, shared).eval()
    for module in list(copy.modules()):
        for name, child in module.named_children():
            if _is_adapted(child):
                setattr(module, name, make(child))
    return copy


def _merge(layer: Any) -> nn.Linear:
    base = layer.base_layer
    linear = nn.Linear(base.in_features, base.out_features, bias=False, device="meta").eval()
    with torch.no_grad():
        weight = base.weight + layer.get_delta_weight(ADAPTER_NAME)
    linear.weight = nn.Parameter(weight, requires_grad=False)
    linear.bias = base.bias
    return linear


def _own_parameters(network: nn.Module) -> dict[str, nn.Parameter]:
    return {
        name.replace(f".{ADAPTER_NAME}.", "."): parameter
        for name, parameter in network.named_parameters()
        if is_adapter(name) or name.startswith(CASING)
    }


def _find_layers_of(weights: Mapping[str, Tensor], network: nn.Module, lora: Lora) -> list[str]:
    """The layers that some weights of adapters are for."""
    expected: dict[str, tuple[int, ...]] = {}
    linear = {n: m for n, m in network.named_modules() if type(m) is nn.Linear}
    names = [n for n in linear if f"{n}.{_MARK}A.weight" in weights]
    for name in names:
        expected[f"{name}.{_MARK}A.weight"] = (lora.r, linear[name].in_features)
        expected[f"{name}.{_MARK}B.weight"] = (linear[name].out_features, lora.r)
    for name, parameter in network.named_parameters():
        if name.startswith(CASING):
            expected[name] = tuple(parameter.shape)
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if not names or found != expected:
        other = sorted(dict(found.items() ^ expected.items()))
        place = f"lora, weights of {other[0]}" if other else "lora, weights"
        want = expected.get(other[0], "none") if other else "those of adapters"
        got = found.get(other[0], "none") if other else "none"
        raise BioError(describe(place, expected=f"the shape {want}", got=Plain(got)))
    return names
