"""Tensor's operators and methods, which are ops: set here, since ops are built on :class:`~nnlite.tensor.Tensor`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..arrays import Array
from ..tensor import Tensor
from . import shape
from .elementwise import add, multiply, negative, subtract
from .gemm import gemm
from .sum import sum


def _set(name: str, method: Callable[..., Tensor]) -> None:
    method.__name__, method.__qualname__ = name, f"Tensor.{name}"
    setattr(Tensor, name, method)


def _binary(name: str, op: Callable[[Any, Any], Tensor]) -> None:
    """``a + b`` and ``b + a`` of a tensor ``a``."""

    def method(self: Tensor, other: Tensor | Array | float) -> Tensor:
        return op(self, other)

    def reflected(self: Tensor, other: Array | float) -> Tensor:
        return op(other, self)

    _set(f"__{name}__", method)
    _set(f"__r{name}__", reflected)


def _reshape(self: Tensor, *shape_: Any) -> Tensor:
    """The same elements in another shape: ``x.reshape(2, -1)`` or ``x.reshape((2, -1))``."""
    return shape.reshape(self, shape_[0] if len(shape_) == 1 else shape_)


def _flatten(self: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions ``start_dim`` to ``end_dim`` (inclusive) as one."""
    return shape.flatten(self, start_dim, end_dim)


def _total(self: Tensor) -> Tensor:
    """Sum of all elements, of shape ``()``."""
    return sum(self)


def _neg(self: Tensor) -> Tensor:
    return negative(self)


_binary("add", add)
_binary("sub", subtract)
_binary("mul", multiply)
_binary("matmul", gemm)
_set("__neg__", _neg)
_set("reshape", _reshape)
_set("flatten", _flatten)
_set("sum", _total)
Tensor.view = Tensor.reshape  # type: ignore[method-assign]
