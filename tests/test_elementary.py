"""exp, log, tanh, sigmoid, expm1, log1p and erf against mpmath: float32 correctly rounded, float64 within 2 ulp."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import mpmath
import numpy as np
import numpy.typing as npt
import pytest

from nnlite import reference
from nnlite.reference import arith
from support import assert_same_bits, rng

Array = npt.NDArray[Any]

EXACT: dict[str, Callable[[Any], Any]] = {
    "exp": mpmath.exp,
    "log": mpmath.log,
    "tanh": mpmath.tanh,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "expm1": mpmath.expm1,
    "log1p": mpmath.log1p,
    "erf": mpmath.erf,
}
FUNCTIONS = sorted(EXACT)

# Results so near to halfway between two float32 numbers that a float64 evaluation, rounded, goes wrong on many of them.
HARD = {
    "exp": [0x4288942B, 0xC16912CD],
    "log": [0x3C413D3A, 0x41178FEB, 0x4C5D65A5, 0x65D890D3, 0x6F31A8EC],
    "tanh": [],
    "expm1": [],
    "log1p": [
        0x35400003,
        0x3710001B,
        0x3EFD81AD,
        0x41078FEB,
        0x65D890D3,
        0x6F31A8EC,
        0xB53FFFFD,
        0xB70FFFE5,
        0xBB0EC8C4,
    ],
    "erf": [],
    "sigmoid": [
        0x34C00000,
        0x35600000,
        0x35B00000,
        0x35F00000,
        0x36180000,
        0x36FC0000,
        0x37660000,
        0xB4400000,
        0xB7730000,
        0xBE104170,
    ],
}

EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0**-30, -(2.0**-30), 2.0**-13, -(2.0**-13), 2.0**-149, -(2.0**-149), 2.0**-126]
EDGES += [0.55, 9.0108, 9.011, 16.635, 17.33, 18.0, 20.0, 40.0]
EDGES32 = [88.72283, 88.72284, 100.0, -87.33654, -87.33655, -103.2, -103.97207, -103.97208, -120.0, 3.4e38, -3.4e38]
EDGES64 = [2.0**-1074, 2.0**-1022, 709.782712893384, 709.7827128933841, -708.3964185322641]
EDGES64 += [-745.1332191019411, -745.1332191019412, 720.0, -760.0, 1e308, -1e308]
SPECIAL = [math.inf, -math.inf, math.nan]


def samples32(function: str) -> Array:
    random = rng(1)
    patterns = random.integers(0, 2**32, 400, dtype=np.uint32).view(np.float32)
    near = np.concatenate([random.standard_normal(400) * 4, random.uniform(-104, 89, 400)]).astype(np.float32)
    edges = np.array(EDGES + EDGES32, np.float32)
    around = np.concatenate([np.nextafter(edges, np.float32(s)) for s in (-np.inf, np.inf)])
    hard = np.array(HARD[function], np.uint32).view(np.float32)
    x = np.concatenate([patterns, near, edges, around, hard])
    return x[np.isfinite(x)]


def samples64() -> Array:
    random = rng(2)
    patterns = random.integers(0, 2**64, 400, dtype=np.uint64).view(np.float64)
    near = [random.standard_normal(800) * 2, random.uniform(-746, 710, 400), random.uniform(0.5, 1.5, 400)]
    near += [random.uniform(-40, 0, 800)]
    tiny = 2.0 ** random.uniform(-60, 0, 200)
    x = np.concatenate([patterns, *near, tiny, -tiny, EDGES, EDGES64])
    return x[np.isfinite(x)]


def unit(value: Any, digits: int, least: int) -> int:
    """The exponent of the last place of a number near ``value``."""
    return max(int(mpmath.floor(mpmath.log(abs(value), 2))) - digits + 1, least)


def nearest32(value: Any) -> float:
    """The float32 nearest to a number of mpmath."""
    if value == 0 or not mpmath.isfinite(value):
        return float(value)
    exponent = unit(value, 24, -149)
    rounded = mpmath.ldexp(mpmath.nint(mpmath.ldexp(value, -exponent)), exponent)
    return math.copysign(math.inf if abs(rounded) >= mpmath.mpf(2) ** 128 else float(abs(rounded)), value)


def exact(function: str, x: Array) -> list[Any]:
    with mpmath.workprec(300):
        numbers = [mpmath.mpf(float(value)) for value in x]
        least = {"log": 0, "log1p": -1}.get(function, -mpmath.inf)
        return [mpmath.nan if value < least else EXACT[function](value) for value in numbers]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_float32_is_correctly_rounded(backend: ModuleType, function: str) -> None:
    x = samples32(function)
    with mpmath.workprec(300):
        expected = np.array([nearest32(value) for value in exact(function, x)], np.float32)
    expected[(x == 0) & (expected == 0)] = x[(x == 0) & (expected == 0)]  # mpmath has no -0
    assert_same_bits(getattr(backend, f"{function}_forward")(x), expected)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_float64_is_within_2_ulp(function: str) -> None:
    x = samples64()
    worst = 0.0
    with mpmath.workprec(300):
        for got, value in zip(getattr(arith, function)(x), exact(function, x), strict=True):
            if mpmath.isnan(value):
                assert math.isnan(got)
            elif value == 0:
                assert got == 0
            elif abs(value) >= mpmath.mpf(2) ** 1024:
                assert got == math.copysign(math.inf, value)
            else:
                worst = max(worst, float(abs(got - value) / mpmath.mpf(2) ** unit(value, 53, -1074)))
    assert worst <= 2
    assert worst > 0.4  # a perfect score would say that the yardstick is broken


@pytest.mark.parametrize("function", FUNCTIONS)
def test_backends_give_the_reference_bits(backend: ModuleType, function: str) -> None:
    for x in (samples64(), samples32(function), np.array(SPECIAL), np.array(SPECIAL, np.float32)):
        name = f"{function}_forward"
        assert_same_bits(getattr(backend, name)(x), getattr(reference, name)(x))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("function", "values"),
    [
        ("exp", [(0.0, 1.0), (-0.0, 1.0), (math.inf, math.inf), (-math.inf, 0.0), (1e4, math.inf), (-1e4, 0.0)]),
        ("log", [(0.0, -math.inf), (-0.0, -math.inf), (1.0, 0.0), (math.inf, math.inf)]),
        ("log", [(-1.0, math.nan), (-math.inf, math.nan), (-(2.0**-149), math.nan)]),
        ("tanh", [(0.0, 0.0), (-0.0, -0.0), (math.inf, 1.0), (-math.inf, -1.0), (30.0, 1.0), (-30.0, -1.0)]),
        ("expm1", [(0.0, 0.0), (-0.0, -0.0), (math.inf, math.inf), (-math.inf, -1.0), (1e4, math.inf), (-1e4, -1.0)]),
        ("log1p", [(0.0, 0.0), (-0.0, -0.0), (-1.0, -math.inf), (math.inf, math.inf), (-1.5, math.nan)]),
        ("erf", [(0.0, 0.0), (-0.0, -0.0), (math.inf, 1.0), (-math.inf, -1.0), (7.0, 1.0), (-7.0, -1.0)]),
        ("sigmoid", [(0.0, 0.5), (-0.0, 0.5), (math.inf, 1.0), (-math.inf, 0.0), (1e4, 1.0), (-1e4, 0.0)]),
    ],
)
def test_special_values(backend: ModuleType, function: str, values: list[Any], dtype: npt.DTypeLike) -> None:
    x, expected = np.array([*values, (math.nan, math.nan)], dtype).T.copy()
    assert_same_bits(getattr(backend, f"{function}_forward")(x), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tanh_is_odd(dtype: npt.DTypeLike) -> None:
    x = rng(3).standard_normal(1000).astype(dtype)
    assert_same_bits(arith.tanh(-x), -arith.tanh(x))


def test_sincos2pi_is_within_2_ulp() -> None:
    u = np.concatenate([rng(4).uniform(0, 1, 1000), rng(5).uniform(-50, 50, 300), 2.0 ** -np.arange(1.0, 60.0)])
    with mpmath.workprec(300):
        for got, function in zip(arith.sincos2pi(u), (mpmath.sinpi, mpmath.cospi), strict=True):
            for value, at in zip(got, u, strict=True):
                right = function(2 * mpmath.mpf(float(at)))
                if right != 0:
                    assert abs(value - right) <= 2 * mpmath.mpf(2) ** unit(right, 53, -1074), at
                else:
                    assert value == 0, at


def test_sincos2pi_at_quarter_turns() -> None:
    sine, cosine = arith.sincos2pi(np.array([0.0, 0.25, 0.5, 0.75, 1.0, -0.25]))
    assert sine.tolist() == [0, 1, 0, -1, 0, -1]
    assert cosine.tolist() == [1, 0, -1, 0, 1, 0]
