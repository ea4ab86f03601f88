"""Norms of vectors and distances between them."""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..tensor import Tensor, as_tensor
from .elementwise import add, clamp, divide, multiply, subtract
from .index import index_select
from .reduce import norm, sum

__all__ = ["cosine_similarity", "normalize", "pairwise_distance", "pdist"]


def normalize(x: Tensor | Array, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """``x`` divided by its p-norm along a dimension, or by ``eps`` where that is larger."""
    x = as_tensor("normalize", "x", x)
    return divide(x, clamp(norm(x, p, dim, True), min=eps))


def cosine_similarity(x1: Tensor | Array, x2: Tensor | Array, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """``x1 . x2 / (max(|x1|, eps) * max(|x2|, eps))`` along a dimension."""
    a, b = as_tensor("cosine_similarity", "x1", x1), as_tensor("cosine_similarity", "x2", x2)
    lengths = [clamp(norm(v, 2, dim, True), min=eps) for v in (a, b)]
    return sum(multiply(divide(a, lengths[0]), divide(b, lengths[1])), dim)


def pairwise_distance(
    x1: Tensor | Array, x2: Tensor | Array, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The p-norm of ``x1 - x2 + eps`` along the last dimension."""
    return norm(add(subtract(x1, x2), eps), p, -1, keepdim)


def pdist(x: Tensor | Array, p: float = 2.0) -> Tensor:
    """The p-norms of the differences of all pairs of rows of ``(N, M)``: 0 and 1, 0 and 2, ...; ``(N (N-1) / 2,)``."""
    x = as_tensor("pdist", "x", x)
    if x.data.ndim != 2:
        raise ValueError(f"pdist: x must have 2 dimensions (N, M), got shape {x.data.shape}")
    first, second = np.triu_indices(x.data.shape[0], 1)
    return norm(subtract(index_select(x, 0, first), index_select(x, 0, second)), p, -1)
