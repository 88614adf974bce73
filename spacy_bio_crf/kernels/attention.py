"""Attention for a CPU: torch's fused kernel has no dropout there, and is slow in bfloat16."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .cpu import prefers_onednn
from .dropout import drop

# Most keys, and most scores of a batch, that are computed as a whole in prediction: longer windows
# have too many.
SHORT_WINDOW, MOST_SCORES = 256, 2**23


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    **others: Any,
) -> Tensor:
    """Compute `torch.nn.functional.scaled_dot_product_attention` over [B, H, T, d].

    With dropout, and over short windows in bfloat16 where oneDNN is faster, the scores [B, H, T, T]
    are computed as a whole, in the type of the query; torch computes everything else.
    """
    usual = query.device.type == "cpu" and not (is_causal or others)
    if not usual or not (dropout_p or _slow_in_bf16(query, key)):
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, **others
        )
    if scale is None:
        scale = 1.0 / math.sqrt(query.shape[-1])
    # shape: [B, H, T, T]
    scores = (query * scale) @ key.transpose(-2, -1)
    if attn_mask is not None:
        # A hidden key has the least number of float32 for a mask, which is minus infinity in lower
        # types. A row of nothing else has no softmax: ModernBERT's padding sees no key.
        hidden = torch.finfo(scores.dtype).min / 2
        if attn_mask.dtype == torch.bool:
            scores.masked_fill_(~attn_mask, hidden)
        else:
            scores.add_(attn_mask.clamp(min=hidden))
    return drop(scores.softmax(dim=-1), dropout_p) @ value


def _slow_in_bf16(query: Tensor, key: Tensor) -> bool:
    """Whether torch's kernel, which multiplies by MKL, is slower than matrix products by oneDNN."""
    n_batch, n_heads, n_queries, _ = query.shape
    n_keys = key.shape[-2]
    few = n_keys <= SHORT_WINDOW and n_batch * n_heads * n_queries * n_keys <= MOST_SCORES
    return few and query.dtype == torch.bfloat16 and prefers_onednn()
