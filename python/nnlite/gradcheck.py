"""Gradients by central differences, and the check of a backward pass against them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import random
from .arrays import Array, what_is
from .nn.module import Module, get_buffers, set_buffers
from .tensor import Tensor


class GradcheckError(AssertionError):
    """A gradient differs from the numerical one."""


def numerical_gradient(f: Callable[[Any], Any], x: Array | Tensor, eps: float | None = None) -> Array:
    """The gradient of ``f`` at ``x`` by central differences, ``(f(x + eps) - f(x - eps)) / (2 eps)`` for one element
    after the other.

    Args:
        f: takes ``x`` and returns one number (a Python number, an array or a tensor with one element).
        x: array or tensor of float64 or float32, changed in place while ``f`` runs and restored whatever happens.
        eps: the step; 1e-6 if left out, for float32 1e-2.

    Returns:
        an array of the shape and dtype of ``x``.

    Raises:
        TypeError: ``x`` is no floating array.
        ValueError: ``x`` is read-only, or ``f`` returns something else than one number.
    """

    given = x

    def number() -> float:
        y = f(given)
        y = y.data if isinstance(y, Tensor) else np.asarray(y)
        if y.size != 1:
            raise ValueError(f"numerical_gradient: f must return one number, got shape {y.shape}")
        return float(y.item())

    x = x.data if isinstance(x, Tensor) else x
    if not isinstance(x, np.ndarray):
        raise TypeError(f"numerical_gradient: x must be a numpy.ndarray or a Tensor, got {what_is(x)}")
    if x.dtype not in (np.float32, np.float64):
        raise TypeError(
            f"numerical_gradient: x must be float32 or float64, got {x.dtype}; a step would be lost in integers"
        )
    if not x.flags.writeable:
        raise ValueError("numerical_gradient: x is read-only, but it is changed in place while f runs; pass a copy")
    step = (1e-6 if x.dtype == np.float64 else 1e-2) if eps is None else eps
    gradient = np.zeros(x.shape, x.dtype)
    for i in np.ndindex(x.shape):
        gradient[i] = _difference(number, x, i, step, lambda high, low: (high - low, 0.0))[0]
    return gradient


def gradcheck(
    function_or_module: Callable[..., Any],
    *inputs: Any,
    eps: float = 1e-6,
    atol: float = 0.0,
    rtol: float = 1e-3,
    seed: int = 0,
) -> bool:
    """Compare the gradients that ``backward()`` gives with numerical ones, for a random gradient of the result.

    Args:
        function_or_module: takes ``inputs`` and returns a tensor. The parameters of a module are checked too, before
            the inputs.
        inputs: float64 arrays or tensors are checked; everything else (labels, say) is passed on.
        eps: step of the differences.
        atol, rtol: a gradient is right if it differs by at most ``atol + rtol * abs(numerical)``, and what rounding
            makes of the differences: 4 units in the last place of the results that an element changes (of all results
            if it changes none). Where that does not suffice, differences with 10 and 100 times the step are taken too,
            and what they leave open is allowed. So small gradients are checked as sharply as large ones.
        seed: of the random gradient.

    Returns:
        ``True``.

    Raises:
        GradcheckError: a gradient is wrong; names the parameter or input, the first wrong index and both values.
        TypeError: a parameter or an input is float32 (differences need float64), or the result is no tensor.

    Parameters, their gradients, running statistics and random numbers are as before when it returns or raises.
    """
    args = [_checked_input(i, x) for i, x in enumerate(inputs)]
    module = function_or_module if isinstance(function_or_module, Module) else None
    checked: list[tuple[str, Tensor]] = list(module.named_parameters()) if module is not None else []
    for name, p in checked:
        if p.dtype != np.float64:
            raise TypeError(f"gradcheck: {name} is {p.dtype}; differences need float64, e.g. model.double()")
    checked = [(name, p) for name, p in checked if p.requires_grad]
    checked += [(f"inputs[{i}]", x) for i, x in enumerate(args) if isinstance(x, Tensor)]
    if not checked:
        raise TypeError("gradcheck: there is nothing to check: no parameter and no float64 input")

    buffers, state = ([] if module is None else get_buffers(module)), random.get_state()

    def run() -> Tensor:
        """The same computation each time: same running statistics, same random numbers."""
        try:
            y = function_or_module(*args)
        finally:
            set_buffers(buffers)
            random.set_state(state)
        if isinstance(y, Tensor) and y.device != "cpu":
            raise TypeError(
                f"gradcheck: the result is on {y.device}; gradients are checked on the host, and are the same"
            )
        if not isinstance(y, Tensor):
            raise TypeError(f"gradcheck: the result must be a Tensor, got {type(y).__name__}")
        return y

    before = [(x, x.grad) for _, x in checked]
    try:
        for _, x in checked:
            x.grad = None
        y = run()
        dy = np.random.default_rng(seed).standard_normal(y.shape).astype(y.dtype)
        y.backward(dy)
        found = [np.zeros(x.shape) if x.grad is None else x.grad for _, x in checked]
    finally:
        for x, grad in before:
            x.grad = grad

    def difference(high: Array, low: Array) -> tuple[float, float]:
        """The difference of ``sum(y * dy)``, and four roundings of the terms that have changed; of all if none has."""
        terms, changed = (np.abs(high) + np.abs(low)) * np.abs(dy), high != low
        seen = terms[changed] if changed.any() else terms
        return float(np.sum((high - low) * dy)), 2.0**-51 * float(np.sum(seen))

    for (name, x), got in zip(checked, found, strict=True):
        want, noise = np.zeros(x.shape), np.zeros(x.shape)
        for i in np.ndindex(x.shape):
            want[i], noise[i] = _difference(lambda: run().data.copy(), x.data, i, eps, difference)
        wrong = ~(np.abs(got - want) <= atol + rtol * np.abs(want) + noise)
        for i in map(tuple, np.argwhere(wrong)):
            wider = [_difference(lambda: run().data.copy(), x.data, i, k * eps, difference)[0] for k in (10, 100)]
            wrong[i] = not _is_among(float(got[i]), [float(want[i]), *wider], atol, rtol)
        if wrong.any():
            first = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise GradcheckError(
                f"gradcheck: {name}{list(first)}: backward gives {got[first]:.9g}, the numerical gradient is "
                f"{want[first]:.9g} ({wrong.sum()} of {wrong.size} elements of {name} differ)"
            )
    return True


def _is_among(got: float, numerical: list[float], atol: float, rtol: float) -> bool:
    """Whether ``got`` is as near to one of the numerical gradients, each with a step of its own, as these differ."""
    spread = 4 * (max(numerical) - min(numerical))
    return any(abs(got - want) <= atol + rtol * abs(want) + spread for want in numerical)


def _checked_input(i: int, x: Any) -> Any:
    """A tensor of its own for what is to be checked, everything else as it is."""
    data = x.data if isinstance(x, Tensor) else x
    if not isinstance(data, np.ndarray) or data.dtype.kind != "f":
        return x
    if data.dtype != np.float64:
        raise TypeError(f"gradcheck: inputs[{i}] is {data.dtype}; differences need float64, e.g. x.astype(np.float64)")
    return Tensor(data.copy(), requires_grad=True)


def _difference(
    f: Callable[[], Any], x: Array, i: tuple[int, ...], step: float, combine: Callable[[Any, Any], tuple[float, float]]
) -> tuple[float, float]:
    """What ``combine`` makes of ``f()`` at ``x[i] + step`` and ``x[i] - step``, divided by the step as it was taken."""
    value = x[i]
    try:
        x[i] = value + step
        above, high = float(x[i]), f()
        x[i] = value - step
        below, low = float(x[i]), f()
    finally:
        x[i] = value
    difference, noise = combine(high, low)
    return difference / (above - below), noise / (above - below)
