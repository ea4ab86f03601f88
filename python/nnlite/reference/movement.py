"""Elements moved, none changed. On the CPU a result may share the argument's memory where the docstring says so."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence

import numpy as np

from nnlite.reference.checks import (
    Array,
    axes_argument,
    axis_argument,
    check,
    check_array,
    check_arrays,
    check_in_place,
    check_same_dtype,
    check_same_shape,
    check_size,
    integers,
    is_index,
    shape_argument,
)
from nnlite.reference.signature import Computation, Spec, define_op

__all__ = ["assign", "concat", "copy", "expand", "permute", "place", "reshape", "slice"]


@define_op
def reshape(x: Array, shape: Sequence[int]) -> Computation[Array]:
    """The same elements in C order in another shape.

    Args:
        x: any shape.
        shape: of as many elements; one size may be -1, which stands for what is left.

    Returns:
        y: of ``shape``; it shares the memory of an ``x`` in C order.

    Raises:
        ValueError: ``shape`` has another number of elements.
    """
    op = "reshape"
    x = check_array(op, "x", x)
    sizes = check_size(op, shape_argument(op, "shape", _inferred(op, x, shape)))
    wanted = Spec(sizes, x.dtype)
    check(wanted.size == x.size, f"{op}: x has shape {x.shape} and cannot take shape {sizes}")
    yield wanted
    return x.reshape(sizes)


def _inferred(op: str, x: Array, shape: Sequence[int]) -> Sequence[int]:
    """``shape`` with the size that -1 stands for."""
    if not isinstance(shape, (tuple, list)) or not all(map(is_index, shape)) or list(shape).count(-1) != 1:
        return shape
    known = math.prod(n for n in shape if n != -1)
    check(known > 0 and x.size % known == 0, f"{op}: x has shape {x.shape} and cannot take shape {tuple(shape)}")
    return tuple(x.size // known if n == -1 else n for n in shape)


@define_op
def permute(x: Array, axes: Sequence[int]) -> Computation[Array]:
    """The axes in another order: axis ``i`` of the result is axis ``axes[i]`` of ``x``.

    Args:
        x: any shape.
        axes: each axis of ``x`` once, counted from 0.

    Returns:
        y: a copy in C order.
    """
    op = "permute"
    x = check_array(op, "x", x)
    order = axes_argument(op, "axes", axes, x.ndim)
    check(len(order) == x.ndim, f"{op}: axes must name each of the {x.ndim} axes of x, got {order}")
    yield Spec(tuple(x.shape[axis] for axis in order), x.dtype)
    return np.array(x.transpose(order), order="C")


@define_op
def expand(x: Array, shape: Sequence[int]) -> Computation[Array]:
    """``x`` repeated along new axes in front and along axes of size 1, as broadcasting does it.

    Args:
        x: any shape.
        shape: the result's; counted from the last axis, sizes are those of ``x`` where that is not 1.

    Returns:
        y: a copy in C order.
    """
    op = "expand"
    x = check_array(op, "x", x)
    sizes = check_size(op, shape_argument(op, "shape", shape))
    fits = x.ndim <= len(sizes) and all(n in (1, m) for n, m in zip(x.shape, sizes[len(sizes) - x.ndim :], strict=True))
    check(fits, f"{op}: x has shape {x.shape} and cannot be repeated to {sizes}")
    yield Spec(sizes, x.dtype)
    return np.array(np.broadcast_to(x, sizes), order="C")


@define_op
def slice(x: Array, start: Sequence[int], size: Sequence[int], step: Sequence[int]) -> Computation[Array]:
    """Every ``step``-th element of each axis: ``y[i, j] = x[start[0] + i * step[0], start[1] + j * step[1]]``.

    Args:
        x: any shape.
        start: the first element, one number an axis, counted from 0.
        size: the shape of the result.
        step: a number an axis, not 0; negative ones go backwards.

    Returns:
        y: a copy in C order.
    """
    op = "slice"
    x = check_array(op, "x", x)
    starts, sizes, steps = _lattice(op, x, "x", start, size, step)
    yield Spec(sizes, x.dtype)
    return np.array(x[_keys(starts, sizes, steps)], order="C")


@define_op
def place(x: Array, shape: Sequence[int], start: Sequence[int], step: Sequence[int]) -> Computation[Array]:
    """``x`` among zeros: ``y[start[0] + i * step[0], ...] = x[i, ...]``, +0 elsewhere. The gradient of :func:`slice`.

    Args:
        x: any shape.
        shape: the result's.
        start: where the first element comes, one number an axis, counted from 0.
        step: a number an axis, not 0; negative ones go backwards.

    Returns:
        y: of ``shape``.
    """
    op = "place"
    x = check_array(op, "x", x)
    outer = Spec(check_size(op, shape_argument(op, "shape", shape)), x.dtype)
    starts, sizes, steps = _lattice(op, outer, "shape", start, x.shape, step)
    yield outer
    y = np.zeros(outer.shape, x.dtype)
    y[_keys(starts, sizes, steps)] = x
    return y


def _lattice(
    op: str, outer: Array | Spec, name: str, start: Sequence[int], size: Sequence[int], step: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """``start``, ``size`` and ``step``, if the elements that they name lie in an array of the shape of ``outer``."""
    starts, steps = integers(op, "start", start), integers(op, "step", step)
    sizes = check_size(op, shape_argument(op, "size", size))
    rank = outer.ndim
    for what, numbers in (("start", starts), ("size", sizes), ("step", steps)):
        check(len(numbers) == rank, f"{op}: {what} must have {rank} numbers, one an axis of {name}, got {numbers}")
    check(all(steps), f"{op}: step must not be 0, got {steps}")
    for axis, (n, first, count, by) in enumerate(zip(outer.shape, starts, sizes, steps, strict=True)):
        last = first + (count - 1) * by
        inside = count == 0 or (0 <= first < n and 0 <= last < n)
        check(inside, f"{op}: axis {axis} of {name} has {n} elements but {first} to {last} were asked for")
    return starts, sizes, steps


def _keys(starts: tuple[int, ...], sizes: tuple[int, ...], steps: tuple[int, ...]) -> tuple[builtins.slice, ...]:
    ends = [first + count * by for first, count, by in zip(starts, sizes, steps, strict=True)]
    return tuple(
        builtins.slice(first, end if end >= 0 else None, by) if count else builtins.slice(0, 0)
        for first, count, end, by in zip(starts, sizes, ends, steps, strict=True)
    )


@define_op
def concat(arrays: Sequence[Array], axis: int) -> Computation[Array]:
    """Arrays one after the other along an axis.

    Args:
        arrays: a list of at least one; shapes differ at most along ``axis``.
        axis: counted from 0.

    Returns:
        y: a new array.
    """
    op = "concat"
    items = check_arrays(op, "arrays", arrays)
    first = items[0]
    along = axis_argument(op, "axis", axis, first.ndim)
    for i, x in enumerate(items):
        same = x.ndim == first.ndim and all(
            n == m for d, (n, m) in enumerate(zip(x.shape, first.shape, strict=True)) if d != along
        )
        check(same, f"{op}: arrays[0] has shape {first.shape} but arrays[{i}] has shape {x.shape}; axis is {along}")
    total = sum(x.shape[along] for x in items)
    yield Spec(check_size(op, (*first.shape[:along], total, *first.shape[along + 1 :])), first.dtype)
    return np.concatenate(items, along)


@define_op
def copy(x: Array) -> Computation[Array]:
    """A copy in C order.

    Args:
        x: any shape.

    Returns:
        y: like ``x``.
    """
    x = check_array("copy", "x", x)
    yield Spec(x.shape, x.dtype)
    return np.array(x, order="C")


@define_op
def assign(x: Array, value: Array) -> Computation[None]:
    """Copy the elements of ``value`` into ``x``, in place.

    Args:
        x: any shape; changed.
        value: like ``x``.

    Raises:
        TypeError: ``value`` is of another type.
        ValueError: shapes that differ; ``x`` is not C-contiguous or is read-only.
    """
    op = "assign"
    check_in_place(op, "x", x)
    check_array(op, "value", value)
    check_same_dtype(op, x=x, value=value)
    check_same_shape(op, x=x, value=value)
    yield None
    np.copyto(x, value)
