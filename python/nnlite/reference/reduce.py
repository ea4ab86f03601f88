"""Reductions other than sums, and running sums (docs/numerics.md, sections 4 and 5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nnlite.reference.checks import Array, axes_argument, axis_argument, check, check_array
from nnlite.reference.signature import Computation, Spec, define_op

__all__ = ["amax", "argmax", "cumsum"]


def reduced(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """``shape`` without ``axes``."""
    return tuple(n for axis, n in enumerate(shape) if axis not in axes)


def rows(x: Array, axes: tuple[int, ...]) -> Array:
    """``x`` with ``axes`` as one, the last: their elements in C order."""
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    count = int(np.prod([x.shape[axis] for axis in axes], dtype=np.int64))
    return x.transpose(*kept, *sorted(axes)).reshape(*(x.shape[axis] for axis in kept), count)


@define_op
def amax(x: Array, axes: Sequence[int]) -> Computation[Array]:
    """The maximum over axes, in C order by the **max** of section 5: the first one, or the first NaN.

    Args:
        x: any shape.
        axes: counted from 0; together they hold at least one element.

    Returns:
        y: the shape of ``x`` without ``axes``.
    """
    op = "amax"
    x = check_array(op, "x", x)
    over = axes_argument(op, "axes", axes, x.ndim)
    shape = reduced(x.shape, over)
    check(all(x.shape[axis] for axis in over), f"{op}: x has shape {x.shape}, so axes {over} hold nothing")
    yield Spec(shape, x.dtype)
    items = rows(x, over)
    return np.take_along_axis(items, items.argmax(-1, keepdims=True), -1)[..., 0]


@define_op
def argmax(x: Array, axis: int) -> Computation[Array]:
    """Where the maximum along an axis is: of equal ones the first, or the first NaN.

    Args:
        x: at least one element along ``axis``.
        axis: counted from 0.

    Returns:
        index: int64, the shape of ``x`` without ``axis``.
    """
    op = "argmax"
    x = check_array(op, "x", x)
    axis = axis_argument(op, "axis", axis, x.ndim)
    check(x.shape[axis] > 0, f"{op}: x has shape {x.shape}, so axis {axis} holds nothing")
    yield Spec(reduced(x.shape, (axis,)), np.int64)
    return np.asarray(x.argmax(axis), np.int64)


@define_op
def cumsum(x: Array, axis: int) -> Computation[Array]:
    """Running sums along an axis: the first element, then each sum the one before plus the next element.

    Args:
        x: any shape.
        axis: counted from 0.

    Returns:
        y: like ``x``.
    """
    op = "cumsum"
    x = check_array(op, "x", x)
    axis = axis_argument(op, "axis", axis, x.ndim)
    yield Spec(x.shape, x.dtype)
    y = np.array(x, order="C")
    items = np.moveaxis(y, axis, 0)
    for i in range(1, len(items)):
        items[i] = items[i - 1] + items[i]
    return y
