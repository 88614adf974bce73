"""Networks that predict in a lower precision, made from the float32 network that is trained."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from ..errors import Plain, describe
from .cpu import enabled
from .int8 import Int8Linear, Quantizer
from .precision import DTYPES, INT8


class PredictionNetwork:
    """Keeps a network whose linear layers are in a lower precision, while it is up to date.

    The float32 weights stay where they are: they are what is saved, and trained again.
    """

    def __init__(self) -> None:
        self._made: tuple[Any, nn.Module] | None = None

    def of(self, network: nn.Module, precision: str) -> nn.Module:
        """Get the network to predict with.

        network (Module): In float32.
        precision (str): One of `DTYPES`.
        RETURNS (Module): The network itself if autocast casts its weights or nothing does; else one
            made from it, and made again after a change of the precision or of a weight.
        RAISES: ValueError for "int8" if the network is not on a CPU.
        """
        dtype = DTYPES[precision]
        if precision != INT8 and (dtype is None or not enabled()):
            return network
        state = (precision, enabled(), state_of(network))
        made = self._made
        if made is None or made[0] != state:
            # The old one goes first: both at once would take twice the memory.
            made = None
            self.forget()
            made = state, to_int8(network) if dtype is None else to_dtype(network, dtype)
            # Another thread may forget it before this one returns.
            self._made = made
        return made[1]

    def forget(self) -> None:
        """Make the network anew next time: for changes that `state_of` does not see."""
        self._made = None


def state_of(network: nn.Module) -> tuple[tuple[int, int], ...]:
    """Read where each weight lies in memory, and how often it was written.

    A step of torch's fused optimizers changes neither.

    network (Module): Any network.
    RETURNS (tuple): For comparison with an earlier state.
    """
    return tuple((p.data_ptr(), p._version) for p in network.parameters())


def to_dtype(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Make a network whose linear layers hold their weights in the type that autocast casts to.

    Autocast would cast them in every forward pass without gradient.

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

    return _with_linears(network, cast)


def to_int8(network: nn.Module) -> nn.Module:
    """Make a network whose linear layers multiply 8-bit integers.

    network (Module): In float32, on a CPU; stays as it is.
    RETURNS (Module): Computes nearly the same with less work.
    RAISES: ValueError if the network is on another device.
    """
    device = next(network.parameters()).device
    if device.type != "cpu":
        remedy = "on a GPU use 'bf16' or 'fp16'"
        raise ValueError(
            describe("precision", expected="a CPU for 'int8'", got=Plain(device), remedy=remedy)
        )
    quantizer = Quantizer()
    return _with_linears(network, lambda linear: Int8Linear(linear, quantizer))


def _with_linears(network: nn.Module, make: Callable[[nn.Linear], nn.Module]) -> nn.Module:
    # A network in evaluation mode with other linear layers; it shares all other weights.
    shared: dict[int, Any] = {id(t): t for t in [*network.parameters(), *network.buffers()]}
    copy = deepcopy(network, shared).eval()
    for module in list(copy.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Linear:
                setattr(module, name, make(child))
    return copy
