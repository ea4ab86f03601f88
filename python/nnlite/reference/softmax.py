"""Softmax of rows (docs/numerics.md, section 7)."""

from __future__ import annotations

import numpy as np

from nnlite.reference import arith
from nnlite.reference.checks import Array, check, check_array, check_same_dtype, check_same_shape
from nnlite.reference.signature import Computation, Spec, define_op

__all__ = ["softmax_backward", "softmax_forward"]


@define_op
def softmax_forward(x: Array) -> Computation[Array]:
    """Softmax of each row: ``y[n, k] = exp(x[n, k] - m_n) / Σ_j exp(x[n, j] - m_n)`` with the row's maximum ``m_n``.

    Args:
        x: ``(N, K)``.

    Returns:
        y: ``(N, K)``. A row with NaN or +Inf, or of -Inf alone, is NaN throughout.

    Raises:
        ValueError: no classes.
    """
    x = rows("softmax_forward", x)
    yield Spec(x.shape, x.dtype)
    return softmax(x)[0]


@define_op
def softmax_backward(dy: Array, y: Array) -> Computation[Array]:
    """Gradient of :func:`softmax_forward`: ``dx[n, k] = y[n, k] * (dy[n, k] - Σ_j dy[n, j] * y[n, j])``.

    Args:
        dy: ``(N, K)``.
        y: ``(N, K)``, from the forward pass.

    Returns:
        dx: ``(N, K)``.

    Raises:
        ValueError: ``dy`` and ``y`` differ in shape.
    """
    op = "softmax_backward"
    dy = check_array(op, "dy", dy, "(N, K)")
    y = check_array(op, "y", y, "(N, K)")
    check_same_dtype(op, dy=dy, y=y)
    check_same_shape(op, dy=dy, y=y)
    yield Spec(y.shape, y.dtype)
    return np.asarray(y * (dy - arith.total(dy * y)[:, None]))


def rows(op: str, x: Array) -> Array:
    """``x`` if it has rows of classes."""
    x = check_array(op, "x", x, "(N, K)")
    check(x.shape[1] >= 1, f"{op}: x must have at least 1 class, got shape {x.shape}")
    return x


def softmax(x: Array) -> tuple[Array, Array, Array]:
    """``y``, ``x - m`` and the sums of ``exp(x - m)``: ``(N, K)``, ``(N, K)``, ``(N, 1)``."""
    m = x[:, 0]
    for column in x.T[1:]:
        m = np.where((column > m) | (np.isnan(column) & ~np.isnan(m)), column, m)
    shifted = x - m[:, None]
    e = arith.exp(shifted)
    s = arith.total(e)[:, None]
    return e / s, shifted, s
