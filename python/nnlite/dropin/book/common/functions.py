"""Activations and losses on NumPy arrays."""

from typing import Any

import numpy as np

from nnlite.dropin import calls as _calls


def identity_function(x: Any) -> Any:
    """``x`` itself."""
    return x


def step_function(x: Any) -> Any:
    """1 where ``x > 0``, else 0; of integers."""
    return np.array(x > 0, dtype=int)


def sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))``."""

    def compiled() -> Any:
        (v,) = _calls.operands(x)
        return _calls.kernel("sigmoid_forward", v)

    return _calls.call("sigmoid", compiled, lambda: 1 / (1 + np.exp(-x)))


def sigmoid_grad(x: Any) -> Any:
    """Derivative of the sigmoid at ``x`` (not at its value): ``(1 - s) * s`` with ``s = sigmoid(x)``."""
    s = sigmoid(x)
    return (1.0 - s) * s


def relu(x: Any) -> Any:
    """``max(0, x)``; NaN stays."""

    def compiled() -> Any:
        (v,) = _calls.operands(x)
        return _calls.kernel("relu_forward", v)

    return _calls.call("relu", compiled, lambda: np.maximum(0, x))


def relu_grad(x: Any) -> Any:
    """1 where ``x >= 0``, else 0. (The layer's gradient is 0 at 0.)"""
    grad = np.zeros_like(x)
    grad[x >= 0] = 1
    return grad


def softmax(x: Any) -> Any:
    """``exp(x) / Σ exp(x)`` along the last axis."""

    def compiled() -> Any:
        (v,) = _calls.operands(x)
        return _calls.kernel("softmax_forward", v.reshape(-1, v.shape[-1])).reshape(v.shape)

    def formula() -> Any:
        shifted = np.exp(x - np.max(x, axis=-1, keepdims=True))
        return shifted / np.sum(shifted, axis=-1, keepdims=True)

    return _calls.call("softmax", compiled, formula)


def sum_squared_error(y: Any, t: Any) -> Any:
    """``Σ (y - t)² / 2``, not divided by the size of the batch."""
    return 0.5 * np.sum((y - t) ** 2)


def mean_squared_error(y: Any, t: Any) -> Any:
    """The name that :func:`sum_squared_error` had before 2019."""
    return sum_squared_error(y, t)


def cross_entropy_error(y: Any, t: Any) -> Any:
    """``-Σ log(y[n, t_n] + 1e-7) / N`` of probabilities ``y`` and labels ``t``.

    Labels are one-hot if there are as many numbers as in ``y``, else indices.
    """
    if y.ndim == 1:
        t = t.reshape(1, t.size)
        y = y.reshape(1, y.size)
    if t.size == y.size:
        t = t.argmax(axis=1)
    n = y.shape[0]
    return -np.sum(np.log(y[np.arange(n), t] + 1e-7)) / n


def softmax_loss(X: Any, t: Any) -> Any:
    """Cross entropy of ``softmax(X)``."""
    return cross_entropy_error(softmax(X), t)
