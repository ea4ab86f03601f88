"""Elements chosen by an array of indices, and added up where they came from (docs/numerics.md, section 4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nnlite.reference.checks import (
    Array,
    axis_argument,
    check,
    check_array,
    check_size,
    index_argument,
    shape_argument,
)
from nnlite.reference.signature import Computation, Spec, define_op

__all__ = ["gather", "gather_backward", "index_select", "index_select_backward"]


@define_op
def index_select(x: Array, index: Array, axis: int) -> Computation[Array]:
    """``y[..., j, ...] = x[..., index[j], ...]``, where ``j`` counts along ``axis``: rows of a table, say.

    Args:
        x: at least one dimension.
        index: ``(J,)`` of any integer type, in 0 … size of the axis - 1.
        axis: counted from 0.

    Returns:
        y: the shape of ``x`` with ``J`` in place of the size of ``axis``.

    Raises:
        ValueError: an index is out of range.
    """
    op = "index_select"
    x = check_array(op, "x", x)
    axis = axis_argument(op, "axis", axis, x.ndim)
    index = _positions(op, index, x.shape[axis])
    yield Spec(check_size(op, (*x.shape[:axis], index.shape[0], *x.shape[axis + 1 :])), x.dtype)
    return np.take(x, index, axis)


@define_op
def index_select_backward(dy: Array, index: Array, x_shape: Sequence[int], axis: int) -> Computation[Array]:
    """Gradient of :func:`index_select`: each row of ``dy`` added to +0 where it came from, in ascending ``j``.

    Args:
        dy: like the result.
        index, axis: as there.
        x_shape: the shape of ``x``.

    Returns:
        dx: of ``x_shape``.
    """
    op = "index_select_backward"
    dy = check_array(op, "dy", dy)
    shape = check_size(op, shape_argument(op, "x_shape", x_shape))
    axis = axis_argument(op, "axis", axis, len(shape))
    index = _positions(op, index, shape[axis])
    expected = (*shape[:axis], index.shape[0], *shape[axis + 1 :])
    check(dy.shape == expected, f"{op}: dy has shape {dy.shape} but x_shape and index need {expected}")
    yield Spec(shape, dy.dtype)
    dx = np.zeros(shape, dy.dtype)
    np.add.at(np.moveaxis(dx, axis, 0), index, np.moveaxis(dy, axis, 0))
    return dx


@define_op
def gather(x: Array, index: Array, axis: int) -> Computation[Array]:
    """One element for each index: ``y[i, j, k] = x[i, index[i, j, k], k]`` where ``axis`` is 1.

    Args:
        x: at least one dimension.
        index: of any integer type, in 0 … size of the axis - 1; its shape is that of ``x`` but for ``axis``.
        axis: counted from 0.

    Returns:
        y: of the shape of ``index``.

    Raises:
        ValueError: an index is out of range.
    """
    op = "gather"
    x = check_array(op, "x", x)
    axis = axis_argument(op, "axis", axis, x.ndim)
    index = index_argument(op, "index", index, x.shape[axis], "elements along the axis")
    _check_alike(op, index, x.shape, axis)
    yield Spec(check_size(op, index.shape), x.dtype)
    return np.take_along_axis(x, index, axis)


@define_op
def gather_backward(dy: Array, index: Array, x_shape: Sequence[int], axis: int) -> Computation[Array]:
    """Gradient of :func:`gather`: each element of ``dy`` added to +0 where it came from, in order along the axis.

    Args:
        dy: of the shape of ``index``.
        index, axis: as there.
        x_shape: the shape of ``x``.

    Returns:
        dx: of ``x_shape``.
    """
    op = "gather_backward"
    dy = check_array(op, "dy", dy)
    shape = check_size(op, shape_argument(op, "x_shape", x_shape))
    axis = axis_argument(op, "axis", axis, len(shape))
    index = index_argument(op, "index", index, shape[axis], "elements along the axis")
    _check_alike(op, index, shape, axis)
    check(dy.shape == index.shape, f"{op}: dy has shape {dy.shape} but index needs {index.shape}")
    yield Spec(shape, dy.dtype)
    dx = np.zeros(shape, dy.dtype)
    places: list[Array] = list(np.indices(index.shape, sparse=True))
    places[axis] = index
    np.add.at(dx, tuple(places), dy)
    return dx


def _positions(op: str, index: Array, size: int) -> Array:
    index = index_argument(op, "index", index, size, "elements along the axis")
    check(index.ndim == 1, f"{op}: index must have 1 dimension (J,), got {index.ndim} with shape {index.shape}")
    return index


def _check_alike(op: str, index: Array, shape: tuple[int, ...], axis: int) -> None:
    alike = index.ndim == len(shape) and all(
        n == m for d, (n, m) in enumerate(zip(index.shape, shape, strict=True)) if d != axis
    )
    check(alike, f"{op}: index has shape {index.shape} but x has shape {shape}; they differ at most along axis {axis}")
