"""Attention for a CPU, where torch's one fused kernel knows no dropout and is slow in bfloat16."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .dropout import drop
from .processor import prefers_onednn

# Most keys for which scores are computed as a whole: a longer window has too many of them.
SHORT = 256


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **others: Any,
) -> Tensor:
    """Attention over [B, H, T, d]: `torch.nn.functional.scaled_dot_product_attention`.

    With dropout, and in bfloat16 where `slow_in_bf16`, the scores [B, H, T, T] are computed as a
    whole, in the type of the query; everything else is left to torch.
    """
    plain = attn_mask is None or attn_mask.is_floating_point()
    usual = plain and query.device.type == "cpu" and not (is_causal or others)
    if not usual or not (dropout_p or slow_in_bf16(query, key)):
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, **others
        )
    # shape: [B, H, T, T]
    scores = (query / math.sqrt(query.shape[-1])) @ key.transpose(-2, -1)
    if attn_mask is not None:
        scores.add_(attn_mask)
    return drop(scores.softmax(dim=-1), dropout_p) @ value


def slow_in_bf16(query: Tensor, key: Tensor) -> bool:
    """Whether torch's kernel takes longer than matrix products by oneDNN.

    It multiplies by MKL: see `products`.

    query (Tensor): [B, H, T, d].
    key (Tensor): [B, H, T, d].
    RETURNS (bool): True for short windows in bfloat16 on processors that oneDNN is for.
    """
    short = query.dtype == torch.bfloat16 and key.shape[-2] <= SHORT
    return short and prefers_onednn()
