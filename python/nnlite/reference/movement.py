"""Elements moved, none changed. On the CPU a result may share the argument's memory where the docstring says so."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nnlite.reference.checks import (
    Array,
    check,
    check_array,
    check_in_place,
    check_same_dtype,
    check_same_shape,
    check_size,
    is_index,
    shape_argument,
)
from nnlite.reference.signature import Computation, Spec, define_op

__all__ = ["assign", "copy", "reshape"]


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
