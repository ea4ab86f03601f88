"""Convolution."""

from __future__ import annotations

from collections.abc import Sequence

from ..arrays import Array
from ..backend import ops
from ..tensor import Tensor, as_tensor, record

__all__ = ["conv2d"]

Pair = int | Sequence[int]


def conv2d(
    x: Tensor | Array,
    weight: Tensor | Array,
    bias: Tensor | Array | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Two-dimensional convolution (cross-correlation).

    Shapes: x ``(N, C, H, W)``, weight ``(K, C/groups, R, S)``, bias ``(K,)``; the result ``(N, K, OH, OW)``.
    """
    x, weight = as_tensor("conv2d", "x", x), as_tensor("conv2d", "weight", weight)
    bias = None if bias is None else as_tensor("conv2d", "bias", bias)
    kernels = ops(x.data)
    data, w = x.data, weight.data
    settings = (stride, padding, dilation, groups)

    def pullback(dy: Array, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        return (
            kernels.conv2d_backward_data(dy, w, data.shape, *settings) if needs[0] else None,
            kernels.conv2d_backward_weights(dy, data, w.shape, *settings) if needs[1] else None,
            kernels.conv2d_backward_bias(dy) if needs[2] else None,
        )

    return record(
        kernels.conv2d_forward(data, w, None if bias is None else bias.data, *settings), pullback, x, weight, bias
    )
