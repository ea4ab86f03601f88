"""Functions of PyTorch's tensors that are a line or two of others."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import arrays
from ..arrays import Array
from ..tensor import Tensor, as_tensor
from .elementwise import abs, add, divide, exp, floor, log, log1p, maximum, multiply, negative, sign, subtract, where
from .gemm import bmm, gemm, matmul, outer
from .index import index_select
from .reduce import ValuesAndIndices, amax, amin, dimension, norm, picked, sum
from .shape import broadcast_to, cat, diagonal, expand, flip, movedim, narrow, reshape, split, squeeze, transpose

__all__ = [
    "absolute",
    "addbmm",
    "addcdiv",
    "addcmul",
    "addmm",
    "addmv",
    "addr",
    "adjoint",
    "aminmax",
    "baddbmm",
    "clamp_max",
    "clamp_min",
    "diag",
    "diff",
    "dist",
    "expand_as",
    "fliplr",
    "flipud",
    "fmod",
    "frac",
    "ger",
    "hsplit",
    "index_copy",
    "index_fill",
    "inner",
    "kron",
    "kthvalue",
    "lerp",
    "logaddexp",
    "logit",
    "moveaxis",
    "nan_to_num",
    "nanmean",
    "nansum",
    "positive",
    "ravel",
    "repeat_interleave",
    "reshape_as",
    "select",
    "swapdims",
    "take",
    "tensor_split",
    "trace",
    "true_divide",
    "trunc",
    "view_as",
    "vsplit",
    "xlogy",
]

TensorLike = Tensor | Array


def absolute(x: TensorLike) -> Tensor:
    """:func:`abs`."""
    return abs(x)


def positive(x: TensorLike) -> Tensor:
    """``x``."""
    return as_tensor("positive", "x", x)


def true_divide(a: TensorLike, b: Any) -> Tensor:
    """:func:`divide`."""
    return divide(a, b)


def addcmul(x: TensorLike, tensor1: TensorLike, tensor2: TensorLike, *, value: float = 1.0) -> Tensor:
    """``x + value * (tensor1 * tensor2)``."""
    return add(x, multiply(value, multiply(tensor1, tensor2)))


def addcdiv(x: TensorLike, tensor1: TensorLike, tensor2: TensorLike, *, value: float = 1.0) -> Tensor:
    """``x + value * (tensor1 / tensor2)``."""
    return add(x, multiply(value, divide(tensor1, tensor2)))


def lerp(x: TensorLike, end: TensorLike, weight: Any) -> Tensor:
    """``x + weight * (end - x)``."""
    return add(x, multiply(weight, subtract(end, x)))


def trunc(x: TensorLike) -> Tensor:
    """The integer part: ``sign(x) * floor(abs(x))``; its gradient is 0."""
    x = as_tensor("trunc", "x", x).detach()
    return multiply(sign(x), floor(abs(x)))


def frac(x: TensorLike) -> Tensor:
    """``x - trunc(x)``."""
    return subtract(x, trunc(x))


def fmod(a: TensorLike, b: Any) -> Tensor:
    """``a - trunc(a / b) * b``, of the sign of ``a``."""
    return subtract(a, multiply(trunc(divide(a, b)), b))


def logit(x: TensorLike, eps: float | None = None) -> Tensor:
    """``log(x / (1 - x))``, the inverse of the sigmoid; with ``eps``, of ``x`` within ``[eps, 1 - eps]``."""
    from .elementwise import clamp

    x = as_tensor("logit", "x", x) if eps is None else clamp(x, eps, 1.0 - eps)
    return log(divide(x, subtract(1.0, x)))


def logaddexp(a: TensorLike, b: TensorLike) -> Tensor:
    """``log(exp(a) + exp(b))``: the larger of both plus ``log(1 + exp(-abs(a - b)))``."""
    difference = abs(subtract(a, b))
    return add(maximum(a, b), log1p(exp(negative(difference))))


def xlogy(a: Any, b: TensorLike) -> Tensor:
    """``a * log(b)``, and 0 where ``a`` is 0 and ``b`` not above it."""
    b = as_tensor("xlogy", "b", b)
    values = arrays.to_numpy(a.data if isinstance(a, Tensor) else np.asarray(a))
    nothing = (values == 0) & (arrays.to_numpy(b.data) <= 0)
    return multiply(a, log(where(nothing, 1.0, b)))


def nan_to_num(x: TensorLike, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Tensor:
    """``x`` with numbers in place of NaN and Inf, by default 0 and the greatest of the dtype."""
    x = as_tensor("nan_to_num", "x", x)
    values, most = arrays.to_numpy(x.data), float(np.finfo(x.data.dtype).max)
    y = where(np.isnan(values), nan, x)
    y = where(values == np.inf, most if posinf is None else posinf, y)
    return where(values == -np.inf, -most if neginf is None else neginf, y)


def nansum(x: TensorLike, dim: Any = None, keepdim: bool = False) -> Tensor:
    """:func:`sum` with 0 in place of NaN."""
    x = as_tensor("nansum", "x", x)
    return sum(where(np.isnan(arrays.to_numpy(x.data)), 0.0, x), dim, keepdim)


def nanmean(x: TensorLike, dim: Any = None, keepdim: bool = False) -> Tensor:
    """:func:`mean` of what is not NaN."""
    x = as_tensor("nanmean", "x", x)
    there = Tensor(arrays.put((~np.isnan(arrays.to_numpy(x.data))).astype(x.data.dtype), x.data))
    return divide(nansum(x, dim, keepdim), sum(there, dim, keepdim))


def addmm(x: TensorLike, mat1: TensorLike, mat2: TensorLike, *, beta: float = 1.0, alpha: float = 1.0) -> Tensor:
    """``beta * x + alpha * (mat1 @ mat2)``."""
    return add(multiply(beta, x), multiply(alpha, gemm(mat1, mat2)))


def addmv(x: TensorLike, mat: TensorLike, vec: TensorLike, *, beta: float = 1.0, alpha: float = 1.0) -> Tensor:
    """``beta * x + alpha * (mat @ vec)``."""
    return add(multiply(beta, x), multiply(alpha, matmul(mat, vec)))


def addr(x: TensorLike, vec1: TensorLike, vec2: TensorLike, *, beta: float = 1.0, alpha: float = 1.0) -> Tensor:
    """``beta * x + alpha * outer(vec1, vec2)``."""
    return add(multiply(beta, x), multiply(alpha, outer(vec1, vec2)))


def baddbmm(x: TensorLike, batch1: TensorLike, batch2: TensorLike, *, beta: float = 1.0, alpha: float = 1.0) -> Tensor:
    """``beta * x + alpha * bmm(batch1, batch2)``."""
    return add(multiply(beta, x), multiply(alpha, bmm(batch1, batch2)))


def addbmm(x: TensorLike, batch1: TensorLike, batch2: TensorLike, *, beta: float = 1.0, alpha: float = 1.0) -> Tensor:
    """``beta * x + alpha * sum(bmm(batch1, batch2), 0)``."""
    return add(multiply(beta, x), multiply(alpha, sum(bmm(batch1, batch2), 0)))


def ger(a: TensorLike, b: TensorLike) -> Tensor:
    """:func:`outer`."""
    return outer(a, b)


def inner(a: TensorLike, b: TensorLike) -> Tensor:
    """Sums of products over the last dimensions of both."""
    a, b = as_tensor("inner", "a", a), as_tensor("inner", "b", b)
    if a.data.ndim == 0 or b.data.ndim == 0:
        return multiply(a, b)
    rows = gemm(reshape(a, (-1, a.data.shape[-1])), reshape(b, (-1, b.data.shape[-1])), False, True)
    return reshape(rows, (*a.data.shape[:-1], *b.data.shape[:-1]))


def kron(a: TensorLike, b: TensorLike) -> Tensor:
    """Kronecker's product: each element of ``a`` times the whole of ``b``."""
    a, b = as_tensor("kron", "a", a), as_tensor("kron", "b", b)
    rank = np.max([a.data.ndim, b.data.ndim])
    left = (1,) * int(rank - a.data.ndim) + a.data.shape
    right = (1,) * int(rank - b.data.ndim) + b.data.shape
    tall = reshape(a, [size for n in left for size in (n, 1)])
    wide = reshape(b, [size for n in right for size in (1, n)])
    return reshape(multiply(tall, wide), tuple(m * n for m, n in zip(left, right, strict=True)))


