"""Convolution, its three passes, and im2col."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .harness import Case, normal

# (N, C, H, W), (K, kernel, stride, padding)
SIZES = [((100, 1, 28, 28), (30, 5, 1, 0)), ((128, 3, 32, 32), (64, 3, 1, 1)), ((128, 64, 32, 32), (64, 3, 1, 1))]
SIZES += [((128, 128, 16, 16), (128, 3, 1, 1)), ((16, 64, 56, 56), (64, 3, 2, 1)), ((16, 256, 56, 56), (64, 1, 1, 0))]


def cases(tiny: bool) -> Iterator[Case]:
    for shape, (k, r, stride, padding) in [((2, 3, 7, 9), (5, 3, 1, 1))] if tiny else SIZES:
        n, c, h, w = shape
        x, weight = normal(*shape), normal(k, c, r, r)
        oh, ow = (h + 2 * padding - r) // stride + 1, (w + 2 * padding - r) // stride + 1
        dy = normal(n, k, oh, ow)
        label = f"{n},{c},{h},{w} to {k},{r} stride {stride} padding {padding}"
        work = {"flops": 2.0 * dy.size * c * r * r, "bytes": 4.0 * (x.size + dy.size), "elements": dy.size}
        settings = (stride, padding)
        col = _im2col(x, r, stride, padding)
        rows = np.ascontiguousarray(dy.transpose(0, 2, 3, 1).reshape(-1, k))
        flat = weight.reshape(k, -1)
        yield Case(
            "conv2d_forward",
            label,
            (x, weight, None, *settings),
            lambda x=x, f=flat, r=r, s=stride, p=padding, d=dy: _forward(x, f, r, s, p, d.shape),
            _torch(x, weight, dy, settings, "forward"),
            tolerance=1e-2,
            **work,
        )
        arguments = (dy, weight, x.shape, *settings)
        data = _torch(x, weight, dy, settings, "data")
        yield Case("conv2d_backward_data", label, arguments, torch=data, tolerance=1e-2, **work)
        yield Case(
            "conv2d_backward_weights",
            label,
            (dy, x, weight.shape, *settings),
            lambda a=rows, c=col, w=weight: (a.T @ c).reshape(w.shape),
            _torch(x, weight, dy, settings, "weights"),
            tolerance=1e-1,
            **work,
        )
        moved = {"bytes": 4.0 * (x.size + col.size), "elements": col.size}
        yield Case("conv2d_backward_bias", label, (dy,), lambda d=dy: d.sum((0, 2, 3)), tolerance=1e-2, **moved)
        yield Case(
            "im2col", label, (x, r, *settings), lambda x=x, r=r, s=stride, p=padding: _im2col(x, r, s, p), **moved
        )
        yield Case("col2im", label, (col, x.shape, r, *settings), **moved)


def _im2col(x, r, stride, padding):
    """The usual way in NumPy: one strided slice per tap."""
    n, c, h, w = x.shape
    x = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    oh, ow = (h + 2 * padding - r) // stride + 1, (w + 2 * padding - r) // stride + 1
    col = np.empty((n, c, r, r, oh, ow), x.dtype)
    for i in range(r):
        for j in range(r):
            col[:, :, i, j] = x[:, :, i : i + stride * oh : stride, j : j + stride * ow : stride]
    return col.transpose(0, 4, 5, 1, 2, 3).reshape(n * oh * ow, -1)


def _forward(x, flat, r, stride, padding, shape):
    n, k, oh, ow = shape
    return (_im2col(x, r, stride, padding) @ flat.T).reshape(n, oh, ow, k).transpose(0, 3, 1, 2)


def _torch(x, weight, dy, settings, which):
    stride, padding = settings

    def make(torch):
        tx, tw, ty = (torch.from_numpy(a) for a in (x, weight, dy))
        if which == "forward":
            return lambda: torch.conv2d(tx, tw, None, stride, padding)
        mask = [which == "data", which == "weights", False]
        geometry = ([stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1)
        return lambda: torch.ops.aten.convolution_backward(ty, tx, tw, [0], *geometry, mask)

    return make
