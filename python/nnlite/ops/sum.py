"""The sum of all elements."""

from __future__ import annotations

from ..autograd import Array, Tensor, as_tensor, record
from ..backend import ops


def sum(x: Tensor | Array) -> Tensor:
    """Sum of all elements, of shape ``()``."""
    x = as_tensor("sum", "x", x)
    kernels = ops(x.data)
    shape = x.data.shape
    return record(kernels.sum_forward(x.data), lambda dy, needs: (kernels.sum_backward(dy, shape),), x)
