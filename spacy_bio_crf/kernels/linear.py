"""Matrix products in float32 on AMD's processors by oneDNN.

torch multiplies float32 matrices by MKL, which leaves the 512-bit instructions of AMD's processors
unused. oneDNN, which torch includes for convolutions and bfloat16, uses them and is more than twice
as fast. With 256-bit instructions the two are equally fast.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

# oneDNN compiles a kernel of half a megabyte for every number of rows, and keeps a thousand of
# them, so the number of rows is rounded up to a multiple of this.
ROW_MULTIPLE = 64


def has_linear() -> bool:
    """Whether this build of torch has oneDNN's linear layer, and oneDNN is switched on."""
    mkldnn: Any = torch.backends.mkldnn
    built = mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return built and bool(mkldnn.enabled)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute `torch.nn.functional.linear`, and its gradients, by oneDNN if in float32 on a CPU.

    RETURNS (Tensor): `x W^T + b`, [..., o], of x [..., i], W [o, i] and b [o].
    """
    if not _fits(x, weight, bias) or torch.is_autocast_enabled("cpu"):
        return functional.linear(x, weight, bias)
    # shape: [n, i]
    rows = x.reshape(-1, x.shape[-1])
    tensors = [x, weight] if bias is None else [x, weight, bias]
    learns = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    y = _Linear.apply(rows, weight, bias) if learns else _product(rows, weight, bias)
    return y[: len(rows)].view(*x.shape[:-1], len(weight))


def _fits(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Whether oneDNN takes what torch takes."""
    tensors = [x, weight] if bias is None else [x, weight, bias]
    plain = all(t.device.type == "cpu" and t.dtype == torch.float32 and t.numel() for t in tensors)
    if not plain or weight.ndim != 2 or x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        return False
    return bias is None or bias.shape == weight.shape[:1]


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """RETURNS (Tensor): `x W^T + b` of x [n, i], W [o, i] and b [o]; [n, o] and rows below it."""
    bias = None if bias is None else bias.contiguous()
    return torch.ops.mkldnn._linear_pointwise(_padded(x), weight, bias, "none", [], "")


def _padded(x: Tensor) -> Tensor:
    """A matrix with rows of zeros below it, up to a multiple of `ROW_MULTIPLE`."""
    missing = -len(x) % ROW_MULTIPLE
    return functional.pad(x, (0, 0, 0, missing)) if missing else x


def _outer(d_y: Tensor, x: Tensor) -> Tensor:
    """RETURNS (Tensor): `d_y^T x`, [o, i], of d_y [n, o] and x [n, i]."""
    left, right = _padded(d_y).t(), _padded(x).t()
    return torch.ops.mkldnn._linear_pointwise(left, right, None, "none", [], "")


class _Linear(torch.autograd.Function):
    # The result keeps the rows of zeros: a slice would be a view, which nobody may write to.
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
            _product(d_y, weight.t())[: len(x)] if of_x else None,
            _outer(d_y, x) if of_weight else None,
            d_y.sum(0) if of_bias else None,
        )
