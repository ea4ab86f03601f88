"""Ops that work on one element after the other."""

from __future__ import annotations

from typing import TypeGuard

import numpy as np

from ..arrays import Array, full_like
from ..backend import ops
from ..tensor import Tensor, as_tensor, record

__all__ = ["add", "exp", "log", "multiply", "negative", "relu", "sigmoid", "subtract", "tanh"]

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


def relu(x: Tensor | Array) -> Tensor:
    """The larger of ``x`` and 0; its gradient at 0 is 0."""
    x = as_tensor("relu", "x", x)
    kernels = ops(x.data)
    y = kernels.relu_forward(x.data)
    return record(y, lambda dy, needs: (kernels.relu_backward(dy, y),), x)


def sigmoid(x: Tensor | Array) -> Tensor:
    """``1 / (1 + exp(-x))``."""
    x = as_tensor("sigmoid", "x", x)
    kernels = ops(x.data)
    y = kernels.sigmoid_forward(x.data)
    return record(y, lambda dy, needs: (kernels.sigmoid_backward(dy, y),), x)


def tanh(x: Tensor | Array) -> Tensor:
    """The hyperbolic tangent."""
    x = as_tensor("tanh", "x", x)
    kernels = ops(x.data)
    y = kernels.tanh_forward(x.data)
    return record(y, lambda dy, needs: (kernels.tanh_backward(dy, y),), x)


def exp(x: Tensor | Array) -> Tensor:
    """e to the power of ``x``."""
    x = as_tensor("exp", "x", x)
    kernels = ops(x.data)
    y = kernels.exp_forward(x.data)
    return record(y, lambda dy, needs: (kernels.exp_backward(dy, y),), x)


def log(x: Tensor | Array) -> Tensor:
    """The natural logarithm."""
    x = as_tensor("log", "x", x)
    kernels = ops(x.data)
    data = x.data
    return record(kernels.log_forward(data), lambda dy, needs: (kernels.log_backward(dy, data),), x)


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
