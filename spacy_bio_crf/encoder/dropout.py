"""Dropout for a CPU, where random numbers are dear: a quarter of one for each element.

torch draws a number of its own for every element, which takes longer than the layer norm beside it.
Here one number of 64 bits decides on four elements:

    random 64 bits   |     16     |     16     |     16     |     16     |
    at least         |<- p * 2^16 |            |            |            |
    kept                  yes           yes          no           yes

So the probability is a multiple of 2^-16, and what is kept is scaled by its inverse exactly. The
numbers come from torch's generator: they follow its seed, and come again wherever its state does.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

LANES, LEVELS = 4, 1 << 16


class FrugalDropout(TorchFunctionMode):
    """While it is entered, torch's dropout and attention with dropout draw their numbers by four.

    A mode, because it reaches the networks of every family as they are. Only tensors on a CPU are
    concerned; everything else goes its usual way.
    """

    def __torch_function__(
        self,
        func: Callable,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if func is functional.dropout:
            return _dropout(*args, **given)
        if func is functional.scaled_dot_product_attention:
            return _attention(*args, **given)
        return func(*args, **given)


def drop(x: Tensor, p: float) -> Tensor:
    """Set elements to zero, each by itself with probability `p`, and scale up the others.

    Srivastava et al. 2014, section 4, with the scaling moved to training (section 10).

    x (Tensor): On a CPU, of any shape.
    p (float): From 0 to 1; taken to the nearest multiple of 2^-16.
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


def _dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    if x.device.type != "cpu" or inplace or not (training and 0.0 <= p <= 1.0):
        return functional.dropout(x, p, training, inplace)
    return drop(x, p)


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **others: Any,
) -> Tensor:
    """Attention over [B, H, T, d], as torch's, which has no fused kernel for dropout on a CPU."""
    plain = attn_mask is None or attn_mask.is_floating_point()
    if query.device.type != "cpu" or not dropout_p or is_causal or not plain or others:
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, **others
        )
    # shape: [B, H, T, T]
    scores = (query / math.sqrt(query.shape[-1])) @ key.transpose(-2, -1)
    if attn_mask is not None:
        scores.add_(attn_mask)
    return drop(scores.softmax(dim=-1), dropout_p) @ value
