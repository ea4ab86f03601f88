"""Maximum and average pooling."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from nnlite.reference import arith
from nnlite.reference.checks import Array, Pair, check, check_array, check_shape, check_size, pair, shape_argument
from nnlite.reference.signature import Computation, Spec, define_op
from nnlite.reference.windows import Contribution, Windows, gather, windows

__all__ = [
    "avg_pool2d_backward",
    "avg_pool2d_forward",
    "global_avg_pool2d_backward",
    "global_avg_pool2d_forward",
    "max_pool2d_backward",
    "max_pool2d_forward",
]


@define_op
def max_pool2d_forward(
    x: Array, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0
) -> Computation[tuple[Array, Array]]:
    """Maximum of each window, and which tap it was (numerics section 5).

    The taps are taken in ascending ``(r, s)``; the first maximum, or the first NaN, wins. Padding is never chosen.

    Args:
        x: ``(N, C, H, W)``.
        kernel_size: ``(R, S)``, or one int for both; so for the others.
        stride: step between windows, at least 1; ``None``: ``kernel_size``.
        padding: elements outside ``x`` on each side, at most half the kernel.

    Returns:
        y: ``(N, C, OH, OW)`` with ``OH = (H + 2*ph - R) // sh + 1`` and ``OW`` likewise.
        index: ``(N, C, OH, OW)``, the winner's ``r*S + s``: uint8 where a window has fewer than 256 taps, else int32.

    Raises:
        ValueError: the kernel is larger than the padded input; too much padding; planes without elements.
    """
    op = "max_pool2d_forward"
    x = check_array(op, "x", x, "(N, C, H, W)")
    geometry = _windows(op, (x.shape[2], x.shape[3]), kernel_size, stride, padding)
    shape = check_size(op, (*x.shape[:2], *geometry.output))
    yield Spec(shape, x.dtype), Spec(shape, _index_dtype(geometry))
    y = np.zeros(shape, x.dtype)
    index = np.full(shape, -1, np.int32)
    for r, s in geometry.taps():
        (rows, cols), (window_rows, window_cols) = geometry.at(r, s)
        value = x[:, :, rows, cols]
        best, winner = y[:, :, window_rows, window_cols], index[:, :, window_rows, window_cols]
        wins = (winner < 0) | (value > best) | (np.isnan(value) & ~np.isnan(best))
        np.copyto(best, value, where=wins)
        np.copyto(winner, r * geometry.kernel[1] + s, where=wins)
    return y, index.astype(_index_dtype(geometry))


@define_op
def max_pool2d_backward(
    dy: Array,
    index: Array,
    x_shape: tuple[int, int, int, int],
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
) -> Computation[Array]:
    """Gradient of :func:`max_pool2d_forward`: each input element is the sum of ``dy`` of the windows that chose it.

    They are taken in ascending ``(oh, ow)``: the first is stored, later ones are added; without any it is +0.

    Args:
        dy: ``(N, C, OH, OW)``.
        index: ``(N, C, OH, OW)``, from the forward pass.
        x_shape: ``(N, C, H, W)``.
        kernel_size, stride, padding: as in :func:`max_pool2d_forward`.

    Returns:
        dx: ``(N, C, H, W)``.

    Raises:
        TypeError: ``index`` has not the dtype of the forward pass.
        ValueError: ``dy`` or ``index`` has not the shape of the output; an index is not that of a tap.
    """
    op = "max_pool2d_backward"
    dy = check_array(op, "dy", dy, "(N, C, OH, OW)")
    n, c, h, w = shape_argument(op, "x_shape", x_shape, "(N, C, H, W)")
    geometry = _windows(op, (h, w), kernel_size, stride, padding)
    check_size(op, (n, c))
    check_shape(op, "dy", dy, (n, c, *geometry.output), "the output")
    if not isinstance(index, (np.ndarray, Spec)):
        raise TypeError(f"{op}: index must be a numpy.ndarray, got {type(index).__name__}")
    if index.dtype != _index_dtype(geometry):
        raise TypeError(f"{op}: index must be {_index_dtype(geometry)}, got {index.dtype}")
    check_shape(op, "index", index, dy.shape, "the output")
    taps = geometry.kernel[0] * geometry.kernel[1]
    if isinstance(index, np.ndarray):
        wrong = index[(index < 0) | (index >= taps)]
        check(wrong.size == 0, f"{op}: index holds {wrong[:1].tolist()} but a window has {taps} taps (0 to {taps - 1})")
    yield Spec(check_size(op, (n, c, h, w)), dy.dtype)

    def contributions() -> Iterator[Contribution]:
        # For one input element the window (oh, ow) ascends as the tap (r, s) descends.
        for r, s in reversed(list(geometry.taps())):
            place, (rows, cols) = geometry.at(r, s)
            yield place, dy[:, :, rows, cols], index[:, :, rows, cols] == r * geometry.kernel[1] + s

    return gather(contributions(), np.empty((n, c, h, w), dy.dtype))


@define_op
def avg_pool2d_forward(
    x: Array, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0
) -> Computation[Array]:
    """Average of each window: the sum of its elements inside ``x`` in ascending ``(r, s)``, divided by ``R*S``.

    Args:
        x: ``(N, C, H, W)``.
        kernel_size, stride, padding: as in :func:`max_pool2d_forward`.

    Returns:
        y: ``(N, C, OH, OW)`` with ``OH = (H + 2*ph - R) // sh + 1`` and ``OW`` likewise.

    Raises:
        ValueError: the kernel is larger than the padded input; too much padding; planes without elements.
    """
    op = "avg_pool2d_forward"
    x = check_array(op, "x", x, "(N, C, H, W)")
    geometry = _windows(op, (x.shape[2], x.shape[3]), kernel_size, stride, padding)
    shape = check_size(op, (*x.shape[:2], *geometry.output))
    yield Spec(shape, x.dtype)
    t = np.zeros(shape, x.dtype)
    for r, s in geometry.taps():
        (rows, cols), (window_rows, window_cols) = geometry.at(r, s)
        t[:, :, window_rows, window_cols] += x[:, :, rows, cols]
    return np.asarray(t / _count(geometry, x.dtype))


@define_op
def avg_pool2d_backward(
    dy: Array, x_shape: tuple[int, int, int, int], kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0
) -> Computation[Array]:
    """Gradient of :func:`avg_pool2d_forward`: each input element is the sum of ``dy / (R*S)`` of its windows.

    They are taken in ascending ``(oh, ow)``: the first is stored, later ones are added; an element in no window is +0.

    Args:
        dy: ``(N, C, OH, OW)``.
        x_shape: ``(N, C, H, W)``.
        kernel_size, stride, padding: as in :func:`max_pool2d_forward`.

    Returns:
        dx: ``(N, C, H, W)``.

    Raises:
        ValueError: ``dy`` has not the shape of the output.
    """
    op = "avg_pool2d_backward"
    dy = check_array(op, "dy", dy, "(N, C, OH, OW)")
    n, c, h, w = shape_argument(op, "x_shape", x_shape, "(N, C, H, W)")
    geometry = _windows(op, (h, w), kernel_size, stride, padding)
    check_size(op, (n, c))
    check_shape(op, "dy", dy, (n, c, *geometry.output), "the output")
    yield Spec(check_size(op, (n, c, h, w)), dy.dtype)
    g = dy / _count(geometry, dy.dtype)

    def contributions() -> Iterator[Contribution]:
        for r, s in reversed(list(geometry.taps())):
            place, (rows, cols) = geometry.at(r, s)
            yield place, g[:, :, rows, cols], None

    return gather(contributions(), np.empty((n, c, h, w), dy.dtype))


@define_op
def global_avg_pool2d_forward(x: Array) -> Computation[Array]:
    """Average of each plane: ``Sum(plane) / (H*W)`` (Lin, Chen and Yan, Network in Network, 2014; numerics section 4).

    Args:
        x: ``(N, C, H, W)``.

    Returns:
        y: ``(N, C, 1, 1)``.

    Raises:
        ValueError: planes without elements.
    """
    op = "global_avg_pool2d_forward"
    x = check_array(op, "x", x, "(N, C, H, W)")
    n, c, h, w = x.shape
    _check_plane(op, (h, w))
    yield Spec((n, c, 1, 1), x.dtype)
    return np.asarray(arith.total(x.reshape(n, c, h * w)) / x.dtype.type(h * w)).reshape(n, c, 1, 1)


@define_op
def global_avg_pool2d_backward(dy: Array, x_shape: tuple[int, int, int, int]) -> Computation[Array]:
    """Gradient of :func:`global_avg_pool2d_forward`: ``dy / (H*W)`` at every element of the plane.

    Args:
        dy: ``(N, C, 1, 1)``.
        x_shape: ``(N, C, H, W)``.

    Returns:
        dx: ``(N, C, H, W)``.

    Raises:
        ValueError: ``dy`` has not the shape of the output; planes without elements.
    """
    op = "global_avg_pool2d_backward"
    dy = check_array(op, "dy", dy, "(N, C, 1, 1)")
    n, c, h, w = shape_argument(op, "x_shape", x_shape, "(N, C, H, W)")
    _check_plane(op, (h, w))
    check_shape(op, "dy", dy, (n, c, 1, 1), "the output")
    yield Spec(check_size(op, (n, c, h, w)), dy.dtype)
    return np.array(np.broadcast_to(dy / dy.dtype.type(h * w), (n, c, h, w)), order="C")


def _windows(op: str, size: tuple[int, int], kernel_size: Pair, stride: Pair | None, padding: Pair) -> Windows:
    kernel = pair(op, "kernel_size", kernel_size, 1)
    _check_plane(op, size)
    geometry = windows(op, size, kernel, kernel if stride is None else stride, padding)
    (kr, ks), (ph, pw) = kernel, geometry.padding
    check(
        2 * ph <= kr and 2 * pw <= ks,
        f"{op}: padding must be at most half the kernel, got padding {(ph, pw)} for kernel_size {kernel}",
    )
    check(kr * ks < 2**31, f"{op}: size of kernel_size overflows")
    return geometry


def _index_dtype(geometry: Windows) -> np.dtype[Any]:
    return np.dtype(np.uint8 if math.prod(geometry.kernel) < 256 else np.int32)


def _check_plane(op: str, size: tuple[int, int]) -> None:
    check(min(size) >= 1, f"{op}: x must have planes of at least (1, 1), got {size}")


def _count(geometry: Windows, dtype: np.dtype[np.generic]) -> np.generic:
    return dtype.type(geometry.kernel[0] * geometry.kernel[1])
