"""What a network computes in, and where bfloat16 is worth it."""

import contextlib
from collections.abc import Iterator

import torch

from .cpu import capabilities

INT8, AUTO = "int8", "auto"
# What autocast takes; None where it is off.
DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16, INT8: None}
PRECISIONS = (*DTYPES, AUTO)
# Networks that fail under autocast, by their type: DeBERTa's first version fills its float32 mask
# into scores of lower precision.
UNFIT = ("deberta",)
# Instructions that multiply matrices or vectors of bfloat16, by torch's names for them.
BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")


def resolve(precision: str, device: torch.device, kind: str = "") -> str:
    """What "auto" means on a device.

    precision (str): One of `PRECISIONS`.
    device (torch.device): Where the network is.
    kind (str): The network's type, as its config has it.
    RETURNS (str): "bf16" for "auto" where the hardware multiplies it and the network can be
        computed in it, else "fp32"; any other precision as it is.
    """
    if precision != AUTO:
        return precision
    return "bf16" if kind not in UNFIT and multiplies_bf16(device) else "fp32"


def multiplies_bf16(device: torch.device) -> bool:
    """Whether hardware has instructions for bfloat16: without them it is slower than float32.

    device (torch.device): A CPU or a GPU.
    RETURNS (bool): False as well where torch can't tell.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    known = capabilities()
    return any(known.get(instruction) for instruction in BF16_INSTRUCTIONS)


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager:
    """Mixed precision, switched on or off.

    precision (str): One of `DTYPES`.
    device (torch.device): Where the network is.
    RETURNS (AbstractContextManager): To enter around the network.
    """
    dtype = DTYPES[precision]
    return torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)


@contextlib.contextmanager
def shared_casts(device: torch.device) -> Iterator[None]:
    """What autocast casts of the weights that learn is kept until the end, for every `autocast`
    within.

    torch forgets it at the end of the outermost context, be that one switched off.

    device (torch.device): Where the network is.
    """
    with torch.autocast(device.type, enabled=False):
        # Within a caller's autocast this is not the outermost. Older versions of torch would take a
        # weight that was cast without gradient for one with it.
        torch.clear_autocast_cache()
        try:
            yield
        finally:
            torch.clear_autocast_cache()
