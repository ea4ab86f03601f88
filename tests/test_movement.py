"""Ops that move elements and change none: bits, memory, and refusals on every backend."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from compare import DTYPES, Refusal, assert_described, assert_op, full, specials
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

PERMUTATIONS: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((), ()),
    ((3,), (0,)),
    ((3, 5), (1, 0)),
    ((2, 3, 5), (0, 2, 1)),
    ((2, 3, 5), (2, 0, 1)),
    ((2, 1, 3, 4), (3, 1, 0, 2)),
    ((33, 70), (1, 0)),
    ((0, 3), (1, 0)),
]
EXPANSIONS: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((), (2, 3)),
    ((3,), (4, 3)),
    ((3, 1), (3, 5)),
    ((1, 4, 1), (2, 3, 4, 5)),
    ((1,), (0,)),
    ((3, 4), (3, 4)),
]
# Shape, start, size, step.
SLICES: list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = [
    ((), (), (), ()),
    ((7,), (2,), (3,), (2,)),
    ((7,), (6,), (7,), (-1,)),
    ((7,), (5,), (3,), (-2,)),
    ((4, 6), (1, 0), (2, 3), (1, 2)),
    ((4, 6, 2), (3, 5, 0), (4, 2, 1), (-1, -5, 1)),
    ((4, 6), (4, 0), (0, 6), (1, 1)),
    ((300, 70), (1, 2), (290, 60), (1, 1)),
]
CONCATS: list[tuple[list[tuple[int, ...]], int]] = [
    ([(3,), (2,), (0,)], 0),
    ([(2, 3), (2, 1)], 1),
    ([(2, 3), (1, 3), (4, 3)], 0),
    ([(2, 3, 4), (2, 5, 4)], 1),
    ([(2, 0), (2, 0)], 1),
    ([(2, 3)], 0),
]

REFUSALS: list[Refusal] = [
    (
        "permute",
        lambda: (full(2, 3), (0,)),
        ValueError,
        r"^permute: axes must name each of the 2 axes of x, got \(0,\)$",
    ),
    ("permute", lambda: (full(2, 3), (0, 2)), ValueError, r"^permute: axes holds \(0, 2\) but there are 2 axes$"),
    ("expand", lambda: (full(2, 3), (2, 4)), ValueError, r"x has shape \(2, 3\) and cannot be repeated to \(2, 4\)$"),
    ("expand", lambda: (full(), (1,) * 65), ValueError, r"^expand: arrays have at most 64 dimensions, got 65$"),
    ("slice", lambda: (full(), (), (1,) * 65, ()), ValueError, r"^slice: arrays have at most 64 dimensions, got 65$"),
    ("expand", lambda: (full(2, 3), (3,)), ValueError, r"x has shape \(2, 3\) and cannot be repeated to \(3,\)$"),
    (
        "slice",
        lambda: (full(5), (3,), (3,), (1,)),
        ValueError,
        r"^slice: axis 0 of x has 5 elements but 3 to 5 were asked for$",
    ),
    ("slice", lambda: (full(5), (0,), (3,), (0,)), ValueError, r"^slice: step must not be 0, got \(0,\)$"),
    ("slice", lambda: (full(5), (0, 0), (3,), (1,)), ValueError, r"start must have 1 numbers, one an axis of x, got"),
    ("slice", lambda: (full(5), (2**59,), (2**30,), (2**59,)), ValueError, r"^slice: "),
    (
        "place",
        lambda: (full(3), (4,), (2,), (1,)),
        ValueError,
        r"^place: axis 0 of shape has 4 elements but 2 to 4 were asked for$",
    ),
    ("concat", lambda: ([], 0), ValueError, r"^concat: arrays must hold at least one array$"),
    ("concat", lambda: (full(2), 0), TypeError, r"^concat: arrays must be a list of arrays, got ndarray$"),
    (
        "concat",
        lambda: ([full(2, 3), full(2, 3, dtype=float)], 0),
        TypeError,
        r"^concat: arrays\[0\] is float32 but arrays\[1\] is float64;",
    ),
    (
        "concat",
        lambda: ([full(2, 3), full(3, 4)], 0),
        ValueError,
        r"^concat: arrays\[0\] has shape \(2, 3\) but arrays\[1\] has shape \(3, 4\); axis is 0$",
    ),
    ("concat", lambda: ([full(2)], 1), ValueError, r"^concat: axis is 1 but there are 1 axes$"),
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


@pytest.mark.parametrize("dtype", DTYPES)
def test_permute_expand_slice_and_place(backend: ModuleType, dtype: npt.DTypeLike) -> None:
    for shape, axes in PERMUTATIONS:
        x = specials(shape, dtype)
        assert_same_bits(assert_op(backend, "permute", x, axes), np.array(x.transpose(axes), order="C"))
    for shape, wanted in EXPANSIONS:
        x = specials(shape, dtype)
        assert_same_bits(assert_op(backend, "expand", x, wanted), np.array(np.broadcast_to(x, wanted), order="C"))
    for shape, start, size, step in SLICES:
        x = specials(shape, dtype)
        y = assert_op(backend, "slice", x, start, size, step)
        index = np.ix_(*(first + by * np.arange(n) for first, n, by in zip(start, size, step, strict=True)))
        assert_same_bits(y, np.array(x[index], order="C"))
        placed = np.zeros(shape, dtype)
        placed[index] = y
        assert_same_bits(assert_op(backend, "place", y, shape, start, step), placed)


@pytest.mark.parametrize("dtype", DTYPES)
def test_concat(backend: ModuleType, dtype: npt.DTypeLike) -> None:
    for shapes, axis in CONCATS:
        arrays = [specials(shape, dtype, i) for i, shape in enumerate(shapes)]
        want = np.concatenate(arrays, axis)
        for given in (arrays, [strided(x) for x in arrays], tuple(arrays)):
            assert_same_bits(backend.concat(given, axis), want)
        assert_described("concat", want, arrays, axis)
