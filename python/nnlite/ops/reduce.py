"""Sums, means, maxima and the like over dimensions. ``dim`` is a dimension or several, negative ones counted from the
end; without it, all elements are reduced to one number. ``keepdim`` keeps what is reduced as dimensions of size 1.
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .. import arrays
from ..arrays import Array, full_like
from ..backend import ops
from ..tensor import Tensor, as_tensor, record
from .elementwise import abs as absolute
from .elementwise import add, divide, exp, log, multiply, negative, pow, square, subtract
from .elementwise import maximum as larger
from .elementwise import sqrt as root

__all__ = [
    "all",
    "amax",
    "amin",
    "any",
    "argmax",
    "argmin",
    "cumprod",
    "cumsum",
    "logsumexp",
    "max",
    "mean",
    "median",
    "min",
    "norm",
    "prod",
    "std",
    "sum",
    "var",
]

Dim = int | Sequence[int] | None


class ValuesAndIndices(NamedTuple):
    """What :func:`max`, :func:`min` and their like return along a dimension."""

    values: Tensor
    indices: Array


def dimension(op: str, dim: int, ndim: int, name: str = "dim") -> int:
    """``dim`` counted from 0.

    Raises:
        TypeError: it is no integer.
        ValueError: there is no such dimension.
    """
    if isinstance(dim, bool) or not hasattr(dim, "__index__"):
        raise TypeError(f"{op}: {name} must be an integer, got {dim!r:.80}")
    axis, most = operator.index(dim), builtins.max(ndim, 1)
    if not -most <= axis < most:
        raise ValueError(f"{op}: {name} is {axis} but x has {ndim} dimensions (-{most} to {most - 1})")
    return axis % most


def dimensions(op: str, dim: Dim, ndim: int) -> tuple[int, ...]:
    """``dim`` as different axes counted from 0; ``None`` is all."""
    if dim is None:
        return tuple(range(ndim))
    if hasattr(dim, "__index__"):
        dim = (dim,)  # type: ignore[assignment]
    if ndim == 0:
        [dimension(op, d, ndim) for d in dim]  # type: ignore[union-attr]
        return ()
    axes = tuple(dimension(op, d, ndim) for d in dim)  # type: ignore[union-attr]
    if len(set(axes)) != len(axes):
        raise ValueError(f"{op}: dim {dim} names a dimension twice")
    return axes or tuple(range(ndim))


def _kept(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def sum(x: Tensor | Array, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The sum; of nothing it is 0."""
    x = as_tensor("sum", "x", x)
    kernels, shape = ops(x.data), x.data.shape
    if dim is None and not keepdim:
        return record(kernels.sum_forward(x.data), lambda dy, needs: (kernels.sum_backward(dy, shape),), x)
    axes = dimensions("sum", dim, x.data.ndim)
    kept = _kept(shape, axes)
    y = kernels.sum_forward(x.data, axes)
    y = kernels.reshape(y, kept) if keepdim else y
    return record(y, lambda dy, needs: (kernels.expand(kernels.reshape(dy, kept), shape),), x)