def trace(x: TensorLike) -> Tensor:
    """The sum of the diagonal of a matrix."""
    return sum(diagonal(x))


def diag(x: TensorLike, offset: int = 0) -> Tensor:
    """A diagonal of a matrix; of a vector, the matrix with it."""
    x = as_tensor("diag", "x", x)
    if x.data.ndim == 2:
        return diagonal(x, offset)
    if x.data.ndim != 1:
        raise ValueError(f"diag: x must have 1 or 2 dimensions, got shape {x.data.shape}")
    n = x.data.shape[0] + int(np.abs(offset))
    on = np.eye(n, k=offset, dtype=bool)
    place = np.clip(np.arange(n) + np.min([offset, 0]), 0, np.max([x.data.shape[0] - 1, 0]))
    rows = index_select(x, 0, place)
    return where(on, broadcast_to(reshape(rows, (n, 1)), (n, n)), 0.0)


def adjoint(x: TensorLike) -> Tensor:
    """The last two dimensions exchanged."""
    return transpose(x, -2, -1)


def diff(x: TensorLike, n: int = 1, dim: int = -1) -> Tensor:
    """Each element minus the one before, ``n`` times."""
    x = as_tensor("diff", "x", x)
    for _ in range(n):
        size = x.data.shape[dimension("diff", dim, x.data.ndim)]
        if size == 0:
            return x
        x = subtract(narrow(x, dim, 1, size - 1), narrow(x, dim, 0, size - 1))
    return x


