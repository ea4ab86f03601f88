"""The sum of all elements."""

from __future__ import annotations

from ..arrays import Array
from ..backend import ops
from ..tensor import Tensor, as_tensor, record

__all__ = ["sum"]


def sum(x: Tensor | Array) -> Tensor:
    """Sum of all elements, of shape ``()``."""
    x = as_tensor("sum", "x", x)
    kernels = ops(x.data)
    shape = x.data.shape
    return record(kernels.sum_forward(x.data), lambda dy, needs: (kernels.sum_backward(dy, shape),), x)
