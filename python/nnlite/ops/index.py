"""Elements chosen by arrays of integers, of which negative ones count from the end. No gradient flows to indices."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import arrays
from ..arrays import Array
from ..backend import ops
from ..tensor import Tensor, as_tensor, record
from .elementwise import add, where
from .reduce import ValuesAndIndices, dimension, picked
from .shape import narrow

__all__ = [
    "argsort",
    "embedding",
    "gather",
    "index_add",
    "index_select",
    "masked_fill",
    "masked_select",
    "one_hot",
    "scatter_add",
    "sort",
    "take_along_dim",
    "topk",
]


def _index(op: str, x: Array, index: Any, size: int) -> Array:
    """``index`` as an integer array where ``x`` is, none negative."""
    given = index.data if isinstance(index, Tensor) else index
    if isinstance(given, (list, tuple)) or hasattr(given, "__index__"):
        given = np.asarray(given)
    if not arrays.is_array(given):
        raise TypeError(f"{op}: index must be an array of integers, got {arrays.what_is(given)}")
    if given.dtype.kind not in "iu":
        raise TypeError(f"{op}: index must be an array of integers, got {given.dtype}")
    if isinstance(given, np.ndarray) and given.dtype.kind == "i" and given.size and given.min() < 0:
        given = np.where(given < 0, given + size, given)
    return arrays.put(given, x)


def index_select(x: Tensor | Array, dim: int, index: Array) -> Tensor:
    """The rows ``index`` ``(J,)`` of a dimension."""
    x = as_tensor("index_select", "x", x)
    kernels, shape = ops(x.data), x.data.shape
    axis = dimension("index_select", dim, len(shape))
    chosen = _index("index_select", x.data, index, shape[axis] if shape else 1)

    def pullback(dy: Array, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        return (kernels.index_select_backward(dy, chosen, shape, axis),)

    return record(kernels.index_select(x.data, chosen, axis), pullback, x)


def gather(x: Tensor | Array, dim: int, index: Array) -> Tensor:
    """One element for each index: ``y[i, j, k] = x[i, index[i, j, k], k]`` where ``dim`` is 1.

    The shape of ``index`` is the result's; but for ``dim`` it is at most that of ``x``.
    """
    x = as_tensor("gather", "x", x)
    axis = dimension("gather", dim, x.data.ndim)
    chosen = _index("gather", x.data, index, x.data.shape[axis] if x.data.ndim else 1)
    if chosen.ndim == x.data.ndim:
        for i, n in enumerate(chosen.shape):
            if i != axis and n < x.data.shape[i]:
                x = narrow(x, i, 0, n)
    kernels, shape = ops(x.data), x.data.shape

    def pullback(dy: Array, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        return (kernels.gather_backward(dy, chosen, shape, axis),)

    return record(kernels.gather(x.data, chosen, axis), pullback, x)


def take_along_dim(x: Tensor | Array, indices: Array, dim: int) -> Tensor:
    """:func:`gather` in NumPy's order of arguments."""
    return gather(x, dim, indices)


def scatter_add(x: Tensor | Array, dim: int, index: Array, src: Tensor | Array) -> Tensor:
    """``x`` plus the elements of ``src`` where ``index`` says: ``y[i, index[i, j, k], k] += src[i, j, k]``."""
    x, src = as_tensor("scatter_add", "x", x), as_tensor("scatter_add", "src", src)
    kernels, shape = ops(x.data), x.data.shape
    axis = dimension("scatter_add", dim, len(shape))
    chosen = _index("scatter_add", x.data, index, shape[axis])
    added = kernels.gather_backward(src.data, chosen, shape, axis)
    return add(x, record(added, lambda dy, needs: (kernels.gather(dy, chosen, axis),), src))


def index_add(x: Tensor | Array, dim: int, index: Array, source: Tensor | Array) -> Tensor:
    """``x`` plus the rows of ``source`` where ``index`` ``(J,)`` says."""
    x, source = as_tensor("index_add", "x", x), as_tensor("index_add", "source", source)
    kernels, shape = ops(x.data), x.data.shape
    axis = dimension("index_add", dim, len(shape))
    chosen = _index("index_add", x.data, index, shape[axis])
    added = kernels.index_select_backward(source.data, chosen, shape, axis)
    return add(x, record(added, lambda dy, needs: (kernels.index_select(dy, chosen, axis),), source))


