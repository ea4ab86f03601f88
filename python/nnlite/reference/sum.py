"""Sums of all elements, or over axes (docs/numerics.md, section 4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nnlite.reference import arith
from nnlite.reference.checks import Array, axes_argument, check_array, check_size, shape_argument
from nnlite.reference.reduce import reduced, rows
from nnlite.reference.signature import Computation, Spec, define_op

__all__ = ["sum_backward", "sum_forward"]


@define_op
def sum_forward(x: Array, axes: Sequence[int] | None = None) -> Computation[Array]:
    """Sums over axes, whose elements in C order are one sequence each.

    Args:
        x: any shape.
        axes: counted from 0; ``None``: all.

    Returns:
        y: the shape of ``x`` without ``axes``; +0 where there is nothing to sum.
    """
    op = "sum_forward"
    x = check_array(op, "x", x)
    over = tuple(range(x.ndim)) if axes is None else axes_argument(op, "axes", axes, x.ndim)
    yield Spec(reduced(x.shape, over), x.dtype)
    return np.asarray(arith.total(rows(x, over)))


@define_op
def sum_backward(dy: Array, x_shape: Sequence[int]) -> Computation[Array]:
    """Gradient of :func:`sum_forward` over all axes: ``dy`` everywhere. Over some, it is ``expand``.

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
