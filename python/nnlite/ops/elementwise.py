"""Ops that work on one element after the other. Operands are broadcast as NumPy does it: counted from the last axis,
sizes are equal or 1.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeGuard

import numpy as np

from .. import arrays
from ..arrays import Array, full_like
from ..backend import ops
from ..tensor import Tensor, as_tensor, record

__all__ = [
    "abs",
    "add",
    "ceil",
    "clamp",
    "divide",
    "erf",
    "exp",
    "expm1",
    "floor",
    "floor_divide",
    "gelu",
    "gelu_tanh",
    "hardtanh",
    "log",
    "log1p",
    "log2",
    "log10",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "pow",
    "reciprocal",
    "relu",
    "remainder",
    "round",
    "rsqrt",
    "sigmoid",
    "sign",
    "silu",
    "sqrt",
    "square",
    "subtract",
    "tanh",
    "where",
]

Operand = Tensor | Array | float


def add(a: Operand, b: Operand) -> Tensor:
    """``a + b``, element by element, with broadcasting; dtypes are equal."""
    a, b = _operands("add", a, b)
    kernels = ops(a.data)
    y = kernels.add(a.data, b.data)
    if a.data.shape == b.data.shape:
        return record(y, lambda dy, needs: (dy, dy), a, b)
    left, right = a.data.shape, b.data.shape
    return record(y, lambda dy, needs: (_summed(dy, left, needs[0]), _summed(dy, right, needs[1])), a, b)


def subtract(a: Operand, b: Operand) -> Tensor:
    """``a - b``, element by element, with broadcasting; dtypes are equal."""
    a, b = _operands("subtract", a, b)
    kernels = ops(a.data)
    left, right = a.data.shape, b.data.shape

    def pullback(dy: Array, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        db = _summed(dy, right, needs[1])
        return _summed(dy, left, needs[0]), None if db is None else kernels.negative(db)

    return record(kernels.subtract(a.data, b.data), pullback, a, b)


def multiply(a: Operand, b: Operand) -> Tensor:
    """``a * b``, element by element, with broadcasting; dtypes are equal."""
    a, b = _operands("multiply", a, b)
    kernels = ops(a.data)
    left, right = a.data, b.data

    def pullback(dy: Array, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        da = _summed(kernels.multiply(dy, right), left.shape) if needs[0] else None
        return da, _summed(kernels.multiply(dy, left), right.shape) if needs[1] else None

    return record(kernels.multiply(left, right), pullback, a, b)


def divide(a: Operand, b: Operand) -> Tensor:
    """``a / b``, element by element, with broadcasting; gradients ``dy / b`` and ``-(dy * (y / b))``."""
    a, b = _operands("divide", a, b)
    kernels = ops(a.data)
    left, right = a.data.shape, b.data
    y = kernels.divide(a.data, right)

    def pullback(dy: Array, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        da = _summed(kernels.divide(dy, right), left) if needs[0] else None
        if not needs[1]:
            return da, None
        return da, _summed(kernels.negative(kernels.multiply(dy, kernels.divide(y, right))), right.shape)

    return record(y, pullback, a, b)


def maximum(a: Operand, b: Operand) -> Tensor:
    """The larger of both; NaN if one is. Where they are equal each gets half of the gradient, as in PyTorch."""
    return _extreme("maximum", a, b)


def minimum(a: Operand, b: Operand) -> Tensor:
    """The smaller of both; NaN if one is. Where they are equal each gets half of the gradient, as in PyTorch."""
    return _extreme("minimum", a, b)


def _extreme(name: str, a: Operand, b: Operand) -> Tensor:
    a, b = _operands(name, a, b)
    kernels = ops(a.data)
    left, right = a.data, b.data

    def pullback(dy: Array, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        zero, tied = full_like(dy, 0, ()), kernels.equal(left, right)
        half = kernels.multiply(dy, full_like(dy, 0.5, ()))
        wins = kernels.greater(left, right) if name == "maximum" else kernels.greater(right, left)
        loses = kernels.greater(right, left) if name == "maximum" else kernels.greater(left, right)

        def part(won: Array, shape: tuple[int, ...]) -> Array:
            return _sum_to(kernels.where(won, dy, kernels.where(tied, half, zero)), shape)

        return part(wins, left.shape) if needs[0] else None, part(loses, right.shape) if needs[1] else None

    return record(getattr(kernels, name)(left, right), pullback, a, b)


def where(condition: Tensor | Array, a: Operand, b: Operand) -> Tensor:
    """``a`` where ``condition`` holds, else ``b``, with broadcasting.

    Args:
        condition: an array of bool, as comparisons give it, or a tensor or float array, which holds where it is not 0.
            No gradient flows to it.
        a, b: tensors, arrays or numbers, at least one of them a tensor or an array.
    """
    if _is_number(a) and _is_number(b):
        raise TypeError("where: a or b must be a Tensor or a numpy.ndarray, got two numbers")
    a, b = _operands("where", a, b)
    kernels = ops(a.data)
    chosen, left, right = mask_like(condition, a.data), a.data.shape, b.data.shape

    def pullback(dy: Array, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        zero = full_like(dy, 0, ())
        da = _sum_to(kernels.where(chosen, dy, zero), left) if needs[0] else None
        return da, _sum_to(kernels.where(chosen, zero, dy), right) if needs[1] else None

    return record(kernels.where(chosen, a.data, b.data), pullback, a, b)


def mask_like(condition: Tensor | Array, x: Array) -> Array:
    """A condition as an array of 1 and 0 of the dtype of ``x``, where ``x`` is."""
    mask = condition.data if isinstance(condition, Tensor) else condition
    if isinstance(mask, (bool, np.bool_)):
        mask = np.asarray(mask)
    if not arrays.is_array(mask):
        raise TypeError(f"where: condition must be an array of bool, got {arrays.what_is(mask)}")
    if mask.dtype == x.dtype:
        return mask
    return arrays.put(arrays.to_numpy(mask).astype(bool).astype(x.dtype), x)


def negative(a: Tensor | Array) -> Tensor:
    """``-a``."""
    a = as_tensor("negative", "a", a)
    kernels = ops(a.data)
    return record(kernels.negative(a.data), lambda dy, needs: (kernels.negative(dy),), a)


def _function(name: str, description: str, keeps: str = "y") -> Callable[[Tensor | Array], Tensor]:
    """The op of ``name``_forward and ``name``_backward, which takes the result ``y`` or the input ``x``."""
    forward, backward = f"{name}_forward", f"{name}_backward"

    def op(x: Tensor | Array) -> Tensor:
        x = as_tensor(name, "x", x)
        kernels = ops(x.data)
        y = getattr(kernels, forward)(x.data)
        kept = y if keeps == "y" else x.data
        return record(y, lambda dy, needs: (getattr(kernels, backward)(dy, kept),), x)

    return _named(op, name, description)


def _step(name: str, description: str) -> Callable[[Tensor | Array], Tensor]:
    """An op whose gradient is 0 wherever there is one."""

    def op(x: Tensor | Array) -> Tensor:
        x = as_tensor(name, "x", x)
        y = getattr(ops(x.data), name)(x.data)
        return record(y, lambda dy, needs: (full_like(dy, 0),), x)

    return _named(op, name, description)


def _named(op: Callable[..., Tensor], name: str, description: str) -> Callable[..., Tensor]:
    op.__name__ = op.__qualname__ = name
    op.__doc__ = description
    return op


relu = _function("relu", "The larger of ``x`` and 0; its gradient at 0 is 0.")
sigmoid = _function("sigmoid", "``1 / (1 + exp(-x))``.")
tanh = _function("tanh", "The hyperbolic tangent.")
exp = _function("exp", "e to the power of ``x``.")
expm1 = _function("expm1", "``exp(x) - 1``, exact to the last digits near 0.")
log = _function("log", "The natural logarithm.", keeps="x")
log1p = _function("log1p", "``log(1 + x)``, exact to the last digits near 0.", keeps="x")
sqrt = _function("sqrt", "The square root.")
abs = _function("abs", "``x`` without its sign; the gradient at 0 is 0.", keeps="x")
erf = _function("erf", "The error function.", keeps="x")
gelu_tanh = _function("gelu_tanh", "The Gaussian error linear unit in its tanh form.", keeps="x")
silu = _function("silu", "The sigmoid linear unit, ``x * sigmoid(x)``.", keeps="x")
_gelu = _function("gelu", "The Gaussian error linear unit.", keeps="x")
sign = _step("sign", "1, -1 or 0; its gradient is 0.")
floor = _step("floor", "The greatest integer that is not above ``x``; its gradient is 0.")
ceil = _step("ceil", "The least integer that is not below ``x``; its gradient is 0.")
round = _step("round", "The nearest integer, of two the even one; its gradient is 0.")


def gelu(x: Tensor | Array, approximate: str = "none") -> Tensor:
    """The Gaussian error linear unit, ``x * (0.5 * (1 + erf(x / sqrt(2))))``, or its tanh form.

    Raises:
        ValueError: ``approximate`` is neither "none" nor "tanh".
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    return gelu_tanh(x) if approximate == "tanh" else _gelu(x)


