"""Numerical gradients: central differences with a step of 1e-4, on the very array that a network holds."""

from collections.abc import Callable
from typing import Any

import numpy as np


def _slope(f: Callable[[Any], Any], x: Any, i: Any) -> Any:
    h = 1e-4
    value = x[i]
    x[i] = value + h
    above = f(x)
    x[i] = value - h
    below = f(x)
    x[i] = value
    return (above - below) / (2 * h)


def _numerical_gradient_1d(f: Callable[[Any], Any], x: Any) -> Any:
    grad = np.zeros_like(x)
    for i in range(x.size):
        grad[i] = _slope(f, x, i)
    return grad


def numerical_gradient_2d(f: Callable[[Any], Any], X: Any) -> Any:
    """Gradient by rows: ``f`` is given one row of ``X`` at a time; a vector as it is."""
    if X.ndim == 1:
        return _numerical_gradient_1d(f, X)
    grad = np.zeros_like(X)
    for i, row in enumerate(X):
        grad[i] = _numerical_gradient_1d(f, row)
    return grad


def numerical_gradient(f: Callable[[Any], Any], x: Any) -> Any:
    """``(f(x + h) - f(x - h)) / 2h`` for each element, changed in place one at a time and put back."""
    grad = np.zeros_like(x)
    it = np.nditer(x, flags=["multi_index"], op_flags=["readwrite"])
    while not it.finished:
        grad[it.multi_index] = _slope(f, x, it.multi_index)
        it.iternext()
    return grad
