"""im2col and col2im: the windows of a convolution as rows of a matrix, and back."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from nnlite.reference.checks import Array, Pair, check_array, check_shape, check_size, pair, shape_argument
from nnlite.reference.signature import Computation, Spec, define_op
from nnlite.reference.windows import Contribution, Windows, gather, windows

__all__ = ["col2im", "im2col"]


@define_op
def im2col(x: Array, kernel_size: Pair, stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1) -> Computation[Array]:
    """Windows as rows::

        col[(n, oh, ow), (c, r, s)] = x[n, c, oh*sh - ph + r*dh, ow*sw - pw + s*dw], +0 outside x

    ``gemm(im2col(x, ...), weight.reshape(K, -1), transpose_b=True)`` has the bits of :func:`conv2d_forward`, in rows
    ``(n, oh, ow)`` and columns ``k`` (Chellapilla, Puri and Simard, High Performance Convolutional Neural Networks for
    Document Processing, 2006).

    Args:
        x: ``(N, C, H, W)``.
        kernel_size: ``(R, S)``, or one int for both; so for the others.
        stride: step between windows, at least 1.
        padding: zeros on each side, at least 0.
        dilation: distance between taps, at least 1.

    Returns:
        ``(N*OH*OW, C*R*S)`` with ``OH = (H + 2*ph - dh*(R-1) - 1) // sh + 1`` and ``OW`` likewise.

    Raises:
        ValueError: the dilated kernel is larger than the padded input.
    """
    x = check_array("im2col", "x", x, "(N, C, H, W)")
    kernel = pair("im2col", "kernel_size", kernel_size, 1)
    geometry = windows("im2col", (x.shape[2], x.shape[3]), kernel, stride, padding, dilation)
    yield Spec(check_size("im2col", columns_shape("im2col", x.shape, geometry)), x.dtype)
    return columns("im2col", x, geometry)


@define_op
def col2im(
    col: Array,
    x_shape: tuple[int, int, int, int],
    kernel_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Computation[Array]:
    """The transpose of :func:`im2col`: each input element is the sum of the columns that it went to.

    They are taken in ascending ``(oh, ow)``: the first is stored, later ones are added; an element in no window is +0.

    Args:
        col: ``(N*OH*OW, C*R*S)``.
        x_shape: ``(N, C, H, W)``.
        kernel_size, stride, padding, dilation: as in :func:`im2col`.

    Returns:
        ``(N, C, H, W)``.

    Raises:
        ValueError: the kernel does not fit ``x_shape``; ``col`` has not the shape that ``x_shape`` gives.
    """
    op = "col2im"
    col = check_array(op, "col", col, "(N*OH*OW, C*R*S)")
    n, c, h, w = shape_argument(op, "x_shape", x_shape, "(N, C, H, W)")
    geometry = windows(op, (h, w), pair(op, "kernel_size", kernel_size, 1), stride, padding, dilation)
    (oh, ow), (kr, ks) = geometry.output, geometry.kernel
    check_shape(op, "col", col, columns_shape(op, (n, c, h, w), geometry), "x_shape")
    yield Spec(check_size(op, (n, c, h, w)), col.dtype)
    by_tap = col.reshape(n, oh, ow, c, kr, ks)

    def contributions() -> Iterator[Contribution]:
        # For one input element the window (oh, ow) ascends as the tap (r, s) descends.
        for r, s in reversed(list(geometry.taps())):
            place, (rows, cols) = geometry.at(r, s)
            yield place, by_tap[:, rows, cols, :, r, s].transpose(0, 3, 1, 2), None

    return gather(contributions(), np.empty((n, c, h, w), col.dtype))


def columns_shape(op: str, x_shape: tuple[int, ...], geometry: Windows) -> tuple[int, ...]:
    """Shape of :func:`im2col` of an array of ``x_shape``."""
    (oh, ow), (kr, ks) = geometry.output, geometry.kernel
    rows, taps = check_size(op, (x_shape[0], oh, ow)), check_size(op, (x_shape[1], kr, ks))
    return math.prod(rows), math.prod(taps)


def columns(op: str, x: Array, geometry: Windows) -> Array:
    """:func:`im2col` of checked arguments."""
    n, c = x.shape[:2]
    (oh, ow), (kr, ks) = geometry.output, geometry.kernel
    col = np.zeros((n, oh, ow, c, kr, ks), x.dtype)
    for r, s in geometry.taps():
        (rows, cols), (window_rows, window_cols) = geometry.at(r, s)
        col[:, window_rows, window_cols, :, r, s] = x[:, :, rows, cols].transpose(0, 2, 3, 1)
    return col.reshape(n * oh * ow, c * kr * ks)