def square(x: Tensor | Array) -> Tensor:
    """``x * x``."""
    return multiply(x, x)


def reciprocal(x: Tensor | Array) -> Tensor:
    """``1 / x``."""
    return divide(1.0, x)


def rsqrt(x: Tensor | Array) -> Tensor:
    """``1 / sqrt(x)``."""
    return divide(1.0, sqrt(x))


def log2(x: Tensor | Array) -> Tensor:
    """``log(x) / log(2)``."""
    return divide(log(x), 0.6931471805599453)


def log10(x: Tensor | Array) -> Tensor:
    """``log(x) / log(10)``."""
    return divide(log(x), 2.302585092994046)


def pow(x: Operand, exponent: Operand) -> Tensor:
    """``x`` to the power of ``exponent``.

    A power by an integer is a product: from the second binary digit of the exponent on, the power so far is squared
    and, where the digit is 1, multiplied by ``x``; negative ones are 1 divided by it. 0.5 and -0.5 are :func:`sqrt` and
    :func:`rsqrt`. Any other power is ``exp(exponent * log(x))``, which is NaN for a negative ``x``.
    """
    if _is_number(exponent):
        base = as_tensor("pow", "x", x)
        if float(exponent).is_integer() and -(2**31) < exponent < 2**31:
            return _integer_power(base, int(exponent))
        if exponent in (0.5, -0.5):
            return sqrt(base) if exponent == 0.5 else rsqrt(base)
    return exp(multiply(exponent, log(_operands("pow", x, exponent)[0])))


