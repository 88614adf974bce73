"""What stands in for torch's slow kernels while a network runs."""

import contextlib
from collections.abc import Iterator

import torch

from .dropout import FrugalDropout
from .products import fast_products


@contextlib.contextmanager
def fast_kernels(device: torch.device, *, dropout: bool, products: bool) -> Iterator[None]:
    """To enter around a network.

    device (torch.device): Where the network is; on a GPU torch's kernels are fast.
    dropout (bool): Whether the network is in training mode.
    products (bool): Whether it multiplies matrices in float32.
    """
    with contextlib.ExitStack() as stack:
        if dropout and device.type == "cpu":
            stack.enter_context(FrugalDropout())
        if products:
            stack.enter_context(fast_products(device))
        yield


def around_layers() -> tuple[contextlib.AbstractContextManager, contextlib.AbstractContextManager]:
    """What gradient checkpoints enter: nothing the first time, and fast kernels when they compute a
    layer again, because in a backward pass no mode is active by itself.

    RETURNS (tuple): The two contexts, as `torch.utils.checkpoint` takes them from its `context_fn`.
    """
    return contextlib.nullcontext(), fast_kernels(torch.device("cpu"), dropout=True, products=True)
