"""The sum of all elements: bit for bit on every backend."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from compare import DTYPES, Refusal, assert_op, full, numbers, specials, zeros_and_ties

SHAPES = [
    (),
    (0,),
    (1,),
    (2,),
    (31,),
    (32,),
    (33,),
    (3, 0, 5),
    (3, 5, 7),
    (4095,),
    (4096,),
    (4097,),
    (3, 4099),
    (131073,),
]

REFUSALS: list[Refusal] = [
    ("sum_forward", lambda: ([1.0],), TypeError, r"^sum_forward: x must be a numpy.ndarray, got list$"),
    (
        "sum_forward",
        lambda: (full(3, dtype=int),),
        TypeError,
        r"^sum_forward: x must be float32 or float64, got int64$",
    ),
    ("sum_backward", lambda: (full(1), (3,)), ValueError, r"dy must have 0 dimensions \(\), got 1 with shape \(1,\)$"),
    ("sum_backward", lambda: (full(), 3), TypeError, r"^sum_backward: x_shape must be a tuple of ints, got 3$"),
    ("sum_backward", lambda: (full(), (3, -1)), ValueError, r"x_shape must not hold a negative size, got \(3, -1\)$"),
    (
        "sum_backward",
        lambda: (full(), (2**40, 2**40)),
        ValueError,
        r"^sum_backward: size of an array of shape .* overflows$",
    ),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_sum(backend: ModuleType, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
    for values in (numbers, zeros_and_ties, specials):
        assert_op(backend, "sum_forward", values(shape, dtype, 1))
    for dy in (0.7, -0.0, np.nan):
        assert_op(backend, "sum_backward", np.array(dy, dtype), shape)


@pytest.mark.parametrize(("op", "args", "error", "message"), REFUSALS)
def test_refusals(backend: ModuleType, op: str, args: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        getattr(backend, op)(*args())
