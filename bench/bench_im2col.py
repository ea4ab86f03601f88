"""Columns of windows, and back."""

from __future__ import annotations

from collections.abc import Iterator

from .bench_conv2d import im2col
from .harness import Case, Sizes, normal

SIZES = [((100, 1, 28, 28), 5, 1, 0), ((100, 16, 28, 28), 3, 1, 1), ((32, 64, 32, 32), 3, 2, 1)]


def cases(tiny: bool, sizes: Sizes = ()) -> Iterator[Case]:
    for shape, r, stride, padding in sizes or ([((2, 3, 7, 9), 3, 1, 1)] if tiny else SIZES):
        x = normal(*shape)
        col = im2col(x, r, stride, padding)
        label = f"{','.join(map(str, shape))} by {r} stride {stride} padding {padding}"
        work = {"bytes": 4.0 * (x.size + col.size), "elements": col.size, "group": "im2col"}
        numpy = lambda x=x, r=r, s=stride, p=padding: im2col(x, r, s, p)
        yield Case("im2col", label, (x, r, stride, padding), numpy, **work)
        yield Case("col2im", label, (col, shape, r, stride, padding), **work)
