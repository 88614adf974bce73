"""Dropout for a CPU with a quarter of a random number for each element.

torch draws one number per element, which takes longer than the layer norm beside it. Here one
number of 64 bits decides on four elements:

    random 64 bits   |     16     |     16     |     16     |     16     |
    at least         |<- p * 2^16 |            |            |            |
    kept                  yes           yes          no           yes

So the probability is a multiple of 2^-16, and kept elements are scaled by its exact inverse. The
numbers come from torch's generator: they follow its seed and its state.
"""

import torch
from torch import Tensor
from torch.nn import functional

LANES, LEVELS = 4, 1 << 16


def drop(x: Tensor, p: float) -> Tensor:
    """Set elements to zero, independently with probability `p`, and scale up the others.

    Srivastava et al. 2014, section 4, with the scaling moved to training (section 10).

    x (Tensor): On a CPU, of any shape.
    p (float): From 0 to 1; rounded to the nearest multiple of 2^-16.
    RETURNS (Tensor): Of the shape of `x`; its mean is that of `x`.
    """
    dropped = round(p * LEVELS)
    if dropped == 0:
        return x
    if dropped == LEVELS:
        return x * 0.0
    # shape: [n / 4, rounded up]
    bits = torch.empty(-(-x.numel() // LANES), dtype=torch.int64).random_(-(1 << 63), None)
    # Uniform from -2^15 to 2^15 - 1. shape: [n]
    lanes = bits.view(torch.int16)[: x.numel()]
    kept = torch.empty(x.shape, dtype=x.dtype)
    torch.ge(lanes, dropped - LEVELS // 2, out=kept.view(-1))
    return x * kept.mul_(LEVELS / (LEVELS - dropped))


def dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Compute `torch.nn.functional.dropout`, by `drop` on a CPU if not in place."""
    if x.device.type != "cpu" or inplace or not (training and 0.0 <= p <= 1.0):
        return functional.dropout(x, p, training, inplace)
    return drop(x, p)
