"""What the tape, the layers and the optimizers need of an array, in host memory (NumPy) or on a device (nl.cuda)."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt

from .backend import device_module

Array: TypeAlias = npt.NDArray[Any]
"""``numpy.ndarray``, or a device's array, which has its ``shape``, ``dtype``, ``ndim``, ``size``, ``reshape``, ``copy``
and ``item``."""


def is_array(x: object) -> TypeGuard[Array]:
    """Whether ``x`` is an array that nnlite computes with."""
    return isinstance(x, np.ndarray) or device_module(x) is not None


def what_is(x: object, otherwise: str = "") -> str:
    """The type of what should be an array, for a message, and what to write instead (``otherwise`` where unknown)."""
    kind = type(x)
    package = kind.__module__.partition(".")[0]
    if package == "torch" and hasattr(x, "numpy"):
        return f"torch.{kind.__name__}; write x.detach().cpu().numpy()"
    if package == "pandas" and hasattr(x, "to_numpy"):
        return f"pandas.{kind.__name__}; write x.to_numpy(np.float32)"
    return f"{kind.__name__}; {otherwise}" if otherwise else kind.__name__


def device_of(x: Array) -> str:
    """``"cpu"``, or the device's name: ``"cuda:0"``."""
    module = device_module(x)
    return "cpu" if module is None else f"{module._DEVICE}:{x.device_index}"  # type: ignore[attr-defined]


def full_like(x: Array, value: float, shape: tuple[int, ...] | None = None) -> Array:
    """An array of ``value``, of the dtype of ``x`` (and its shape) and where ``x`` is."""
    full = np.full(x.shape if shape is None else shape, value, x.dtype)
    return put(full, x)


def zeros_like(x: Array) -> Array:
    """Zeros of the shape and dtype of ``x``, where ``x`` is."""
    module = device_module(x)
    if module is None:
        return np.zeros_like(x)
    zeros: Array = module._zeros(x.shape, x.dtype, x.device_index)  # type: ignore[attr-defined]
    return zeros


def copy(x: Array) -> Array:
    """A copy in C order, where ``x`` is."""
    return x.copy() if device_module(x) is not None else np.array(x, order="C")


def shares_memory(a: Array, b: Array) -> bool:
    """Whether writing into one may change the other."""
    if device_module(a) is None:
        return device_module(b) is None and bool(np.may_share_memory(a, b))
    return device_module(b) is not None and bool(a.shares_memory(b))  # type: ignore[attr-defined]


def to_numpy(x: Array) -> Array:
    """``x`` itself, or a copy of a device's array."""
    if device_module(x) is None:
        return x
    host: Array = x.numpy()  # type: ignore[attr-defined]
    return host


def put(x: Array, like: Array) -> Array:
    """``x`` where ``like`` is: itself, or a copy."""
    module = device_module(like)
    if module is None:
        return to_numpy(x)
    if device_module(x) is module and x.device_index == like.device_index:  # type: ignore[attr-defined]
        return x
    there: Array = module._from_numpy(to_numpy(x), like.device_index)  # type: ignore[attr-defined]
    return there


def assign(x: Array, value: Array) -> None:
    """Copy ``value``, of the same shape and dtype, into ``x``."""
    if device_module(x) is None:
        np.copyto(x, to_numpy(value))
    else:
        x.assign(value)  # type: ignore[attr-defined]


def take(x: Array, index: Array) -> Array:
    """The rows ``index`` of ``x``, both on the same device."""
    module = device_module(x)
    rows: Array = x[index] if module is None else module._take(x, index)
    return rows


def argmax(x: Array) -> Array:
    """Column of the largest element of each row of ``x`` ``(N, K)``: the first, or the first NaN."""
    module = device_module(x)
    columns: Array = x.argmax(1) if module is None else module._argmax(x)
    return columns


def count_equal(a: Array, b: Array) -> int | Array:
    """How many elements of two integer vectors are equal; of a device, as an array that need not be there yet."""
    module = device_module(a)
    if module is None:
        return int(np.count_nonzero(a == b))
    count: Array = module._count_equal(a, b)
    return count


def astype(x: Array, dtype: np.dtype[Any]) -> Array:
    """``x`` itself, or its numbers rounded once to ``dtype``, where ``x`` is."""
    return x if x.dtype == dtype else put(to_numpy(x).astype(dtype), x)


def synchronize(x: Array) -> None:
    """Wait for the device that holds ``x``, and raise what kernels found wrong."""
    module = device_module(x)
    if module is not None:
        module._synchronize()
