"""Ops on single elements (docs/numerics.md, sections 5, 8 and 9). A function's arguments have one shape, which is the
result's; those of an operation are broadcast, as NumPy does it: counted from the last axis, sizes are equal or 1.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec

import numpy as np

from nnlite.reference import arith
from nnlite.reference.checks import Array, broadcast_shape, check_array, check_same_dtype, check_same_shape, check_size
from nnlite.reference.signature import Computation, Spec, define_op

_P = ParamSpec("_P")

__all__: list[str] = []  # every elementwise op


def elementwise(compute: Callable[_P, Array]) -> Callable[_P, Array]:
    """The op that checks that its arrays have one type, and one shape or shapes that broadcast, and computes."""
    op, names = compute.__name__, tuple(inspect.signature(compute).parameters)
    formula: Callable[..., Any] = compute
    broadcasts = not op.endswith("_backward")

    @functools.wraps(compute)
    def generator(*args: Any, **kwargs: Any) -> Computation[Array]:
        given = dict(zip(names, args, strict=False)) | kwargs
        arrays = {name: check_array(op, name, given[name]) for name in names}
        check_same_dtype(op, **arrays)
        if not broadcasts:
            check_same_shape(op, **arrays)
        shape = check_size(op, broadcast_shape(op, **arrays))
        yield Spec(shape, arrays[names[0]].dtype)
        return np.asarray(formula(*arrays.values()))

    __all__.append(op)
    return define_op(generator)


@elementwise
def add(a: Array, b: Array) -> Array:
    """``a + b``."""
    return a + b


@elementwise
def subtract(a: Array, b: Array) -> Array:
    """``a - b``."""
    return a - b


@elementwise
def multiply(a: Array, b: Array) -> Array:
    """``a * b``."""
    return a * b


@elementwise
def divide(a: Array, b: Array) -> Array:
    """``a / b``."""
    return a / b


@elementwise
def maximum(a: Array, b: Array) -> Array:
    """The larger of both: ``b`` where ``b > a`` or ``b`` is NaN, else ``a``. So a NaN in either is the result."""
    return np.where((b > a) | np.isnan(b), b, a)


@elementwise
def minimum(a: Array, b: Array) -> Array:
    """The smaller of both: ``b`` where ``b < a`` or ``b`` is NaN, else ``a``. So a NaN in either is the result."""
    return np.where((b < a) | np.isnan(b), b, a)


@elementwise
def equal(a: Array, b: Array) -> Array:
    """1 where ``a == b``, else +0."""
    return np.asarray(a == b).astype(a.dtype)


@elementwise
def greater(a: Array, b: Array) -> Array:
    """1 where ``a > b``, else +0."""
    return (a > b).astype(a.dtype)


@elementwise
def greater_equal(a: Array, b: Array) -> Array:
    """1 where ``a >= b``, else +0."""
    return (a >= b).astype(a.dtype)


@elementwise
def where(condition: Array, a: Array, b: Array) -> Array:
    """``a`` where ``condition`` is not 0 (NaN is not), else ``b``."""
    return np.where(condition != 0, a, b)


@elementwise
def negative(a: Array) -> Array:
    """``-a``: the sign bit flipped, of zeros too."""
    return -a


@elementwise
def sign(a: Array) -> Array:
    """1 for a positive number, -1 for a negative one, +0 for either zero, NaN for NaN."""
    return np.asarray(_sign(a))


def _sign(a: Array) -> Array:
    one = a.dtype.type(1)
    return np.where(a > 0, one, np.where(a < 0, -one, np.where(a == 0, 0 * one, a)))


@elementwise
def floor(a: Array) -> Array:
    """The greatest integer that is not above ``a``; -0 for -0."""
    return np.floor(a)


@elementwise
def ceil(a: Array) -> Array:
    """The least integer that is not below ``a``; -0 for what rounds up to 0 from below."""
    return np.ceil(a)


@elementwise
def round(a: Array) -> Array:
    """The nearest integer, of two the even one, with the sign of ``a``."""
    return np.rint(a)


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
def expm1_forward(x: Array) -> Array:
    """``exp(x) - 1``; float32 correctly rounded, float64 within 2 ulp."""
    return arith.expm1(x)


@elementwise
def expm1_backward(dy: Array, y: Array) -> Array:
    """Gradient of :func:`expm1_forward` from its output: ``dy * (y + 1)``."""
    return np.asarray(dy * (y + 1.0))


@elementwise
def log_forward(x: Array) -> Array:
    """Natural logarithm; float32 correctly rounded, float64 within 2 ulp. -Inf at 0, NaN below."""
    return arith.log(x)


@elementwise
def log_backward(dy: Array, x: Array) -> Array:
    """Gradient of :func:`log_forward` from its input: ``dy / x``."""
    return dy / x


@elementwise
def log1p_forward(x: Array) -> Array:
    """``log(1 + x)``; float32 correctly rounded, float64 within 2 ulp. -Inf at -1, NaN below."""
    return arith.log1p(x)


@elementwise
def log1p_backward(dy: Array, x: Array) -> Array:
    """Gradient of :func:`log1p_forward` from its input: ``dy / (1 + x)``."""
    return dy / (1.0 + x)


@elementwise
def sqrt_forward(x: Array) -> Array:
    """Square root, correctly rounded. NaN below 0; -0 for -0."""
    return np.sqrt(x)


@elementwise
def sqrt_backward(dy: Array, y: Array) -> Array:
    """Gradient of :func:`sqrt_forward` from its output: ``dy / (y + y)``."""
    return np.asarray(dy / (y + y))


@elementwise
def abs_forward(x: Array) -> Array:
    """``x`` without its sign."""
    return np.abs(x)


@elementwise
def abs_backward(dy: Array, x: Array) -> Array:
    """Gradient of :func:`abs_forward` from its input: ``dy * sign(x)``."""
    return dy * _sign(x)


@elementwise
def erf_forward(x: Array) -> Array:
    """The error function; float32 correctly rounded, float64 within 2 ulp."""
    return arith.erf(x)


@elementwise
def erf_backward(dy: Array, x: Array) -> Array:
    """Gradient of :func:`erf_forward` from its input: ``dy * (2/sqrt(pi) * exp(-(x*x)))``."""
    return dy * (1.1283791670955126 * arith.exp(-(x * x)))


@elementwise
def gelu_forward(x: Array) -> Array:
    """Gaussian error linear unit (Hendrycks and Gimpel, 2016), ``x * (0.5 * (1 + erf(x / sqrt(2))))``."""
    return x * _normal_share(x)


@elementwise
def gelu_backward(dy: Array, x: Array) -> Array:
    """Gradient of :func:`gelu_forward` from its input."""
    return dy * (_normal_share(x) + x * (0.3989422804014327 * arith.exp(-0.5 * (x * x))))


def _normal_share(x: Array) -> Array:
    """How much of a normal distribution lies below ``x``."""
    return np.asarray(0.5 * (1.0 + arith.erf(x * 0.7071067811865476)))


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


@elementwise
def silu_forward(x: Array) -> Array:
    """Sigmoid linear unit (Hendrycks and Gimpel, 2016; Ramachandran et al., 2017), ``x * sigmoid(x)``."""
    return x * arith.sigmoid(x)


@elementwise
def silu_backward(dy: Array, x: Array) -> Array:
    """Gradient of :func:`silu_forward` from its input, with ``s = sigmoid(x)``: ``dy * (s * (1 + x * (1 - s)))``."""
    s = arith.sigmoid(x)
    return dy * (s * (1.0 + x * (1.0 - s)))
