"""Ops on single elements: bit for bit on every backend."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest

from compare import DTYPES, ELEMENTWISE, FUNCTIONS, Refusal, assert_op, full, numbers, specials
from support import assert_same_bits

SHAPES = [(), (0,), (1,), (7,), (31,), (32,), (33,), (3, 5, 7), (2, 0, 3), (1000,)]

REFUSALS: list[Refusal] = [
    ("relu_forward", lambda: ([1.0],), TypeError, r"^relu_forward: x must be a numpy.ndarray, got list$"),
    ("relu_forward", lambda: (1.0,), TypeError, r"^relu_forward: x must be a numpy.ndarray, got float$"),
    (
        "exp_forward",
        lambda: (full(2, dtype=np.int64),),
        TypeError,
        r"^exp_forward: x must be float32 or float64, got int64",
    ),
    ("tanh_forward", lambda: (full(2, dtype=np.float16),), TypeError, r"x must be float32 or float64, got float16"),
    ("tanh_forward", lambda: (full(2, dtype=bool),), TypeError, r"x must be float32 or float64, got bool"),
    ("log_forward", lambda: (full(2, dtype=np.complex64),), TypeError, r"x must be float32 or float64, got complex64"),
    ("sigmoid_forward", lambda: (full(2, dtype=object),), TypeError, r"x must be float32 or float64, got object"),
    ("negative", lambda: (full(2, dtype=">f4"),), TypeError, r"^negative: a must be in native byte order, got >f4$"),
    ("add", lambda: (full(2), full(2, dtype=">f8")), TypeError, r"^add: b must be in native byte order, got >f8$"),
    ("add", lambda: (full(2), 1.0), TypeError, r"^add: b must be a numpy.ndarray, got float$"),
    (
        "add",
        lambda: (full(2), full(2, dtype=float)),
        TypeError,
        r"^add: a is float32 but b is float64; convert one of them, ",
    ),
    ("add", lambda: (full(2), full(2, dtype=float)), TypeError, r"a\.astype\(np\.float64\) or model\.float\(\)$"),
    ("add", lambda: (full(2, dtype=float), full(2)), TypeError, r"a\.astype\(np\.float32\) or model\.double\(\)$"),
    ("add", lambda: (full(2, 3), full(2)), ValueError, r"^add: shapes \(2, 3\) and \(2,\) of b cannot be broadcast: "),
    ("multiply", lambda: (full(2), full(3)), ValueError, r"^multiply: shapes \(2,\) and \(3,\) of b cannot be broad"),
    (
        "where",
        lambda: (full(2, 1), full(3), full(4)),
        ValueError,
        r"^where: shapes \(2, 3\) and \(4,\) of b cannot be broadcast: counted from the last axis, sizes must be ",
    ),
    ("where", lambda: (full(2), full(2), full(2, dtype=float)), TypeError, r"^where: condition is float32 but b is"),
    (
        "relu_backward",
        lambda: (full(2), full(3)),
        ValueError,
        r"^relu_backward: dy has shape \(2,\) but y has shape \(3,\)$",
    ),
    (
        "log_backward",
        lambda: (full(2), full(3)),
        ValueError,
        r"^log_backward: dy has shape \(2,\) but x has shape \(3,\)$",
    ),
    (
        "tanh_backward",
        lambda: (full(2), full(2, dtype=float)),
        TypeError,
        r"^tanh_backward: dy is float32 but y is float64",
    ),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", ELEMENTWISE)
def test_op(backend: ModuleType, op: str, dtype: npt.DTypeLike) -> None:
    for i, shape in enumerate(SHAPES):
        for values in (numbers, specials):
            assert_op(backend, op, *(values(shape, dtype, i + 100 * j) for j in range(len(ELEMENTWISE[op]))))


BROADCASTS: list[tuple[tuple[int, ...], ...]] = [
    ((3, 4), (4,), (3, 1)),
    ((4,), (3, 4), ()),
    ((2, 1, 5), (3, 1), (1, 3, 5)),
    ((), (2, 3), (2, 3)),
    ((1, 1), (), (1,)),
    ((2, 3, 1, 5, 1), (1, 4, 1, 6), (5, 6)),
    ((0, 3), (3,), (1, 1)),
    ((7, 1, 33), (7, 5, 1), (1,)),
    ((300, 1), (1, 150), (300, 150)),
]
OPERATIONS = [op for op, names in ELEMENTWISE.items() if len(names) > 1 and not op.endswith("_backward")]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", OPERATIONS)
def test_broadcasting(backend: ModuleType, op: str, dtype: npt.DTypeLike) -> None:
    for shapes in BROADCASTS:
        operands = [specials(shape, dtype, i) for i, shape in enumerate(shapes[: len(ELEMENTWISE[op])])]
        y = assert_op(backend, op, *operands)
        assert y.shape == np.broadcast_shapes(*shapes[: len(operands)])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", [f"{name}_forward" for name in FUNCTIONS])
def test_functions_over_all_exponents(backend: ModuleType, op: str, dtype: npt.DTypeLike) -> None:
    info = np.finfo(dtype)
    x = np.ldexp(numbers(4001, dtype), np.linspace(info.minexp - info.nmant, 12, 4001).astype(int)).astype(dtype)
    assert_op(backend, op, x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_relu_at_zero_and_nan(backend: ModuleType, dtype: npt.DTypeLike) -> None:
    x = np.array([-0.0, 0.0, -1.0, np.nan, np.inf, -np.inf], dtype)
    y = backend.relu_forward(x)
    assert_same_bits(y, np.array([0.0, 0.0, 0.0, np.nan, np.inf, 0.0], dtype))
    assert_same_bits(backend.relu_backward(np.full(6, -2, dtype), y), np.array([0, 0, 0, -2, -2, 0], dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_array_twice(backend: ModuleType, dtype: npt.DTypeLike) -> None:
    x = numbers(100, dtype)
    assert_same_bits(backend.add(x, x), x + x)


@pytest.mark.parametrize(("op", "args", "error", "message"), REFUSALS)
def test_refusals(backend: ModuleType, op: str, args: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        getattr(backend, op)(*args())  # type: ignore[operator]
