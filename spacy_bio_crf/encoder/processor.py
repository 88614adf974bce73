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
