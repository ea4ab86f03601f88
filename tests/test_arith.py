"""fma, dot products and sums against exact and naive scalar oracles, on every backend that offers them as an op."""

from __future__ import annotations

import math
from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nnlite.reference import arith
from support import assert_same_bits, rng

Array = npt.NDArray[Any]
DTYPES = [np.float32, np.float64]


def nearest(value: Fraction, dtype: npt.DTypeLike) -> float:
    """The number of ``dtype`` nearest to ``value``, ties to even."""
    digits, least, top = (24, -149, 128) if dtype == np.float32 else (53, -1074, 1024)
    if value == 0:
        return 0.0
    exponent = abs(value.numerator).bit_length() - value.denominator.bit_length()
    if abs(value) < Fraction(2) ** exponent:
        exponent -= 1
    unit = max(exponent - digits + 1, least)
    count = round(value / Fraction(2) ** unit)
    overflow = abs(count) * Fraction(2) ** unit >= Fraction(2) ** top
    return math.copysign(math.inf if overflow else math.ldexp(abs(count), unit), -1 if value < 0 else 1)


def exact_fma(a: float, b: float, c: float, dtype: npt.DTypeLike) -> float:
    if not (math.isfinite(a) and math.isfinite(b)):
        return a * b + c
    if not math.isfinite(c):
        return c
    value = Fraction(a) * Fraction(b) + Fraction(c)
    if value == 0 and (a == 0 or b == 0):
        return a * b + c  # the signs of zeros
    return nearest(value, dtype)


def exact_fmas(a: Array, b: Array, c: Array) -> Array:
    values = [exact_fma(float(p), float(q), float(r), a.dtype) for p, q, r in zip(a, b, c, strict=True)]
    return np.array(values, a.dtype)


