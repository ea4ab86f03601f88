"""Ops that move elements and change none: bits, memory, and refusals on every backend."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from compare import DTYPES, Refusal, assert_described, full, specials
from device import OnDevice
from nnlite import reference
from support import assert_same_bits, misaligned, strided

RESHAPES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((), (1, 1)),
    ((6,), (2, 3)),
    ((2, 3), (-1,)),
    ((4, 3, 2), (2, -1, 3)),
    ((0, 3), (3, 0)),
    ((0, 4), (-1, 4)),
    ((5, 1), (5,)),
]

REFUSALS: list[Refusal] = [
    (
        "reshape",
        lambda: (full(2, 3), (4, 2)),
        ValueError,
        r"x has shape \(2, 3\) and cannot take shape \(4, 2\)$",
    ),
    ("reshape", lambda: (full(2, 3), (4, -1)), ValueError, r"x has shape \(2, 3\) and cannot take shape \(4, -1\)$"),
    ("reshape", lambda: (full(0, 3), (0, -1)), ValueError, r"x has shape \(0, 3\) and cannot take shape \(0, -1\)$"),
    ("reshape", lambda: (full(6), (-1, -1)), ValueError, r"shape must not hold a negative size, got \(-1, -1\)$"),
    ("reshape", lambda: (full(6), (-2, 3)), ValueError, r"shape must not hold a negative size, got \(-2, 3\)$"),
    ("reshape", lambda: (full(6), 6), TypeError, r"^reshape: shape must be a tuple of ints, got 6$"),
    ("reshape", lambda: (full(6), (2.0, 3)), TypeError, r"^reshape: shape must be a tuple of ints, got \(2\.0, 3\)$"),
    ("reshape", lambda: (full(6, dtype=int), (6,)), TypeError, r"^reshape: x must be float32 or float64, got int64$"),
    ("copy", lambda: ([1.0],), TypeError, r"^copy: x must be a numpy.ndarray, got list$"),
    ("assign", lambda: (full(3), full(4)), ValueError, r"^assign: x has shape \(3,\) but value has shape \(4,\)$"),
    (
        "assign",
        lambda: (full(3), full(3, dtype=float)),
        TypeError,
        r"^assign: x is float32 but value is float64;",
    ),
    ("assign", lambda: (full(3), 1.0), TypeError, r"^assign: value must be a numpy.ndarray, got float$"),
]


@pytest.mark.parametrize(("op", "args", "error", "message"), REFUSALS)
def test_refuses(backend: ModuleType, op: str, args: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        getattr(backend, op)(*args())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("before", "after"), RESHAPES)
def test_reshape(backend: ModuleType, before: tuple[int, ...], after: tuple[int, ...], dtype: npt.DTypeLike) -> None:
    x = specials(before, dtype)
    want = x.reshape(after)
    assert_described("reshape", reference.reshape(x, after), x, after)
    for given in (x, strided(x), misaligned(x)) if x.ndim else (x,):
        assert_same_bits(backend.reshape(given, after), want)
    given = list(after)
    backend.reshape(x, given)
    assert given == list(after)  # a -1 is not written back


def test_reshape_shares_memory(backend: ModuleType) -> None:
    if isinstance(backend, OnDevice):
        pytest.skip("arrays of a device are copies here")
    x = full(2, 3)
    assert np.shares_memory(backend.reshape(x, (3, 2)), x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (33,), (3, 5, 7)])
def test_copy_and_assign(backend: ModuleType, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
    x = specials(shape, dtype)
    assert_described("copy", reference.copy(x), x)
    for given in (x, strided(x)) if x.ndim else (x,):
        y = backend.copy(given)
        assert_same_bits(y, x)
        assert y.flags.carray
        assert not np.may_share_memory(y, given)
        to = np.zeros(shape, dtype)
        assert backend.assign(to, given) is None
        assert_same_bits(to, x)


def test_assign_refuses_what_it_cannot_write(backend: ModuleType) -> None:
    if isinstance(backend, OnDevice):
        pytest.skip("arrays of a device are copies here")
    fixed = full(3)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="assign: x is changed in place but is read-only"):
        backend.assign(fixed, full(3))
    with pytest.raises(ValueError, match="assign: x is changed in place and must be C-contiguous and aligned"):
        backend.assign(full(6)[::2], full(3))
