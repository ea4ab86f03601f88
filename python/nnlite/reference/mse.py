"""Mean squared error (docs/numerics.md, section 7)."""

from __future__ import annotations

import numpy as np

from nnlite.reference import arith
from nnlite.reference.checks import Array, check, check_array, check_same_dtype, check_same_shape
from nnlite.reference.signature import Computation, Spec, define_op

__all__ = ["mse_backward", "mse_forward"]


@define_op
def mse_forward(x: Array, target: Array) -> Computation[Array]:
    """Mean over all elements of ``(x - target)²``.

    Args:
        x, target: any one shape.

    Returns:
        loss: 0-d array.

    Raises:
        ValueError: shapes that differ; no elements.
    """
    op = "mse_forward"
    x, target = _checked(op, x, target)
    yield Spec((), x.dtype)
    d = x - target
    return np.asarray(arith.total((d * d).reshape(-1)) / x.dtype.type(x.size))


@define_op
def mse_backward(dloss: Array, x: Array, target: Array) -> Computation[Array]:
    """Gradient of :func:`mse_forward` for ``x``: ``dx = (x - target) * ((2 * dloss) / count)``.

    Args:
        dloss: gradient of the loss, 0-d array.
        x, target: any one shape.

    Returns:
        dx: like ``x``.

    Raises:
        ValueError: shapes that differ; no elements.
    """
    op = "mse_backward"
    dloss = check_array(op, "dloss", dloss, "()")
    x, target = _checked(op, x, target)
    check_same_dtype(op, dloss=dloss, x=x)
    yield Spec(x.shape, x.dtype)
    two, count = x.dtype.type(2), x.dtype.type(x.size)
    return np.asarray((x - target) * ((two * dloss) / count))


def _checked(op: str, x: Array, target: Array) -> tuple[Array, Array]:
    x = check_array(op, "x", x)
    target = check_array(op, "target", target)
    check_same_dtype(op, x=x, target=target)
    check_same_shape(op, x=x, target=target)
    check(x.size > 0, f"{op}: an empty batch has no mean loss")
    return x, target
