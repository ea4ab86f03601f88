"""Checks of hyperparameters: of layers, optimizers and commands. Messages name layer and argument (``what``)."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

Pair = int | Sequence[int]


def float_dtype(layer: str, dtype: Any) -> np.dtype[Any]:
    """``dtype`` if it is float32 or float64."""
    kind: np.dtype[Any] = np.dtype(dtype)
    if dtype is None or kind not in (np.float32, np.float64) or not kind.isnative:
        raise TypeError(f"{layer}: dtype must be float32 or float64, got {dtype}")
    return kind


def size(what: str, value: int, least: int = 1) -> int:
    """``value`` if it is an integer of at least ``least``; ``what`` names layer and argument."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{what} must be an integer, got {value!r}")
    if value < least:
        raise ValueError(f"{what} must be at least {least}, got {value}")
    return operator.index(value)


def pair(what: str, value: Pair, least: int = 1) -> tuple[int, int]:
    """An integer, or two of them, as (height, width)."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != 2:
            raise ValueError(f"{what} must be an integer or a pair of integers, got {value!r}")
        return size(what, value[0], least), size(what, value[1], least)
    return size(what, value, least), size(what, value, least)


def window(layer: str, kernel_size: Pair, stride: Pair | None, padding: Pair) -> tuple[tuple[int, int], ...]:
    """Kernel, stride and padding of a pooling layer."""
    kernel = pair(f"{layer}: kernel_size", kernel_size)
    steps = kernel if stride is None else pair(f"{layer}: stride", stride)
    pads = pair(f"{layer}: padding", padding, least=0)
    if any(2 * pad > size for pad, size in zip(pads, kernel, strict=True)):
        raise ValueError(f"{layer}: padding must be at most half of kernel_size {kernel}, got {pads}")
    return kernel, steps, pads


def number(
    what: str, value: Any, least: float = 0.0, most: float = math.inf, *, above: bool = False, below: bool = False
) -> float:
    """``value`` as a float if it is a finite number between ``least`` and ``most``, without the least number itself
    (``above``) or the most (``below``).
    """
    if type(value) is not float:  # the usual case, in every step
        scalar = isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "fiu"
        if not (isinstance(value, Real) or scalar) or isinstance(value, bool):
            raise TypeError(f"{what} must be a number, got {value!r:.80}")
    x = float(value)
    if not (least < x if above else least <= x) or not (x < most if below or most == math.inf else x <= most):
        if most == math.inf:
            bounds = f"a finite number {'above' if above else 'of at least'} {least:g}"
        else:
            bounds = f"between {least:g} and {most:g}" + (f", without {least:g}" if above else "")
            bounds += f", without {most:g}" if below else ""
        raise ValueError(f"{what} must be {bounds}, got {value}")
    return x


def flag(what: str, value: Any) -> bool:
    """``value`` if it is true or false."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{what} must be True or False, got {value!r:.80}")
    return bool(value)


def reduction(layer: str, reduction: str) -> str:
    """``reduction`` if it is one that losses provide."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{layer}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
    return reduction
