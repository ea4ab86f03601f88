"""Softmax over the rows of a matrix."""

from __future__ import annotations

from ..arrays import Array
from ..backend import ops
from ..tensor import Tensor, as_tensor, record

__all__ = ["softmax"]


def softmax(x: Tensor | Array) -> Tensor:
    """``exp(x) / sum(exp(x))`` over the last dimension of ``x`` ``(N, K)``."""
    x = as_tensor("softmax", "x", x)
    kernels = ops(x.data)
    y = kernels.softmax_forward(x.data)
    return record(y, lambda dy, needs: (kernels.softmax_backward(dy, y),), x)
