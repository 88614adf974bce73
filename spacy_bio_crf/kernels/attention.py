"""Attention for a CPU, where torch's one fused kernel knows no dropout and is slow in bfloat16."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .cpu import prefers_onednn
from .dropout import drop

# Most keys, and most scores of a batch, for which they are computed as a whole in prediction: of
# longer windows there are too many.
SHORT, MOST_SCORES = 256, 2**23


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
        # The least number of float32, which stands for a key that is not seen, is minus infinity in
        # lower types, and a row of nothing but that has no softmax: the windows of ModernBERT's
        # padding see nothing.
        scores.add_(attn_mask.clamp(min=torch.finfo(scores.dtype).min / 2))
    return drop(scores.softmax(dim=-1), dropout_p) @ value


def slow_in_bf16(query: Tensor, key: Tensor) -> bool:
    """Whether torch's kernel takes longer than matrix products by oneDNN.

    It multiplies by MKL: see `products`.

    query (Tensor): [B, H, T, d].
    key (Tensor): [B, H, T, d].
    RETURNS (bool): True for short windows in bfloat16 on processors that oneDNN is for.
    """
    n_batch, n_heads, n_queries, _ = query.shape
    n_keys = key.shape[-2]
    few = n_keys <= SHORT and n_batch * n_heads * n_queries * n_keys <= MOST_SCORES
    return few and query.dtype == torch.bfloat16 and prefers_onednn()
