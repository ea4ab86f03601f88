"""Softmax over the rows of a matrix."""

from __future__ import annotations

from ..autograd import Array, Tensor, as_tensor, record
from ..backend import ops


def softmax(x: Tensor | Array) -> Tensor:
    """``exp(x) / sum(exp(x))`` over the last dimension of ``x`` ``(N, K)``."""
    x = as_tensor("softmax", "x", x)
    kernels = ops(x.data)
    y = kernels.softmax_forward(x.data)
    return record(y, lambda dy, needs: (kernels.softmax_backward(dy, y),), x)
