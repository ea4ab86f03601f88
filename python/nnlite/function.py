"""``nl.function``: an op of two plain NumPy functions."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from .arrays import Array
from .backend import device_module
from .tensor import Tensor, record


def function(forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., Tensor]:
    """Make an op of two functions on NumPy arrays, to be used like any op of :mod:`nnlite.ops`.

    Args:
        forward: ``forward(*inputs)`` returns the result ``y``, an array of float32 or float64.
        backward: ``backward(dy, y, *inputs)`` returns one gradient per input, in the same order: an array of the
            input's shape and dtype, or ``None`` where there is none. With a single input the gradient may be returned
            alone.

    Returns:
        an op on tensors and arrays (parameters are tensors). What is neither is passed on as it is. The functions get
        plain arrays, ``dy`` as a copy of their own. Gradients that nobody asked for are ignored.

        The op can be pickled and copied if the two functions can: that is, if they are defined at the top of a module.

    Raises (when the op is used):
        TypeError, ValueError: a result or a gradient is not such an array; the message names the function and the
            input.

    Example::

        square = nl.function(lambda x: x * x, lambda dy, y, x: dy * 2 * x)
        loss = square(model(x)).sum()
    """
    return _Function(forward, backward)


class _Function:
    """The op of :func:`function`: an object, which can be copied and pickled with the module that holds it."""

    __name__: str

    def __init__(self, forward: Callable[..., Any], backward: Callable[..., Any]) -> None:
        functools.update_wrapper(self, forward)
        self._forward = forward
        self._backward = backward

    def __call__(self, *inputs: Any) -> Tensor:
        name = getattr(self._forward, "__qualname__", type(self._forward).__name__)
        values = [x.data if isinstance(x, Tensor) else x for x in inputs]
        for i, x in enumerate(values):
            if device_module(x) is not None:
                raise TypeError(
                    f"{name}: input {i} is in device memory, but functions of nl.function work on NumPy arrays"
                )
        y = _array(name, "the result", self._forward(*values))
        if y.dtype not in (np.float32, np.float64):
            raise TypeError(f"{name}: the result must be float32 or float64, got {y.dtype}")

        def pullback(dy: Array, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
            gradients = self._backward(dy.copy(), y, *values)
            if not isinstance(gradients, (tuple, list)):
                gradients = (gradients,)
            if len(gradients) != len(values):
                raise ValueError(f"{name}: backward returned {len(gradients)} gradients for {len(values)} inputs")
            return tuple(_gradient(name, i, values[i], g) if needs[i] else None for i, g in enumerate(gradients))

        return record(y, pullback, *(x if isinstance(x, Tensor) else None for x in inputs))

    def __reduce__(self) -> str | tuple[Any, ...]:
        module = sys.modules.get(getattr(self, "__module__", ""))
        name: str = getattr(self, "__qualname__", "")
        if getattr(module, name, None) is self:  # it has taken the name of its forward, as a decorator does
            return name
        return function, (self._forward, self._backward)


def _gradient(name: str, i: int, x: Array, dx: Any) -> Array | None:
    if dx is None:
        return None
    gradient = _array(name, f"the gradient of input {i}", dx)
    if gradient.dtype != x.dtype:
        raise TypeError(f"{name}: backward gave input {i} a gradient of {gradient.dtype}, but the input is {x.dtype}")
    if gradient.shape != x.shape:
        raise ValueError(
            f"{name}: backward gave input {i} a gradient of shape {gradient.shape}, but its shape is {x.shape}"
        )
    return gradient.copy()  # a backward may return an array that it also keeps, or that it was given


def _array(name: str, what: str, value: Any) -> Array:
    if isinstance(value, np.generic):  # what NumPy's reductions return
        return np.asarray(value)
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name}: {what} must be a numpy.ndarray, got {type(value).__name__}")
    return value
