"""Attention (Vaswani et al., 2017), composed of products and a softmax."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import arrays
from ..arrays import Array
from ..tensor import Tensor, as_tensor
from .activation import softmax
from .dropout import dropout
from .elementwise import add, multiply, where
from .gemm import matmul
from .shape import expand, reshape, transpose

__all__ = ["scaled_dot_product_attention"]


def scaled_dot_product_attention(
    query: Tensor | Array,
    key: Tensor | Array,
    value: Tensor | Array,
    attn_mask: Tensor | Array | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """``softmax(query @ key.T * scale + mask) @ value``, with ``scale`` ``1 / sqrt(E)``.

    Args:
        query, key, value: ``(..., L, E)``, ``(..., S, E)``, ``(..., S, V)``.
        attn_mask: what broadcasts to ``(..., L, S)``: bool, where False hides, or numbers that are added.
        dropout_p: the probability with which a weight is dropped.
        is_causal: hide from row ``i`` the columns after ``i``.
        enable_gqa: the third dimension from the end of key and value, heads, may be a divisor of the query's.

    Returns:
        ``(..., L, V)``.
    """
    op = "scaled_dot_product_attention"
    query, key, value = as_tensor(op, "query", query), as_tensor(op, "key", key), as_tensor(op, "value", value)
    if enable_gqa:
        heads = query.data.shape[-3]
        key, value = _repeated(op, key, heads), _repeated(op, value, heads)
    factor = 1.0 / math.sqrt(query.data.shape[-1]) if scale is None else scale
    scores = matmul(multiply(query, factor), transpose(key, -2, -1))
    if is_causal:
        if attn_mask is not None:
            raise ValueError(f"{op}: give either attn_mask or is_causal")
        rows, columns = scores.data.shape[-2:]
        attn_mask = np.tri(rows, columns, dtype=bool)
    if attn_mask is not None:
        scores = masked(scores, attn_mask)
    weights = softmax(scores)
    if dropout_p > 0.0:
        weights = dropout(weights, dropout_p)
    return matmul(weights, value)


def masked(scores: Tensor, mask: Any) -> Tensor:
    """``scores`` with -inf where a mask of bool is False, or plus a mask of numbers."""
    given = mask.data if isinstance(mask, Tensor) else mask
    if arrays.is_array(given) and given.dtype.kind == "b":
        return where(given, scores, -math.inf)
    return add(scores, mask)


def _repeated(op: str, x: Tensor, heads: int) -> Tensor:
    *lead, own, length, size = x.data.shape
    if heads % own:
        raise ValueError(f"{op}: {own} heads of key and value do not divide the query's {heads}")
    wide = expand(reshape(x, (*lead, own, 1, length, size)), (*lead, own, heads // own, length, size))
    return reshape(wide, (*lead, heads, length, size))
