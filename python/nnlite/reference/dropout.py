"""Dropout (Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks from Overfitting, 2014)."""

from __future__ import annotations

import numpy as np

from nnlite.reference import arith, random
from nnlite.reference.checks import Array, check, check_array, check_shape, number
from nnlite.reference.signature import Computation, Spec, define_op

__all__ = ["dropout_backward", "dropout_forward"]

_STREAM = 2


@define_op
def dropout_forward(x: Array, p: float, seed: int, draw: int) -> Computation[tuple[Array, Array]]:
    """Zero each element with probability ``p``, multiply the others by ``1 / (1 - p)`` (numerics section 10).

    Args:
        x: any shape.
        p: probability of dropping, 0 to 1.
        seed: the generator's 64-bit key.
        draw: number of the draw.

    Returns:
        y: like ``x``.
        mask: uint8, like ``x``: 1 where kept. It depends on ``p``, ``seed``, ``draw`` and the number of elements alone.

    Raises:
        ValueError: ``p`` out of range.
    """
    op = "dropout_forward"
    x = check_array(op, "x", x)
    p = _probability(op, p)
    random._check(op, seed, draw, _STREAM)
    yield Spec(x.shape, x.dtype), Spec(x.shape, np.uint8)
    kept = ((random.bits(x.size, seed, draw, _STREAM) >> 8) * 2.0**-24 >= p).reshape(x.shape)
    return _scaled(x, kept, p), kept.astype(np.uint8)


@define_op
def dropout_backward(dy: Array, mask: Array, p: float) -> Computation[Array]:
    """Gradient of :func:`dropout_forward`: ``dy * (1 / (1 - p))`` where kept, else +0.

    Args:
        dy: any shape.
        mask: uint8, like ``dy``, from the forward pass.
        p: as in the forward pass.

    Returns:
        dx: like ``dy``.

    Raises:
        TypeError: ``mask`` is not uint8.
        ValueError: ``p`` out of range; shapes that differ.
    """
    op = "dropout_backward"
    dy = check_array(op, "dy", dy)
    if not isinstance(mask, (np.ndarray, Spec)):
        raise TypeError(f"{op}: mask must be a numpy.ndarray, got {type(mask).__name__}")
    if mask.dtype != np.uint8:
        raise TypeError(f"{op}: mask must be uint8, got {mask.dtype}")
    check_shape(op, "mask", mask, dy.shape, "dy")
    p = _probability(op, p)
    yield Spec(dy.shape, dy.dtype)
    return _scaled(dy, mask != 0, p)


def _probability(op: str, p: float) -> float:
    p = number(op, "p", p)
    check(0 <= p <= 1, f"{op}: p must be between 0 and 1, got {p}")
    return p


def _scaled(x: Array, kept: Array, p: float) -> Array:
    scale = arith.round_scalar(1 / (1 - p) if p < 1 else np.inf, x.dtype)  # p = 1 keeps nothing
    y: Array = np.where(kept, x * scale, x.dtype.type(0))
    return y
