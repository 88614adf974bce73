"""A network whose linear layers multiply 8-bit integers, for prediction on a CPU.

Weights are rounded once, each output's to its own scale; inputs are rounded as they come, each
sub-word's to its own:

    x [n, i]  ->  max |x| of each row = s [n, 1]  ->  q = round(127 x / s)      (integers)
    w [o, i]  ->  max |w| of each row = t [o]     ->  r = round(127 w / t)      (integers)
    x w^T     ~   (q r^T) * s * t / 127^2

A scale for a whole batch, as in torch's dynamic quantisation, would let a document's result depend
on what else is in the batch, and one large value would coarsen everything.
"""

import platform
import weakref
from typing import Any

import torch
from torch import Tensor, nn

from .lowered import with_linears

LARGEST = 127  # of a signed 8-bit integer, either way
ZERO = 128  # where zero lies among unsigned ones
TINY = 1e-30  # the scale of a row of zeros


def to_int8(network: nn.Module) -> nn.Module:
    """A network for prediction that shares all weights but those of linear layers.

    network (Module): In float32, on a CPU; it stays as it is.
    RETURNS (Module): Computes nearly the same with less work.
    RAISES: ValueError if the network is on another device.
    """
    device = next(network.parameters()).device
    if device.type != "cpu":
        raise ValueError(
            f"The encoder's precision is 'int8', but its network is on {device}; expected a CPU."
            " On a GPU use 'bf16' or 'fp16'."
        )
    rounder = Rounder()
    return with_linears(network, lambda linear: Int8Linear(linear, rounder))


class Rounder:
    """Rounds inputs, the same one once: query, key and value are made from one tensor."""

    def __init__(self) -> None:
        self._seen: weakref.ref | None = None
        self._result: tuple[Tensor, Tensor] | None = None

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Round every row to its own scale.

        x (Tensor): float32 [..., i].
        RETURNS (tuple[Tensor, Tensor]): uint8 [n, i], zero at 128, and scales, float32 [n, 1].
        """
        if self._result is None or self._seen is None or self._seen() is not x:
            rows = x.reshape(-1, x.shape[-1])
            # shape: [n, 1]
            largest = torch.maximum(rows.amax(1, keepdim=True), -rows.amin(1, keepdim=True))
            scales = largest.clamp_(min=TINY).div_(LARGEST)
            # All are positive, so that cutting off the fraction rounds.
            rounded = (rows * scales.reciprocal()).add_(ZERO + 0.5).to(torch.uint8)
            self._result = rounded, scales
            self._seen = weakref.ref(x)
        return self._result


class Int8Linear(nn.Module):
    """`y = x W^T + b` in 8-bit integers.

    linear (Linear): The layer in float32.
    rounder (Rounder): Shared with the layers that may have the same input.
    """

    def __init__(self, linear: nn.Linear, rounder: Rounder):
        super().__init__()
        self.rounder = rounder
        self.out_features = linear.out_features
        weight = linear.weight.detach()
        bias = linear.bias
        self.bias = torch.zeros(len(weight)) if bias is None else bias.detach()
        most = LARGEST if has_dot_products() else LARGEST // 2
        # shape: [o]
        self.scales = weight.abs().amax(1).clamp_(min=TINY) / most
        # shape: [o, i]
        self.weight8 = (weight / self.scales[:, None]).round_().to(torch.int8)
        self.zeros = torch.zeros(len(weight), dtype=torch.int64)
        self.packed: Any = None
        if has_onednn():
            self.packed = torch.ops.onednn.qlinear_prepack(self.weight8, None)
            del self.weight8

    def forward(self, x: Tensor) -> Tensor:
        """RETURNS (Tensor): float32 [..., o] of x [..., i]."""
        if not x.numel():
            return x.new_zeros((*x.shape[:-1], self.out_features))
        rounded, scales = self.rounder(x)
        # shape: [n, o]
        if self.packed is not None:
            product = torch.ops.onednn.qlinear_pointwise(
                *(rounded, 1.0, ZERO, self.packed, self.scales, self.zeros, None),
                *(1.0, 0, torch.float32, "none", [], ""),
            )
        else:
            signed = (rounded.to(torch.int16) - ZERO).to(torch.int8)
            product = torch._int_mm(signed, self.weight8.t()) * self.scales
        return product.mul_(scales).add_(self.bias).view(*x.shape[:-1], self.out_features)


def has_onednn() -> bool:
    """Whether torch has oneDNN's linear layer on integers, as its builds for x86 do."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return x86 and hasattr(torch.ops.onednn, "qlinear_pointwise")


def has_dot_products() -> bool:
    """Whether the CPU adds up products of bytes in 32 bits.

    Without such an instruction (VNNI) two products are added in 16 bits, which 255 * 127 twice
    would overflow; weights of 7 bits do not.
    """
    supported = getattr(torch.cpu, "_is_vnni_supported", None)
    return platform.machine() in ("aarch64", "arm64") or bool(supported and supported())
