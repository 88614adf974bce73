"""Precisions of a network: autocast, and networks that predict in a lower precision."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from ..errors import BioError, Plain, describe
from .cpu import enabled, multiplies_bf16
from .int8 import Int8Linear, Quantizer

INT8, AUTO = "int8", "auto"
# What autocast takes; None where it is off.
DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16, INT8: None}
PRECISIONS = (*DTYPES, AUTO)
# Types of networks that fail under autocast: DeBERTa's first version fills its float32 mask into
# scores of lower precision.
UNFIT = ("deberta",)


def resolve(precision: str, device: torch.device, kind: str = "") -> str:
    """Replace "auto" by the precision that suits a device.

    precision (str): One of `PRECISIONS`.
    kind (str): The network's type, as its config has it.
    RETURNS (str): "bf16" for "auto" if the hardware multiplies it and the network can be computed
        in it, else "fp32"; any other precision as it is.
    """
    if precision != AUTO:
        return precision
    return "bf16" if kind not in UNFIT and multiplies_bf16(device) else "fp32"


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager:
    """Switch mixed precision on or off around a network.

    precision (str): One of `DTYPES`.
    """
    dtype = DTYPES[precision]
    return torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)


@contextlib.contextmanager
def shared_casts(device: torch.device) -> Iterator[None]:
    """Cast each weight that learns once for all `autocast` contexts within.

    torch drops its cache of cast weights at the end of the outermost context, be that one switched
    off.
    """
    if not enabled():
        yield
        return
    with torch.autocast(device.type, enabled=False):
        # Within a caller's autocast this is not the outermost. Older versions of torch would take a
        # weight that was cast without gradient for one with it.
        torch.clear_autocast_cache()
        try:
            yield
        finally:
            torch.clear_autocast_cache()


class PredictionNetwork:
    """Keeps a network whose linear layers are in a lower precision, while it is up to date.

    The float32 weights stay where they are: they are what is saved, and trained again.
    """

    def __init__(self) -> None:
        self._made: tuple[Any, nn.Module] | None = None

    def of(
        self,
        network: nn.Module,
        precision: str,
        *,
        merge: Callable[[nn.Module], nn.Module] | None = None,
    ) -> nn.Module:
        """Get the network to predict with.

        network (Module): In float32.
        precision (str): One of `DTYPES`.
        merge (Callable | None): Makes a network of plain linear layers; None if it is one.
        RETURNS (Module): The network itself if autocast casts its weights or nothing does; else one
            made from it, and made again after a change of the precision or of a weight.
        RAISES: ValueError for "int8" if the network is not on a CPU.
        """
        dtype = DTYPES[precision]
        casts = precision == INT8 or (dtype is not None and enabled())
        if merge is None and not casts:
            return network
        # Where each weight lies, and how often it was written; a fused step changes neither.
        weights = [(p.data_ptr(), p._version) for p in network.parameters()]
        state = (precision, enabled(), weights)
        made = self._made
        if made is None or made[0] != state:
            # The old one goes first: both at once would take twice the memory.
            made = None
            self.forget()
            plain = network if merge is None else merge(network)
            if casts:
                plain = to_int8(plain) if dtype is None else _to_dtype(plain, dtype)
            made = state, plain
            # Another thread may forget it before this one returns.
            self._made = made
        return made[1]

    def forget(self) -> None:
        """Make the network anew next time: for the fused steps of torch's optimizers."""
        self._made = None


def _to_dtype(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A network that holds what autocast would cast in every forward pass without gradient."""
    return _with_linears(
        network, lambda linear: deepcopy(linear).to(dtype=dtype).requires_grad_(False)
    )


def to_int8(network: nn.Module) -> nn.Module:
    """Make a network whose linear layers multiply 8-bit integers, from one in float32.

    RAISES: ValueError if the network is not on a CPU.
    """
    device = next(network.parameters()).device
    if device.type != "cpu":
        remedy = "on a GPU use 'bf16' or 'fp16'"
        raise BioError(
            describe("precision", expected="a CPU for 'int8'", got=Plain(device), remedy=remedy)
        )
    if not any(type(module) is nn.Linear for module in network.modules()):
        warnings.warn(
            f"precision = 'int8' changes nothing in a {type(network).__name__}, which has no linear"
            " layers of torch.",
            stacklevel=2,
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
