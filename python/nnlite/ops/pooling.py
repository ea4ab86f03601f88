"""Pooling over windows of an image or a sequence, over bins, and over the whole image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import arrays
from ..arrays import Array
from ..backend import ops
from ..tensor import Tensor, as_tensor, record
from .conv2d import _one, pair
from .elementwise import abs, divide, multiply, pow, relu, sign
from .reduce import amax, mean
from .shape import cat, narrow, pad, reshape, squeeze, unsqueeze

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "global_avg_pool2d",
    "lp_pool1d",
    "lp_pool2d",
    "max_pool1d",
    "max_pool2d",
    "max_unpool1d",
    "max_unpool2d",
]

Pair = int | Sequence[int]


def _ceiled(x: Tensor, kernel: Pair, stride: Pair | None, padding: Pair, dilation: Pair = 1) -> list[int]:
    """The rows and columns that ``ceil_mode`` adds behind, so that the last window is whole: (height, width)."""
    added = []
    steps = pair(kernel if stride is None else stride)
    for n, k, s, p, d in zip(x.data.shape[2:], pair(kernel), steps, pair(padding), pair(dilation), strict=True):
        count = -(-(n + 2 * p - d * (k - 1) - 1) // s) + 1
        if (count - 1) * s >= n + p:  # the last window would begin behind the image
            count -= 1
        added.append(max((count - 1) * s + d * (k - 1) + 1 - n - 2 * p, 0))
    return added


def max_pool2d(
    x: Tensor | Array,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of each window of x ``(N, C, H, W)`` or ``(C, H, W)``. ``stride`` defaults to ``kernel_size``.

    Args:
        padding: positions outside, which never win.
        ceil_mode: whether a window may reach over the border behind.
        return_indices: return the pair of maxima and where they are, int64, counted over the plane, as
            :func:`max_unpool2d` takes them.

    Raises:
        ValueError: ``dilation`` is not 1.
    """
    x = as_tensor("max_pool2d", "x", x)
    if x.data.ndim == 3:
        result = max_pool2d(unsqueeze(x, 0), kernel_size, stride, padding, dilation, ceil_mode, return_indices)
        return (squeeze(result[0], 0), result[1][0]) if return_indices else squeeze(result, 0)
    if pair(dilation) != (1, 1):
        raise ValueError(f"max_pool2d: dilation must be 1, got {dilation}; use unfold and amax")
    width = x.data.shape[-1]
    if ceil_mode and x.data.ndim == 4:
        below, right = _ceiled(x, kernel_size, stride, padding)
        if below or right:
            x = pad(x, (0, right, 0, below), value=-math.inf)
    kernels, shape = ops(x.data), x.data.shape
    settings = (kernel_size, stride, padding)
    y, index = kernels.max_pool2d_forward(x.data, *settings)
    result = record(y, lambda dy, needs: (kernels.max_pool2d_backward(dy, index, shape, *settings),), x)
    if not return_indices:
        return result
    taps = arrays.to_numpy(index).astype(np.int64)
    (_, s), steps, pads = pair(kernel_size), pair(kernel_size if stride is None else stride), pair(padding)
    rows = np.arange(taps.shape[2])[:, None] * steps[0] - pads[0] + taps // s
    columns = np.arange(taps.shape[3]) * steps[1] - pads[1] + taps % s
    return result, arrays.put(rows * width + columns, x.data)


