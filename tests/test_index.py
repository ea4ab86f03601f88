"""Elements chosen by indices, and their gradients: bit for bit on every backend."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from compare import DTYPES, Refusal, assert_op, full, specials
from support import assert_same_bits, rng

# Shape, axis, number of indices.
CASES: list[tuple[tuple[int, ...], int, int]] = [
    ((5,), 0, 7),
    ((5, 3), 0, 4),
    ((5, 3), 1, 9),
    ((2, 4, 3), 1, 6),
    ((2, 40, 300), 1, 50),
    ((3, 2), 0, 0),
    ((0, 2), 1, 3),
    ((1, 1, 1), 2, 2),
]


def where(*numbers: int, dtype: npt.DTypeLike = np.int64) -> Any:
    return np.array(numbers, dtype)


REFUSALS: list[Refusal] = [
    (
        "index_select",
        lambda: (full(3, 2), where(0, 3), 0),
        ValueError,
        r"^index_select: index\[1\] is 3 but there are 3 elements along the axis \(0 to 2\)$",
    ),
    (
        "index_select",
        lambda: (full(3, 2), where(-1), 0),
        ValueError,
        r"^index_select: index\[0\] is -1 but there are 3",
    ),
    (
        "index_select",
        lambda: (full(3), full(2), 0),
        TypeError,
        r"index must be an array of an integer type, got float32$",
    ),
    ("index_select", lambda: (full(3), [0], 0), TypeError, r"index must be an array of an integer type, got list$"),
    (
        "index_select",
        lambda: (full(3), where(0, 1).reshape(1, 2), 0),
        ValueError,
        r"index must have 1 dimension \(J,\), got 2 with shape \(1, 2\)$",
    ),
    ("index_select", lambda: (full(), where(0), 0), ValueError, r"^index_select: axis is 0 but there are 0 axes$"),
    (
        "index_select_backward",
        lambda: (full(2, 2), where(0), (3, 2), 0),
        ValueError,
        r"dy has shape \(2, 2\) but x_shape and index needs? \(1, 2\)$",
    ),
    (
        "gather",
        lambda: (full(3, 2), where(0, 1), 0),
        ValueError,
        r"^gather: index has shape \(2,\) but x has shape \(3, 2\); they differ at most along axis 0$",
    ),
    (
        "gather_backward",
        lambda: (full(3), where(0, 1), (2,), 0),
        ValueError,
        r"^gather_backward: dy has shape \(3,\) but index needs \(2,\)$",
    ),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "axis", "count"), CASES)
def test_select_and_gather(
    backend: ModuleType, shape: tuple[int, ...], axis: int, count: int, dtype: npt.DTypeLike
) -> None:
    x = specials(shape, dtype)
    index = rng(1).integers(0, shape[axis], count)
    result = (*shape[:axis], count, *shape[axis + 1 :])
    assert_same_bits(assert_op(backend, "index_select", x, index, axis), np.take(x, index, axis))
    assert_op(backend, "index_select_backward", specials(result, dtype, 2), index.astype(np.int32), shape, axis)
    each = rng(2).integers(0, shape[axis], result)
    assert_same_bits(assert_op(backend, "gather", x, each, axis), np.take_along_axis(x, each, axis))
    assert_op(backend, "gather_backward", specials(result, dtype, 2), each, shape, axis)


@pytest.mark.parametrize(("op", "args", "error", "message"), REFUSALS)
def test_refusals(backend: ModuleType, op: str, args: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        getattr(backend, op)(*args())
