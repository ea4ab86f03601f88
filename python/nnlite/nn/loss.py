"""Losses."""

from __future__ import annotations

from .. import arguments, ops
from ..arrays import Array
from ..tensor import Tensor
from .module import Module


class CrossEntropyLoss(Module):
    """Mean over the batch of ``-log(softmax(x)[target])``.

    Targets are integer classes ``(N,)``, or one-hot or class probabilities ``(N, K)`` of x's dtype.
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = arguments.reduction("CrossEntropyLoss", reduction)

    def forward(self, x: Tensor | Array, target: Tensor | Array) -> Tensor:
        """x ``(N, K)``, before any softmax; the result has shape ``()``."""
        return ops.cross_entropy(x, target)


class MSELoss(Module):
    """Mean over all elements of ``(x - target)**2``."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = arguments.reduction("MSELoss", reduction)

    def forward(self, x: Tensor | Array, target: Tensor | Array) -> Tensor:
        """Equal shapes; the result has shape ``()``."""
        return ops.mse_loss(x, target)
