"""Sum of all elements (docs/numerics.md, section 4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nnlite.reference import arith
from nnlite.reference.checks import Array, check_array, check_size, shape_argument

__all__ = ["sum_backward", "sum_forward"]


def sum_forward(x: Array) -> Array:
    """Sum of all elements in C order.

    Args:
        x: any shape.

    Returns:
        y: 0-d array; +0 for an empty ``x``.
    """
    return np.asarray(arith.total(check_array("sum_forward", "x", x).reshape(-1)))


def sum_backward(dy: Array, x_shape: Sequence[int]) -> Array:
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
    return np.full(shape, dy)
