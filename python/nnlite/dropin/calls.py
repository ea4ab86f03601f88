"""One call of the drop-in: compiled kernels where they take the arguments, else the NumPy formula; and the record.

A function or a layer's method gives both ways: ``call("Affine.forward", compiled, formula)``. The compiled one is
tried; where it raises, the formula runs instead and decides what comes of the arguments, exceptions included. So
unusual arguments behave as they always did, and the record says why they were slow.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from ..arrays import Array, to_numpy
from ..backend import ops
from ..cuda import array as to_device

R = TypeVar("R")


@dataclass
class Options:
    """How the drop-in computes.

    Attributes:
        float32: compute in float32, whatever the arrays' floating type is.
        device: where kernels run: ``"cpu"``, ``"cuda"``, ``"cuda:1"``. Arrays that programs see are NumPy's.
    """

    float32: bool = False
    device: str = "cpu"


@dataclass
class Record:
    """What became of the calls of one function or method.

    Attributes:
        compiled, formula: how often it ran compiled, and as the NumPy formula.
        compiled_s, formula_s: how long, in seconds.
        reasons: why the formula ran, and how often for that reason.
    """

    compiled: int = 0
    compiled_s: float = 0.0
    formula: int = 0
    formula_s: float = 0.0
    reasons: dict[str, int] = field(default_factory=dict)


class UnsuitedError(Exception):
    """The arguments are not such as compiled kernels take; the text says what they are."""


options = Options()
records: dict[str, Record] = {}

_MOST_REASONS = 20  # texts may name sizes, which may be others each time
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def call(name: str, compiled: Callable[[], R], formula: Callable[[], R]) -> R:
    """The result of ``compiled()``, or of ``formula()`` where that raises; ``name`` is the entry of the record.

    ``compiled`` must leave everything as it was when it raises.
    """
    record = records.get(name)
    if record is None:
        record = records[name] = Record()
    start = time.perf_counter()
    try:
        result = compiled()
    except Exception as reason:
        text = str(reason) or type(reason).__name__
        if text not in record.reasons and len(record.reasons) >= _MOST_REASONS:
            text = "other reasons"
        record.reasons[text] = record.reasons.get(text, 0) + 1
    else:
        record.compiled += 1
        record.compiled_s += time.perf_counter() - start
        return result
    # Outside of the handler: an exception of the formula is not one "during handling of another".
    start = time.perf_counter()
    try:
        return formula()
    finally:
        record.formula += 1
        record.formula_s += time.perf_counter() - start


def floats(*values: Any) -> list[Array]:
    """Arrays of float32 or float64 as kernels take them: in C order and of one type, the wider of theirs.

    Raises:
        UnsuitedError: a value is something else.
    """
    for x in values:
        if type(x) is not np.ndarray:
            raise UnsuitedError(f"{type(x).__name__} instead of an array")
        if x.dtype not in _FLOATS:
            raise UnsuitedError(f"an array of {x.dtype}")
    single = options.float32 or all(x.dtype == np.float32 for x in values)
    return [_as(x, np.float32 if single else np.float64) for x in values]


def operands(*values: Any) -> list[Array]:
    """:func:`floats` of whatever arrays NumPy would compute with in float32 or float64.

    Raises:
        UnsuitedError: a value is no plain array, or a single number, or empty; or NumPy would compute in another type.
    """
    if not options.float32 and _are_ready(values):
        return list(values)
    for x in values:
        _check(x)
    dtype = np.result_type(*(x.dtype for x in values))
    if dtype not in _FLOATS:
        raise UnsuitedError(f"an array of {dtype}")
    return [_as(x, np.float32 if options.float32 else dtype) for x in values]


def _are_ready(values: tuple[Any, ...]) -> bool:
    """Whether kernels take these arrays as they are: the usual case, told in a fraction of the time."""
    dtype = getattr(values[0], "dtype", None)
    if dtype is not _FLOATS[0] and dtype is not _FLOATS[1]:
        return False
    for x in values:
        if type(x) is not np.ndarray or x.dtype is not dtype or not x.flags.c_contiguous or not x.ndim or not x.size:
            return False
    return True


def alike(*values: Any) -> list[Array]:
    """:func:`operands` for formulas that NumPy computes step by step, each in the type of its own operands."""
    if not options.float32 and len({getattr(x, "dtype", None) for x in values}) > 1:
        raise UnsuitedError("arrays of several types")
    return operands(*values)


def plus(y: Array, b: Any) -> Array:
    """``y + b``, into ``y`` where the sum is to have its type."""
    if options.float32 or np.result_type(y, b) == y.dtype:
        y += b
        return y
    return np.asarray(y + b)


def numbers(*values: Any) -> list[Array]:
    """The arrays as kernels take them where the original computes in float64, whatever it is given.

    Raises:
        UnsuitedError: a value is no plain array of real numbers, or a single one, or empty.
    """
    for x in values:
        _check(x)
        if x.dtype.kind not in "biuf":
            raise UnsuitedError(f"an array of {x.dtype}")
    return [_as(x, np.float32 if options.float32 else np.float64) for x in values]


def channels_last_rows(x: Any) -> Array | None:
    """Of images ``(N, C, H, W)`` that lie in memory channels last: their rows ``(N, H*W, C)``. Of others ``None``."""
    if type(x) is not np.ndarray or x.ndim != 4 or x.flags.c_contiguous or x.dtype not in _FLOATS:
        return None
    n, c, h, w = x.shape
    rows = x.transpose(0, 2, 3, 1)
    return rows.reshape(n, h * w, c) if rows.flags.c_contiguous else None


def flat(x: Any) -> Any:
    """``x.reshape(len(x), -1)``."""
    return (x if channels_last_rows(x) is None else _as(x, x.dtype)).reshape(x.shape[0], -1)


def kernel(name: str, *args: Any, **settings: Any) -> Any:
    """The result of an op of :mod:`nnlite.kernels` on NumPy arrays, computed on ``options.device``."""
    if options.device == "cpu":
        return getattr(ops(), name)(*args, **settings)
    there = [to_device(x, options.device) if isinstance(x, np.ndarray) else x for x in args]
    result = getattr(ops(next((x for x in there if ops(x) is not ops()), None)), name)(*there, **settings)
    return tuple(map(to_numpy, result)) if isinstance(result, tuple) else to_numpy(result)


def update(name: str, p: Any, g: Any, *state: list[Array], **settings: Any) -> None:
    """Run an optimizer's op on one parameter, in place and where the parameter is: in host memory.

    Raises:
        UnsuitedError: ``p`` is no plain array, or ``g`` is of another type.
    """
    for x in (p, g):
        _check(x)
    if p.dtype != g.dtype and not options.float32:
        raise UnsuitedError(f"a gradient of {g.dtype} for a parameter of {p.dtype}")
    getattr(ops(), name)([p], [_as(g, p.dtype)], *state, **settings)


def _check(x: Any) -> None:
    if type(x) is not np.ndarray:
        raise UnsuitedError(f"{type(x).__name__} instead of an array")
    if x.ndim == 0:
        raise UnsuitedError("a single number")
    if x.size == 0:
        raise UnsuitedError("an empty array")


def _as(x: Array, dtype: Any) -> Array:
    """``x`` in C order and of ``dtype``: itself, or a copy."""
    rows = channels_last_rows(x) if x.dtype == dtype else None
    if rows is not None:
        y: Array = ops().transpose(rows).reshape(x.shape)
        return y
    return np.asarray(x, dtype, order="C")
