"""Faster functions in place of torch's slow ones while a network runs on a CPU."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from .attention import attention
from .cpu import enabled, prefers_onednn
from .dropout import dropout
from .linear import has_linear, linear


class FastKernels(TorchFunctionMode):
    """Replaces some functions of torch while it is entered, in the networks of every family.

    replaced (Mapping[Callable, Callable]): What is called in place of each.
    """

    def __init__(self, replaced: Mapping[Callable, Callable]):
        super().__init__()
        self.replaced = replaced

    def __torch_function__(
        self,
        func: Callable,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return self.replaced.get(func, func)(*args, **(kwargs or {}))


def fast_kernels(device: torch.device, *, training: bool) -> contextlib.AbstractContextManager:
    """Replace what is slow around a network on this device: nothing on a GPU.

    training (bool): Whether the network is in training mode.
    """
    replaced: dict[Callable, Callable] = {}
    if device.type == "cpu" and enabled():
        faster = prefers_onednn()
        if training:
            replaced[functional.dropout] = dropout
        if training or faster:
            replaced[functional.scaled_dot_product_attention] = attention
        if faster and has_linear():
            replaced[functional.linear] = linear
    return FastKernels(replaced) if replaced else contextlib.nullcontext()


def around_layers() -> tuple[contextlib.AbstractContextManager, contextlib.AbstractContextManager]:
    """Make the two contexts of gradient checkpoints, the `context_fn` of `torch.utils.checkpoint`.

    When checkpoints compute a layer again, in a backward pass, no mode is active by itself. Tensors
    on a GPU go torch's way whatever the mode.
    """
    return contextlib.nullcontext(), fast_kernels(torch.device("cpu"), training=True)
