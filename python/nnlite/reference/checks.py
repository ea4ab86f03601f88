"""Checks of arguments, done by every op before it computes anything. Compiled backends raise the same errors.

An error names the op, the argument and both sizes. Nothing is ever converted: an array of another type is refused.
Inputs may have any memory layout; arrays that an op changes in place must be C-contiguous, aligned, writable and must
not overlap others.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nnlite.reference.signature import Spec

Array = npt.NDArray[Any]
Pair = int | tuple[int, int]

MOST_AXES = 64
LARGEST_SIZE = 2**60
LARGEST_STEP = 2**31  # of strides, paddings, dilations and kernels: their products fit 64 bits


def check(condition: bool, message: str) -> None:
    """Raise ``ValueError(message)`` unless the condition holds."""
    if not condition:
        raise ValueError(message)


def check_array(op: str, name: str, x: Array, axes: str | None = None) -> Array:
    """``x`` in C order, if it is a float32 or float64 array with the named axes, e.g. ``"(N, C)"`` (``None``: any).

    Raises:
        TypeError: not an array, another type, another byte order.
        ValueError: another rank.
    """
    _check_float(op, name, x)
    if axes is not None:
        _check_rank(op, name, x, axes)
    return x if isinstance(x, Spec) else np.asarray(x, order="C")


def check_arrays(op: str, name: str, arrays: Sequence[Array]) -> list[Array]:
    """A list of at least one float array, all of one type, in C order."""
    if not isinstance(arrays, (list, tuple)):
        raise TypeError(f"{op}: {name} must be a list of arrays, got {type(arrays).__name__}")
    check(len(arrays) > 0, f"{op}: {name} must hold at least one array")
    items = [check_array(op, f"{name}[{i}]", x) for i, x in enumerate(arrays)]
    check_same_dtype(op, **{f"{name}[{i}]": x for i, x in enumerate(items)})
    return items


def check_in_place(op: str, name: str, x: Array) -> Array:
    """``x`` itself, if an op can write into it."""
    _check_float(op, name, x)
    if isinstance(x, Spec):
        return x
    layout = x.flags.c_contiguous and x.flags.aligned
    check(layout, f"{op}: {name} is changed in place and must be C-contiguous and aligned")
    check(x.flags.writeable, f"{op}: {name} is changed in place but is read-only")
    return x


def check_no_overlap(op: str, written: dict[str, Array], read: dict[str, Array]) -> None:
    """Refuse arrays that are changed in place and share memory with each other or with one that is read."""
    names = [*written, *read]
    arrays = [*written.values(), *read.values()]
    if any(isinstance(x, Spec) for x in arrays):
        return
    for i in range(len(written)):
        for j in range(i + 1, len(arrays)):
            check(not np.may_share_memory(arrays[i], arrays[j]), f"{op}: {names[i]} overlaps {names[j]}")


def check_same_dtype(op: str, **arrays: Array | None) -> None:
    """Refuse arrays of two types; ``None`` stands for an argument that is absent."""
    present = {name: x for name, x in arrays.items() if x is not None}
    first = next(iter(present))
    x = present[first]
    for name, other in present.items():
        if other.dtype != x.dtype:
            model = "double" if x.dtype == np.float64 else "float"
            hint = f"{first}.astype(np.{other.dtype}) or model.{model}()"
            if name == "target":
                hint = f"target.astype(np.{x.dtype})"
            raise TypeError(f"{op}: {first} is {x.dtype} but {name} is {other.dtype}; convert one of them, e.g. {hint}")


def check_same_shape(op: str, **arrays: Array) -> None:
    """Refuse arrays of different shapes."""
    (a_name, a), *others = arrays.items()
    for b_name, b in others:
        check(a.shape == b.shape, f"{op}: {a_name} has shape {a.shape} but {b_name} has shape {b.shape}")


def broadcast_shape(op: str, **arrays: Array) -> tuple[int, ...]:
    """The shape to which arrays broadcast; those for which there is none are refused."""
    (_, first), *others = arrays.items()
    shape: tuple[int, ...] = first.shape
    for name, x in others:
        rank = max(len(shape), x.ndim)
        pairs = zip((1,) * (rank - len(shape)) + shape, (1,) * (rank - x.ndim) + x.shape, strict=True)
        sizes = [(a, b) for a, b in pairs]
        check(
            all(a == b or 1 in (a, b) for a, b in sizes),
            f"{op}: shapes {shape} and {x.shape} of {name} cannot be broadcast: counted from the last axis, sizes must "
            "be equal or 1",
        )
        shape = tuple(b if a == 1 else a for a, b in sizes)
    return shape


def check_shape(op: str, name: str, x: Array, expected: tuple[int, ...], of: str) -> None:
    """Refuse an array of another shape than the one that ``of`` (another argument, or the output) needs."""
    check(x.shape == expected, f"{op}: {name} has shape {x.shape} but {of} needs {expected}")


def check_size(op: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """``shape``, if an array of it can be counted in 64 bits and has no more dimensions than NumPy's."""
    check(len(shape) <= MOST_AXES, f"{op}: arrays have at most {MOST_AXES} dimensions, got {len(shape)}")
    check(math.prod(n or 1 for n in shape) <= LARGEST_SIZE, f"{op}: size of an array of shape {shape} overflows")
    return shape


