"""Dropout."""

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
