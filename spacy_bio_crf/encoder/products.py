"""Matrix products in float32 on a CPU, by the library that is fast there.

torch multiplies float32 matrices by MKL, which leaves the 512-bit instructions of AMD's processors
unused; oneDNN, which torch has on board for its convolutions and for bfloat16, uses them, and is
more than twice as fast there. With 256-bit instructions the two are equals.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


@lru_cache(maxsize=1)
def has_linear() -> bool:
    """Whether this build of torch has oneDNN's linear layer."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`torch.nn.functional.linear`, by oneDNN where it is in float32 on a CPU, gradient and all.

    x (Tensor): [..., i].
    weight (Tensor): [o, i].
    bias (Tensor | None): [o].
    RETURNS (Tensor): `x W^T + b`, [..., o].
    """
    tensors = [x, weight] if bias is None else [x, weight, bias]
    plain = all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors)
    if not plain or not x.numel() or torch.is_autocast_enabled("cpu"):
        return functional.linear(x, weight, bias)
    # shape: [n, i]
    rows = x.reshape(-1, x.shape[-1])
    learns = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    y = _Linear.apply(rows, weight, bias) if learns else _product(rows, weight, bias)
    return y.view(*x.shape[:-1], len(weight))


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """RETURNS (Tensor): `x W^T + b`, [n, o], of x [n, i], W [o, i] and b [o]."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_y: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        return (
            _product(d_y, weight.t()) if of_x else None,
            _product(d_y.t(), x.t()) if of_weight else None,
            d_y.sum(0) if of_bias else None,
        )
