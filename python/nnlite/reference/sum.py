"""Sum of all elements (docs/numerics.md, section 4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nnlite.reference import arith
from nnlite.reference.checks import Array, check_array, check_size, shape_argument
from nnlite.reference.signature import Computation, Spec, define_op

__all__ = ["sum_backward", "sum_forward"]


@define_op
def sum_forward(x: Array) -> Computation[Array]:
    """Sum of all elements in C order.

    Args:
        x: any shape.

    Returns:
        y: 0-d array; +0 for an empty ``x``.
    """
    x = check_array("sum_forward", "x", x)
    yield Spec((), x.dtype)
    return np.asarray(arith.total(x.reshape(-1)))


@define_op
def sum_backward(dy: Array, x_shape: Sequence[int]) -> Computation[Array]:
    """Gradient of :func:`sum_forward`: ``dy`` everywhere.

    Args:
        dy: 0-d array.
        x_shape: any shape.

    Returns:
        dx: of shape ``x_shape``.
    """
    op = "sum_backward"
    dy = check_array(op, "dy", dy, "()")
    shape = check_size(op, shape_argument(op, "x_shape", x_shape))
    yield Spec(shape, dy.dtype)
    return np.full(shape, dy)
