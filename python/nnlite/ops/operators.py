"""Tensor's operators and methods, which are ops: set here, since ops are built on :class:`~nnlite.tensor.Tensor`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..arrays import Array
from ..tensor import Tensor
from . import activation, derived, elementwise, gemm, index, reduce, shape


def _set(name: str, method: Callable[..., Any]) -> None:
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


def _unary(name: str, op: Callable[[Any], Tensor]) -> None:
    def method(self: Tensor) -> Tensor:
        return op(self)

    _set(name, method)


def _method(op: Callable[..., Any]) -> None:
    """``x.name(...)`` for ``name(x, ...)``."""

    @functools.wraps(op)
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        return op(self, *args, **kwargs)

    _set(op.__name__, method)


def _with_sizes(name: str, op: Callable[[Tensor, Any], Tensor], description: str) -> None:
    """``x.name(2, 3)`` and ``x.name((2, 3))``."""

    def method(self: Tensor, *sizes: Any) -> Tensor:
        return op(self, sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes)

    method.__doc__ = description
    _set(name, method)


for _name, _op in (
    ("add", elementwise.add),
    ("sub", elementwise.subtract),
    ("mul", elementwise.multiply),
    ("truediv", elementwise.divide),
    ("floordiv", elementwise.floor_divide),
    ("mod", elementwise.remainder),
    ("pow", elementwise.pow),
    ("matmul", gemm.matmul),
):
    _binary(_name, _op)
_unary("__neg__", elementwise.negative)
_unary("__abs__", elementwise.abs)

# Functions of several tensors, or of no tensor first, are no methods.
_NO_METHODS = {
    "where",
    "cat",
    "concat",
    "stack",
    "einsum",
    "embedding",
    "one_hot",
    "gelu_tanh",
    "gelu",
    "silu",
    "hardtanh",
    "gemm",
    "pad",
    "flip",
    "all",
    "any",
    "reshape",
    "permute",
    "expand",
    "repeat",
}
for _module in (elementwise, reduce, shape, index, gemm, derived):
    for _name in _module.__all__:
        if _name not in _NO_METHODS:
            _method(getattr(_module, _name))
_method(reduce.all)
for _function in (activation.softmax, activation.log_softmax, activation.prelu, activation.hardshrink):
    _method(_function)
_method(reduce.any)
_with_sizes(
    "reshape", shape.reshape, "The same elements in another shape: ``x.reshape(2, -1)`` or ``x.reshape((2, -1))``."
)
_with_sizes("view", shape.reshape, "PyTorch's name of ``reshape``.")
_with_sizes("permute", shape.permute, "The dimensions in another order: ``x.permute(2, 0, 1)``.")
_with_sizes("expand", shape.expand, "Repeated along dimensions of size 1: ``x.expand(3, -1)``.")
_with_sizes("repeat", shape.repeat, "The whole this many times along each dimension: ``x.repeat(2, 1)``.")
_with_sizes("flip", shape.flip, "Dimensions in reverse order of their elements: ``x.flip(0)``.")


def _getitem(self: Tensor, key: Any) -> Tensor:
    return shape.getitem(self, key)


def _setitem(self: Tensor, key: Any, value: Any) -> None:
    raise TypeError(
        "x[key] = value: nothing works in place on a tensor; write nl.where(mask, value, x), or x.data[key] = value "
        "before the forward pass"
    )


def _transposed(self: Tensor) -> Tensor:
    """The dimensions in reverse order."""
    return shape.permute(self, tuple(range(self.data.ndim))[::-1])


def _alias(name: str, op: Callable[..., Tensor]) -> None:
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return op(self, *args, **kwargs)

    method.__doc__ = f"PyTorch's short name of ``{op.__name__}``."
    _set(name, method)


_set("__getitem__", _getitem)
_set("__setitem__", _setitem)
setattr(Tensor, "T", property(_transposed))  # noqa: B010 (Tensor declares it as an attribute)
_alias("mul", elementwise.multiply)
_alias("sub", elementwise.subtract)
_alias("div", elementwise.divide)
_alias("neg", elementwise.negative)
_alias("clip", elementwise.clamp)
