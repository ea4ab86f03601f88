"""Initialisers: new arrays, drawn from stream 0 of the specified generator, one draw each.

``fan_in`` is the number of inputs of one output: ``weight.size / weight.shape[0]``; ``fan_out`` is ``weight.size /
weight.shape[1]``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import random
from .arrays import Array
from .backend import ops
from .rounding import require_nearest


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """``fan_in`` and ``fan_out`` of a weight of this shape, ``(out, in, ...)``."""
    if len(shape) < 2:
        raise ValueError(f"init: a weight has at least 2 dimensions (out, in, ...), got shape {shape}")
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


def uniform(shape: tuple[int, ...], low: float, high: float, dtype: Any = "float32") -> Array:
    """Uniform in ``[low, high)``."""
    require_nearest("init")
    return random.uniform(shape, low, high, dtype, random.INITIALISATION)


def normal(shape: tuple[int, ...], mean: float = 0.0, std: float = 1.0, dtype: Any = "float32") -> Array:
    """Normal of the given mean and standard deviation."""
    require_nearest("init")
    return random.normal(shape, mean, std, dtype, random.INITIALISATION)


def constant(shape: tuple[int, ...], value: float, dtype: Any = "float32") -> Array:
    """One number everywhere; no draw."""
    filled: Array = ops().expand(np.asarray(value, dtype), shape)
    return filled


def fan_in_uniform(shape: tuple[int, ...], fan_in: int, dtype: Any = "float32") -> Array:
    """Uniform in ``[-bound, bound)`` with ``bound = 1 / sqrt(fan_in)``: what Linear and Conv2d start from."""
    bound = 1.0 / math.sqrt(fan_in)
    return uniform(shape, -bound, bound, dtype)


def kaiming_normal(shape: tuple[int, ...], dtype: Any = "float32") -> Array:
    """Normal with ``std = sqrt(2 / fan_in)``, for layers before a ReLU (He et al. 2015)."""
    return normal(shape, 0.0, math.sqrt(2.0 / fans(shape)[0]), dtype)


def xavier_normal(shape: tuple[int, ...], dtype: Any = "float32") -> Array:
    """Normal with ``std = sqrt(2 / (fan_in + fan_out))``, for layers before a tanh (Glorot and Bengio 2010)."""
    return normal(shape, 0.0, math.sqrt(2.0 / sum(fans(shape))), dtype)


def xavier_uniform(shape: tuple[int, ...], dtype: Any = "float32") -> Array:
    """Uniform in ``[-bound, bound)`` with ``bound = sqrt(6 / (fan_in + fan_out))`` (Glorot and Bengio 2010)."""
    bound = math.sqrt(6.0 / sum(fans(shape)))
    return uniform(shape, -bound, bound, dtype)
