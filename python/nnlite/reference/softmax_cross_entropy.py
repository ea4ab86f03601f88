"""Softmax and cross-entropy in one (Bishop, Pattern Recognition and Machine Learning, 2006, section 4.3.4)."""

from __future__ import annotations

import numpy as np

from nnlite.reference import arith
from nnlite.reference.checks import (
    Array,
    check,
    check_array,
    check_same_dtype,
    check_same_shape,
    is_integer_array,
    labels,
)
from nnlite.reference.signature import Computation, Spec, define_op
from nnlite.reference.softmax import rows, softmax

__all__ = ["softmax_cross_entropy_backward", "softmax_cross_entropy_forward"]


@define_op
def softmax_cross_entropy_forward(x: Array, target: Array) -> Computation[tuple[Array, Array]]:
    """Mean over the rows of the negative log-likelihood of ``target`` under the softmax of ``x``::

        loss = 1/N Σ_n (log Σ_j exp(x[n, j] - m_n) - (x[n, target[n]] - m_n))           labels
        loss = 1/N Σ_n -Σ_k target[n, k] * ((x[n, k] - m_n) - log Σ_j exp(x[n, j] - m_n))    probabilities

    Args:
        x: scores (logits), ``(N, K)``.
        target: labels ``(N,)`` of any integer type, or class probabilities ``(N, K)`` of the type of ``x``.

    Returns:
        loss: 0-d array.
        y: the softmax of ``x``, ``(N, K)``.

    Raises:
        ValueError: a label out of range; an empty batch; shapes that do not fit.
    """
    op = "softmax_cross_entropy_forward"
    x = check_array(op, "x", x, "(N, K)")
    target = _target(op, "x", x, target)
    check(len(x) > 0, f"{op}: an empty batch has no mean loss")
    rows(op, x)
    yield Spec((), x.dtype), Spec(x.shape, x.dtype)
    y, shifted, s = softmax(x)
    if target.ndim == 1:
        losses = arith.log(s[:, 0]) - shifted[np.arange(len(x)), target]
    else:
        losses = -arith.total(target * (shifted - arith.log(s)))
    return np.asarray(arith.total(losses) / x.dtype.type(len(x))), y


@define_op
def softmax_cross_entropy_backward(dloss: Array, y: Array, target: Array) -> Computation[Array]:
    """Gradient of :func:`softmax_cross_entropy_forward` for ``x``::

        dx[n, k] = (y[n, k] - (1 if k == target[n] else 0)) * dloss / N         labels
        dx[n, k] = (y[n, k] * Σ_j target[n, j] - target[n, k]) * dloss / N      probabilities

    Args:
        dloss: gradient of the loss, 0-d array.
        y: ``(N, K)``, from the forward pass.
        target: as in the forward pass.

    Returns:
        dx: ``(N, K)``.

    Raises:
        ValueError: as for the forward pass.
    """
    op = "softmax_cross_entropy_backward"
    dloss = check_array(op, "dloss", dloss, "()")
    y = check_array(op, "y", y, "(N, K)")
    check_same_dtype(op, dloss=dloss, y=y)
    target = _target(op, "y", y, target)
    check(len(y) > 0, f"{op}: an empty batch has no mean loss")
    yield Spec(y.shape, y.dtype)
    g = dloss / y.dtype.type(len(y))
    if target.ndim == 2:
        return np.asarray((y * arith.total(target)[:, None] - target) * g)
    difference = y.copy()
    difference[np.arange(len(y)), target] -= 1
    return np.asarray(difference * g)


def _target(op: str, name: str, x: Array, target: Array) -> Array:
    """Labels as int64 ``(N,)``, or probabilities ``(N, K)``."""
    if is_integer_array(target):
        one_hot = target.shape == x.shape
        check(not one_hot, f"{op}: one-hot target must be of the type of {name}, e.g. target.astype(np.{x.dtype})")
        return labels(op, target, name, x)
    target = check_array(op, "target", target, "(N, K)")
    check_same_dtype(op, **{name: x, "target": target})
    check_same_shape(op, **{name: x, "target": target})
    return target
