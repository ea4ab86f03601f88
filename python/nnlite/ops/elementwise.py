"""Ops that work on one element after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeGuard

import numpy as np

from ..arrays import Array, full_like
from ..backend import ops
from ..tensor import Tensor, as_tensor, record

__all__ = ["add", "exp", "gelu", "gelu_tanh", "log", "multiply", "negative", "relu", "sigmoid", "subtract", "tanh"]

Operand = Tensor | Array | float


def add(a: Operand, b: Operand) -> Tensor:
    """``a + b``, element by element. Shapes and dtypes are equal; a number counts as a full array."""
    a, b = _operands("add", a, b)
    return record(ops(a.data).add(a.data, b.data), lambda dy, needs: (dy, dy), a, b)


def subtract(a: Operand, b: Operand) -> Tensor:
    """``a - b``, element by element. Shapes and dtypes are equal; a number counts as a full array."""
    a, b = _operands("subtract", a, b)
    kernels = ops(a.data)
    y = kernels.subtract(a.data, b.data)
    return record(y, lambda dy, needs: (dy, kernels.negative(dy) if needs[1] else None), a, b)


def multiply(a: Operand, b: Operand) -> Tensor:
    """``a * b``, element by element. Shapes and dtypes are equal; a number counts as a full array."""
    a, b = _operands("multiply", a, b)
    kernels = ops(a.data)
    left, right = a.data, b.data

    def pullback(dy: Array, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        return kernels.multiply(dy, right) if needs[0] else None, kernels.multiply(dy, left) if needs[1] else None

    return record(kernels.multiply(left, right), pullback, a, b)


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

    op.__name__ = op.__qualname__ = name
    op.__doc__ = description
    return op


relu = _function("relu", "The larger of ``x`` and 0; its gradient at 0 is 0.")
sigmoid = _function("sigmoid", "``1 / (1 + exp(-x))``.")
tanh = _function("tanh", "The hyperbolic tangent.")
exp = _function("exp", "e to the power of ``x``.")
log = _function("log", "The natural logarithm.", keeps="x")
gelu_tanh = _function("gelu_tanh", "The Gaussian error linear unit in its tanh form.", keeps="x")


def gelu(x: Tensor | Array, approximate: str = "none") -> Tensor:
    """PyTorch's name of :func:`gelu_tanh`, which is ``approximate="tanh"``.

    Raises:
        ValueError: ``approximate`` is not "tanh". PyTorch's default, "none", needs erf, which is not there yet.
    """
    if approximate != "tanh":
        raise ValueError(f"gelu: approximate must be 'tanh', got {approximate!r}: write gelu(x, approximate='tanh')")
    return gelu_tanh(x)


def _operands(op: str, a: Operand, b: Operand) -> tuple[Tensor, Tensor]:
    if isinstance(a, Tensor) and isinstance(b, Tensor):  # the usual case, first
        return a, b
    if _is_number(a):
        b = as_tensor(op, "b", b)
        return Tensor(full_like(b.data, a)), b
    a = as_tensor(op, "a", a)
    return a, Tensor(full_like(a.data, b)) if _is_number(b) else as_tensor(op, "b", b)


def _is_number(x: Operand) -> TypeGuard[float]:
    return isinstance(x, (int, float, np.floating, np.integer))
