"""Ops on single elements (docs/numerics.md, sections 5, 8 and 9). Arguments have any one shape; results have it too."""

from __future__ import annotations

import numpy as np

from nnlite.reference import arith
from nnlite.reference.checks import Array, check_array, check_same_dtype, check_same_shape
from nnlite.reference.signature import Computation, Spec, define_op

__all__ = [
    "add",
    "exp_backward",
    "exp_forward",
    "log_backward",
    "log_forward",
    "multiply",
    "negative",
    "relu_backward",
    "relu_forward",
    "sigmoid_backward",
    "sigmoid_forward",
    "subtract",
    "tanh_backward",
    "tanh_forward",
]


@define_op
def add(a: Array, b: Array) -> Computation[Array]:
    """``a + b``, arrays of one shape."""
    a, b = _two("add", a=a, b=b)
    yield Spec(a.shape, a.dtype)
    return np.asarray(a + b)


@define_op
def subtract(a: Array, b: Array) -> Computation[Array]:
    """``a - b``, arrays of one shape."""
    a, b = _two("subtract", a=a, b=b)
    yield Spec(a.shape, a.dtype)
    return np.asarray(a - b)


@define_op
def multiply(a: Array, b: Array) -> Computation[Array]:
    """``a * b``, arrays of one shape."""
    a, b = _two("multiply", a=a, b=b)
    yield Spec(a.shape, a.dtype)
    return np.asarray(a * b)


@define_op
def negative(a: Array) -> Computation[Array]:
    """``-a``: the sign bit flipped, of zeros too."""
    a = check_array("negative", "a", a)
    yield Spec(a.shape, a.dtype)
    return np.asarray(-a)


@define_op
def relu_forward(x: Array) -> Computation[Array]:
    """Rectifier ``y = max(x, 0)`` (Nair and Hinton, 2010): +0 where ``x <= 0``, else ``x``; NaN passes."""
    x = check_array("relu_forward", "x", x)
    yield Spec(x.shape, x.dtype)
    return np.where(x <= 0, x.dtype.type(0), x)


@define_op
def relu_backward(dy: Array, y: Array) -> Computation[Array]:
    """Gradient of :func:`relu_forward` from its output (or its input): +0 where ``y <= 0``, else ``dy``."""
    dy, y = _two("relu_backward", dy=dy, y=y)
    yield Spec(dy.shape, dy.dtype)
    return np.where(y <= 0, y.dtype.type(0), dy)


@define_op
def sigmoid_forward(x: Array) -> Computation[Array]:
    """Logistic function ``y = 1 / (1 + exp(-x))``; float32 correctly rounded, float64 within 2 ulp."""
    x = check_array("sigmoid_forward", "x", x)
    yield Spec(x.shape, x.dtype)
    return arith.sigmoid(x)


@define_op
def sigmoid_backward(dy: Array, y: Array) -> Computation[Array]:
    """Gradient of :func:`sigmoid_forward` from its output: ``(dy * (1 - y)) * y``."""
    dy, y = _two("sigmoid_backward", dy=dy, y=y)
    yield Spec(dy.shape, dy.dtype)
    return np.asarray((dy * (y.dtype.type(1) - y)) * y)


@define_op
def tanh_forward(x: Array) -> Computation[Array]:
    """Hyperbolic tangent; float32 correctly rounded, float64 within 2 ulp."""
    x = check_array("tanh_forward", "x", x)
    yield Spec(x.shape, x.dtype)
    return arith.tanh(x)


@define_op
def tanh_backward(dy: Array, y: Array) -> Computation[Array]:
    """Gradient of :func:`tanh_forward` from its output: ``dy * (1 - y*y)``."""
    dy, y = _two("tanh_backward", dy=dy, y=y)
    yield Spec(dy.shape, dy.dtype)
    return np.asarray(dy * (y.dtype.type(1) - y * y))


@define_op
def exp_forward(x: Array) -> Computation[Array]:
    """Exponential function; float32 correctly rounded, float64 within 2 ulp."""
    x = check_array("exp_forward", "x", x)
    yield Spec(x.shape, x.dtype)
    return arith.exp(x)


@define_op
def exp_backward(dy: Array, y: Array) -> Computation[Array]:
    """Gradient of :func:`exp_forward` from its output: ``dy * y``."""
    dy, y = _two("exp_backward", dy=dy, y=y)
    yield Spec(dy.shape, dy.dtype)
    return np.asarray(dy * y)


@define_op
def log_forward(x: Array) -> Computation[Array]:
    """Natural logarithm; float32 correctly rounded, float64 within 2 ulp. -Inf at 0, NaN below."""
    x = check_array("log_forward", "x", x)
    yield Spec(x.shape, x.dtype)
    return arith.log(x)


@define_op
def log_backward(dy: Array, x: Array) -> Computation[Array]:
    """Gradient of :func:`log_forward` from its input: ``dy / x``."""
    dy, x = _two("log_backward", dy=dy, x=x)
    yield Spec(dy.shape, dy.dtype)
    return np.asarray(dy / x)


def _two(op: str, **arrays: Array) -> tuple[Array, Array]:
    """Two checked arrays of one type and shape."""
    a, b = (check_array(op, name, array) for name, array in arrays.items())
    check_same_dtype(op, **arrays)
    check_same_shape(op, **arrays)
    return a, b
