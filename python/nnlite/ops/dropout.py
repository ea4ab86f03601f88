"""Dropout by the specified generator."""

from __future__ import annotations

import math

from .. import recording
from ..arrays import Array, full_like
from ..backend import ops
from ..random import DROPOUT, generator
from ..tensor import Tensor, as_tensor, record
from .elementwise import add, multiply, where
from .shape import reshape

__all__ = ["alpha_dropout", "channel_dropout", "dropout", "dropout1d", "dropout2d"]


def dropout(x: Tensor | Array, p: float = 0.5, training: bool = True) -> Tensor:
    """In training, each element is 0 with probability ``p``, else divided by ``1 - p``; otherwise ``x`` itself."""
    x = as_tensor("dropout", "x", x)
    if not training:
        return x
    kernels = ops(x.data)
    data = x.data

    def forward() -> tuple[Array, Array]:
        with generator.draw(DROPOUT) as draw:
            y_and_mask: tuple[Array, Array] = ops(data).dropout_forward(data, p, generator.seed, draw)
        return y_and_mask

    start = recording.position()
    y, mask = forward()
    recording.on_replay(forward, start)
    return record(y, lambda dy, needs: (kernels.dropout_backward(dy, mask, p),), x)


def channel_dropout(x: Tensor | Array, p: float, training: bool, ndim: int) -> Tensor:
    """:func:`dropout` of whole channels: the first two of ``ndim`` dimensions are samples and channels."""
    x = as_tensor("channel_dropout", "x", x)
    if not training:
        return x
    channels = x.data.shape[: 2 if x.data.ndim == ndim else 1]
    kept = dropout(Tensor(full_like(x.data, 1, channels)), p)
    return multiply(x, reshape(kept, (*channels, *(1,) * (x.data.ndim - len(channels)))))


def dropout1d(x: Tensor | Array, p: float = 0.5, training: bool = True) -> Tensor:
    """Whole channels of ``(N, C, L)`` or ``(C, L)`` set to 0."""
    return channel_dropout(x, p, training, 3)


def dropout2d(x: Tensor | Array, p: float = 0.5, training: bool = True) -> Tensor:
    """Whole channels of ``(N, C, H, W)`` or ``(C, H, W)`` set to 0."""
    return channel_dropout(x, p, training, 4)


def alpha_dropout(x: Tensor | Array, p: float = 0.5, training: bool = False) -> Tensor:
    """In training, elements become ``-1.7580993408473766`` with probability ``p``; then ``a * x + b``, so that mean 0
    and variance 1 stay (Klambauer et al., 2017).
    """
    x = as_tensor("alpha_dropout", "x", x)
    if not training or p == 0.0:
        return x
    if p == 1.0:
        return multiply(x, 0.0)
    low = -1.7580993408473766  # the least value of SELU
    a = 1.0 / math.sqrt((1.0 - p) * (1.0 + p * low * low))
    kept = dropout(Tensor(full_like(x.data, 1)), p)
    return add(multiply(where(kept, x, low), a), -a * low * p)