def masked_fill(x: Tensor | Array, mask: Tensor | Array, value: float) -> Tensor:
    """``value`` where ``mask`` holds, else ``x``."""
    return where(mask, value, x)


def masked_select(x: Tensor | Array, mask: Array) -> Tensor:
    """The elements where ``mask`` holds, in C order."""
    x = as_tensor("masked_select", "x", x)
    holds = np.broadcast_to(arrays.to_numpy(mask).astype(bool), x.data.shape)
    from .shape import reshape

    return index_select(reshape(x, (-1,)), 0, np.flatnonzero(holds))


def argsort(x: Tensor | Array, dim: int = -1, descending: bool = False, stable: bool = True) -> Array:
    """Where the sorted elements are, int64: equal ones in their order, NaN behind all others (descending: before)."""
    values = arrays.to_numpy(as_tensor("argsort", "x", x).data)
    axis = dimension("argsort", dim, values.ndim)
    if values.ndim == 0:
        return np.zeros((), np.int64)
    if not descending:
        return np.argsort(values, axis, kind="stable")
    order = np.flip(np.argsort(np.flip(values, axis), axis, kind="stable"), axis)
    return np.asarray(values.shape[axis] - 1 - order)


def sort(x: Tensor | Array, dim: int = -1, descending: bool = False, stable: bool = True) -> ValuesAndIndices:
    """The pair ``(values, indices)`` of a dimension in order; see :func:`argsort`."""
    x = as_tensor("sort", "x", x)
    if x.data.ndim == 0:
        return ValuesAndIndices(x, np.zeros((), np.int64))
    return picked(x, arrays.put(argsort(x, dim, descending), x.data), dim, True)


def topk(x: Tensor | Array, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> ValuesAndIndices:
    """The ``k`` greatest (or least) elements of a dimension and where they are, in order; of equal ones the first."""
    x = as_tensor("topk", "x", x)
    axis = dimension("topk", dim, x.data.ndim)
    n = x.data.shape[axis] if x.data.ndim else 1
    if not 0 <= k <= n:
        raise ValueError(f"topk: k is {k} but dimension {axis} has {n} elements")
    order = np.take(argsort(x, axis, largest), np.arange(k), axis)
    return picked(x, arrays.put(order, x.data), axis, True)


def embedding(x: Array, weight: Tensor | Array, padding_idx: int | None = None) -> Tensor:
    """Rows of a table: ``y[i, j] = weight[x[i, j]]``.

    Args:
        x: indices of any shape.
        weight: ``(number of rows, size of a row)``.
        padding_idx: a row that gets no gradient.
    """
    weight = as_tensor("embedding", "weight", weight)
    kernels, shape = ops(weight.data), weight.data.shape
    if len(shape) != 2:
        raise ValueError(f"embedding: weight must have 2 dimensions (rows, size), got shape {shape}")
    chosen = _index("embedding", weight.data, x, shape[0])
    flat = chosen.reshape(-1)
    y = kernels.reshape(kernels.index_select(weight.data, flat, 0), (*chosen.shape, shape[1]))
    skipped = None if padding_idx is None else padding_idx % shape[0]

    def pullback(dy: Array, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        dweight = kernels.index_select_backward(kernels.reshape(dy, (-1, shape[1])), flat, shape, 0)
        if skipped is not None:
            kept = np.ones((shape[0], 1), dweight.dtype)
            kept[skipped] = 0
            dweight = kernels.where(arrays.put(kept, dweight), dweight, arrays.full_like(dweight, 0, ()))
        return (dweight,)

    return record(y, pullback, weight)


def one_hot(x: Array, num_classes: int = -1, dtype: Any = np.float32) -> Tensor:
    """1 at the class, 0 elsewhere: of classes ``x`` of any shape, with a last dimension of ``num_classes``."""
    classes = np.asarray(arrays.to_numpy(x))
    if classes.dtype.kind not in "iu":
        raise TypeError(f"one_hot: x must be an array of integer classes, got {classes.dtype}")
    count = int(classes.max()) + 1 if num_classes == -1 and classes.size else num_classes
    wrong = classes[(classes < 0) | (classes >= count)]
    if wrong.size:
        raise ValueError(f"one_hot: class {wrong.flat[0]} is outside 0 to {count - 1}")
    return Tensor((classes[..., None] == np.arange(count)).astype(dtype))
