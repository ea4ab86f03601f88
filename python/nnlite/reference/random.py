"""Random numbers: Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011), counted, never stateful (numerics section 10)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from nnlite.reference import arith
from nnlite.reference.checks import check_size, is_index, number, shape_argument
from nnlite.reference.signature import Computation, Spec, define_op

Array = npt.NDArray[Any]

__all__ = ["random_bits", "random_normal", "random_permutation", "random_uniform"]


def philox(counter: Array, key: tuple[int, int]) -> Array:
    """Philox4x32-10: ``counter`` ``(4, B)`` uint32 and a key of two 32-bit words -> ``(4, B)`` uint32."""
    low = np.uint64(0xFFFFFFFF)
    shift = np.uint64(32)
    x0, x1, x2, x3 = counter.astype(np.uint64)
    k0, k1 = key
    for _ in range(10):
        first = x0 * np.uint64(0xD2511F53)
        second = x2 * np.uint64(0xCD9E8D57)
        x0, x2 = (second >> shift) ^ x1 ^ np.uint64(k0), (first >> shift) ^ x3 ^ np.uint64(k1)
        x1, x3 = second & low, first & low
        k0 = (k0 + 0x9E3779B9) & 0xFFFFFFFF
        k1 = (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([x0, x1, x2, x3]).astype(np.uint32)


def bits(n: int, seed: int, draw: int, stream: int) -> npt.NDArray[np.uint32]:
    """The first ``n`` words of a draw: ``(n,)`` uint32."""
    block = np.arange(-(-n // 4), dtype=np.uint64)
    counter = np.empty((4, len(block)), np.uint32)
    counter[0] = block & np.uint64(0xFFFFFFFF)
    counter[1] = block >> np.uint64(32)
    counter[2] = draw
    counter[3] = stream
    words: npt.NDArray[np.uint32] = philox(counter, (seed & 0xFFFFFFFF, seed >> 32)).T.reshape(-1)[:n]
    return words


def bits64(n: int, seed: int, draw: int, stream: int) -> npt.NDArray[np.uint64]:
    """The first ``n`` pairs of words of a draw, the even word low: ``(n,)`` uint64."""
    words = bits(2 * n, seed, draw, stream).astype(np.uint64)
    return words[0::2] | (words[1::2] << np.uint64(32))


def _check(op: str, seed: int, draw: int, stream: int) -> None:
    for name, value, width in (("seed", seed, 64), ("draw", draw, 32), ("stream", stream, 32)):
        if not is_index(value):
            raise TypeError(f"{op}: {name} must be an int, got {value!r}")
        if not 0 <= value < 2**width:
            raise ValueError(f"{op}: {name} must be from 0 to 2**{width} - 1, got {value}")


def _check_count(op: str, n: int) -> None:
    if not is_index(n):
        raise TypeError(f"{op}: n must be an int, got {n!r}")
    if n < 0:
        raise ValueError(f"{op}: n must not be negative, got {n}")


def _size(op: str, shape: tuple[int, ...]) -> int:
    return math.prod(check_size(op, shape_argument(op, "shape", shape)))


def _dtype(op: str, dtype: npt.DTypeLike) -> np.dtype[Any]:
    kind = np.dtype(dtype)
    if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise TypeError(f"{op}: dtype must be float32 or float64, got {kind}")
    return kind


@define_op
def random_bits(n: int, seed: int, draw: int, stream: int) -> Computation[npt.NDArray[np.uint32]]:
    """Words of Philox4x32-10.

    Args:
        n: how many.
        seed: the 64-bit key.
        draw: number of the draw within its stream, 32 bits.
        stream: 0 initialisation, 1 shuffling, 2 dropout, 3 the user's own draws, 4 augmentation; 32 bits.

    Returns:
        ``(n,)`` uint32; the first words of a longer result are the same.

    Raises:
        ValueError: a number is negative or too large.
    """
    _check("random_bits", seed, draw, stream)
    _check_count("random_bits", n)
    yield Spec((n,), np.uint32)
    return bits(n, seed, draw, stream)


@define_op
def random_uniform(
    shape: tuple[int, ...], low: float, high: float, dtype: npt.DTypeLike, seed: int, draw: int, stream: int
) -> Computation[Array]:
    """Uniform numbers in ``[low, high)``: ``low + u * (high - low)`` in ``dtype``, ``u`` of 24 or 53 random bits.

    Args:
        shape: of the result, filled in C order.
        low, high: bounds; ``high - low`` is taken in binary64. Rounding may reach ``high``.
        dtype: float32 or float64.
        seed, draw, stream: as for :func:`random_bits`.

    Returns:
        An array of ``shape``.

    Raises:
        ValueError: a size, seed, draw or stream is negative or too large.
        TypeError: another dtype.
    """
    op = "random_uniform"
    _check(op, seed, draw, stream)
    n, kind = _size(op, shape), _dtype(op, dtype)
    low, high = number(op, "low", low), number(op, "high", high)
    yield Spec(shape, kind)
    if kind == np.float32:
        u = (bits(n, seed, draw, stream) >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
    else:
        u = (bits64(n, seed, draw, stream) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    y: Array = arith.round_scalar(low, kind) + u * arith.round_scalar(high - low, kind)
    return y.reshape(shape)


@define_op
def random_normal(
    shape: tuple[int, ...], mean: float, std: float, dtype: npt.DTypeLike, seed: int, draw: int, stream: int
) -> Computation[Array]:
    """Normal numbers by the transform of Box and Muller (1958), in binary64, rounded once to ``dtype``.

    Args:
        shape: of the result, filled in C order.
        mean, std: of the distribution.
        dtype: float32 or float64.
        seed, draw, stream: as for :func:`random_bits`.

    Returns:
        An array of ``shape``.

    Raises:
        ValueError: a size, seed, draw or stream is negative or too large.
        TypeError: another dtype.
    """
    op = "random_normal"
    _check(op, seed, draw, stream)
    n, kind = _size(op, shape), _dtype(op, dtype)
    mean, std = number(op, "mean", mean), number(op, "std", std)
    yield Spec(shape, kind)
    pairs = -(-n // 2)
    uniform = (bits64(2 * pairs, seed, draw, stream) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    radius = np.sqrt(-2.0 * arith.log(1.0 - uniform[0::2]))
    sine, cosine = arith.sincos2pi(uniform[1::2])
    z = np.stack([radius * cosine, radius * sine], axis=1).reshape(-1)[:n]
    return (mean + std * z).astype(kind).reshape(shape)


@define_op
def random_permutation(n: int, seed: int, draw: int, stream: int) -> Computation[npt.NDArray[np.int64]]:
    """A random order of ``0 .. n-1``: the stable order of ``n`` random 64-bit numbers.

    Args:
        n: how many.
        seed, draw, stream: as for :func:`random_bits`.

    Returns:
        ``(n,)`` int64.

    Raises:
        ValueError: a number is negative or too large.
    """
    _check("random_permutation", seed, draw, stream)
    _check_count("random_permutation", n)
    _size("random_permutation", (n,))
    yield Spec((n,), np.int64)
    return np.argsort(bits64(n, seed, draw, stream), kind="stable").astype(np.int64)
