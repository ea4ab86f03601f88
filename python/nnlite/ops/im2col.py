"""Images as matrices of windows, and back."""

from __future__ import annotations

from collections.abc import Sequence

from ..arrays import Array
from ..backend import ops
from ..tensor import Tensor, as_tensor, record

__all__ = ["col2im", "im2col"]

Pair = int | Sequence[int]


def im2col(x: Tensor | Array, kernel_size: Pair, stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1) -> Tensor:
    """The windows of ``x`` ``(N, C, H, W)`` as rows: ``(N*OH*OW, C*R*S)``. Its gradient is :func:`col2im`."""
    x = as_tensor("im2col", "x", x)
    kernels = ops(x.data)
    shape = x.data.shape
    settings = (kernel_size, stride, padding, dilation)
    return record(kernels.im2col(x.data, *settings), lambda dy, needs: (kernels.col2im(dy, shape, *settings),), x)


def col2im(
    col: Tensor | Array,
    x_shape: Sequence[int],
    kernel_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    """Adds the rows of ``col`` to the places that :func:`im2col` took them from. Its gradient is :func:`im2col`."""
    col = as_tensor("col2im", "col", col)
    kernels = ops(col.data)
    settings = (kernel_size, stride, padding, dilation)
    return record(kernels.col2im(col.data, x_shape, *settings), lambda dy, needs: (kernels.im2col(dy, *settings),), col)
