"""Transposed planes: on every backend the reference's."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from compare import DTYPES, Refusal, assert_op, full, numbers, specials

SHAPES = [
    (0, 3, 4),
    (2, 0, 4),
    (2, 3, 0),
    (1, 1, 1),
    (1, 7, 9),
    (3, 8, 8),
    (2, 9, 16),
    (2, 31, 33),
    (2, 32, 32),
    (1, 33, 64),
    (5, 1, 300),
    (5, 300, 1),
    (3, 30, 576),
    (1, 513, 257),
]

REFUSALS: list[Refusal] = [
    ("transpose", lambda: ([[[1.0]]],), TypeError, r"^transpose: x must be a numpy.ndarray, got list$"),
    ("transpose", lambda: (full(1, 2, 3, dtype=int),), TypeError, r"^transpose: x must be float32 or float64, got int"),
    ("transpose", lambda: (full(2, 3),), ValueError, r"^transpose: x must have 3 dimensions \(N, A, B\), got 2 with"),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_transpose(backend: ModuleType, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
    for values in (numbers, specials):
        assert_op(backend, "transpose", values(shape, dtype, 1))


def test_the_other_way_about(backend: ModuleType) -> None:
    x = numbers((2, 30, 77), np.float64, 1)
    y = backend.transpose(x)
    np.testing.assert_array_equal(y, x.transpose(0, 2, 1))
    np.testing.assert_array_equal(backend.transpose(y), x)


@pytest.mark.parametrize(("op", "args", "error", "message"), REFUSALS)
def test_refusals(backend: ModuleType, op: str, args: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        getattr(backend, op)(*args())
