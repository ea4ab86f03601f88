"""Dropout and its like."""

from __future__ import annotations

from .. import arguments, ops
from ..arrays import Array
from ..tensor import Tensor
from .module import Module


class Dropout(Module):
    """In training, sets each element to 0 with probability ``p`` and divides the others by ``1 - p``.

    ``inplace`` is accepted and changes nothing.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p = arguments.number("Dropout: p", p, 0.0, 1.0)

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"


class _ChannelDropout(Module):
    _ndim = 4

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p = arguments.number(f"{type(self).__name__}: p", p, 0.0, 1.0)

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, C, *)``, or without ``N``."""
        return ops.channel_dropout(x, self.p, self.training, self._ndim)


class Dropout1d(_ChannelDropout):
    """Whole channels of ``(N, C, L)`` set to 0 with probability ``p`` (Tompson et al., 2015)."""

    _ndim = 3


class Dropout2d(_ChannelDropout):
    """Whole channels of ``(N, C, H, W)`` set to 0 with probability ``p`` (Tompson et al., 2015)."""


class AlphaDropout(Module):
    """Dropout that keeps mean 0 and variance 1 behind :class:`SELU` (Klambauer et al., 2017)."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p = arguments.number("AlphaDropout: p", p, 0.0, 1.0)

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.alpha_dropout(x, self.p, self.training)
