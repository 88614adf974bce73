"""Precisions of a network, and autocast."""

import contextlib
from collections.abc import Iterator

import torch

from .cpu import enabled, multiplies_bf16

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
    device (torch.device): The network's device.
    kind (str): The network's type, as its config has it.
    RETURNS (str): "bf16" for "auto" if the hardware multiplies it and the network can be computed
        in it, else "fp32"; any other precision as it is.
    """
    if precision != AUTO:
        return precision
    return "bf16" if kind not in UNFIT and multiplies_bf16(device) else "fp32"


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager:
    """Switch mixed precision on or off.

    precision (str): One of `DTYPES`.
    device (torch.device): The network's device.
    RETURNS (AbstractContextManager): To enter around the network.
    """
    dtype = DTYPES[precision]
    return torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)


@contextlib.contextmanager
def shared_casts(device: torch.device) -> Iterator[None]:
    """Cast each weight that learns once for all `autocast` contexts within.

    torch drops its cache of cast weights at the end of the outermost context, be that one switched
    off.

    device (torch.device): The network's device.
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
