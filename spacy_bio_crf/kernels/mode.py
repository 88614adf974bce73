"""What stands in for torch's slow kernels while a network runs on a CPU."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from . import linear as products
from .attention import attention
from .cpu import prefers_onednn
from .dropout import dropout


class FastKernels(TorchFunctionMode):
    """While it is entered, some functions of torch are replaced.

    A mode, because it reaches the networks of every family as they are.

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
    """To enter around a network.

    device (torch.device): Where the network is; on a GPU torch's kernels are fast.
    training (bool): Whether the network is in training mode.
    RETURNS (AbstractContextManager): The mode, or nothing where there is nothing to replace.
    """
    replaced: dict[Callable, Callable] = {}
    if device.type == "cpu":
        faster = prefers_onednn()
        if training:
            replaced[functional.dropout] = dropout
        if training or faster:
            replaced[functional.scaled_dot_product_attention] = attention
        if faster and products.has_linear():
            replaced[functional.linear] = products.linear
    return FastKernels(replaced) if replaced else contextlib.nullcontext()


def around_layers() -> tuple[contextlib.AbstractContextManager, contextlib.AbstractContextManager]:
    """What gradient checkpoints enter: nothing the first time, and fast kernels when they compute a
    layer again, because in a backward pass no mode is active by itself. Tensors on a GPU go
    torch's way whatever the mode.

    RETURNS (tuple): The two contexts, as `torch.utils.checkpoint` takes them from its `context_fn`.
    """
    return contextlib.nullcontext(), fast_kernels(torch.device("cpu"), training=True)
