"""Linear layers in 8-bit integers, for prediction on a CPU.

Weights are quantized once, each output to its own scale, and inputs as they come, each sub-word to
its own scale:

    x [n, i]  ->  max |x| of each row = s [n, 1]  ->  q = round(127 x / s)      (integers)
    w [o, i]  ->  max |w| of each row = t [o]     ->  r = round(127 w / t)      (integers)
    x w^T     ~   (q r^T) * s * t / 127^2

With a scale for a whole batch, as in torch's dynamic quantization, a document's result would depend
on the rest of the batch, and one large value would coarsen everything.
"""

import platform
import weakref
from typing import Any

import torch
from torch import Tensor, nn

from .cpu import enabled, has_byte_products

LARGEST_INT8 = 127  # of a signed 8-bit integer, either way
ZERO_POINT = 128  # of unsigned ones
TINY = 1e-30  # the scale of a row of zeros


class Quantizer:
    """Quantizes inputs, and keeps the last result: query, key and value share their input."""

    def __init__(self) -> None:
        # Input and result in one attribute, which another thread may replace at any time.
        self._last: tuple[weakref.ref, tuple[Tensor, Tensor]] | None = None

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """RETURNS (tuple[Tensor, Tensor]): uint8 [n, i], zero at 128, and the scale of each row,
        float32 [n, 1], of x, float32 [..., i]."""
        last = self._last
        if last is not None and last[0]() is x:
            return last[1]
        rows = x.reshape(-1, x.shape[-1])
        # shape: [n, 1]
        largest = torch.maximum(rows.amax(1, keepdim=True), -rows.amin(1, keepdim=True))
        scales = largest.clamp_(min=TINY).div_(LARGEST_INT8)
        # All are positive, so that cutting off the fraction rounds.
        rounded = (rows * scales.reciprocal()).add_(ZERO_POINT + 0.5).to(torch.uint8)
        result = rounded, scales
        self._last = weakref.ref(x), result
        return result


class Int8Linear(nn.Module):
    """`y = x W^T + b` in 8-bit integers.

    linear (Linear): The layer in float32.
    quantizer (Quantizer): Shared with the layers that may have the same input.
    """

    def __init__(self, linear: nn.Linear, quantizer: Quantizer):
        super().__init__()
        self.quantizer = quantizer
        self.out_features = linear.out_features
        weight = linear.weight.detach()
        bias = linear.bias
        self.bias = torch.zeros(len(weight)) if bias is None else bias.detach()
        most = LARGEST_INT8 if has_byte_products() else LARGEST_INT8 // 2
        # shape: [o]
        self.scales = weight.abs().amax(1).clamp_(min=TINY) / most
        # shape: [o, i]
        self.weight8 = (weight / self.scales[:, None]).round_().to(torch.int8)
        self.zeros = torch.zeros(len(weight), dtype=torch.int64)
        self.fast = enabled()
        self.packed: Any = None
        if self.fast and has_onednn():
            self.packed = torch.ops.onednn.qlinear_prepack(self.weight8, None)
            del self.weight8

    def forward(self, x: Tensor) -> Tensor:
        """RETURNS (Tensor): float32 [..., o] of x [..., i]."""
        if not x.numel():
            return x.new_zeros((*x.shape[:-1], self.out_features))
        rounded, scales = self.quantizer(x)
        # shape: [n, o]
        if self.packed is not None:
            product = torch.ops.onednn.qlinear_pointwise(
                *(rounded, 1.0, ZERO_POINT, self.packed, self.scales, self.zeros, None),
                *(1.0, 0, torch.float32, "none", [], ""),
            )
        else:
            signed = rounded.to(torch.int16) - ZERO_POINT
            product = self._sums(signed, self.weight8.t()) * self.scales
        return product.mul_(scales).add_(self.bias).view(*x.shape[:-1], self.out_features)

    def _sums(self, left: Tensor, right: Tensor) -> Tensor:
        if self.fast:
            return torch._int_mm(left.to(torch.int8), right)
        # Integers in float32: exact up to 2^24, and rounded beyond.
        return left.float() @ right.float()


def has_onednn() -> bool:
    """Whether torch has oneDNN's linear layer on integers, as its builds for x86 do."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return x86 and hasattr(torch.ops.onednn, "qlinear_pointwise")