def _integer_power(x: Tensor, n: int) -> Tensor:
    if n <= 0:
        if n < 0:
            return divide(1.0, _integer_power(x, -n))
        return record(full_like(x.data, 1), lambda dy, needs: (full_like(dy, 0),), x)
    y = x
    for digit in f"{n:b}"[1:]:
        y = multiply(y, y)
        if digit == "1":
            y = multiply(y, x)
    return y if n > 1 else multiply(x, 1.0)


def remainder(a: Operand, b: Operand) -> Tensor:
    """``a - floor(a / b) * b``, of the sign of ``b``, as Python's ``%``."""
    a, b = _operands("remainder", a, b)
    return subtract(a, multiply(floor(divide(a, b)), b))


def floor_divide(a: Operand, b: Operand) -> Tensor:
    """``floor(a / b)``; its gradient is 0."""
    return floor(divide(*_operands("floor_divide", a, b)))


def clamp(x: Tensor | Array, min: float | None = None, max: float | None = None) -> Tensor:
    """``x`` within bounds; the gradient passes where ``min <= x <= max``, as in PyTorch.

    Raises:
        ValueError: neither bound is given.
    """
    return _between("clamp", x, min, max, open_ends=False)


def hardtanh(x: Tensor | Array, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """``x`` within bounds; the gradient passes where ``min_val < x < max_val``, as in PyTorch."""
    return _between("hardtanh", x, min_val, max_val, open_ends=True)


def _between(name: str, x: Tensor | Array, least: float | None, most: float | None, open_ends: bool) -> Tensor:
    x = as_tensor(name, "x", x)
    if least is None and most is None:
        raise ValueError(f"{name}: at least one of min and max must be given")
    for bound_name, bound in (("min", least), ("max", most)):
        if bound is not None and not _is_number(bound):
            raise TypeError(f"{name}: {bound_name} must be a number, got {bound!r:.80}")
    kernels, data = ops(x.data), x.data
    bounds = [None if bound is None else full_like(data, bound, ()) for bound in (least, most)]
    y = data
    if bounds[0] is not None:
        y = kernels.maximum(y, bounds[0])
    if bounds[1] is not None:
        y = kernels.minimum(y, bounds[1])

    def pullback(dy: Array, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        inside = kernels.greater if open_ends else kernels.greater_equal
        zero, dx = full_like(dy, 0, ()), dy
        if bounds[0] is not None:
            dx = kernels.where(inside(data, bounds[0]), dx, zero)
        if bounds[1] is not None:
            dx = kernels.where(inside(bounds[1], data), dx, zero)
        return (dx,)

    return record(y, pullback, x)


def _sum_to(dy: Array, shape: tuple[int, ...]) -> Array:
    """The gradient of an operand of ``shape`` that was broadcast: sums over the axes along which it was repeated."""
    if dy.shape == shape:
        return dy
    added = dy.ndim - len(shape)
    axes = (*range(added), *(added + i for i, n in enumerate(shape) if n == 1 and dy.shape[added + i] != 1))
    kernels: ModuleType = ops(dy)
    dx: Array = kernels.reshape(kernels.sum_forward(dy, axes), shape)
    return dx


def _summed(dy: Array, shape: tuple[int, ...], wanted: bool = True) -> Array | None:
    return _sum_to(dy, shape) if wanted else None


def _operands(op: str, a: Operand, b: Operand) -> tuple[Tensor, Tensor]:
    if isinstance(a, Tensor) and isinstance(b, Tensor):  # the usual case, first
        return a, b
    if _is_number(a):
        b = as_tensor(op, "b", b)
        return Tensor(full_like(b.data, a, ())), b
    a = as_tensor(op, "a", a)
    return a, Tensor(full_like(a.data, b, ())) if _is_number(b) else as_tensor(op, "b", b)


def _is_number(x: Any) -> TypeGuard[float]:
    return isinstance(x, (int, float, np.floating, np.integer))
