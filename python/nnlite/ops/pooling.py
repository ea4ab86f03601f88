"""Pooling over windows of an image, and over the whole image."""

from __future__ import annotations

from collections.abc import Sequence

from ..arrays import Array
from ..backend import ops
from ..tensor import Tensor, as_tensor, record

__all__ = ["avg_pool2d", "global_avg_pool2d", "max_pool2d"]

Pair = int | Sequence[int]


def max_pool2d(x: Tensor | Array, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> Tensor:
    """The maximum of each window of x ``(N, C, H, W)``. ``stride`` defaults to ``kernel_size``; padding never wins."""
    x = as_tensor("max_pool2d", "x", x)
    kernels = ops(x.data)
    shape = x.data.shape
    settings = (kernel_size, stride, padding)
    y, index = kernels.max_pool2d_forward(x.data, *settings)
    return record(y, lambda dy, needs: (kernels.max_pool2d_backward(dy, index, shape, *settings),), x)


def avg_pool2d(x: Tensor | Array, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> Tensor:
    """The mean of each window of x ``(N, C, H, W)``. ``stride`` defaults to ``kernel_size``; padding counts as 0."""
    x = as_tensor("avg_pool2d", "x", x)
    kernels = ops(x.data)
    shape = x.data.shape
    settings = (kernel_size, stride, padding)
    y = kernels.avg_pool2d_forward(x.data, *settings)
    return record(y, lambda dy, needs: (kernels.avg_pool2d_backward(dy, shape, *settings),), x)


def global_avg_pool2d(x: Tensor | Array) -> Tensor:
    """The mean of each channel of each image: ``(N, C, H, W)`` to ``(N, C, 1, 1)``."""
    x = as_tensor("global_avg_pool2d", "x", x)
    kernels = ops(x.data)
    shape = x.data.shape
    return record(
        kernels.global_avg_pool2d_forward(x.data), lambda dy, needs: (kernels.global_avg_pool2d_backward(dy, shape),), x
    )