def dist(a: TensorLike, b: TensorLike, p: float = 2.0) -> Tensor:
    """The p-norm of ``a - b``."""
    return norm(subtract(a, b), p)


def aminmax(x: TensorLike, *, dim: int | None = None, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The least and the greatest element."""
    return amin(x, dim, keepdim), amax(x, dim, keepdim)


def clamp_min(x: TensorLike, min: float) -> Tensor:
    """``clamp(x, min=min)``."""
    from .elementwise import clamp

    return clamp(x, min=min)


def clamp_max(x: TensorLike, max: float) -> Tensor:
    """``clamp(x, max=max)``."""
    from .elementwise import clamp

    return clamp(x, max=max)


def kthvalue(x: TensorLike, k: int, dim: int = -1, keepdim: bool = False) -> ValuesAndIndices:
    """The ``k``-th least element of a dimension, counted from 1, and where it is."""
    from .index import argsort

    x = as_tensor("kthvalue", "x", x)
    axis = dimension("kthvalue", dim, x.data.ndim)
    if not 1 <= k <= x.data.shape[axis]:
        raise ValueError(f"kthvalue: k is {k} but dimension {axis} has {x.data.shape[axis]} elements")
    place = np.take(argsort(x, axis), [k - 1], axis)
    return picked(x, arrays.put(place, x.data), axis, keepdim)


def take(x: TensorLike, index: Array) -> Tensor:
    """The elements that ``index`` counts in C order."""
    places = np.asarray(arrays.to_numpy(index))
    return reshape(index_select(reshape(x, (-1,)), 0, places.reshape(-1)), places.shape)


def select(x: TensorLike, dim: int, index: int) -> Tensor:
    """The slice ``index`` of a dimension, without it."""
    return squeeze(narrow(x, dim, index, 1), dim)


def index_fill(x: TensorLike, dim: int, index: Array, value: float) -> Tensor:
    """``value`` in the rows ``index`` of a dimension."""
    x = as_tensor("index_fill", "x", x)
    axis = dimension("index_fill", dim, x.data.ndim)
    mask = np.zeros(x.data.shape[axis], bool)
    mask[np.asarray(arrays.to_numpy(index))] = True
    return where(mask.reshape(-1, *(1,) * (x.data.ndim - 1 - axis)), value, x)


def index_copy(x: TensorLike, dim: int, index: Array, source: TensorLike) -> Tensor:
    """The rows of ``source`` in the places ``index`` of a dimension; of a place named twice the last one counts."""
    x, source = as_tensor("index_copy", "x", x), as_tensor("index_copy", "source", source)
    axis = dimension("index_copy", dim, x.data.ndim)
    place = np.arange(x.data.shape[axis])
    places = np.asarray(arrays.to_numpy(index))
    place[places] = x.data.shape[axis] + np.arange(len(places))
    return index_select(cat([x, source], axis), axis, place)


def repeat_interleave(x: TensorLike, repeats: Any, dim: int | None = None) -> Tensor:
    """Each element of a dimension as often as ``repeats`` says: a number, or one for each. Without ``dim``, of all."""
    x = as_tensor("repeat_interleave", "x", x)
    if dim is None:
        x, dim = reshape(x, (-1,)), 0
    count = x.data.shape[dimension("repeat_interleave", dim, x.data.ndim)]
    return index_select(x, dim, np.repeat(np.arange(count), np.asarray(arrays.to_numpy(np.asarray(repeats)))))


def ravel(x: TensorLike) -> Tensor:
    """All elements in one dimension."""
    return reshape(x, (-1,))


def reshape_as(x: TensorLike, other: TensorLike) -> Tensor:
    """In the shape of another tensor."""
    return reshape(x, other.shape)


def view_as(x: TensorLike, other: TensorLike) -> Tensor:
    """:func:`reshape_as`."""
    return reshape(x, other.shape)


def expand_as(x: TensorLike, other: TensorLike) -> Tensor:
    """Expanded to the shape of another tensor."""
    return expand(x, other.shape)


def moveaxis(x: TensorLike, source: int, destination: int) -> Tensor:
    """:func:`movedim`."""
    return movedim(x, source, destination)


def swapdims(x: TensorLike, dim0: int, dim1: int) -> Tensor:
    """:func:`transpose`."""
    return transpose(x, dim0, dim1)


def fliplr(x: TensorLike) -> Tensor:
    """Dimension 1 in reverse."""
    return flip(x, 1)


def flipud(x: TensorLike) -> Tensor:
    """Dimension 0 in reverse."""
    return flip(x, 0)


def tensor_split(x: TensorLike, indices_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """NumPy's ``array_split``: parts that differ by at most one in size, or cut at the places of a list."""
    x = as_tensor("tensor_split", "x", x)
    n = x.data.shape[dimension("tensor_split", dim, x.data.ndim)]
    if isinstance(indices_or_sections, int):
        count = indices_or_sections
        sizes = [n // count + (i < n % count) for i in range(count)]
    else:
        cuts = [0, *indices_or_sections, n]
        sizes = [b - a for a, b in itertools.pairwise(cuts)]
    return split(x, sizes, dim)


def hsplit(x: TensorLike, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """:func:`tensor_split` of dimension 1, of a vector dimension 0."""
    return tensor_split(x, indices_or_sections, 1 if len(x.shape) > 1 else 0)


def vsplit(x: TensorLike, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """:func:`tensor_split` of dimension 0."""
    return tensor_split(x, indices_or_sections, 0)
