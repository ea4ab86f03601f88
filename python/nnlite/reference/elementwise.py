"""Ops on single elements (docs/numerics.md, sections 5, 8 and 9). Arguments have any one shape; results have it too."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec

import numpy as np

from nnlite.reference import arith
from nnlite.reference.checks import Array, check_array, check_same_dtype, check_same_shape
from nnlite.reference.signature import Computation, Spec, define_op

_P = ParamSpec("_P")

__all__: list[str] = []  # every elementwise op


def elementwise(compute: Callable[_P, Array]) -> Callable[_P, Array]:
    """The op that checks that its one or two arrays have one type and shape, and computes with them in C order."""
    op, names = compute.__name__, tuple(inspect.signature(compute).parameters)
    formula: Callable[..., Any] = compute

    @functools.wraps(compute)
    def generator(*args: Any, **kwargs: Any) -> Computation[Array]:
        given = dict(zip(names, args, strict=False)) | kwargs
        arrays = {name: check_array(op, name, given[name]) for name in names}
        check_same_dtype(op, **arrays)
        if len(arrays) == 2:
            check_same_shape(op, **arrays)
        first = arrays[names[0]]
        yield Spec(first.shape, first.dtype)
        return np.asarray(formula(*arrays.values()))

    __all__.append(op)
    return define_op(generator)


@elementwise
def add(a: Array, b: Array) -> Array:
    """``a + b``, arrays of one shape."""
    return a + b


@elementwise
def subtract(a: Array, b: Array) -> Array:
    """``a - b``, arrays of one shape."""
    return a - b


@elementwise
def multiply(a: Array, b: Array) -> Array:
    """``a * b``, arrays of one shape."""
    return a * b


@elementwise
def negative(a: Array) -> Array:
    """``-a``: the sign bit flipped, of zeros too."""
    return -a


@elementwise
def relu_forward(x: Array) -> Array:
    """Rectifier ``y = max(x, 0)`` (Nair and Hinton, 2010): +0 where ``x <= 0``, else ``x``; NaN passes."""
    return np.where(x <= 0, x.dtype.type(0), x)


@elementwise
def relu_backward(dy: Array, y: Array) -> Array:
    """Gradient of :func:`relu_forward` from its output (or its input): +0 where ``y <= 0``, else ``dy``."""
    return np.where(y <= 0, y.dtype.type(0), dy)


@elementwise
def sigmoid_forward(x: Array) -> Array:
    """Logistic function ``y = 1 / (1 + exp(-x))``; float32 correctly rounded, float64 within 2 ulp."""
    return arith.sigmoid(x)


@elementwise
def sigmoid_backward(dy: Array, y: Array) -> Array:
    """Gradient of :func:`sigmoid_forward` from its output: ``(dy * (1 - y)) * y``."""
    return (dy * (1.0 - y)) * y


@elementwise
def tanh_forward(x: Array) -> Array:
    """Hyperbolic tangent; float32 correctly rounded, float64 within 2 ulp."""
    return arith.tanh(x)


@elementwise
def tanh_backward(dy: Array, y: Array) -> Array:
    """Gradient of :func:`tanh_forward` from its output: ``dy * (1 - y*y)``."""
    return dy * (1.0 - y * y)


@elementwise
def exp_forward(x: Array) -> Array:
    """Exponential function; float32 correctly rounded, float64 within 2 ulp."""
    return arith.exp(x)


@elementwise
def exp_backward(dy: Array, y: Array) -> Array:
    """Gradient of :func:`exp_forward` from its output: ``dy * y``."""
    return dy * y


@elementwise
def log_forward(x: Array) -> Array:
    """Natural logarithm; float32 correctly rounded, float64 within 2 ulp. -Inf at 0, NaN below."""
    return arith.log(x)


@elementwise
def log_backward(dy: Array, x: Array) -> Array:
    """Gradient of :func:`log_forward` from its input: ``dy / x``."""
    return dy / x


@elementwise
def gelu_tanh_forward(x: Array) -> Array:
    """Gaussian error linear unit (Hendrycks and Gimpel, 2016) in its tanh form, ``x/2 (1 + tanh(...))``."""
    return x * arith.sigmoid(1.5957691216057308 * (x + 0.044715 * ((x * x) * x)))


@elementwise
def gelu_tanh_backward(dy: Array, x: Array) -> Array:
    """Gradient of :func:`gelu_tanh_forward` from its input."""
    s = arith.sigmoid(1.5957691216057308 * (x + 0.044715 * ((x * x) * x)))
    t = x * (s * (1.0 - s))
    return dy * (s + 1.5957691216057308 * (t + 0.134145 * ((t * x) * x)))
