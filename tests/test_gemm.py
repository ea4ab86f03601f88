"""gemm and the fully connected layer: bit for bit on every backend."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from compare import DTYPES, Refusal, assert_op, full, numbers, specials, zeros_and_ties
from nnlite import reference
from support import assert_same_bits

# M, N, L
SIZES = [
    (1, 1, 1),
    (1, 1, 0),
    (0, 3, 4),
    (3, 0, 4),
    (0, 0, 0),
    (1, 33, 7),
    (33, 1, 7),
    (2, 3, 511),
    (3, 2, 512),
    (2, 3, 513),
    (1, 17, 1025),
    (1, 40, 1024),  # rows of B whole pages apart
    (1, 4101, 600),  # a row in pieces, and two blocks of K
    (31, 33, 32),
    (5, 100, 64),
    (100, 5, 3),
    (49, 65, 40),
    (8, 17, 16),  # few rows
    (7, 33, 31),
    (2, 15, 1030),
    (9, 16, 17),
    (13, 20, 2100),  # more blocks of K than are packed at once
    (60, 70, 600),  # both operands packed
]

REFUSALS: list[Refusal] = [
    ("gemm", lambda: ([[1.0]], full(1, 1)), TypeError, r"^gemm: a must be a numpy.ndarray, got list$"),
    (
        "gemm",
        lambda: (full(2, 3), full(3)),
        ValueError,
        r"^gemm: b must have 2 dimensions .*, got 1 with shape \(3,\)$",
    ),
    ("gemm", lambda: (full(2, 3), full(4, 5)), ValueError, r"^gemm: op\(a\) has 3 columns but op\(b\) has 4 rows$"),
    (
        "gemm",
        lambda: (full(2, 3), full(4, 5), True, True),
        ValueError,
        r"^gemm: op\(a\) has 2 columns but op\(b\) has 5 rows$",
    ),
    (
        "gemm",
        lambda: (full(3, 2), full(4, 5), True),
        ValueError,
        r"^gemm: op\(a\) has 3 columns but op\(b\) has 4 rows$",
    ),
    ("gemm", lambda: (full(2, 3), full(3, 2, dtype=float)), TypeError, r"^gemm: a is float32 but b is float64"),
    (
        "linear_forward",
        lambda: (full(2, 5), full(3, 4)),
        ValueError,
        r"^linear_forward: x has 5 features but weight expects 4$",
    ),
    (
        "linear_forward",
        lambda: (full(5), full(3, 5)),
        ValueError,
        r"x must have 2 dimensions \(N, I\), got 1 with shape \(5,\)$",
    ),
    (
        "linear_forward",
        lambda: (full(2, 4), full(3, 4), full(4)),
        ValueError,
        r"bias has shape \(4,\) but weight needs \(3,\)$",
    ),
    (
        "linear_forward",
        lambda: (full(2, 4), full(3, 4), full(3, 1)),
        ValueError,
        r"bias must have 1 dimension .*, got 2 with shape \(3, 1\)$",
    ),
    (
        "linear_forward",
        lambda: (full(2, 4), full(3, 4), full(3, dtype=float)),
        TypeError,
        r"x is float32 but bias is float64",
    ),
    ("linear_forward", lambda: (full(2, 4), full(3, 4), 0.0), TypeError, r"bias must be a numpy.ndarray, got float$"),
    ("linear_backward_data", lambda: (full(2, 5), full(3, 4)), ValueError, r"dy has 5 features but weight gives 3$"),
    ("linear_backward_weights", lambda: (full(2, 5), full(3, 4)), ValueError, r"dy has 2 rows but x has 3$"),
    ("linear_backward_bias", lambda: (full(5),), ValueError, r"dy must have 2 dimensions .*, got 1 with shape \(5,\)$"),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("transpose_a", "transpose_b"), [(False, False), (False, True), (True, False), (True, True)])
def test_gemm(backend: ModuleType, transpose_a: bool, transpose_b: bool, dtype: npt.DTypeLike) -> None:
    for m, n, length in SIZES:
        a = numbers((length, m) if transpose_a else (m, length), dtype, 1)
        b = numbers((n, length) if transpose_b else (length, n), dtype, 2)
        assert_op(backend, "gemm", a, b, transpose_a=transpose_a, transpose_b=transpose_b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize(
    "size", [(125, 250, 520), (120, 132, 35), (60, 250, 35), (140, 30, 521), (60, 60, 70), (5, 260, 530)]
)
def test_gemm_of_a_busy_device(
    backend: ModuleType, small_device: None, size: tuple[int, int, int], transpose: bool, dtype: npt.DTypeLike
) -> None:
    m, n, length = size
    a, b = numbers((m, length), dtype, 1), numbers((length, n), dtype, 2)
    want = reference.gemm(a, b)
    got = backend.gemm(a.T.copy() if transpose else a, b.T.copy() if transpose else b, transpose, transpose)
    assert_same_bits(got, want)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gemm_of_long_sums(backend: ModuleType, dtype: npt.DTypeLike) -> None:
    a, b = numbers((40, 4001), dtype, 1), numbers((4001, 60), dtype, 2)
    assert_same_bits(backend.gemm(a, b), reference.gemm(a, b))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(5, 6, 1), (3, 19, 3), (9, 33, 40)])
def test_gemm_of_special_values(backend: ModuleType, size: tuple[int, int, int], dtype: npt.DTypeLike) -> None:
    m, n, length = size
    assert_op(backend, "gemm", specials((m, length), dtype, 1), specials((length, n), dtype, 2))
    assert_op(backend, "gemm", zeros_and_ties((m, length), dtype, 1), zeros_and_ties((length, n), dtype, 2))
    # Products of numbers near the ends of the range: sums that are subnormal or overflow.
    tiny, huge = np.finfo(dtype).tiny ** 0.5, np.finfo(dtype).max ** 0.5
    for scale in (tiny, huge):
        a, b = (np.asarray(numbers(shape, dtype, 3) * scale, dtype) for shape in ((m, length), (length, n)))
        assert_op(backend, "gemm", a, b)


def test_a_negative_zero_product_gives_positive_zero(backend: ModuleType) -> None:
    zero = backend.gemm(np.array([[-0.0]], np.float32), np.array([[1.0]], np.float32))
    assert_same_bits(zero, np.array([[0.0]], np.float32))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(1, 1, 1), (0, 3, 4), (4, 10, 33), (33, 3, 513), (2, 5, 0), (130, 7, 31)])
def test_linear(backend: ModuleType, size: tuple[int, int, int], dtype: npt.DTypeLike) -> None:
    n, outputs, inputs = size
    x, weight = numbers((n, inputs), dtype, 1), numbers((outputs, inputs), dtype, 2)
    bias, dy = numbers(outputs, dtype, 3), numbers((n, outputs), dtype, 4)
    assert_op(backend, "linear_forward", x, weight)
    assert_op(backend, "linear_forward", x, weight, bias)
    assert_op(backend, "linear_backward_data", dy, weight)
    assert_op(backend, "linear_backward_weights", dy, x)
    assert_op(backend, "linear_backward_bias", dy)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [0, 1, 31, 32, 33, 4095, 4096, 4097, 8200])
def test_linear_backward_bias(backend: ModuleType, rows: int, dtype: npt.DTypeLike) -> None:
    assert_op(backend, "linear_backward_bias", numbers((rows, 3), dtype))
    assert_op(backend, "linear_backward_bias", numbers((rows, 19), dtype))


def test_linear_backward_bias_of_special_values(backend: ModuleType) -> None:
    assert_op(backend, "linear_backward_bias", specials((5, 40), np.float32))
    assert_op(backend, "linear_backward_bias", np.full((3, 2), -0.0, np.float32))


@pytest.mark.parametrize(("transpose_a", "transpose_b"), [(False, False), (False, True), (True, False), (True, True)])
def test_a_rectangle_of_a_large_product_has_the_same_bits_alone(
    backend: ModuleType, transpose_a: bool, transpose_b: bool
) -> None:
    if backend.__name__.endswith("reference"):
        pytest.skip("the reference has no rectangles")
    m, n, k = 100, 1500, 1100
    if backend.__name__.endswith("baseline"):
        m, n = 40, 700  # its fma is software
    a, b = numbers((m, k), np.float32), numbers((k, n), np.float32, 1)
    whole = backend.gemm(a.T.copy() if transpose_a else a, b.T.copy() if transpose_b else b, transpose_a, transpose_b)
    rows, columns = slice(m - 3, m), slice(n - 221, n - 199)
    assert_same_bits(whole[rows, columns], backend.gemm(a[rows], b[:, columns]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_row_has_the_same_bits_in_any_batch(backend: ModuleType, dtype: npt.DTypeLike) -> None:
    x, weight, bias = numbers((40, 65), dtype, 1), numbers((19, 65), dtype, 2), numbers(19, dtype, 3)
    whole = backend.linear_forward(x, weight, bias)
    for start, stop in ((0, 1), (39, 40), (3, 20)):
        assert_same_bits(backend.linear_forward(x[start:stop], weight, bias), whole[start:stop])


@pytest.mark.parametrize(("op", "args", "error", "message"), REFUSALS)
def test_refusals(backend: ModuleType, op: str, args: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        getattr(backend, op)(*args())  # type: ignore[operator]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("transpose_a", "transpose_b"), [(False, False), (True, False), (False, True), (True, True)])
def test_bmm(backend: ModuleType, transpose_a: bool, transpose_b: bool, dtype: npt.DTypeLike) -> None:
    for count, m, n, k in [
        (1, 1, 1, 1),
        (3, 5, 7, 4),
        (0, 2, 3, 4),
        (2, 3, 0, 4),
        (2, 3, 4, 0),
        (5, 17, 33, 600),
        (2, 1, 9, 8),
    ]:
        a = numbers((count, k, m) if transpose_a else (count, m, k), dtype)
        b = numbers((count, n, k) if transpose_b else (count, k, n), dtype, 1)
        y = assert_op(backend, "bmm", a, b, transpose_a=transpose_a, transpose_b=transpose_b)
        for i in range(count):
            assert_same_bits(y[i], backend.gemm(a[i], b[i], transpose_a, transpose_b))


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        ((full(2, 3, 4), full(3, 4, 5)), ValueError, r"^bmm: a holds 2 matrices but b holds 3$"),
        ((full(2, 3, 4), full(2, 5, 4)), ValueError, r"^bmm: op\(a\) has 4 columns but op\(b\) has 5 rows$"),
        ((full(3, 4), full(2, 4, 5)), ValueError, r"^bmm: a must have 3 dimensions \(B, M, L\), got 2 with shape"),
    ],
)
def test_bmm_refuses(backend: ModuleType, args: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        backend.bmm(*args)
