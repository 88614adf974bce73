"""The processor's abilities, as far as torch tells them, and the switch of all kernels here.

`BIO_NER_KERNELS=0` in the environment turns the kernels of this folder off: torch's own functions
compute the same, up to rounding and the random numbers of dropout, more slowly. The variable is the
way out if a new version of torch breaks one of the private functions that the kernels call.
"""

import os
import platform
from collections.abc import Callable, Mapping
from typing import Any

import torch

from ..errors import check_choice

SWITCH = "BIO_NER_KERNELS"
# Instructions that multiply matrices or vectors of bfloat16, by torch's names for them.
BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")


def enabled() -> bool:
    """Whether the switch is on. RAISES: ValueError for a value other than 0 and 1."""
    value = os.environ.get(SWITCH, "1")
    check_choice(SWITCH, value, ("0", "1"))
    return value == "1"


def _capabilities() -> Mapping[str, Any]:
    """`cpu_name`, and instructions by torch's names; nothing from a torch that can't tell."""
    ask: Callable[[], Mapping[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    return ask()


def prefers_onednn() -> bool:
    """Whether oneDNN multiplies matrices faster than MKL, which leaves the 512-bit instructions of
    AMD's processors unused; False where torch can't tell."""
    known = _capabilities()
    return "AMD" in str(known.get("cpu_name")) and bool(known.get("avx512_f"))


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the hardware has instructions for bfloat16, which is slower than float32 without;
    False where torch can't tell."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    known = _capabilities()
    return any(known.get(instruction) for instruction in BF16_INSTRUCTIONS)


def has_byte_products() -> bool:
    """Whether the processor adds up products of bytes in 32 bits.

    Without such an instruction (VNNI) two products are added in 16 bits, which 255 * 127 twice
    would overflow; weights of 7 bits do not.
    """
    supported = getattr(torch.cpu, "_is_vnni_supported", None)
    return platform.machine() in ("aarch64", "arm64") or bool(supported and supported())
