"""Images made larger, smaller and otherwise arranged, composed of ops that move elements."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .. import arrays
from ..arrays import Array
from ..backend import ops
from ..tensor import Tensor, as_tensor, record
from .conv2d import pair
from .elementwise import add, multiply, subtract
from .index import index_select
from .shape import permute, reshape, squeeze, unsqueeze

__all__ = ["channel_shuffle", "fold", "interpolate", "pixel_shuffle", "pixel_unshuffle", "unfold", "upsample"]

Pair = int | Sequence[int]


def interpolate(
    x: Tensor | Array,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """Resampled to ``size``, or by ``scale_factor``: ``(N, C, L)`` or ``(N, C, H, W)``.

    Args:
        mode: "nearest" takes element ``floor(i * n / size)``; "linear" (sequences) and "bilinear" (images) mix the two
            neighbours of the place ``(i + 0.5) * n / size - 0.5``, or, with ``align_corners``, of
            ``i * (n - 1) / (size - 1)``: along the last dimension first, ``a + w * (b - a)``.

    Raises:
        ValueError: both or none of ``size`` and ``scale_factor`` are given, or the mode does not fit.
    """
    x = as_tensor("interpolate", "x", x)
    spatial = x.data.ndim - 2
    linear = {1: "linear", 2: "bilinear"}.get(spatial)
    if linear is None:
        raise ValueError(f"interpolate: x must be (N, C, L) or (N, C, H, W), got shape {x.data.shape}")
    if mode not in ("nearest", linear):
        raise ValueError(f"interpolate: mode must be 'nearest' or {linear!r} for shape {x.data.shape}, got {mode!r}")
    if mode == "nearest" and align_corners is not None:
        raise ValueError("interpolate: align_corners belongs to the linear modes")
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate: give either size or scale_factor")
    sizes: list[int]
    scales: list[float | None] = [None] * spatial
    if size is not None:
        sizes = [size] * spatial if isinstance(size, int) else list(size)
    else:
        assert scale_factor is not None
        factors = [scale_factor] * spatial if isinstance(scale_factor, (int, float)) else list(scale_factor)
        sizes = [math.floor(n * f) for n, f in zip(x.data.shape[2:], factors, strict=True)]
        scales = [1.0 / f for f in factors]
    if len(sizes) != spatial or min(sizes) < 1:
        raise ValueError(f"interpolate: the result would have the size {sizes}, for {spatial} dimensions")
    for axis in range(spatial + 1, 1, -1):
        x = _resampled(x, axis, sizes[axis - 2], scales[axis - 2], mode, bool(align_corners))
    return x


def _resampled(x: Tensor, axis: int, size: int, scale: float | None, mode: str, align_corners: bool) -> Tensor:
    n = x.data.shape[axis]
    ratio = n / size if scale is None else scale
    if mode == "nearest":
        if size == n:
            return x
        return index_select(x, axis, np.minimum(np.floor(np.arange(size) * ratio).astype(np.int64), n - 1))
    if align_corners:
        place = np.arange(size) * ((n - 1) / (size - 1) if size > 1 else 0.0)
    else:
        place = np.maximum((np.arange(size) + 0.5) * ratio - 0.5, 0.0)
    first = np.minimum(place.astype(np.int64), n - 1)
    share = (place - first).astype(x.data.dtype)
    left, right = index_select(x, axis, first), index_select(x, axis, np.minimum(first + 1, n - 1))
    weight = share.reshape(-1, *(1,) * (x.data.ndim - 1 - axis))
    return add(left, multiply(subtract(right, left), Tensor(arrays.put(weight, x.data))))


def pixel_shuffle(x: Tensor | Array, upscale_factor: int) -> Tensor:
    """``(*, C * r * r, H, W)`` to ``(*, C, H * r, W * r)`` (Shi et al., 2016)."""
    x = as_tensor("pixel_shuffle", "x", x)
    *lead, c, h, w = x.data.shape
    r = upscale_factor
    if r < 1 or c % (r * r):
        raise ValueError(
            f"pixel_shuffle: upscale_factor {r} squared does not divide the {c} channels of {x.data.shape}"
        )
    n = math.prod(lead)
    y = permute(reshape(x, (n, c // (r * r), r, r, h, w)), (0, 1, 4, 2, 5, 3))
    return reshape(y, (*lead, c // (r * r), h * r, w * r))


def pixel_unshuffle(x: Tensor | Array, downscale_factor: int) -> Tensor:
    """``(*, C, H * r, W * r)`` to ``(*, C * r * r, H, W)``: :func:`pixel_shuffle` backwards."""
    x = as_tensor("pixel_unshuffle", "x", x)
    *lead, c, h, w = x.data.shape
    r = downscale_factor
    if r < 1 or h % r or w % r:
        raise ValueError(f"pixel_unshuffle: downscale_factor {r} does not divide the size of {x.data.shape}")
    n = math.prod(lead)
    y = permute(reshape(x, (n, c, h // r, r, w // r, r)), (0, 1, 3, 5, 2, 4))
    return reshape(y, (*lead, c * r * r, h // r, w // r))


def channel_shuffle(x: Tensor | Array, groups: int) -> Tensor:
    """Channels of ``groups`` groups taken in turns (Zhang et al., 2018)."""
    x = as_tensor("channel_shuffle", "x", x)
    n, c, *rest = x.data.shape
    if groups < 1 or c % groups:
        raise ValueError(f"channel_shuffle: groups {groups} does not divide the {c} channels of {x.data.shape}")
    y = permute(reshape(x, (n, groups, c // groups, math.prod(rest))), (0, 2, 1, 3))
    return reshape(y, x.data.shape)


def unfold(x: Tensor | Array, kernel_size: Pair, dilation: Pair = 1, padding: Pair = 0, stride: Pair = 1) -> Tensor:
    """The windows of images as columns: ``(N, C, H, W)`` to ``(N, C * R * S, windows)``; :func:`im2col`, transposed."""
    from .im2col import im2col

    x = as_tensor("unfold", "x", x)
    if x.data.ndim == 3:
        return squeeze(unfold(unsqueeze(x, 0), kernel_size, dilation, padding, stride), 0)
    rows = im2col(x, pair(kernel_size), pair(stride), pair(padding), pair(dilation))
    return permute(reshape(rows, (x.data.shape[0], -1, rows.data.shape[1])), (0, 2, 1))


def fold(
    x: Tensor | Array,
    output_size: Pair,
    kernel_size: Pair,
    dilation: Pair = 1,
    padding: Pair = 0,
    stride: Pair = 1,
) -> Tensor:
    """Columns of windows added up to images: ``(N, C * R * S, windows)`` to ``(N, C, *output_size)``."""
    x = as_tensor("fold", "x", x)
    if x.data.ndim == 2:
        return squeeze(fold(unsqueeze(x, 0), output_size, kernel_size, dilation, padding, stride), 0)
    if x.data.ndim != 3:
        raise ValueError(f"fold: x must be (N, C * R * S, windows), got shape {x.data.shape}")
    (r, s), (n, columns, windows) = pair(kernel_size), x.data.shape
    if columns % (r * s):
        raise ValueError(f"fold: the {columns} rows of x are no multiple of the {r * s} taps of kernel_size")
    shape = (n, columns // (r * s), *pair(output_size))
    kernels, settings = ops(x.data), (pair(kernel_size), pair(stride), pair(padding), pair(dilation))
    col = reshape(permute(x, (0, 2, 1)), (n * windows, columns))
    y = kernels.col2im(col.data, shape, *settings)
    return record(y, lambda dy, needs: (kernels.im2col(dy, *settings),), col)


def upsample(
    x: Tensor | Array,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """An older name of :func:`interpolate`."""
    return interpolate(x, size, scale_factor, mode, align_corners)
