"""Reductions over axes and running sums: bit for bit on every backend."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from compare import DTYPES, Refusal, assert_op, full, numbers, specials, zeros_and_ties
from support import assert_same_bits

# Axes that are one group of neighbours, and axes that are not; short, long, empty.
CASES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((), ()),
    ((5,), (0,)),
    ((1,), (0,)),
    ((3, 4), ()),
    ((3, 4), (0,)),
    ((3, 4), (1,)),
    ((3, 4), (1, 0)),
    ((2, 33, 5), (1,)),
    ((2, 3, 4, 5), (0, 2)),
    ((2, 3, 4, 5), (3, 1)),
    ((2, 1, 4, 1, 3), (0, 3)),
    ((40, 3, 7), (0, 2)),
    ((4100, 3), (0,)),
    ((3, 4100), (1,)),
    ((2, 4097, 2), (1,)),
    ((700, 300), (0,)),
    ((0, 3), (1,)),
]
NOTHING: list[tuple[tuple[int, ...], tuple[int, ...]]] = [((0, 3), (0,)), ((3, 0), (1,)), ((2, 0, 3), (0, 1))]

REFUSALS: list[Refusal] = [
    ("sum_forward", lambda: (full(2, 3), (2,)), ValueError, r"^sum_forward: axes holds \(2,\) but there are 2 axes$"),
    ("sum_forward", lambda: (full(2, 3), (0, 0)), ValueError, r"axes must not name an axis twice, got \(0, 0\)$"),
    ("sum_forward", lambda: (full(2, 3), (-1,)), ValueError, r"axes must not hold a negative size, got \(-1,\)$"),
    ("sum_forward", lambda: (full(2, 3), 1), TypeError, r"^sum_forward: axes must be a tuple of ints, got 1$"),
    ("amax", lambda: (full(0, 3), (0,)), ValueError, r"^amax: x has shape \(0, 3\), so axes \(0,\) hold nothing$"),
    ("argmax", lambda: (full(2, 0), 1), ValueError, r"^argmax: x has shape \(2, 0\), so axis 1 holds nothing$"),
    ("argmax", lambda: (full(2), 1), ValueError, r"^argmax: axis is 1 but there are 1 axes$"),
    ("cumsum", lambda: (full(2), 0.0), TypeError, r"^cumsum: axis must be an int, got 0\.0$"),
    ("cumsum", lambda: (full(2), -1), ValueError, r"^cumsum: axis must be at least 0, got -1$"),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "axes"), CASES)
def test_over_axes(backend: ModuleType, shape: tuple[int, ...], axes: tuple[int, ...], dtype: npt.DTypeLike) -> None:
    for values in (numbers, specials, zeros_and_ties):
        x = values(shape, dtype, len(shape))
        assert_op(backend, "sum_forward", x, axes)
        assert_op(backend, "amax", x, axes)
        if len(axes) == 1:
            assert_op(backend, "argmax", x, axes[0])
            assert_op(backend, "cumsum", x, axes[0])


@pytest.mark.parametrize(("shape", "axes"), NOTHING)
def test_sum_of_nothing(backend: ModuleType, shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    y = assert_op(backend, "sum_forward", full(*shape), axes)
    assert_same_bits(y, np.zeros(y.shape, np.float32))


def test_the_first_of_equal_maxima_wins(backend: ModuleType) -> None:
    x = np.array([[-0.0, 0.0, -1.0], [0.0, -0.0, -1.0], [1.0, np.nan, np.nan]])
    assert_same_bits(backend.amax(x, (1,)), np.array([-0.0, 0.0, np.nan]))
    assert_same_bits(backend.argmax(x, 1), np.array([0, 0, 1]))


@pytest.mark.parametrize(("op", "args", "error", "message"), REFUSALS)
def test_refusals(backend: ModuleType, op: str, args: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        getattr(backend, op)(*args())
