"""Dropout by the specified generator."""

from __future__ import annotations

from .. import recording
from ..arrays import Array
from ..backend import ops
from ..random import DROPOUT, generator
from ..tensor import Tensor, as_tensor, record

__all__ = ["dropout"]


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
