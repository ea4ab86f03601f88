"""Where the windows of a convolution or a pooling lie on the input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from nnlite.reference.checks import Array, Pair, check, check_step, pair


class Windows(NamedTuple):
    """Windows on planes of ``size``; each field is a pair (height, width).

    Tap ``(r, s)`` of window ``(oh, ow)`` lies at ``(oh*sh - ph + r*dh, ow*sw - pw + s*dw)``, maybe outside the input.
    """

    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]

    @property
    def output(self) -> tuple[int, int]:
        """``(OH, OW)``: windows that fit into the padded input."""
        oh, ow = (
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(self.size, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        )
        return oh, ow

    def taps(self) -> Iterator[tuple[int, int]]:
        """Every ``(r, s)`` that may lie inside the input, in ascending order: a kernel may be nearly all padding."""
        rows, columns = (
            range(max(0, -(((m - 1) * s - p) // d)), min(k, (n - 1 + p) // d + 1))
            for n, k, s, p, d, m in zip(*self, self.output, strict=True)
        )
        return ((r, s) for r in rows for s in columns)

    def at(self, r: int, s: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Of the windows whose tap ``(r, s)`` lies inside the input: the input elements, and the windows."""
        rows, window_rows = overlap(
            self.size[0], self.output[0], r * self.dilation[0] - self.padding[0], self.stride[0]
        )
        columns, window_columns = overlap(
            self.size[1], self.output[1], s * self.dilation[1] - self.padding[1], self.stride[1]
        )
        return (rows, columns), (window_rows, window_columns)


def overlap(n: int, m: int, offset: int, stride: int = 1) -> tuple[slice, slice]:
    """Slices of ``i * stride + offset`` in ``0 … n-1``, and of ``i`` in ``0 … m-1``, where both are in range."""
    first = max(0, -(offset // stride))
    end = max(first, min(m, (n - 1 - offset) // stride + 1))
    start = first * stride + offset
    return slice(start, start + (end - first - 1) * stride + 1 if end > first else start, stride), slice(first, end)


def windows(
    op: str, size: tuple[int, int], kernel: tuple[int, int], stride: Pair, padding: Pair, dilation: Pair = 1
) -> Windows:
    """:class:`Windows` of checked arguments; ``kernel`` has been checked before, but for its greatest size."""
    result = Windows(
        size, kernel, pair(op, "stride", stride, 1), pair(op, "padding", padding, 0), pair(op, "dilation", dilation, 1)
    )
    check_step(op, "kernel", kernel)
    check(
        min(result.output) >= 1,
        f"{op}: a kernel of {kernel} with dilation {result.dilation} is larger than "
        f"an input of {size} with padding {result.padding}",
    )
    return result


Contribution = tuple[tuple[slice, slice], Array, Array | None]


def gather(contributions: Iterator[Contribution], result: Array) -> Array:
    """Fill ``result (N, C, H, W)``: in an element the first contribution is stored, later ones are added; none: +0.

    A contribution has the place in the plane, the values, and a mask of those that count (``None``: all).
    """
    result[...] = -0.0  # the one number that stores when it is added to: -0 + x = x for every x
    reached = np.zeros(result.shape, bool)
    for (rows, columns), values, counts in contributions:
        place = result[:, :, rows, columns]
        if counts is None:
            place += values
            reached[:, :, rows, columns] = True
        else:
            np.add(place, values, out=place, where=counts)
            reached[:, :, rows, columns] |= counts
    result[~reached] = 0
    return result
