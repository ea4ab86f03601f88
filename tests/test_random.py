"""Philox4x32-10 against its published vectors, and the random ops against the formulas of numerics section 10."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nnlite import reference
from nnlite.reference import arith, random
from support import assert_same_bits

SEEDS = [(0, 0, 0), (1, 2, 3), (0xDEADBEEF12345678, 5, 0), (2**64 - 1, 2**32 - 1, 2**32 - 1)]


# The vectors that Random123 publishes (kat_vectors, philox4x32, 10 rounds).
@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_philox_known_answers(counter: str, key: str, expected: str) -> None:
    words = np.array([[int(word, 16)] for word in counter.split()], np.uint32)
    low, high = (int(word, 16) for word in key.split())
    assert [f"{word:08x}" for word in random.philox(words, (low, high))[:, 0]] == expected.split()


def test_known_answers_through_the_op(backend: ModuleType) -> None:
    expected = np.array([0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8], np.uint32)
    assert_same_bits(backend.random_bits(4, 0, 0, 0), expected)


@pytest.mark.parametrize(("seed", "draw", "stream"), SEEDS)
def test_words_are_counted(backend: ModuleType, seed: int, draw: int, stream: int) -> None:
    words = backend.random_bits(11, seed, draw, stream)
    assert words.dtype == np.uint32
    blocks = [np.array([[block], [0], [draw], [stream]], np.uint32) for block in range(3)]
    expected = np.concatenate([random.philox(block, (seed % 2**32, seed // 2**32))[:, 0] for block in blocks])
    assert_same_bits(words, expected[:11])


def test_64_bits_are_two_words() -> None:
    words = random.bits(10, 7, 1, 3).astype(object)
    assert random.bits64(5, 7, 1, 3).tolist() == [words[2 * i] + 2**32 * words[2 * i + 1] for i in range(5)]


@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 1000])
def test_a_shorter_draw_is_the_start_of_a_longer_one(backend: ModuleType, n: int) -> None:
    assert_same_bits(backend.random_bits(n, 3, 1, 0), random.bits(1200, 3, 1, 0)[:n])


def test_uniform_float32_is_the_written_formula(backend: ModuleType) -> None:
    low, high = -0.3, 0.1
    u = [int(word >> 8) * 2.0**-24 for word in random.bits(50, 9, 2, 0)]
    expected = np.array([np.float32(low) + np.float32(v) * np.float32(high - low) for v in u]).reshape(5, 10)
    assert_same_bits(backend.random_uniform((5, 10), low, high, np.float32, 9, 2, 0), expected)


def test_uniform_float64_is_the_written_formula(backend: ModuleType) -> None:
    low, high = -0.3, 0.1
    expected = np.array([low + int(word >> 11) * 2.0**-53 * (high - low) for word in random.bits64(7, 9, 2, 0)])
    assert_same_bits(backend.random_uniform((7,), low, high, np.float64, 9, 2, 0), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normal_is_the_written_formula(backend: ModuleType, dtype: npt.DTypeLike) -> None:
    words = [int(word >> 11) * 2.0**-53 for word in random.bits64(8, 4, 0, 3)]
    z: list[float] = []
    for a, b in zip(words[0::2], words[1::2], strict=True):
        radius = math.sqrt(-2.0 * float(arith.log(np.array(1.0 - a))))
        sine, cosine = arith.sincos2pi(np.array(b))
        z += [radius * float(cosine), radius * float(sine)]
    expected = np.array([0.5 + 3.0 * value for value in z[:7]]).astype(dtype)
    assert_same_bits(backend.random_normal((7,), 0.5, 3.0, dtype, 4, 0, 3), expected)


def test_normal_does_not_overflow_where_the_uniform_number_is_0() -> None:
    assert float(arith.log(np.array(1.0 - 0.0))) == 0.0


@pytest.mark.parametrize("n", [0, 1, 2, 10, 1000, 5000])
def test_permutation_is_the_order_of_64_bit_draws(backend: ModuleType, n: int) -> None:
    order = backend.random_permutation(n, 5, 1, 1)
    assert order.dtype == np.int64
    draws = random.bits64(n, 5, 1, 1).tolist()
    assert order.tolist() == sorted(range(n), key=draws.__getitem__)


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (3, 5, 7), (1501,)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_backends_give_the_reference_bits(backend: ModuleType, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
    for seed, draw, stream in SEEDS:
        for op in ("random_uniform", "random_normal"):
            got = getattr(backend, op)(shape, -1.5, 2.5, dtype, seed, draw, stream)
            assert_same_bits(got, getattr(reference, op)(shape, -1.5, 2.5, dtype, seed, draw, stream))


def test_moments() -> None:
    uniform = random.random_uniform((100000,), 2.0, 4.0, np.float64, 1, 0, 3)
    assert uniform.min() >= 2
    assert uniform.max() < 4
    assert abs(uniform.mean() - 3) < 0.01
    normal = random.random_normal((100000,), 1.0, 2.0, np.float64, 1, 0, 3)
    assert abs(normal.mean() - 1) < 0.03
    assert abs(normal.std() - 2) < 0.03
    assert abs(np.mean((normal - 1) ** 4) / 16 - 3) < 0.15


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((-1, 0, 0), "seed must be from 0"),
        ((2**64, 0, 0), "seed must be from 0"),
        ((0, -1, 0), "draw must be from 0"),
        ((0, 2**32, 0), "draw must be from 0"),
        ((0, 0, -1), "stream must be from 0"),
        ((0, 0, 2**32), "stream must be from 0"),
    ],
)
@pytest.mark.parametrize(
    ("op", "arguments"),
    [
        ("random_bits", (3,)),
        ("random_uniform", ((3,), 0.0, 1.0, np.float32)),
        ("random_normal", ((3,), 0.0, 1.0, np.float32)),
        ("random_permutation", (3,)),
    ],
)
def test_numbers_out_of_range_are_refused(
    backend: ModuleType, op: str, arguments: tuple[Any, ...], numbers: tuple[int, int, int], message: str
) -> None:
    with pytest.raises(ValueError, match=f"{op}: {message}"):
        getattr(backend, op)(*arguments, *numbers)


@pytest.mark.parametrize("op", ["random_uniform", "random_normal"])
def test_shapes_and_types_are_refused(backend: ModuleType, op: str) -> None:
    with pytest.raises(ValueError, match=f"{op}: shape must not hold a negative size"):
        getattr(backend, op)((2, -3), 0.0, 1.0, np.float32, 0, 0, 0)
    with pytest.raises(TypeError, match=f"{op}: dtype must be float32 or float64, got int64"):
        getattr(backend, op)((2,), 0.0, 1.0, np.int64, 0, 0, 0)


@pytest.mark.parametrize("op", ["random_bits", "random_permutation"])
def test_negative_counts_are_refused(backend: ModuleType, op: str) -> None:
    with pytest.raises(ValueError, match=f"{op}: n must not be negative, got -1"):
        getattr(backend, op)(-1, 0, 0, 0)


@pytest.mark.parametrize("wrong", [True, 1.0, "1", None])
def test_numbers_that_are_no_ints_are_refused(backend: ModuleType, wrong: Any) -> None:
    with pytest.raises(TypeError, match="random_bits: n must be an int, got"):
        backend.random_bits(wrong, 0, 0, 0)
    with pytest.raises(TypeError, match="random_bits: seed must be an int, got"):
        backend.random_bits(1, wrong, 0, 0)
    with pytest.raises(TypeError, match="random_permutation: draw must be an int, got"):
        backend.random_permutation(1, 0, wrong, 0)