def integer(op: str, name: str, value: int, least: int) -> int:
    """``value`` as an int of at least ``least``."""
    if not is_index(value):
        raise TypeError(f"{op}: {name} must be an int, got {value!r}")
    value = operator.index(value)
    check(abs(value) <= LARGEST_SIZE, f"{op}: size of {name} overflows")
    check(value >= least, f"{op}: {name} must be at least {least}, got {value}")
    return value


def pair(op: str, name: str, value: Pair, least: int) -> tuple[int, int]:
    """An int, or a pair of ints for height and width, as a pair; each at least ``least``."""
    items: tuple[Any, ...] = (
        (value, value) if is_index(value) else tuple(value) if isinstance(value, (tuple, list)) else ()
    )
    if len(items) != 2 or not all(is_index(item) for item in items):
        raise TypeError(f"{op}: {name} must be an int or a pair of ints, got {value!r}")
    first, second = (operator.index(item) for item in items)
    check(max(abs(first), abs(second)) <= LARGEST_SIZE, f"{op}: size of {name} overflows")
    check(min(first, second) >= least, f"{op}: {name} must be at least {least}, got {(first, second)}")
    check_step(op, name, (first, second))
    return first, second


def check_step(op: str, name: str, value: tuple[int, int]) -> None:
    """Refuse a stride, padding, dilation or kernel that is larger than 2^31."""
    check(max(value) <= LARGEST_STEP, f"{op}: {name} must be at most {LARGEST_STEP}, got {value}")


def shape_argument(op: str, name: str, value: Sequence[int], axes: str | None = None) -> tuple[int, ...]:
    """A shape as a tuple of ints, none negative, with the named axes (``None``: any number of them)."""
    if not isinstance(value, (tuple, list)) or not all(is_index(n) for n in value):
        raise TypeError(f"{op}: {name} must be a tuple of ints, got {value!r}")
    shape = tuple(operator.index(n) for n in value)
    check(all(abs(n) <= LARGEST_SIZE for n in shape), f"{op}: size of {name} overflows")
    if axes is not None:
        check(len(shape) == _rank(axes), f"{op}: {name} must have {_rank(axes)} sizes {axes}, got {shape}")
    check(all(n >= 0 for n in shape), f"{op}: {name} must not hold a negative size, got {shape}")
    return shape


def integers(op: str, name: str, value: Sequence[int]) -> tuple[int, ...]:
    """A tuple of ints of any sign."""
    if not isinstance(value, (tuple, list)) or not all(is_index(n) for n in value):
        raise TypeError(f"{op}: {name} must be a tuple of ints, got {value!r}")
    result = tuple(operator.index(n) for n in value)
    check(all(abs(n) <= LARGEST_SIZE for n in result), f"{op}: size of {name} overflows")
    return result


