"""What torch knows of the processor it runs on."""

from collections.abc import Callable, Mapping
from typing import Any

import torch


def capabilities() -> Mapping[str, Any]:
    """Its name (`cpu_name`) and instructions by torch's names for them, such as `avx512_bf16`.

    RETURNS (Mapping[str, Any]): Nothing in a torch that can't tell.
    """
    ask: Callable[[], Mapping[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    return ask()


def prefers_onednn() -> bool:
    """Whether oneDNN multiplies matrices faster here than MKL, which leaves the 512-bit
    instructions of AMD's processors unused.

    RETURNS (bool): Whether the processor is AMD's and has them; False where torch can't tell.
    """
    known = capabilities()
    return "AMD" in str(known.get("cpu_name")) and bool(known.get("avx512_f"))
