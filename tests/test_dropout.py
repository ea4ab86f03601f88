"""Dropout: bit for bit on every backend."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from compare import DTYPES, Refusal, assert_op, full, numbers, specials
from support import assert_same_bits

SHAPES = [(), (0,), (1,), (3,), (4,), (5,), (31,), (3, 5, 7), (2, 33), (1025,), (2051,)]

REFUSALS: list[Refusal] = [
    (
        "dropout_forward",
        lambda: ([1.0], 0.5, 0, 0),
        TypeError,
        r"^dropout_forward: x must be a numpy.ndarray, got list$",
    ),
    ("dropout_forward", lambda: (full(2), -0.1, 0, 0), ValueError, r"p must be between 0 and 1, got -0\.1$"),
    ("dropout_forward", lambda: (full(2), 1.5, 0, 0), ValueError, r"p must be between 0 and 1, got 1\.5$"),
    ("dropout_forward", lambda: (full(2), float("nan"), 0, 0), ValueError, r"p must be between 0 and 1, got nan$"),
    ("dropout_forward", lambda: (full(2), "0.5", 0, 0), TypeError, r"p must be a number, got str$"),
    ("dropout_forward", lambda: (full(2), 0.5, -1, 0), ValueError, r"^dropout_forward: seed must be "),
    ("dropout_forward", lambda: (full(2), 0.5, 2**64, 0), ValueError, r"^dropout_forward: seed must be "),
    ("dropout_forward", lambda: (full(2), 0.5, 0, -1), ValueError, r"^dropout_forward: draw must be "),
    ("dropout_forward", lambda: (full(2), 0.5, 0, 2**32), ValueError, r"^dropout_forward: draw must be "),
    ("dropout_backward", lambda: (full(2), full(2), 0.5), TypeError, r"mask must be uint8, got float32$"),
    ("dropout_backward", lambda: (full(2), full(2, dtype=bool), 0.5), TypeError, r"mask must be uint8, got bool$"),
    ("dropout_backward", lambda: (full(2), [1, 1], 0.5), TypeError, r"mask must be a numpy.ndarray, got list$"),
    (
        "dropout_backward",
        lambda: (full(2), full(3, dtype=np.uint8), 0.5),
        ValueError,
        r"mask has shape \(3,\) but dy needs \(2,\)$",
    ),
    (
        "dropout_backward",
        lambda: (full(2), full(2, dtype=np.uint8), 2),
        ValueError,
        r"p must be between 0 and 1, got 2",
    ),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1 / 3, 0.999, 1.0])
def test_dropout(backend: ModuleType, p: float, dtype: npt.DTypeLike) -> None:
    for i, shape in enumerate(SHAPES):
        for values in (numbers, specials):
            _, mask = assert_op(backend, "dropout_forward", values(shape, dtype, i), p, 2**63 + i, i)
            assert_op(backend, "dropout_backward", values(shape, dtype, i + 50), mask, p)


def test_the_mask_depends_on_seed_draw_and_size_alone(backend: ModuleType) -> None:
    _, mask = backend.dropout_forward(numbers((20, 10), np.float32), 0.5, 7, 3)
    _, same = backend.dropout_forward(specials((200,), np.float64), 0.5, 7, 3)
    assert_same_bits(same.reshape(20, 10), mask)
    assert_same_bits(backend.dropout_forward(full(100), 0.5, 7, 3)[1], same[:100])
    for other in ((8, 3), (7, 4)):
        assert np.any(backend.dropout_forward(full(200), 0.5, *other)[1] != same)


def test_the_extreme_probabilities(backend: ModuleType) -> None:
    x = np.array([1, -2, np.nan, np.inf], np.float32)
    y, mask = backend.dropout_forward(x, 0.0, 0, 0)
    assert_same_bits((y, mask), (x, np.ones(4, np.uint8)))
    y, mask = backend.dropout_forward(x, 1.0, 0, 0)
    assert_same_bits((y, mask), (np.zeros(4, np.float32), np.zeros(4, np.uint8)))
    assert_same_bits(backend.dropout_backward(x, mask, 1.0), np.zeros(4, np.float32))


@pytest.mark.parametrize(("op", "args", "error", "message"), REFUSALS)
def test_refusals(backend: ModuleType, op: str, args: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        getattr(backend, op)(*args())
