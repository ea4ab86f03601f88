"""Ops that move elements and change none: other shapes, other orders, parts, repeats."""

from __future__ import annotations

import builtins
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import arrays
from ..arrays import Array
from ..backend import ops
from ..tensor import Tensor, as_tensor, record
from .elementwise import mask_like
from .reduce import dimension, dimensions

__all__ = [
    "broadcast_to",
    "cat",
    "chunk",
    "concat",
    "diagonal",
    "expand",
    "flatten",
    "flip",
    "movedim",
    "narrow",
    "pad",
    "permute",
    "repeat",
    "reshape",
    "roll",
    "split",
    "squeeze",
    "stack",
    "swapaxes",
    "t",
    "tile",
    "transpose",
    "tril",
    "triu",
    "unbind",
    "unflatten",
    "unsqueeze",
]


def reshape(x: Tensor | Array, shape: int | Sequence[int]) -> Tensor:
    """The same elements in C order in another shape; one size may be -1."""
    x = as_tensor("reshape", "x", x)
    before, kernels = x.data.shape, ops(x.data)
    y = kernels.reshape(x.data, (shape,) if isinstance(shape, int) else tuple(shape))
    return record(y, lambda dy, needs: (kernels.reshape(dy, before),), x)


def flatten(x: Tensor | Array, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions ``start_dim`` to ``end_dim`` (inclusive) as one."""
    x = as_tensor("flatten", "x", x)
    shape = x.data.shape
    first = dimension("flatten", start_dim, len(shape), "start_dim")
    last = dimension("flatten", end_dim, len(shape), "end_dim")
    if first > last:
        raise ValueError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim} in shape {shape}")
    size = 1
    for n in shape[first : last + 1]:
        size *= n
    return reshape(x, (*shape[:first], size, *shape[last + 1 :]))


def unflatten(x: Tensor | Array, dim: int, sizes: Sequence[int]) -> Tensor:
    """Dimension ``dim`` as several of ``sizes``, of which one may be -1."""
    x = as_tensor("unflatten", "x", x)
    shape = x.data.shape
    axis = dimension("unflatten", dim, len(shape))
    known = 1
    for n in sizes:
        known *= n if n != -1 else 1
    whole = tuple(shape[axis] // builtins.max(known, 1) if n == -1 else n for n in sizes)
    return reshape(x, (*shape[:axis], *whole, *shape[axis + 1 :]))


def squeeze(x: Tensor | Array, dim: int | Sequence[int] | None = None) -> Tensor:
    """Without the dimensions of size 1, or those of ``dim`` that are."""
    x = as_tensor("squeeze", "x", x)
    axes = dimensions("squeeze", dim, x.data.ndim)
    return reshape(x, tuple(n for i, n in enumerate(x.data.shape) if n != 1 or i not in axes))


def unsqueeze(x: Tensor | Array, dim: int) -> Tensor:
    """With a new dimension of size 1 before ``dim``."""
    x = as_tensor("unsqueeze", "x", x)
    axis = dimension("unsqueeze", dim, x.data.ndim + 1)
    return reshape(x, (*x.data.shape[:axis], 1, *x.data.shape[axis:]))


def permute(x: Tensor | Array, dims: Sequence[int]) -> Tensor:
    """The dimensions in another order."""
    x = as_tensor("permute", "x", x)
    axes = tuple(dimension("permute", d, x.data.ndim) for d in dims)
    if sorted(axes) != list(range(x.data.ndim)):
        raise ValueError(f"permute: dims must name each of the {x.data.ndim} dimensions once, got {tuple(dims)}")
    kernels, back = ops(x.data), tuple(int(i) for i in np.argsort(axes))
    return record(kernels.permute(x.data, axes), lambda dy, needs: (kernels.permute(dy, back),), x)


def transpose(x: Tensor | Array, dim0: int, dim1: int) -> Tensor:
    """Two dimensions exchanged."""
    x = as_tensor("transpose", "x", x)
    order = list(range(x.data.ndim))
    a, b = dimension("transpose", dim0, len(order), "dim0"), dimension("transpose", dim1, len(order), "dim1")
    if order:
        order[a], order[b] = order[b], order[a]
    return permute(x, order)


def swapaxes(x: Tensor | Array, axis0: int, axis1: int) -> Tensor:
    """NumPy's name of :func:`transpose`."""
    return transpose(x, axis0, axis1)


def t(x: Tensor | Array) -> Tensor:
    """The transpose of a matrix."""
    x = as_tensor("t", "x", x)
    if x.data.ndim > 2:
        raise ValueError(f"t: x must have at most 2 dimensions, got shape {x.data.shape}; write x.transpose(-2, -1)")
    return permute(x, tuple(range(x.data.ndim))[::-1])


def movedim(x: Tensor | Array, source: int, destination: int) -> Tensor:
    """Dimension ``source`` moved to the place ``destination``."""
    x = as_tensor("movedim", "x", x)
    order = list(range(x.data.ndim))
    axis = order.pop(dimension("movedim", source, len(order), "source"))
    order.insert(dimension("movedim", destination, x.data.ndim, "destination"), axis)
    return permute(x, order)


def expand(x: Tensor | Array, shape: Sequence[int]) -> Tensor:
    """Repeated along new dimensions in front and along those of size 1; -1 keeps a size."""
    x = as_tensor("expand", "x", x)
    kernels, before, added = ops(x.data), x.data.shape, len(shape) - x.data.ndim
    wanted = tuple(before[i - added] if n == -1 and i >= added else n for i, n in enumerate(shape))
    y = kernels.expand(x.data, wanted)
    axes = (*range(added), *(added + i for i, n in enumerate(before) if n == 1 and wanted[added + i] != 1))
    if not axes:
        return record(y, lambda dy, needs: (dy,), x)
    return record(y, lambda dy, needs: (kernels.reshape(kernels.sum_forward(dy, axes), before),), x)


def broadcast_to(x: Tensor | Array, shape: Sequence[int]) -> Tensor:
    """NumPy's name of :func:`expand`."""
    return expand(x, shape)


def repeat(x: Tensor | Array, repeats: Sequence[int]) -> Tensor:
    """The whole of ``x`` this many times along each dimension; more numbers than dimensions make new ones in front."""
    x = as_tensor("repeat", "x", x)
    counts = tuple(operator.index(n) for n in repeats)
    if len(counts) < x.data.ndim:
        raise ValueError(f"repeat: repeats must have a number for each of {x.data.ndim} dimensions, got {counts}")
    shape = (1,) * (len(counts) - x.data.ndim) + x.data.shape
    inner = [size for n in shape for size in (1, n)]
    outer = [size for count, n in zip(counts, shape, strict=True) for size in (count, n)]
    return reshape(expand(reshape(x, inner), outer), tuple(c * n for c, n in zip(counts, shape, strict=True)))


def tile(x: Tensor | Array, dims: Sequence[int]) -> Tensor:
    """:func:`repeat`, where fewer numbers than dimensions count for the last ones."""
    x = as_tensor("tile", "x", x)
    return repeat(x, (1,) * (x.data.ndim - len(dims)) + tuple(dims))


def sliced(x: Tensor, start: Sequence[int], size: Sequence[int], step: Sequence[int]) -> Tensor:
    """The elements ``start + i * step`` of each dimension, ``size`` of them."""
    kernels, before = ops(x.data), x.data.shape
    first, by = tuple(start), tuple(step)
    y = kernels.slice(x.data, first, tuple(size), by)
    return record(y, lambda dy, needs: (kernels.place(dy, before, first, by),), x)


def narrow(x: Tensor | Array, dim: int, start: int, length: int) -> Tensor:
    """The elements ``start`` to ``start + length`` of a dimension."""
    x = as_tensor("narrow", "x", x)
    shape = list(x.data.shape)
    axis = dimension("narrow", dim, len(shape))
    n = shape[axis]
    first = start + n if start < 0 else start
    if length < 0 or not 0 <= first <= n - length:
        raise ValueError(f"narrow: dimension {axis} has {n} elements but {start} to {start + length} were asked for")
    shape[axis] = length
    return sliced(x, [first if i == axis else 0 for i in range(len(shape))], shape, [1] * len(shape))


def flip(x: Tensor | Array, dims: int | Sequence[int]) -> Tensor:
    """Dimensions in reverse order of their elements."""
    x = as_tensor("flip", "x", x)
    axes, shape = dimensions("flip", dims, x.data.ndim), x.data.shape
    start = [builtins.max(n - 1, 0) if i in axes else 0 for i, n in enumerate(shape)]
    return sliced(x, start, shape, [-1 if i in axes else 1 for i in range(len(shape))])


def roll(x: Tensor | Array, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Tensor:
    """Elements moved on along dimensions; those that leave at the end come in at the beginning."""
    x = as_tensor("roll", "x", x)
    if dims is None:
        return reshape(roll(reshape(x, (-1,)), shifts, 0), x.data.shape)
    by = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    axes = (dims,) if isinstance(dims, int) else tuple(dims)
    if len(by) != len(axes):
        raise ValueError(f"roll: shifts has {len(by)} numbers but dims has {len(axes)}")
    for shift, dim in zip(by, axes, strict=True):
        n = x.data.shape[dimension("roll", dim, x.data.ndim)]
        if n and shift % n:
            first = n - shift % n
            x = cat([narrow(x, dim, first, n - first), narrow(x, dim, 0, first)], dim)
    return x


def cat(tensors: Sequence[Tensor | Array], dim: int = 0) -> Tensor:
    """Tensors one after the other along a dimension; shapes differ at most there."""
    if isinstance(tensors, (Tensor, np.ndarray)):
        raise TypeError("cat: tensors must be a list of tensors, got one; write cat([a, b])")
    items = [as_tensor("cat", f"tensors[{i}]", x) for i, x in enumerate(tensors)]
    if not items:
        raise ValueError("cat: tensors must hold at least one tensor")
    kernels, axis = ops(items[0].data), dimension("cat", dim, items[0].data.ndim)
    shapes = [x.data.shape for x in items]
    y = kernels.concat([x.data for x in items], axis)

    def pullback(dy: Array, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        gradients, first = [], 0
        for shape, needed in zip(shapes, needs, strict=True):
            start = tuple(first if i == axis else 0 for i in range(len(shape)))
            gradients.append(kernels.slice(dy, start, shape, (1,) * len(shape)) if needed else None)
            first += shape[axis]
        return tuple(gradients)

    return record(y, pullback, *items)


def concat(tensors: Sequence[Tensor | Array], dim: int = 0) -> Tensor:
    """NumPy's name of :func:`cat`."""
    return cat(tensors, dim)


def stack(tensors: Sequence[Tensor | Array], dim: int = 0) -> Tensor:
    """Tensors of one shape along a new dimension."""
    items = [as_tensor("stack", f"tensors[{i}]", x) for i, x in enumerate(tensors)]
    if not items:
        raise ValueError("stack: tensors must hold at least one tensor")
    for i, x in enumerate(items):
        if x.data.shape != items[0].data.shape:
            raise ValueError(
                f"stack: tensors[0] has shape {items[0].data.shape} but tensors[{i}] has shape {x.data.shape}"
            )
    return cat([unsqueeze(x, dim) for x in items], dimension("stack", dim, items[0].data.ndim + 1))


def split(x: Tensor | Array, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Parts of a dimension of a size, of which the last may be smaller, or of the sizes of a list."""
    x = as_tensor("split", "x", x)
    axis = dimension("split", dim, x.data.ndim)
    n = x.data.shape[axis]
    if isinstance(split_size_or_sections, int):
        size = split_size_or_sections
        if size < 1:
            raise ValueError(f"split: split_size must be at least 1, got {size}")
        sizes = [builtins.min(size, n - first) for first in range(0, n, size)] or [0]
    else:
        sizes = list(split_size_or_sections)
        if builtins.sum(sizes) != n:
            raise ValueError(f"split: sizes {sizes} add up to {builtins.sum(sizes)} but dimension {axis} has {n}")
    first, parts = 0, []
    for size in sizes:
        parts.append(narrow(x, axis, first, size))
        first += size
    return tuple(parts)


def chunk(x: Tensor | Array, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most ``chunks`` parts of a dimension, of one size but for the last."""
    x = as_tensor("chunk", "x", x)
    if chunks < 1:
        raise ValueError(f"chunk: chunks must be at least 1, got {chunks}")
    n = x.data.shape[dimension("chunk", dim, x.data.ndim)]
    return split(x, builtins.max(-(-n // chunks), 1), dim)


def unbind(x: Tensor | Array, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along a dimension, without it."""
    x = as_tensor("unbind", "x", x)
    axis = dimension("unbind", dim, x.data.ndim)
    return tuple(squeeze(narrow(x, axis, i, 1), axis) for i in range(x.data.shape[axis]))


def pad(x: Tensor | Array, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """More elements at the borders: ``pad`` has two numbers (before, behind) for the last dimension, then for the one
    before it, and so on. Negative ones take elements away.

    Args:
        mode: "constant" (``value``), "reflect" (mirrored at the border element), "replicate" (the border element) or
            "circular" (from the other end).
    """
    x = as_tensor("pad", "x", x)
    widths = [operator.index(n) for n in pad]
    if len(widths) % 2 or len(widths) > 2 * x.data.ndim:
        raise ValueError(f"pad: pad must have two numbers for each of at most {x.data.ndim} dimensions, got {widths}")
    if mode not in ("constant", "reflect", "replicate", "circular"):
        raise ValueError(f"pad: mode must be 'constant', 'reflect', 'replicate' or 'circular', got {mode!r}")
    for i in range(0, len(widths), 2):
        axis, (before, behind) = x.data.ndim - 1 - i // 2, widths[i : i + 2]
        n = x.data.shape[axis]
        if n + before + behind < 0:
            raise ValueError(f"pad: dimension {axis} has {n} elements, too few for the widths {(before, behind)}")
        if before < 0 or behind < 0:
            first = builtins.max(-before, 0)
            x = narrow(x, axis, first, n - first - builtins.max(-behind, 0))
            before, behind = builtins.max(before, 0), builtins.max(behind, 0)
        if before or behind:
            x = _padded(x, axis, before, behind, mode, value)
    return x


def _padded(x: Tensor, axis: int, before: int, behind: int, mode: str, value: float) -> Tensor:
    kernels, shape = ops(x.data), x.data.shape
    n = shape[axis]
    if mode == "constant":
        start = tuple(before if i == axis else 0 for i in range(len(shape)))
        outer = tuple(n + before + behind if i == axis else n for i, n in enumerate(shape))
        step = (1,) * len(shape)
        y = kernels.place(x.data, outer, start, step)
        if value:
            inside = kernels.place(arrays.full_like(x.data, 1), outer, start, step)
            y = kernels.where(inside, y, arrays.full_like(x.data, value, ()))
        return record(y, lambda dy, needs: (kernels.slice(dy, start, shape, step),), x)
    most = {"reflect": n - 1, "circular": n}.get(mode)
    if n == 0 or (most is not None and builtins.max(before, behind) > most):
        raise ValueError(f"pad: mode {mode!r} of dimension {axis} with {n} elements allows widths up to {most or 0}")
    place = np.arange(-before, n + behind)
    if mode == "reflect":
        place = np.abs(place)
        place = np.where(place >= n, 2 * (n - 1) - place, place)
    else:
        place = place % n if mode == "circular" else np.clip(place, 0, n - 1)
    from .index import index_select

    return index_select(x, axis, place)


def tril(x: Tensor | Array, diagonal: int = 0) -> Tensor:
    """The lower triangle of the last two dimensions up to a diagonal, and 0 above it."""
    return _triangle("tril", x, diagonal)


def triu(x: Tensor | Array, diagonal: int = 0) -> Tensor:
    """The upper triangle of the last two dimensions from a diagonal on, and 0 below it."""
    return _triangle("triu", x, diagonal)


def _triangle(name: str, x: Tensor | Array, k: int) -> Tensor:
    from .elementwise import where

    x = as_tensor(name, "x", x)
    if x.data.ndim < 2:
        raise ValueError(f"{name}: x must have at least 2 dimensions, got shape {x.data.shape}")
    inside = getattr(np, name)(np.ones(x.data.shape[-2:], bool), k)
    return where(mask_like(inside, x.data), x, 0.0)


def diagonal(x: Tensor | Array, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of two dimensions as a last one."""
    x = as_tensor("diagonal", "x", x)
    return getitem_by_places(x, np.diagonal(_places(x.data.shape), offset, dim1, dim2))


# x[key]


def getitem(x: Tensor, key: Any) -> Tensor:
    """``x[key]`` as NumPy has it: slices, integers, ``None``, ``...``, masks and arrays of indices, with gradients."""
    keys = key if isinstance(key, tuple) else (key,)
    keys = tuple(_as_key(k) for k in keys)
    if builtins.any(isinstance(k, (np.ndarray, list)) for k in keys):
        first = keys[0]
        if len(keys) == 1 and isinstance(first, np.ndarray) and first.dtype.kind in "iu" and x.data.ndim:
            from .index import index_select

            rows = index_select(x, 0, first.reshape(-1))
            return reshape(rows, (*first.shape, *x.data.shape[1:]))
        return getitem_by_places(x, _places(x.data.shape)[keys])
    return _basic(x, keys)


def _as_key(key: Any) -> Any:
    if isinstance(key, Tensor):
        raise TypeError(
            "x[key]: a tensor holds floats and is no index; write x[mask] with mask = x > 0, or an array of integers"
        )
    if isinstance(key, list):
        return np.asarray(key)
    return arrays.to_numpy(key) if arrays.is_array(key) else key


def _places(shape: tuple[int, ...]) -> Array:
    size = 1
    for n in shape:
        size *= n
    return np.arange(size).reshape(shape)


def getitem_by_places(x: Tensor, places: Array) -> Tensor:
    """The elements of ``x`` in C order that ``places`` numbers."""
    from .index import index_select

    return reshape(index_select(reshape(x, (-1,)), 0, places.reshape(-1)), places.shape)


def _basic(x: Tensor, keys: tuple[Any, ...]) -> Tensor:
    shape = x.data.shape
    named = builtins.sum(k is not None and k is not Ellipsis for k in keys)
    if named > len(shape):
        raise IndexError(f"x[key]: {named} indices for a tensor of {len(shape)} dimensions, shape {shape}")
    if not builtins.any(k is Ellipsis for k in keys):
        keys = (*keys, Ellipsis)
    places: list[tuple[int, int, int]] = []  # start, size and step of each dimension
    result: list[int] = []
    for key in keys:
        if key is None:
            result.append(1)
        elif key is Ellipsis:
            for n in shape[len(places) : len(places) + len(shape) - named]:
                places.append((0, n, 1))
                result.append(n)
        elif isinstance(key, builtins.slice):
            first, stop, by = key.indices(shape[len(places)])
            count = len(range(first, stop, by))
            places.append((first if count else 0, count, by))
            result.append(count)
        elif hasattr(key, "__index__") and not isinstance(key, bool):
            number, n = operator.index(key), shape[len(places)]
            if not -n <= number < n:
                raise IndexError(
                    f"x[key]: index {number} is out of range for dimension {len(places)} with {n} elements"
                )
            places.append((number % n, 1, 1))
        else:
            raise TypeError(f"x[key]: an index is a slice, an integer, None, ... or an array, got {type(key).__name__}")
    start, size, step = zip(*places, strict=True) if places else ((), (), ())
    if size != shape or builtins.any(by != 1 for by in step):
        x = sliced(x, start, size, step)
    return x if x.data.shape == tuple(result) else reshape(x, tuple(result))
