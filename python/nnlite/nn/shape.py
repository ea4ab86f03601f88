"""Layers that only change shapes."""

from __future__ import annotations

from .. import ops
from ..arrays import Array
from ..tensor import Tensor
from .module import Module


class Flatten(Module):
    """Dimensions ``start_dim`` to ``end_dim`` as one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, ...)`` to ``(N, product of the rest)`` by default."""
        return ops.flatten(x, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """The dimensions."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
