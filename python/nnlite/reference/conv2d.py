"""2-d convolution as in deep learning (Goodfellow, Bengio and Courville, Deep Learning, 2016, chapter 9)."""

from __future__ import annotations

import numpy as np

from nnlite.reference import arith
from nnlite.reference.checks import (
    Array,
    Pair,
    check,
    check_array,
    check_same_dtype,
    check_shape,
    check_size,
    integer,
    shape_argument,
)
from nnlite.reference.im2col import columns
from nnlite.reference.signature import Computation, Spec, define_op
from nnlite.reference.windows import Windows, overlap, windows

__all__ = ["conv2d_backward_bias", "conv2d_backward_data", "conv2d_backward_weights", "conv2d_forward"]


@define_op
def conv2d_forward(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Computation[Array]:
    """Convolution (numerics section 3)::

        y[n, k, oh, ow] = Σ_{c, r, s} x[n, c, oh*sh - ph + r*dh, ow*sw - pw + s*dw] * weight[k, c, r, s] + bias[k]

    With groups, output channel ``k`` sees only the ``C/groups`` input channels of its own group.

    Args:
        x: ``(N, C, H, W)``.
        weight: ``(K, C/groups, R, S)``.
        bias: ``(K,)`` or ``None``.
        stride: step ``(sh, sw)`` between windows, or one int for both; at least 1.
        padding: zeros ``(ph, pw)`` on each side; at least 0.
        dilation: distance ``(dh, dw)`` between taps; at least 1.
        groups: a divisor of ``C`` and ``K``.

    Returns:
        y: ``(N, K, OH, OW)`` with ``OH = (H + 2*ph - dh*(R-1) - 1) // sh + 1`` and ``OW`` likewise.

    Raises:
        ValueError: channels do not fit ``weight`` and ``groups``; the dilated kernel is larger than the padded input.
    """
    op = "conv2d_forward"
    x = check_array(op, "x", x, "(N, C, H, W)")
    weight = check_array(op, "weight", weight, "(K, C/groups, R, S)")
    bias = None if bias is None else check_array(op, "bias", bias, "(K,)")
    check_same_dtype(op, x=x, weight=weight, bias=bias)
    groups, geometry = _geometry(op, x.shape, "x", weight.shape, stride, padding, dilation, groups)
    if bias is not None:
        check_shape(op, "bias", bias, weight.shape[:1], "weight")
    n, k = len(x), len(weight)
    yield Spec(check_size(op, (n, k, *geometry.output)), x.dtype)

    y = np.empty((n, k, *geometry.output), x.dtype)
    for x_channels, y_channels in _groups(x.shape[1], k, groups):
        col = columns(op, x[:, x_channels], geometry)
        rows = arith.dot(col, weight[y_channels].reshape(k // groups, col.shape[1]).T)
        y[:, y_channels] = rows.reshape(n, *geometry.output, k // groups).transpose(0, 3, 1, 2)
    return y if bias is None else y + bias[:, None, None]


@define_op
def conv2d_backward_data(
    dy: Array,
    weight: Array,
    x_shape: tuple[int, int, int, int],
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Computation[Array]:
    """Gradient of :func:`conv2d_forward` for ``x``::

        dx[n, c, h, w] = Σ_{k, r, s} dy[n, k, (h + ph - r*dh) / sh, (w + pw - s*dw) / sw] * weight[k, c, r, s]

    over the taps whose divisions are exact, ``r`` and ``s`` descending; +0 stands for ``dy`` outside its borders.

    Args:
        dy: ``(N, K, OH, OW)``.
        weight: ``(K, C/groups, R, S)``.
        x_shape: ``(N, C, H, W)``.
        stride, padding, dilation, groups: as in :func:`conv2d_forward`.

    Returns:
        dx: ``(N, C, H, W)``; also the forward pass of a transposed convolution.

    Raises:
        ValueError: as for :func:`conv2d_forward`; ``dy`` has not the shape of its output.
    """
    op = "conv2d_backward_data"
    dy = check_array(op, "dy", dy, "(N, K, OH, OW)")
    weight = check_array(op, "weight", weight, "(K, C/groups, R, S)")
    check_same_dtype(op, dy=dy, weight=weight)
    x_shape = shape_argument(op, "x_shape", x_shape, "(N, C, H, W)")  # type: ignore[assignment]
    groups, geometry = _geometry(op, x_shape, "x_shape", weight.shape, stride, padding, dilation, groups)
    n, c, h, w = x_shape
    k = len(weight)
    check_shape(op, "dy", dy, (n, k, *geometry.output), "the output")
    yield Spec(check_size(op, x_shape), dy.dtype)

    (kr, ks), (sh, sw), (ph, pw), (dh, dw) = geometry.kernel, geometry.stride, geometry.padding, geometry.dilation
    dx = np.zeros(x_shape, dy.dtype)
    # The stride decides which taps reach an input element: the same ones for every sh-th row and every sw-th column.
    for first_row in range(min(sh, h)):
        taps_r = [r for r in reversed(range(kr)) if (first_row + ph - r * dh) % sh == 0]
        for first_col in range(min(sw, w)):
            taps_s = [s for s in reversed(range(ks)) if (first_col + pw - s * dw) % sw == 0]
            part = dx[:, :, first_row::sh, first_col::sw]
            rows, cols = part.shape[2:]
            for x_channels, y_channels in _groups(c, k, groups):
                reached = np.zeros((n, rows, cols, k // groups, len(taps_r), len(taps_s)), dy.dtype)
                for i, r in enumerate(taps_r):
                    from_rows, to_rows = overlap(geometry.output[0], rows, (first_row + ph - r * dh) // sh)
                    for j, s in enumerate(taps_s):
                        from_cols, to_cols = overlap(geometry.output[1], cols, (first_col + pw - s * dw) // sw)
                        reached[:, to_rows, to_cols, :, i, j] = dy[:, y_channels, from_rows, from_cols].transpose(
                            0, 2, 3, 1
                        )
                taps = weight[y_channels][:, :, taps_r][:, :, :, taps_s].transpose(0, 2, 3, 1)
                axis = k // groups * len(taps_r) * len(taps_s)
                sums = arith.dot(reached.reshape(n * rows * cols, axis), taps.reshape(axis, c // groups))
                part[:, x_channels] = sums.reshape(n, rows, cols, c // groups).transpose(0, 3, 1, 2)
    return dx


@define_op
def conv2d_backward_weights(
    dy: Array,
    x: Array,
    weight_shape: tuple[int, int, int, int],
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Computation[Array]:
    """Gradient of :func:`conv2d_forward` for ``weight``::

        dweight[k, c, r, s] = Σ_{n, oh, ow} dy[n, k, oh, ow] * x[n, c, oh*sh - ph + r*dh, ow*sw - pw + s*dw]

    Args:
        dy: ``(N, K, OH, OW)``.
        x: ``(N, C, H, W)``.
        weight_shape: ``(K, C/groups, R, S)``.
        stride, padding, dilation, groups: as in :func:`conv2d_forward`.

    Returns:
        dweight: ``(K, C/groups, R, S)``; zeros for an empty batch.

    Raises:
        ValueError: as for :func:`conv2d_forward`; ``dy`` has not the shape of its output.
    """
    op = "conv2d_backward_weights"
    dy = check_array(op, "dy", dy, "(N, K, OH, OW)")
    x = check_array(op, "x", x, "(N, C, H, W)")
    check_same_dtype(op, dy=dy, x=x)
    weight_shape = shape_argument(op, "weight_shape", weight_shape, "(K, C/groups, R, S)")  # type: ignore[assignment]
    groups, geometry = _geometry(op, x.shape, "x", weight_shape, stride, padding, dilation, groups, "weight_shape")
    k = weight_shape[0]
    check_shape(op, "dy", dy, (len(x), k, *geometry.output), "the output")
    yield Spec(check_size(op, weight_shape), dy.dtype)

    dweight = np.empty(weight_shape, dy.dtype)
    for x_channels, y_channels in _groups(x.shape[1], k, groups):
        col = columns(op, x[:, x_channels], geometry)
        rows = dy[:, y_channels].transpose(1, 0, 2, 3).reshape(k // groups, len(col))
        dweight[y_channels] = arith.dot(rows, col).reshape(k // groups, *weight_shape[1:])
    return dweight


@define_op
def conv2d_backward_bias(dy: Array) -> Computation[Array]:
    """Gradient of :func:`conv2d_forward` for ``bias``: ``dbias[k] = Σ_{n, oh, ow} dy[n, k, oh, ow]``, by planes.

    Args:
        dy: ``(N, K, OH, OW)``.

    Returns:
        dbias: ``(K,)``; zeros for an empty batch.
    """
    dy = check_array("conv2d_backward_bias", "dy", dy, "(N, K, OH, OW)")
    yield Spec(dy.shape[1:2], dy.dtype)
    return arith.plane_total(dy.reshape(*dy.shape[:2], dy.shape[2] * dy.shape[3]))


def _geometry(
    op: str,
    x_shape: tuple[int, ...],
    x_name: str,
    weight_shape: tuple[int, ...],
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    weight_name: str = "weight",
) -> tuple[int, Windows]:
    groups = integer(op, "groups", groups, 1)
    k, channels, r, s = weight_shape
    check(min(r, s) >= 1, f"{op}: {weight_name} must have a kernel of at least (1, 1), got {(r, s)}")
    check(k % groups == 0, f"{op}: {weight_name} has {k} output channels, which {groups} groups do not divide")
    check_size(op, (groups, channels))
    check(
        x_shape[1] == channels * groups,
        f"{op}: {x_name} has {x_shape[1]} channels but {weight_name} expects {channels * groups} "
        f"({groups} groups of {channels})",
    )
    return groups, windows(op, (x_shape[2], x_shape[3]), (r, s), stride, padding, dilation)


def _groups(c: int, k: int, groups: int) -> list[tuple[slice, slice]]:
    """Input and output channels of each group."""
    return [
        (slice(g * c // groups, (g + 1) * c // groups), slice(g * k // groups, (g + 1) * k // groups))
        for g in range(groups)
    ]
