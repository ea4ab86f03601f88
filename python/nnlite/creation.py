"""New tensors: filled, counted, and drawn from the specified generator.

Shapes are integers or one tuple: ``nl.zeros(2, 3)`` or ``nl.zeros((2, 3))``. ``dtype`` is float32 (the default) or
float64; what counts or chooses (:func:`randint`, :func:`randperm`, :func:`multinomial`) is a NumPy array of int64, an
index. Each random function takes one draw of the user's stream (docs/numerics.md, section 10).
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import arguments, arrays, random
from .arrays import Array
from .tensor import Tensor

__all__ = [
    "arange",
    "bernoulli",
    "empty",
    "empty_like",
    "eye",
    "from_numpy",
    "full",
    "full_like",
    "linspace",
    "multinomial",
    "ones",
    "ones_like",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "zeros",
    "zeros_like",
]


def _shape(op: str, sizes: tuple[Any, ...]) -> tuple[int, ...]:
    given = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes
    return tuple(arguments.size(f"{op}: a size", n, 0) for n in given)


def _made(op: str, x: Any, dtype: Any, requires_grad: bool) -> Tensor:
    return Tensor(np.asarray(x, arguments.float_dtype(op, dtype)), requires_grad)


def from_numpy(x: Array) -> Tensor:
    """A tensor that shares the memory of an array of float32 or float64."""
    return Tensor(x)


def zeros(*size: Any, dtype: Any = "float32", requires_grad: bool = False) -> Tensor:
    """Zeros."""
    return _made("zeros", np.zeros(_shape("zeros", size), arguments.float_dtype("zeros", dtype)), dtype, requires_grad)


def ones(*size: Any, dtype: Any = "float32", requires_grad: bool = False) -> Tensor:
    """Ones."""
    return full(_shape("ones", size), 1.0, dtype=dtype, requires_grad=requires_grad)


def full(size: Sequence[int], fill_value: float, *, dtype: Any = "float32", requires_grad: bool = False) -> Tensor:
    """A number everywhere."""
    kind = arguments.float_dtype("full", dtype)
    return Tensor(np.full(_shape("full", (size,)), fill_value, kind), requires_grad)


def empty(*size: Any, dtype: Any = "float32", requires_grad: bool = False) -> Tensor:
    """Zeros: nothing here is left undefined."""
    return zeros(*size, dtype=dtype, requires_grad=requires_grad)


def _like(x: Tensor | Array) -> Array:
    return x.data if isinstance(x, Tensor) else x


def zeros_like(x: Tensor | Array) -> Tensor:
    """Zeros of the shape and dtype of ``x``, where it is."""
    return Tensor(arrays.zeros_like(_like(x)))


def ones_like(x: Tensor | Array) -> Tensor:
    """Ones of the shape and dtype of ``x``, where it is."""
    return Tensor(arrays.full_like(_like(x), 1))


def full_like(x: Tensor | Array, fill_value: float) -> Tensor:
    """A number everywhere, of the shape and dtype of ``x``, where it is."""
    return Tensor(arrays.full_like(_like(x), fill_value))


def empty_like(x: Tensor | Array) -> Tensor:
    """Zeros of the shape and dtype of ``x``: nothing here is left undefined."""
    return zeros_like(x)


def arange(start: float, end: float | None = None, step: float = 1, *, dtype: Any = "float32") -> Tensor:
    """``start + i * step`` below ``end`` (``arange(n)``: 0 to n - 1), in binary64 and rounded once."""
    first, last = (0, start) if end is None else (start, end)
    if step == 0:
        raise ValueError("arange: step must not be 0")
    count = max(int(np.ceil((last - first) / step)), 0)
    return _made("arange", first + np.arange(count) * step, dtype, False)


def linspace(start: float, end: float, steps: int, *, dtype: Any = "float32") -> Tensor:
    """``steps`` numbers, evenly from ``start`` to ``end``: ``start + i * ((end - start) / (steps - 1))``."""
    count = arguments.size("linspace: steps", steps, 0)
    x = start + np.arange(count) * ((end - start) / (count - 1) if count > 1 else 0.0)
    if count > 1:
        x[-1] = end
    return _made("linspace", x, dtype, False)


def eye(n: int, m: int | None = None, *, dtype: Any = "float32") -> Tensor:
    """1 on the diagonal, 0 elsewhere."""
    return _made("eye", np.eye(n, m), dtype, False)


def rand(*size: Any, dtype: Any = "float32", requires_grad: bool = False) -> Tensor:
    """Uniform in [0, 1)."""
    kind = arguments.float_dtype("rand", dtype)
    return Tensor(random.uniform(_shape("rand", size), dtype=kind), requires_grad)


def randn(*size: Any, dtype: Any = "float32", requires_grad: bool = False) -> Tensor:
    """Normal with mean 0 and standard deviation 1."""
    kind = arguments.float_dtype("randn", dtype)
    return Tensor(random.normal(_shape("randn", size), dtype=kind), requires_grad)


def rand_like(x: Tensor | Array) -> Tensor:
    """Uniform in [0, 1), of the shape and dtype of ``x``, where it is."""
    like = _like(x)
    return Tensor(arrays.put(random.uniform(like.shape, dtype=like.dtype), like))


def randn_like(x: Tensor | Array) -> Tensor:
    """Normal with mean 0 and standard deviation 1, of the shape and dtype of ``x``, where it is."""
    like = _like(x)
    return Tensor(arrays.put(random.normal(like.shape, dtype=like.dtype), like))


def randint(low: int, high: int | None = None, size: Sequence[int] = ()) -> Array:
    """Integers ``low`` to ``high - 1`` (``randint(n, size=...)``: 0 to n - 1): ``low + floor(u * (high - low))`` of
    uniform binary64 numbers ``u``.
    """
    first, last = (0, low) if high is None else (low, high)
    if last <= first:
        raise ValueError(f"randint: high must be above low, got {first} and {last}")
    u = random.uniform(_shape("randint", (tuple(size),)), dtype="float64")
    drawn: Array = first + np.floor(u * (last - first)).astype(np.int64)
    return drawn


def randperm(n: int) -> Array:
    """The integers 0 to ``n - 1`` in random order."""
    return random.permutation(arguments.size("randperm: n", n, 0))


def bernoulli(x: Tensor | Array) -> Tensor:
    """1 with the probability that ``x`` says, else 0."""
    p = arrays.to_numpy(_like(x))
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("bernoulli: probabilities must be between 0 and 1")
    drawn = random.uniform(p.shape, dtype="float64") < p
    return Tensor(arrays.put(drawn.astype(p.dtype), _like(x)))


def multinomial(x: Tensor | Array, num_samples: int, replacement: bool = False) -> Array:
    """Indices drawn by weights: rows ``(N, K)`` or ``(K,)`` to ``(N, num_samples)`` or ``(num_samples,)``.

    With replacement, the first running sum of the weights that is above ``u`` times their sum; without, the indices of
    the greatest ``log(u) / weight`` (Efraimidis and Spirakis, 2006), in that order.

    Raises:
        ValueError: a weight is negative or not finite, a row has too few that are above 0.
    """
    weights = np.asarray(arrays.to_numpy(_like(x)), np.float64)
    if weights.ndim not in (1, 2):
        raise ValueError(f"multinomial: x must be (K,) or (N, K), got shape {weights.shape}")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError("multinomial: weights must be finite and not negative")
    rows = weights.reshape(-1, weights.shape[-1])
    count = arguments.size("multinomial: num_samples", num_samples)
    positive = (rows > 0).sum(1)
    if (positive < (1 if replacement else count)).any():
        raise ValueError(f"multinomial: a row has fewer than {1 if replacement else count} weights above 0")
    if replacement:
        sums = np.add.accumulate(rows, axis=1)
        u = random.uniform((len(rows), count), dtype="float64") * sums[:, -1:]
        chosen = np.stack([np.searchsorted(s, v, side="right") for s, v in zip(sums, u, strict=True)])
        chosen = np.minimum(chosen, rows.shape[1] - 1)
    else:
        from .reference import arith

        u = 1.0 - random.uniform(rows.shape, dtype="float64")
        with np.errstate(divide="ignore"):
            keys = np.where(rows > 0, arith.log(u) / rows, -np.inf)
        chosen = np.argsort(-keys, axis=1, kind="stable")[:, :count]
    return chosen.astype(np.int64).reshape(*weights.shape[:-1], operator.index(count))
