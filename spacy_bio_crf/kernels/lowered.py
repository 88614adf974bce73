"""A network for prediction that shares all weights but those of its linear layers."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import nn


def with_linears(network: nn.Module, make: Callable[[nn.Linear], nn.Module]) -> nn.Module:
    """A network with other linear layers; the rest is shared.

    network (Module): Stays as it is.
    make (Callable[[Linear], Module]): What takes a layer's place.
    RETURNS (Module): In evaluation mode.
    """
    shared: dict[int, Any] = {id(t): t for t in [*network.parameters(), *network.buffers()]}
    copy = deepcopy(network, shared).eval()
    for module in list(copy.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Linear:
                setattr(module, name, make(child))
    return copy


def to_dtype(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A network whose linear layers hold their weights in what autocast would cast them to.

    Autocast casts them anew in every forward pass without gradient.

    network (Module): In float32; stays as it is.
    dtype (torch.dtype): bfloat16 or float16.
    RETURNS (Module): For use under autocast of the same dtype; computes the same.
    """

    def cast(linear: nn.Linear) -> nn.Module:
        bias = linear.bias is not None
        lowered = nn.Linear(
            linear.in_features, linear.out_features, bias, device="meta", dtype=dtype
        )
        lowered.weight = nn.Parameter(linear.weight.detach().to(dtype), requires_grad=False)
        if bias:
            lowered.bias = nn.Parameter(linear.bias.detach().to(dtype), requires_grad=False)
        return lowered

    return with_linears(network, cast)