def max_pool1d(
    x: Tensor | Array,
    kernel_size: int,
    stride: int | None = None,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """:func:`max_pool2d` of sequences ``(N, C, L)`` or ``(C, L)``."""
    op = "max_pool1d"
    steps = None if stride is None else (1, _one(op, "stride", stride))
    window = ((1, _one(op, "kernel_size", kernel_size)), steps, (0, _one(op, "padding", padding)))
    x = unsqueeze(as_tensor(op, "x", x), -2)
    result = max_pool2d(x, *window, (1, _one(op, "dilation", dilation)), ceil_mode, return_indices)
    return (squeeze(result[0], -2), result[1][..., 0, :]) if return_indices else squeeze(result, -2)


def max_unpool2d(
    x: Tensor | Array,
    indices: Array,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    output_size: Any = None,
) -> Tensor:
    """The maxima of :func:`max_pool2d` where they came from, and 0 elsewhere.

    Args:
        x: ``(N, C, OH, OW)``.
        indices: what ``return_indices`` gave, of the same shape.
        output_size: height and width of the result, the last two numbers; by default the smallest that fits.
    """
    x = as_tensor("max_unpool2d", "x", x)
    steps = pair(kernel_size if stride is None else stride)
    sizes = [
        (n - 1) * s - 2 * p + k
        for n, s, p, k in zip(x.data.shape[-2:], steps, pair(padding), pair(kernel_size), strict=True)
    ]
    height, width = sizes if output_size is None else tuple(output_size)[-2:]
    if tuple(indices.shape) != x.data.shape:
        raise ValueError(f"max_unpool2d: x has shape {x.data.shape} but indices has shape {tuple(indices.shape)}")
    planes = int(np.prod(x.data.shape[:-2]))
    flat = indices.reshape((planes, -1))
    kernels, shape = ops(x.data), (planes, height * width)
    items = reshape(x, (planes, -1))
    y = kernels.gather_backward(items.data, flat, shape, 1)
    result = record(y, lambda dy, needs: (kernels.gather(dy, flat, 1),), items)
    return reshape(result, (*x.data.shape[:-2], height, width))


def avg_pool2d(
    x: Tensor | Array,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of x ``(N, C, H, W)`` or ``(C, H, W)``. ``stride`` defaults to ``kernel_size``.

    Args:
        padding: zeros outside.
        ceil_mode: whether a window may reach over the border behind; what lies there counts for nothing.
        count_include_pad: whether padding counts among the elements.
        divisor_override: what the sum is divided by, in place of the count.
    """
    x = as_tensor("avg_pool2d", "x", x)
    if x.data.ndim == 3:
        settings = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
        return squeeze(avg_pool2d(unsqueeze(x, 0), *settings), 0)
    if not ceil_mode and divisor_override is None and (count_include_pad or pair(padding) == (0, 0)):
        return _avg_pool2d(x, kernel_size, stride, padding)
    if x.data.ndim != 4:
        raise ValueError(f"avg_pool2d: x must be (N, C, H, W) or (C, H, W), got shape {x.data.shape}")
    if divisor_override == 0:
        raise ValueError("avg_pool2d: divisor_override must not be 0")
    taps = pair(kernel_size)[0] * pair(kernel_size)[1]
    below, right = _ceiled(x, kernel_size, stride, padding) if ceil_mode else (0, 0)
    p, q = pair(padding)
    widths = (q, q + right, p, p + below)
    sums = multiply(_avg_pool2d(pad(x, widths), kernel_size, stride, 0), float(taps))
    if divisor_override is not None:
        return divide(sums, float(divisor_override))
    counted = np.ones((1, 1, *x.data.shape[2:]), x.data.dtype)
    inside = ((0, 0), (0, 0), (p, p), (q, q))
    counted = np.pad(counted, inside, constant_values=1.0 if count_include_pad else 0.0)
    counted = np.pad(counted, ((0, 0), (0, 0), (0, below), (0, right)))
    count = multiply(_avg_pool2d(Tensor(arrays.put(counted, x.data)), kernel_size, stride, 0), float(taps))
    return divide(sums, Tensor(arrays.put(np.rint(arrays.to_numpy(count.data)), x.data)))


def _avg_pool2d(x: Tensor, kernel_size: Pair, stride: Pair | None, padding: Pair) -> Tensor:
    kernels, shape = ops(x.data), x.data.shape
    settings = (kernel_size, stride, padding)
    y = kernels.avg_pool2d_forward(x.data, *settings)
    return record(y, lambda dy, needs: (kernels.avg_pool2d_backward(dy, shape, *settings),), x)


def avg_pool1d(
    x: Tensor | Array,
    kernel_size: int,
    stride: int | None = None,
    padding: int = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """:func:`avg_pool2d` of sequences ``(N, C, L)`` or ``(C, L)``."""
    op = "avg_pool1d"
    steps = None if stride is None else (1, _one(op, "stride", stride))
    window = ((1, _one(op, "kernel_size", kernel_size)), steps, (0, _one(op, "padding", padding)))
    return squeeze(avg_pool2d(unsqueeze(as_tensor(op, "x", x), -2), *window, ceil_mode, count_include_pad), -2)


def lp_pool2d(
    x: Tensor | Array, norm_type: float, kernel_size: Pair, stride: Pair | None = None, ceil_mode: bool = False
) -> Tensor:
    """``sum(x**p)**(1/p)`` over each window, of the positive part of the sum, as in PyTorch."""
    x = as_tensor("lp_pool2d", "x", x)
    taps = pair(kernel_size)[0] * pair(kernel_size)[1]
    means = avg_pool2d(pow(x, norm_type), kernel_size, stride, 0, ceil_mode)
    return pow(multiply(multiply(sign(means), relu(abs(means))), float(taps)), 1.0 / norm_type)


def lp_pool1d(
    x: Tensor | Array, norm_type: float, kernel_size: int, stride: int | None = None, ceil_mode: bool = False
) -> Tensor:
    """:func:`lp_pool2d` of sequences ``(N, C, L)`` or ``(C, L)``."""
    op = "lp_pool1d"
    steps = None if stride is None else (1, _one(op, "stride", stride))
    kernel = (1, _one(op, "kernel_size", kernel_size))
    return squeeze(lp_pool2d(unsqueeze(as_tensor(op, "x", x), -2), norm_type, kernel, steps, ceil_mode), -2)


def max_unpool1d(
    x: Tensor | Array,
    indices: Array,
    kernel_size: int,
    stride: int | None = None,
    padding: int = 0,
    output_size: Any = None,
) -> Tensor:
    """:func:`max_unpool2d` of sequences ``(N, C, OL)`` or ``(C, OL)``."""
    op = "max_unpool1d"
    steps = None if stride is None else (1, _one(op, "stride", stride))
    window = (1, _one(op, "kernel_size", kernel_size)), steps, (0, _one(op, "padding", padding))
    size = None if output_size is None else (1, tuple(output_size)[-1])
    places = indices.reshape((*indices.shape[:-1], 1, indices.shape[-1]))
    return squeeze(max_unpool2d(unsqueeze(as_tensor(op, "x", x), -2), places, *window, size), -2)


def _bins(n: int, count: int) -> list[tuple[int, int]]:
    """Begin and size of ``count`` bins that cover ``n`` elements; they may overlap by one."""
    return [(i * n // count, -(-(i + 1) * n // count) - i * n // count) for i in range(count)]


def _over_bins(x: Tensor, axis: int, count: int | None, reduce: Any) -> Tensor:
    n = x.data.shape[axis]
    bins = _bins(n, n if count is None else count)
    if all(size == 1 for _, size in bins):
        return x
    return cat([reduce(narrow(x, axis, first, size), axis, True) for first, size in bins], axis)


def _adaptive(op: str, x: Tensor | Array, output_size: Any) -> tuple[Tensor, tuple[int | None, int | None]]:
    x = as_tensor(op, "x", x)
    if x.data.ndim not in (3, 4):
        raise ValueError(f"{op}: x must be (N, C, H, W) or (C, H, W), got shape {x.data.shape}")
    sizes = (output_size, output_size) if isinstance(output_size, int) or output_size is None else tuple(output_size)
    if len(sizes) != 2 or any(n is not None and n < 1 for n in sizes):
        raise ValueError(f"{op}: output_size must be an integer of at least 1, or a pair of them, got {output_size!r}")
    return x, sizes


def adaptive_avg_pool2d(x: Tensor | Array, output_size: Any) -> Tensor:
    """Means over bins: ``(N, C, H, W)`` to ``(N, C, *output_size)``; ``None`` keeps a size.

    Bin ``i`` of ``n`` goes from ``floor(i * H / n)`` to ``ceil((i + 1) * H / n)``. Where bins are windows of one size,
    it is :func:`avg_pool2d`; else the means over columns are taken first, then those over rows.
    """
    x, (rows, columns) = _adaptive("adaptive_avg_pool2d", x, output_size)
    height, width = x.data.shape[-2:]
    rows, columns = rows or height, columns or width
    if x.data.ndim == 4 and rows == columns == 1:
        return global_avg_pool2d(x)
    if height % rows == 0 and width % columns == 0:
        return avg_pool2d(x, (height // rows, width // columns))
    return _over_bins(_over_bins(x, x.data.ndim - 1, columns, mean), x.data.ndim - 2, rows, mean)


def adaptive_max_pool2d(x: Tensor | Array, output_size: Any) -> Tensor:
    """Maxima over bins; see :func:`adaptive_avg_pool2d`."""
    x, (rows, columns) = _adaptive("adaptive_max_pool2d", x, output_size)
    height, width = x.data.shape[-2:]
    rows, columns = rows or height, columns or width
    if height % rows == 0 and width % columns == 0:
        result: Tensor = max_pool2d(x, (height // rows, width // columns))
        return result
    return _over_bins(_over_bins(x, x.data.ndim - 1, columns, amax), x.data.ndim - 2, rows, amax)


def adaptive_avg_pool1d(x: Tensor | Array, output_size: int) -> Tensor:
    """:func:`adaptive_avg_pool2d` of sequences ``(N, C, L)`` or ``(C, L)``."""
    size = (1, _one("adaptive_avg_pool1d", "output_size", output_size))
    return squeeze(adaptive_avg_pool2d(unsqueeze(as_tensor("adaptive_avg_pool1d", "x", x), -2), size), -2)


def adaptive_max_pool1d(x: Tensor | Array, output_size: int) -> Tensor:
    """:func:`adaptive_max_pool2d` of sequences ``(N, C, L)`` or ``(C, L)``."""
    size = (1, _one("adaptive_max_pool1d", "output_size", output_size))
    return squeeze(adaptive_max_pool2d(unsqueeze(as_tensor("adaptive_max_pool1d", "x", x), -2), size), -2)


def global_avg_pool2d(x: Tensor | Array) -> Tensor:
    """The mean of each channel of each image: ``(N, C, H, W)`` to ``(N, C, 1, 1)``."""
    x = as_tensor("global_avg_pool2d", "x", x)
    kernels = ops(x.data)
    shape = x.data.shape
    return record(
        kernels.global_avg_pool2d_forward(x.data), lambda dy, needs: (kernels.global_avg_pool2d_backward(dy, shape),), x
    )