def mean(x: Tensor | Array, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The sum divided by the count."""
    x = as_tensor("mean", "x", x)
    return divide(sum(x, dim, keepdim), float(_count("mean", x, dim)))


def _count(op: str, x: Tensor, dim: Dim) -> int:
    count = 1
    for axis in dimensions(op, dim, x.data.ndim):
        count *= x.data.shape[axis]
    return count


def var(x: Tensor | Array, dim: Dim = None, correction: int = 1, keepdim: bool = False) -> Tensor:
    """``sum((x - mean)^2) / (count - correction)``. The correction 1 is Bessel's, as in PyTorch."""
    x = as_tensor("var", "x", x)
    centred = subtract(x, mean(x, dim, True))
    return divide(sum(square(centred), dim, keepdim), float(builtins.max(_count("var", x, dim) - correction, 0)))


def std(x: Tensor | Array, dim: Dim = None, correction: int = 1, keepdim: bool = False) -> Tensor:
    """The square root of :func:`var`."""
    return root(var(x, dim, correction, keepdim))


def amax(x: Tensor | Array, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The maximum; NaN if there is one. Elements that are equal to it share the gradient evenly, as in PyTorch."""
    x = as_tensor("amax", "x", x)
    kernels, data = ops(x.data), x.data
    axes = dimensions("amax", dim, data.ndim)
    kept = _kept(data.shape, axes)
    most = kernels.reshape(kernels.amax(data, axes), kept)

    def pullback(dy: Array, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        equal = kernels.equal(data, most)
        count = kernels.reshape(kernels.sum_forward(equal, axes), kept)
        return (kernels.multiply(equal, kernels.divide(kernels.reshape(dy, kept), count)),)

    shape = tuple(n for i, n in enumerate(data.shape) if i not in axes)
    return record(most if keepdim else kernels.reshape(most, shape), pullback, x)


def amin(x: Tensor | Array, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The minimum; NaN if there is one. Elements that are equal to it share the gradient evenly, as in PyTorch."""
    return negative(amax(negative(x), dim, keepdim))


def max(x: Tensor | Array, dim: int | Tensor | Array | None = None, keepdim: bool = False) -> Tensor | ValuesAndIndices:
    """The maximum of all elements; along ``dim`` the pair ``(values, indices)``, of equal ones the first; with a tensor
    in place of ``dim``, :func:`maximum`.
    """
    if dim is None:
        return amax(x)
    if not hasattr(dim, "__index__") or isinstance(dim, (Tensor, np.ndarray)):
        return larger(x, dim)
    x = as_tensor("max", "x", x)
    indices = argmax(x, dim, True)
    return picked(x, indices, dim, keepdim)


def min(x: Tensor | Array, dim: int | Tensor | Array | None = None, keepdim: bool = False) -> Tensor | ValuesAndIndices:
    """The minimum of all elements; along ``dim`` the pair ``(values, indices)``, of equal ones the first; with a tensor
    in place of ``dim``, :func:`minimum`.
    """
    if dim is None:
        return amin(x)
    if not hasattr(dim, "__index__") or isinstance(dim, (Tensor, np.ndarray)):
        return negative(larger(negative(x), negative(dim)))  # type: ignore[arg-type]
    x = as_tensor("min", "x", x)
    return picked(x, argmin(x, dim, True), dim, keepdim)


def picked(x: Tensor, indices: Array, dim: int, keepdim: bool) -> ValuesAndIndices:
    """What ``indices``, which keep the dimension, choose of ``x``."""
    from .index import gather
    from .shape import squeeze

    axis = dimension("max", dim, x.data.ndim)
    values = gather(x, axis, indices)
    if keepdim:
        return ValuesAndIndices(values, indices)
    shape = tuple(n for i, n in enumerate(indices.shape) if i != axis)
    return ValuesAndIndices(squeeze(values, axis), indices.reshape(shape))


def argmax(x: Tensor | Array, dim: int | None = None, keepdim: bool = False) -> Array:
    """Where the maximum is, as an int64 array: of equal ones the first, or the first NaN. Without ``dim`` it counts all
    elements in C order.
    """
    x = as_tensor("argmax", "x", x)
    kernels = ops(x.data)
    if dim is None:
        return kernels.argmax(kernels.reshape(x.data, (-1,)), 0).reshape((1,) * x.data.ndim if keepdim else ())  # type: ignore[no-any-return]
    axis = dimension("argmax", dim, x.data.ndim)
    index: Array = kernels.argmax(x.data if x.data.ndim else kernels.reshape(x.data, (1,)), axis)
    return index.reshape(_kept(x.data.shape, (axis,))) if keepdim else index


def argmin(x: Tensor | Array, dim: int | None = None, keepdim: bool = False) -> Array:
    """Where the minimum is, as :func:`argmax` says it of the maximum."""
    x = as_tensor("argmin", "x", x)
    return argmax(ops(x.data).negative(x.data), dim, keepdim)


def prod(x: Tensor | Array, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The product, from the left."""
    from .shape import narrow, reshape

    x = as_tensor("prod", "x", x)
    shape = x.data.shape
    if dim is None:
        items, axis, kept = reshape(x, (-1,)), 0, (1,) * len(shape)
        rest: tuple[int, ...] = ()
    else:
        items, axis = x, dimension("prod", dim, len(shape))
        kept, rest = _kept(shape, (axis,)), tuple(n for i, n in enumerate(shape) if i != axis)
    if items.data.shape[axis] == 0:
        return Tensor(full_like(x.data, 1, kept if keepdim else rest))
    y = narrow(items, axis, 0, 1)
    for i in range(1, items.data.shape[axis]):
        y = multiply(y, narrow(items, axis, i, 1))
    return reshape(y, kept if keepdim else rest)


def cumsum(x: Tensor | Array, dim: int) -> Tensor:
    """Running sums along ``dim``, from the left."""
    x = as_tensor("cumsum", "x", x)
    kernels, shape = ops(x.data), x.data.shape
    if not shape:
        return multiply(x, 1.0)
    axis = dimension("cumsum", dim, len(shape))
    start = tuple(builtins.max(n - 1, 0) if i == axis else 0 for i, n in enumerate(shape))
    step = tuple(-1 if i == axis else 1 for i in range(len(shape)))

    def flipped(a: Array) -> Array:
        y: Array = kernels.slice(a, start, shape, step)
        return y

    return record(kernels.cumsum(x.data, axis), lambda dy, needs: (flipped(kernels.cumsum(flipped(dy), axis)),), x)


def cumprod(x: Tensor | Array, dim: int) -> Tensor:
    """Running products along ``dim``, from the left."""
    from .shape import cat, narrow

    x = as_tensor("cumprod", "x", x)
    axis = dimension("cumprod", dim, x.data.ndim)
    if x.data.size == 0 or x.data.ndim == 0:
        return multiply(x, 1.0)
    parts = [narrow(x, axis, 0, 1)]
    for i in range(1, x.data.shape[axis]):
        parts.append(multiply(parts[-1], narrow(x, axis, i, 1)))
    return cat(parts, axis)


def logsumexp(x: Tensor | Array, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """``log(sum(exp(x)))``, with the maximum taken out first: ``m + log(sum(exp(x - m)))``."""
    from .shape import reshape

    x = as_tensor("logsumexp", "x", x)
    most = amax(x.detach(), dim, True)
    finite = np.isfinite(arrays.to_numpy(most.data)) if isinstance(most.data, np.ndarray) else None
    if finite is not None and not finite.all():  # Inf - Inf is NaN
        most = Tensor(np.where(finite, most.data, most.dtype.type(0)))
    y = add(log(sum(exp(subtract(x, most)), dim, True)), most)
    axes = dimensions("logsumexp", dim, x.data.ndim)
    return y if keepdim else reshape(y, tuple(n for i, n in enumerate(x.data.shape) if i not in axes))


def norm(x: Tensor | Array, p: float | str = 2, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The p-norm ``sum(abs(x)^p)^(1/p)``: of 2 (and "fro") the root of the sum of squares, of inf the greatest and of
    -inf the least absolute value, of 0 the count of what is not 0.
    """
    x = as_tensor("norm", "x", x)
    if p in (2, "fro"):
        return root(sum(square(x), dim, keepdim))
    if isinstance(p, str):
        raise ValueError(f"norm: p must be a number or 'fro', got {p!r}")
    if p in (float("inf"), -float("inf")):
        return (amax if p > 0 else amin)(absolute(x), dim, keepdim)
    if p == 0:
        kernels = ops(x.data)
        return sum(
            Tensor(kernels.subtract(full_like(x.data, 1, ()), kernels.equal(x.data, full_like(x.data, 0, ())))),
            dim,
            keepdim,
        )
    if p == 1:
        return sum(absolute(x), dim, keepdim)
    return pow(sum(pow(absolute(x), p), dim, keepdim), 1 / p)


def median(x: Tensor | Array, dim: int | None = None, keepdim: bool = False) -> Tensor | ValuesAndIndices:
    """The middle element, of an even number the lower one; along ``dim`` the pair ``(values, indices)``."""
    from .shape import reshape

    x = as_tensor("median", "x", x)
    items = reshape(x, (-1,)) if dim is None else x
    axis = 0 if dim is None else dimension("median", dim, x.data.ndim)
    values = arrays.to_numpy(items.data)
    order = np.argsort(values, axis, kind="stable")
    middle = np.take(order, [(values.shape[axis] - 1) // 2], axis)
    nan = np.isnan(values)
    if nan.any():  # the first NaN is the median of a row that has one
        first = np.expand_dims(nan.argmax(axis), axis)
        middle = np.where(np.expand_dims(nan.any(axis), axis), first, middle)
    result = picked(items, arrays.put(middle, items.data), axis, keepdim)
    return result.values if dim is None else result


def all(x: Tensor | Array, dim: Dim = None, keepdim: bool = False) -> Array:
    """Whether no element is 0, as an array of bool."""
    values = arrays.to_numpy(x.data if isinstance(x, Tensor) else x)
    return np.asarray(np.all(values, None if dim is None else dimensions("all", dim, values.ndim), keepdims=keepdim))


def any(x: Tensor | Array, dim: Dim = None, keepdim: bool = False) -> Array:
    """Whether an element is not 0, as an array of bool."""
    values = arrays.to_numpy(x.data if isinstance(x, Tensor) else x)
    return np.asarray(np.any(values, None if dim is None else dimensions("any", dim, values.ndim), keepdims=keepdim))