def axis_argument(op: str, name: str, value: int, ndim: int) -> int:
    """An axis of an array of ``ndim`` dimensions, counted from 0."""
    axis = integer(op, name, value, 0)
    check(axis < ndim, f"{op}: {name} is {axis} but there are {ndim} axes")
    return axis


def axes_argument(op: str, name: str, value: Sequence[int], ndim: int) -> tuple[int, ...]:
    """Different axes of an array of ``ndim`` dimensions, counted from 0."""
    axes = shape_argument(op, name, value)
    check(all(axis < ndim for axis in axes), f"{op}: {name} holds {axes} but there are {ndim} axes")
    check(len(set(axes)) == len(axes), f"{op}: {name} must not name an axis twice, got {axes}")
    return axes


def number(op: str, name: str, value: float) -> float:
    """A hyperparameter as a Python float (binary64)."""
    if not hasattr(type(value), "__float__") and not is_index(value):
        raise TypeError(f"{op}: {name} must be a number, got {type(value).__name__}")
    return float(value)


def labels(op: str, target: Array, x_name: str, x: Array) -> Array:
    """Labels for the rows of ``x (N, K)``: ``target (N,)`` of any integer type as int64, if all are in 0 … K-1."""
    _check_rank(op, "target", target, "(N,)")
    rows, classes = x.shape
    check(len(target) == rows, f"{op}: {x_name} has {rows} rows but target has {len(target)} labels")
    if isinstance(target, Spec):
        return Spec(target.shape, np.int64)
    wrong = np.flatnonzero((target < 0) | (target >= classes))
    if len(wrong):
        i = wrong[0]
        raise ValueError(f"{op}: target[{i}] is {target[i]} but there are {classes} classes (0 to {classes - 1})")
    return target.astype(np.int64)


def index_argument(op: str, name: str, index: Array, size: int, of: str) -> Array:
    """An array of any integer type as int64, if all its numbers are in 0 … size - 1."""
    if not is_integer_array(index):
        what = index.dtype if isinstance(index, (np.ndarray, Spec)) else type(index).__name__
        raise TypeError(f"{op}: {name} must be an array of an integer type, got {what}")
    if isinstance(index, Spec):
        return Spec(index.shape, np.int64)
    flat = index.reshape(-1)
    wrong = np.flatnonzero((flat < 0) | (flat >= size))
    if len(wrong):
        i = wrong[0]
        raise ValueError(f"{op}: {name}[{i}] is {flat[i]} but there are {size} {of} (0 to {size - 1})")
    return index.astype(np.int64)


def is_integer_array(x: object) -> bool:
    """Whether ``x`` holds integers, as labels do."""
    return isinstance(x, (np.ndarray, Spec)) and x.dtype.kind in "iu"


def _check_float(op: str, name: str, x: Array) -> None:
    if not isinstance(x, (np.ndarray, Spec)):
        raise TypeError(f"{op}: {name} must be a numpy.ndarray, got {type(x).__name__}")
    if x.dtype.type not in (np.float32, np.float64):
        raise TypeError(f"{op}: {name} must be float32 or float64, got {x.dtype}")
    if not x.dtype.isnative:
        raise TypeError(f"{op}: {name} must be in native byte order, got {x.dtype}")


def _check_rank(op: str, name: str, x: Array, axes: str) -> None:
    rank = _rank(axes)
    dimensions = "dimension" if rank == 1 else "dimensions"
    check(x.ndim == rank, f"{op}: {name} must have {rank} {dimensions} {axes}, got {x.ndim} with shape {x.shape}")


def _rank(axes: str) -> int:
    return len([axis for axis in axes.strip("()").split(",") if axis])


def is_index(value: object) -> bool:
    """Whether ``value`` is an integer; a bool is not."""
    return hasattr(type(value), "__index__") and not isinstance(value, (bool, np.bool_, np.ndarray))
