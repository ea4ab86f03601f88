"""Gradients by central differences; the array is changed in place, element by element, and restored."""

import numpy as np


def _numerical_gradient_1d(f, x):
    grad = np.zeros_like(x)
    for i in range(x.size):
        grad[i] = _slope(f, x, i)
    return grad


def numerical_gradient_2d(f, X):
    """As :func:`_numerical_gradient_1d`, row by row for a matrix: ``f`` sees a row."""
    if X.ndim == 1:
        return _numerical_gradient_1d(f, X)
    grad = np.zeros_like(X)
    for i, row in enumerate(X):
        grad[i] = _numerical_gradient_1d(f, row)
    return grad


def numerical_gradient(f, x):
    """The gradient of ``f`` for an array of any shape."""
    grad = np.zeros_like(x)
    walk = np.nditer(x, flags=["multi_index"], op_flags=["readwrite"])
    while not walk.finished:
        grad[walk.multi_index] = _slope(f, x, walk.multi_index)
        walk.iternext()
    return grad


def _slope(f, x, at):
    kept = x[at]
    x[at] = kept + 1e-4
    above = f(x)
    x[at] = kept - 1e-4
    below = f(x)
    x[at] = kept
    return (above - below) / (2 * 1e-4)
