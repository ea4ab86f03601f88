"""The arithmetic of docs/numerics.md in NumPy: fused multiply-add, dot products, sums and elementary functions.

Only ``+ - * / sqrt``, comparisons and bit operations of NumPy are used: ``np.exp``, ``np.sum`` and ``@`` give other
bits on other machines. Every function takes float32 or float64 arrays and returns new arrays of the same type.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt

from nnlite.rounding import require_nearest

Array = npt.NDArray[Any]

DOT_BLOCK = 512  # k per block of a dot product
SUM_CHUNK = 4096  # elements per chunk of a sum
SUM_LANES = 32  # partial sums in a chunk


def require_float_state() -> None:
    """Raise ``RuntimeError`` if this thread flushes subnormal numbers to zero or does not round to nearest.

    A shared library built with ``-Ofast`` switches that mode on for the whole process.
    """
    halved = np.array([2.0**-1022]) * 0.5
    doubled = np.array([1], np.uint64).view(np.float64) * 2.0
    if halved[0] == 0 or doubled[0] == 0:
        raise RuntimeError(
            "nnlite.reference: flush-to-zero is switched on in this thread, so subnormal numbers are lost and results "
            "have other bits; a library built with -Ofast or -ffast-math, or torch.set_flush_denormal(True), does this"
        )
    require_nearest("nnlite.reference")


# Fused multiply-add (section 2)


def fma(a: Array, b: Array, c: Array) -> Array:
    """``a * b + c`` with one rounding, elementwise with broadcasting.

    Args:
        a, b, c: arrays of one type, float32 or float64.

    Returns:
        The numbers of that type nearest to the exact values. float64 follows Boldo and Melquiond, "Emulation of FMA and
        correctly rounded sums: proved algorithms using rounding to odd" (2008).
    """
    a, b, c = np.broadcast_arrays(a, b, c)
    with np.errstate(all="ignore"):
        if a.dtype == np.float32:
            # The product of two 24-bit numbers is exact in float64, so only the sum is inexact.
            total, error = _two_sum(a.astype(np.float64) * b, c.astype(np.float64))
            return np.asarray(_to_odd(total, error)).astype(np.float32)
        return _fma64(a, b, c)


def _two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """``a + b`` and its rounding error (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _to_odd(total: Array, error: Array) -> Array:
    """``total + error`` rounded to odd: the one of the two neighbours whose last bit is 1, unless ``error`` is 0.

    ``|error|`` is at most half an ulp of ``total``. A second rounding to fewer bits then sees on which side of a
    halfway point the exact value lies.
    """
    bits = total.view(np.int64)
    away = (error > 0) == (total > 0)
    move = ((error > 0) | (error < 0)) & (bits & 1 == 0)
    return np.where(move, np.where(away, bits + 1, bits - 1), bits).view(np.float64)


def _split(a: Array) -> tuple[Array, Array]:
    """``a`` as the sum of two numbers of 26 bits (Veltkamp)."""
    scaled = a * 134217729.0  # 2**27 + 1
    high = scaled - (scaled - a)
    return high, a - high


def _product_error(product: Array, a: tuple[Array, Array], b: tuple[Array, Array]) -> Array:
    """``a * b - product``, from the halves of the factors (Dekker)."""
    error: Array = ((a[0] * b[0] - product) + a[0] * b[1] + a[1] * b[0]) + a[1] * b[1]
    return error


def _fma64(a: Array, b: Array, c: Array) -> Array:
    product = a * b
    finite = np.isfinite(a) & np.isfinite(b)
    safe = _within(a, -480, 480) & _within(b, -480, 480) & _within(c, -900, 960) & (np.abs(product) >= 2.0**-900)

    result = _add_pair(product, _product_error(product, _split(a), _split(b)), c)

    # One rounding is left where a factor is 0 or c is (unless the product underflows to a zero, whose sign counts);
    # an infinite or NaN factor decides the result by itself.
    plain = (a == 0) | (b == 0) | ((c == 0) & (product != 0)) | ~finite
    result = np.where(plain, product + c, result)
    # Finite factors never outweigh an infinite or NaN c, even where their product overflows.
    result = np.where(finite & ~np.isfinite(c), c, result)
    for i in np.argwhere(~plain & ~safe & np.isfinite(c)):
        at = tuple(i)
        result[at] = _fma_exact(float(a[at]), float(b[at]), float(c[at]))
    return result


def _within(a: Array, low: int, high: int) -> npt.NDArray[np.bool_]:
    magnitude = np.abs(a)
    return (magnitude >= 2.0**low) & (magnitude <= 2.0**high)


def _add_pair(high: Array, low: Array, c: Array) -> Array:
    """``(high + low) + c`` rounded once; ``high + low`` is an exact product, no step overflows or is subnormal."""
    upper, upper_error = _two_sum(c, low)
    total, total_error = _two_sum(high, upper)
    return total + _to_odd(*_two_sum(total_error, upper_error))


def _fma_exact(a: float, b: float, c: float) -> float:
    """fma of finite numbers, ``a * b`` not zero, in Python's integers."""
    (p, q), (r, s), (t, u) = a.as_integer_ratio(), b.as_integer_ratio(), c.as_integer_ratio()
    numerator = p * r * u + t * q * s
    try:
        return numerator / (q * s * u)  # int / int is correctly rounded; an exact zero is +0
    except OverflowError:
        return float("inf") if numerator > 0 else float("-inf")


# Dot products (section 2)


def dot(a: Array, b: Array) -> Array:
    """Matrix product by dot products: within blocks of 512 one fma per k, ascending; then the block sums, ascending.

    Args:
        a: ``(M, L)``.
        b: ``(L, N)``, of the same type.

    Returns:
        ``(M, N)``.
    """
    (m, length), n = a.shape, b.shape[1]
    block_sums = _block_sums32 if a.dtype == np.float32 else _block_sums64
    result = np.zeros((m, n), a.dtype)
    # Tiles of about 2**15 elements keep the temporaries of one step in the cache.
    width = min(max(n, 1), 1024)
    height = max(1, 2**15 // width)
    with np.errstate(all="ignore"):
        for k in range(0, length, DOT_BLOCK):
            for i in range(0, m, height):
                for j in range(0, n, width):
                    sums = block_sums(a[i : i + height, k : k + DOT_BLOCK], b[k : k + DOT_BLOCK, j : j + width])
                    tile = result[i : i + height, j : j + width]
                    tile[...] = sums if k == 0 else tile + sums
    return result


def _block_sums32(a: Array, b: Array) -> Array:
    columns = np.ascontiguousarray(a.T, np.float64)[:, :, None]
    rows = np.ascontiguousarray(b, np.float64)[:, None, :]
    sums = np.zeros((a.shape[0], b.shape[1]), np.float32)
    wide_sums = sums.astype(np.float64)
    product = np.empty_like(wide_sums)
    total = np.empty_like(wide_sums)
    low_bits = np.empty(sums.shape, np.int64)
    # Two roundings differ from one only where the float64 sum is inexact and lies halfway between two float32 numbers.
    # Normal numbers show this in their low 29 bits. A subnormal sum can be inexact only where a product is tiny: then
    # every step takes the general way.
    tiny = _least_magnitude(a) * _least_magnitude(b) < 2.0**-130
    for column, row in zip(columns, rows, strict=True):
        np.multiply(column, row, out=product)
        np.add(product, wide_sums, out=total)
        np.bitwise_and(total.view(np.int64), 0x1FFFFFFF, out=low_bits)
        if tiny or (low_bits == 0x10000000).any():
            total = _to_odd(*_two_sum(product, wide_sums))
        np.copyto(sums, total, casting="same_kind")
        np.copyto(wide_sums, sums)
    return sums


def _least_magnitude(a: Array) -> float:
    """The least magnitude of the elements that are not 0, as float64."""
    magnitude = np.abs(a[a != 0], dtype=np.float64)
    return float(np.min(magnitude, initial=np.inf, where=~np.isnan(magnitude)))


def _block_sums64(a: Array, b: Array) -> Array:
    sums = np.zeros((a.shape[0], b.shape[1]))
    columns = np.ascontiguousarray(a.T)[:, :, None]
    rows = np.ascontiguousarray(b)[:, None, :]
    if not (((a == 0) | _within(a, -300, 300)).all() and ((b == 0) | _within(b, -300, 300)).all()):
        for column, row in zip(columns, rows, strict=True):
            sums = _fma64(*np.broadcast_arrays(column, row, sums))
        return sums
    # Every product and every sum is 0 or within 2**-704 and 2**610, which is safe for the products' errors too.
    for column, row in zip(columns, rows, strict=True):
        product = column * row
        sums = _add_pair(product, _product_error(product, _split(column), _split(row)), sums)
    return sums


# Sums (section 4)


def total(x: Array, axis: int = -1) -> Array:
    """``Sum`` along ``axis``: chunks of 4,096 elements, 32 lanes each, and the chunk sums by the same rule.

    Returns:
        ``x`` without ``axis``; an empty sum is +0.
    """
    x = np.moveaxis(x, axis, -1)
    with np.errstate(all="ignore"):
        while True:
            x = _chunk_sums(x)
            if x.shape[-1] == 1:
                return np.array(x[..., 0])


def _chunk_sums(x: Array) -> Array:
    """``(..., n)`` -> ``(..., number of chunks)``. No lane is ever -0, so filling up with +0 changes nothing."""
    lead, n = x.shape[:-1], x.shape[-1]
    chunk = SUM_CHUNK if n > SUM_CHUNK else max(-(-n // SUM_LANES), 1) * SUM_LANES
    chunks = max(-(-n // chunk), 1)
    filled = np.zeros((*lead, chunks * chunk), x.dtype)
    filled[..., :n] = x
    steps = filled.reshape(*lead, chunks, chunk // SUM_LANES, SUM_LANES)
    lanes = np.zeros((*lead, chunks, SUM_LANES), x.dtype)
    for i in range(steps.shape[-2]):
        lanes += steps[..., i, :]
    width = SUM_LANES // 2
    while width:
        lanes[..., :width] += lanes[..., width : 2 * width]
        width //= 2
    return lanes[..., 0]


def plane_total(x: Array) -> Array:
    """``(N, C, P)`` -> ``(C,)``: each plane by :func:`total`, then the ``N`` plane sums by :func:`total`."""
    if x.shape[2] == 0:  # however many planes
        x = x[:0]
    return total(total(x), axis=0)


# Elementary functions (section 9). Of float32 they are the float64 functions rounded once, which is the correct
# rounding but for a few inputs in tables and for the sigmoid near 0.

_LOG2_E = float.fromhex("0x1.71547652b82fep+0")
_LN2_HIGH = float.fromhex("0x1.62e42fefa3800p-1")  # 42 bits: n * _LN2_HIGH is exact for |n| < 2**11
_LN2_LOW = float.fromhex("0x1.ef35793c76730p-45")
_INTEGER = 1.5 * 2.0**52  # x + _INTEGER has the integer nearest to x in its low bits
_ROUND = _INTEGER + 1023.0  # x + _ROUND has the exponent field of 2 to that integer there

_EXP = [
    float.fromhex(c)
    for c in (
        "0x1.0000000000000p-1",
        "0x1.5555555555556p-3",
        "0x1.5555555555555p-5",
        "0x1.11111111109b3p-7",
        "0x1.6c16c16c167e1p-10",
        "0x1.a01a01a7c41d5p-13",
        "0x1.a01a01a47b054p-16",
        "0x1.71de0dae63bb3p-19",
        "0x1.27e4e1f48534fp-22",
        "0x1.af38a9b0ec855p-26",
        "0x1.1f66df7fca49fp-29",
    )
]
_LOG = [
    float.fromhex(c)
    for c in (
        "0x1.5555555555558p-1",
        "0x1.99999999952d7p-2",
        "0x1.2492492df281ap-2",
        "0x1.c71c62e3f11e6p-3",
        "0x1.7462b51cb66b1p-3",
        "0x1.39fe51a7c18f9p-3",
        "0x1.2b5900de53b32p-3",
    )
]
_TANH_P = [float.fromhex(c) for c in ("-0x1.5555555555555p-2", "-0x1.4fe7750392bb5p-6", "-0x1.a2001ddcb601bp-13")]
_TANH_Q = [
    float.fromhex(c)
    for c in (
        "0x1.0000000000000p+0",
        "0x1.d894ff8a451bap-2",
        "0x1.7dac99cb76a09p-6",
        "0x1.b172853ccc90ep-13",
    )
]
_SIN = [
    float.fromhex(c)
    for c in (
        "-0x1.5555555555555p-3",
        "0x1.1111111111110p-7",
        "-0x1.a01a01a019937p-13",
        "0x1.71de3a54607a5p-19",
        "-0x1.ae64541295cdfp-26",
        "0x1.61217ee5cca1bp-33",
        "-0x1.ab17bdcbd3414p-41",
    )
]
_COS = [
    float.fromhex(c)
    for c in (
        "0x1.5555555555555p-5",
        "-0x1.6c16c16c16967p-10",
        "0x1.a01a019f4e9b4p-16",
        "-0x1.27e4fa17bf139p-22",
        "0x1.1eeb68cd22f56p-29",
        "-0x1.907d8f29fe831p-37",
    )
]
_ERF_P = [
    float.fromhex(c)
    for c in (
        "0x1.06eba8214db68p-3",
        "-0x1.812746b0379c1p-2",
        "0x1.ce2f21a040f66p-4",
        "-0x1.b82ce31203772p-6",
        "0x1.565bccfa44156p-8",
        "-0x1.c02db0665e53dp-11",
        "0x1.f9a2be4f731a1p-14",
        "-0x1.f4ca838adb73bp-17",
        "0x1.b981d78881a5dp-20",
        "-0x1.5c131500d3f88p-23",
        "0x1.d76af6ca49787p-27",
        "-0x1.ac9585a44fe29p-31",
    )
]
_ERF_Q = [
    float.fromhex(c)
    for c in (
        "0x1.6e9827d229d2dp-3",
        "-0x1.4e102b9cf8512p-2",
        "0x1.f6ff20410599bp-3",
        "-0x1.336ffbef08cbbp-3",
        "0x1.258b13b0139fep-4",
        "-0x1.8fa58eb5bd68fp-6",
        "0x1.17c838fea5806p-8",
        "0x1.73101ea8fe252p-11",
        "-0x1.39085a31b18abp-11",
        "0x1.7b9fc8eb630e9p-15",
        "0x1.0cb1db32e0c9fp-14",
        "-0x1.af2329d757293p-17",
        "-0x1.0cb4611cc29f6p-17",
        "0x1.0f9a79cee3e31p-19",
        "0x1.57a5fe2b9b75ep-20",
    )
]
_TWO_PI = float.fromhex("0x1.921fb54442d18p+2")

# float32 numbers for which the rounded float64 result is wrong, and the right one.
_LOG_TABLE = {
    float.fromhex("0x1.827a74p-7"): float.fromhex("-0x1.1c2b1ep+2"),
    float.fromhex("0x1.2f1fd6p+3"): float.fromhex("0x1.1fcbcep+1"),
    float.fromhex("0x1.bacb4ap+25"): float.fromhex("0x1.1e0696p+4"),
    float.fromhex("0x1.b121a6p+76"): float.fromhex("0x1.a9a3f2p+5"),
    float.fromhex("0x1.6351d8p+95"): float.fromhex("0x1.08b512p+6"),
}
_LOG1P_TABLE = {
    float.fromhex("0x1.800006p-21"): float.fromhex("0x1.7ffffep-21"),
    float.fromhex("0x1.200036p-17"): float.fromhex("0x1.1fffe6p-17"),
    float.fromhex("0x1.fb035ap-2"): float.fromhex("0x1.9bddc2p-2"),
    float.fromhex("0x1.0f1fd6p+3"): float.fromhex("0x1.1fcbcep+1"),
    float.fromhex("0x1.b121a6p+76"): float.fromhex("0x1.a9a3f2p+5"),
    float.fromhex("0x1.6351d8p+95"): float.fromhex("0x1.08b512p+6"),
    float.fromhex("-0x1.7ffffap-21"): float.fromhex("-0x1.800002p-21"),
    float.fromhex("-0x1.1fffcap-17"): float.fromhex("-0x1.20001ap-17"),
    float.fromhex("-0x1.1d9188p-9"): float.fromhex("-0x1.1de14ap-9"),
}
_SIGMOID_TABLE = {float.fromhex("-0x1.2082e0p-3"): float.fromhex("0x1.dbfee0p-2")}


def exp(x: Array) -> Array:
    """e to the power ``x``; float32 correctly rounded, float64 within 2 ulp. Results down to subnormals, +0 and Inf."""
    return _rounded(_exp64, x)


def log(x: Array) -> Array:
    """Natural logarithm; float32 correctly rounded, float64 within 2 ulp. -Inf at 0, NaN below."""
    return _corrected(_rounded(_log64, x), x, _LOG_TABLE)


def tanh(x: Array) -> Array:
    """Hyperbolic tangent; float32 correctly rounded, float64 within 2 ulp. Odd: -0 gives -0."""
    return _rounded(_tanh64, x)


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))``; float32 correctly rounded, float64 within 2 ulp."""
    if x.dtype == np.float64:
        return _rounded(_sigmoid64, x)
    return _corrected(_rounded(_sigmoid_for_32, x), x, _SIGMOID_TABLE)


def expm1(x: Array) -> Array:
    """``exp(x) - 1``; float32 correctly rounded, float64 within 2 ulp. Odd at zero: -0 gives -0."""
    return _rounded(_expm1_64, x)


def log1p(x: Array) -> Array:
    """``log(1 + x)``; float32 correctly rounded, float64 within 2 ulp. -Inf at -1, NaN below; -0 gives -0."""
    return _corrected(_rounded(_log1p_64, x), x, _LOG1P_TABLE)


def erf(x: Array) -> Array:
    """The error function; float32 correctly rounded, float64 within 2 ulp. Odd: -0 gives -0."""
    return _rounded(_erf64, x)


def sincos2pi(u: Array) -> tuple[Array, Array]:
    """Sine and cosine of ``2 * pi * u`` for float64 ``u`` with ``|u| < 2**49``, within 2 ulp."""
    shifted = 4.0 * u + _INTEGER
    quarter = shifted.view(np.int64)
    t = (u - (shifted - _INTEGER) * 0.25) * _TWO_PI
    z = t * t
    sine = t + (t * z) * _polynomial(_SIN, z)
    cosine = 1.0 - (0.5 * z - (z * z) * _polynomial(_COS, z))
    swap = quarter & 1 == 1
    sign_sine = np.where(quarter & 2 == 2, -1.0, 1.0)
    sign_cosine = np.where((quarter + 1) & 2 == 2, -1.0, 1.0)
    return np.where(swap, cosine, sine) * sign_sine, np.where(swap, sine, cosine) * sign_cosine


def _rounded(function: Callable[[Array], Array], x: Array) -> Array:
    """``function``, which takes and returns float64, in the type of ``x``."""
    with np.errstate(all="ignore"):
        return np.asarray(function(x.astype(np.float64))).astype(x.dtype)


def _corrected(y: Array, x: Array, table: dict[float, float]) -> Array:
    """``y`` with the table's result where ``x`` is one of its float32 numbers."""
    if x.dtype == np.float32:
        for number, result in table.items():
            y = np.where(x == np.float32(number), np.float32(result), y)
    return y


def _polynomial(coefficients: list[float], x: Array) -> Array:
    """``c[0] + c[1] x + c[2] x^2 + ...``: pairs ``c[0] + c[1] x, c[2] + c[3] x, ...`` by Horner's rule in ``x x``."""
    pairs = [low + high * x for low, high in zip_longest(coefficients[0::2], coefficients[1::2], fillvalue=0.0)]
    z = x * x
    value = pairs.pop()
    while pairs:
        value = pairs.pop() + value * z
    return value


def _power_of_two(shifted: Array) -> Array:
    """2**n from ``n + _ROUND``, -1022 <= n <= 1023."""
    return (shifted.view(np.int64) << 52).view(np.float64)


def _exp_reduced(x: Array) -> tuple[Array, Array]:
    """``q`` and ``p`` with ``exp(x) = p (1 + q)``, where ``p`` is a power of two, ``|x| < 700``."""
    shifted = x * _LOG2_E + _ROUND
    n = shifted - _ROUND
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    return r + (r * r) * _polynomial(_EXP, r), _power_of_two(shifted)


def _exp_parts(x: Array) -> tuple[Array, Array, Array]:
    """``q``, ``p`` and ``p2`` with ``exp(x) = ((1 + q) * p) * p2``, where ``p`` and ``p2`` are powers of two."""
    x = np.where(x > 720.0, 720.0, np.where(x < -760.0, -760.0, x))
    # x = n ln 2 + r, |r| at most about ln(2) / 2
    n = (x * _LOG2_E + _ROUND) - _ROUND
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    q = r + (r * r) * _polynomial(_EXP, r)
    # 2**n in two factors: the product with the first is exact, so a subnormal result is rounded once.
    shifted = 0.5 * n + _ROUND
    return q, _power_of_two(shifted), _power_of_two((n - (shifted - _ROUND)) + _ROUND)


def _exp64(x: Array) -> Array:
    q, p, p2 = _exp_parts(x)
    return ((1.0 + q) * p) * p2


def _log_parts(x: Array) -> tuple[Array, Array, Array]:
    """``k``, ``f`` and ``sg`` with ``x = 2**k (1 + f)`` and ``log(1 + f) = f - sg``, ``x`` normal."""
    # x = 2**k * m with m from sqrt(1/2) to sqrt(2)
    moved = x.view(np.int64) + (0x3FF0000000000000 - 0x3FE6A09E667F3BCD)
    k = ((moved >> 52) - 1023).astype(np.float64)
    f = ((moved & 0x000FFFFFFFFFFFFF) + 0x3FE6A09E667F3BCD).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    # log(1 + f) = 2 atanh(s) = 2 s + s z T(z), and 2 s = f - s f
    return k, f, s * (f - z * _polynomial(_LOG, z))


def _special_log(x: Array, y: Array) -> Array:
    """``y``, the logarithm of ``x``, with what it is at Inf, 0 and below."""
    y = np.where(x == np.inf, x, y)
    y = np.where(x == 0, -np.inf, y)
    return np.where((x < 0) | np.isnan(x), np.nan, y)


def _log64(x: Array) -> Array:
    subnormal = x < 2.0**-1022
    k, f, sg = _log_parts(np.where(subnormal, x * 2.0**54, x))
    k = k - np.where(subnormal, 54.0, 0.0)
    return _special_log(x, k * _LN2_HIGH + (f - (sg - k * _LN2_LOW)))


def _log1p_64(x: Array) -> Array:
    # log(1 + x) = log(u) + c / u, where u is 1 + x rounded and c what rounding lost
    u = 1.0 + x
    c = np.where(x < 1.0, x - (u - 1.0), 1.0 - (u - x)) / u
    k, f, sg = _log_parts(u)
    return np.copysign(_special_log(u, k * _LN2_HIGH + (f - (sg - (k * _LN2_LOW + c)))), x)


def _expm1_64(x: Array) -> Array:
    # Up to 40, exp(x) = 2**n (1 + q) with 2**n as one factor; beyond, 1 is nothing beside it.
    cut = np.where(x > 40.0, 40.0, np.where(x < -60.0, -60.0, x))
    q, scale = _exp_reduced(cut)
    return np.where(x > 40.0, _exp64(x), np.copysign(scale * q + (scale - 1.0), x))


def _erf64(x: Array) -> Array:
    # Below 1 it is a + a P(a^2), above it 1 - exp(-a^2) Q((a - 3) / (a + 3)).
    a = np.abs(x)
    a = np.where(a > 6.0, 6.0, a)
    z = a * a
    t = (a - 3.0) / (a + 3.0)
    q, p = _exp_reduced(-z)
    tail = 1.0 - (p + p * q) * _polynomial(_ERF_Q, t)
    return np.asarray(np.copysign(np.where(a < 1.0, a + a * _polynomial(_ERF_P, z), tail), x))


def _tanh64(x: Array) -> Array:
    magnitude = np.abs(x)
    z = magnitude * magnitude
    small = magnitude < 0.55
    e = _exp64(2.0 * np.where(magnitude > 20.0, 20.0, magnitude))
    # Below 0.55 |x| + |x| z P(z) / Q(z), above 1 - 2 / (exp(2|x|) + 1): one division serves both.
    numerator = np.where(small, (magnitude * z) * _polynomial(_TANH_P, z), -2.0)
    denominator = np.where(small, _polynomial(_TANH_Q, z), e + 1.0)
    return np.copysign(np.where(small, magnitude, 1.0) + numerator / denominator, x)


def _sigmoid64(x: Array) -> Array:
    q, p, p2 = _exp_parts(-np.abs(x))
    e = ((1.0 + q) * p) * p2
    # 1 + e = s + d exactly, and e / (s + d) is nearly (e - e d) / s.
    s = 1.0 + e
    d = (1.0 - s) + e
    return np.where(x >= 0, 1.0, ((1.0 + (q - d)) * p) * p2) / s


def _sigmoid_for_32(x: Array) -> Array:
    # Near 0 the sigmoid is 1/2 + x/4 - x**3/48 + ..., and where 1/2 + x/4 lies halfway between two float32 numbers the
    # cubic term decides, for which float64 is too short: the numerator moves the quotient a unit towards 1/2.
    e = _exp64(-np.abs(x))
    return np.where(x >= 0, 1.0 - 2.0**-53, e * (1.0 + 2.0**-52)) / (1.0 + e)


# Scalars


def flush(m: Array) -> Array:
    """``m`` with +0 in place of magnitudes below 2**-100 (float64: 2**-970)."""
    least = 2.0**-100 if m.dtype == np.float32 else 2.0**-970
    return np.where(np.abs(m) < m.dtype.type(least), m.dtype.type(0), m)


def round_scalar(value: float, dtype: npt.DTypeLike) -> Any:
    """A binary64 number rounded once to ``dtype``, as a NumPy scalar."""
    with np.errstate(over="ignore"):
        return np.float64(value).astype(dtype)