def halfway_cases(dtype: npt.DTypeLike, n: int) -> tuple[Array, Array, Array]:
    """``c`` plus a product that is a hair off half a unit of ``c``: to round twice is to fall on the wrong side."""
    digits, least = (24, -149) if dtype == np.float32 else (53, -1074)
    random = rng(1)
    i = random.integers(1, 3, n)
    unit = 2.0 ** (1 - digits)
    shift = random.integers(-30, 30, n)
    a = (1.0 + i * unit) * 2.0**shift
    b = (1.0 - i * unit) * 2.0 ** (-digits - shift) * random.choice([-1.0, 1.0], n)
    c = (1.0 + random.integers(0, 2**20, n) * unit) * random.choice([-1.0, 1.0], n)
    # Every fourth result is subnormal: half of the least number, from two factors of about 2**(least / 2).
    low = slice(0, n, 4)
    a[low] = (1.0 + i[low] * unit) * 2.0 ** (least // 2)
    b[low] = (1.0 - i[low] * unit) * 2.0 ** (least - 1 - least // 2)
    c[low] = random.integers(0, 1000, len(c[low])) * 2.0**least
    return a.astype(dtype), b.astype(dtype), c.astype(dtype)


def random_bits(dtype: npt.DTypeLike, n: int) -> tuple[Array, Array, Array]:
    kind = np.uint32 if dtype == np.float32 else np.uint64
    a, b, c = rng(2).integers(0, np.iinfo(kind).max, (3, n), dtype=kind, endpoint=True).view(dtype)
    return a, b, c


def special_cases(dtype: npt.DTypeLike) -> tuple[Array, Array, Array]:
    info = np.finfo(dtype)
    values = [0.0, -0.0, 1.0, -3.0, math.inf, -math.inf, math.nan]
    values += [info.max, -info.max, info.tiny, info.smallest_subnormal]
    a, b, c = np.stack(np.meshgrid(values, values, values)).reshape(3, -1).astype(dtype)
    return a, b, c


def cancelling_cases(dtype: npt.DTypeLike, n: int) -> tuple[Array, Array, Array]:
    a, b = rng(3).standard_normal((2, n)).astype(dtype)
    return a, b, -(a * b)


def all_cases(dtype: npt.DTypeLike) -> tuple[Array, Array, Array]:
    groups = [halfway_cases(dtype, 2000), random_bits(dtype, 1000), special_cases(dtype), cancelling_cases(dtype, 500)]
    a, b, c = (np.concatenate(parts) for parts in zip(*groups, strict=True))
    return a, b, c


@pytest.mark.parametrize("dtype", DTYPES)
def test_fma_is_the_exact_value_rounded_once(dtype: npt.DTypeLike) -> None:
    a, b, c = all_cases(dtype)
    assert_same_bits(arith.fma(a, b, c), exact_fmas(a, b, c))


def test_halfway_cases_need_the_single_rounding() -> None:
    a, b, c = halfway_cases(np.float32, 400)
    twice = (a.astype(np.float64) * b + c).astype(np.float32)
    assert np.mean(twice != arith.fma(a, b, c)) > 0.2


def test_fma_broadcasts() -> None:
    a = np.ones((3, 1), np.float32)
    b = np.arange(4, dtype=np.float32)
    assert_same_bits(arith.fma(a, b, np.array(2, np.float32)), np.broadcast_to(b + 2, (3, 4)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_gemm_uses_one_fma_per_k(backend: ModuleType, dtype: npt.DTypeLike) -> None:
    # fma(a, b, fma(c, 1, +0)), where c = -0 has become +0; in groups, since only the diagonal has a scalar oracle.
    a, b, c = all_cases(dtype)
    for i in range(0, len(a), 100):
        p, q, r = a[i : i + 100], b[i : i + 100], c[i : i + 100]
        one = np.ones_like(r)
        product = backend.gemm(np.stack([r, p], axis=1), np.stack([one, q]))
        with np.errstate(invalid="ignore"):
            assert_same_bits(product.diagonal().copy(), exact_fmas(p, q, r + 0))


def naive_dot(a: Array, b: Array) -> float:
    """The block rule, one number at a time."""
    result = 0.0
    for start in range(0, len(a), 512):
        block = 0.0
        for p, q in zip(a[start : start + 512], b[start : start + 512], strict=True):
            block = exact_fma(float(p), float(q), block, a.dtype)
        result = float(a.dtype.type(result) + a.dtype.type(block)) if start else block
    return result


def naive_gemm(a: Array, b: Array) -> Array:
    return np.array([[naive_dot(row, column) for column in b.T] for row in a], a.dtype).reshape(len(a), b.shape[1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", [0, 1, 2, 511, 512, 513, 1024, 1100])
def test_dot_products_go_by_blocks_of_512(backend: ModuleType, dtype: npt.DTypeLike, length: int) -> None:
    a = rng(4).standard_normal((2, length)).astype(dtype)
    b = rng(5).standard_normal((length, 3)).astype(dtype)
    assert_same_bits(backend.gemm(a, b), naive_gemm(a, b))


def test_the_block_length_decides_bits() -> None:
    a = rng(4).standard_normal((4, 1100)).astype(np.float32)
    b = rng(5).standard_normal((1100, 4)).astype(np.float32)
    chain = np.zeros((4, 4), np.float32)
    for k in range(1100):
        chain = arith.fma(a[:, k, None], b[None, k], chain)
    assert np.any(arith.dot(a, b) != chain)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dot_products_of_tiny_and_huge_numbers(backend: ModuleType, dtype: npt.DTypeLike) -> None:
    exponents = 70 if dtype == np.float32 else 530
    random = rng(6)
    a = (random.standard_normal((3, 40)) * 2.0 ** random.integers(-exponents, exponents, (3, 40))).astype(dtype)
    b = (random.standard_normal((40, 3)) * 2.0 ** random.integers(-exponents, exponents, (40, 3))).astype(dtype)
    a[:, ::7] = 0
    assert_same_bits(backend.gemm(a, b), naive_gemm(a, b))
    a, b = a * dtype(2.0**-exponents), b * dtype(2.0**-exponents)  # type: ignore[operator]
    assert_same_bits(backend.gemm(a, b), naive_gemm(a, b))


@pytest.mark.parametrize("dtype", DTYPES)
def test_dot_tiles_do_not_change_bits(dtype: npt.DTypeLike) -> None:
    a = rng(7).standard_normal((70, 5)).astype(dtype)
    b = rng(8).standard_normal((5, 2100)).astype(dtype)
    whole = arith.dot(a, b)
    assert_same_bits(arith.dot(a[69:], b[:, 2000:]), whole[69:, 2000:])


def naive_sum(x: Array) -> Array:
    """The lane rule, one number at a time."""
    values = list(x)
    while True:
        sums = []
        for start in range(0, len(values), 4096):
            lanes = [x.dtype.type(0)] * 32
            for i, value in enumerate(values[start : start + 4096]):
                lanes[i % 32] = lanes[i % 32] + value
            for width in (16, 8, 4, 2, 1):
                lanes[:width] = [lanes[i] + lanes[i + width] for i in range(width)]
            sums.append(lanes[0])
        if len(sums) < 2:
            return np.array(sums[0] if sums else 0, x.dtype)
        values = sums


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [0, 1, 2, 31, 32, 33, 63, 1000, 4095, 4096, 4097, 8192, 12301])
def test_sums_go_by_lanes_and_chunks(backend: ModuleType, dtype: npt.DTypeLike, n: int) -> None:
    x = rng(9).standard_normal(n).astype(dtype)
    assert_same_bits(backend.sum_forward(x), naive_sum(x))


def test_sums_of_chunk_sums_go_by_the_same_rule() -> None:
    x = rng(10).standard_normal(4096 * 33 + 5).astype(np.float32)
    assert_same_bits(arith.total(x), naive_sum(x))


def test_sums_of_special_values() -> None:
    assert_same_bits(arith.total(np.array([-0.0], np.float32)), np.array(0.0, np.float32))
    assert_same_bits(arith.total(np.array([math.inf, -math.inf])), np.array(math.nan))


def test_total_runs_over_any_axis() -> None:
    x = rng(11).standard_normal((3, 5, 70)).astype(np.float32)
    assert_same_bits(arith.total(x), np.array([[naive_sum(row) for row in plane] for plane in x]))
    assert_same_bits(arith.total(x, axis=0), np.array([[naive_sum(x[:, i, j]) for j in range(70)] for i in range(5)]))


def test_plane_total_sums_planes_and_then_samples() -> None:
    x = rng(12).standard_normal((40, 2, 9)).astype(np.float32)
    expected = np.array([naive_sum(np.array([naive_sum(plane) for plane in x[:, c]])) for c in range(2)])
    assert_same_bits(arith.plane_total(x), expected)
    assert_same_bits(arith.plane_total(np.zeros((0, 2, 9))), np.zeros(2))


@pytest.mark.parametrize(("dtype", "least"), [(np.float32, 2.0**-100), (np.float64, 2.0**-970)])
def test_flush(dtype: npt.DTypeLike, least: float) -> None:
    m = np.array([least, -least, least / 2, -least / 2, -0.0, 1.0, math.inf, math.nan], dtype)
    assert_same_bits(arith.flush(m), np.array([least, -least, 0, 0, 0, 1.0, math.inf, math.nan], dtype))


def test_round_scalar_rounds_once() -> None:
    assert arith.round_scalar(1 + 2.0**-24 + 2.0**-50, np.float32) == np.float32(1 + 2.0**-23)
    assert arith.round_scalar(0.1, np.float64) == 0.1
    assert arith.round_scalar(1e300, np.float32) == math.inf


def test_the_reference_refuses_flush_to_zero() -> None:
    torch = pytest.importorskip("torch")
    arith.require_float_state()
    if not torch.set_flush_denormal(True):
        pytest.skip("this CPU has no flush-to-zero mode")
    try:
        with pytest.raises(RuntimeError, match="flush-to-zero is switched on"):
            arith.require_float_state()
    finally:
        torch.set_flush_denormal(False)
    arith.require_float_state()
