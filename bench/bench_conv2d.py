"""Convolution, its three passes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .harness import Case, Sizes, normal

# (N, C, H, W), (K, kernel, stride, padding, groups)
SIZES = [
    ((100, 1, 28, 28), (30, 5, 1, 0, 1)),
    ((100, 16, 28, 28), (16, 3, 1, 1, 1)),
    ((128, 3, 32, 32), (64, 3, 1, 1, 1)),
    ((128, 64, 32, 32), (64, 3, 1, 1, 1)),
    ((128, 128, 16, 16), (128, 3, 1, 1, 1)),
    ((128, 256, 8, 8), (256, 3, 1, 1, 1)),
    ((16, 3, 224, 224), (64, 7, 2, 3, 1)),
    ((16, 64, 56, 56), (64, 3, 1, 1, 1)),
    ((16, 256, 56, 56), (64, 1, 1, 0, 1)),
    ((16, 512, 7, 7), (512, 3, 1, 1, 1)),
    ((1, 64, 56, 56), (64, 3, 1, 1, 1)),
    ((32, 64, 56, 56), (64, 3, 1, 1, 64)),
    ((32, 64, 32, 32), (128, 3, 2, 1, 1)),
]
TINY = [((2, 3, 7, 9), (5, 3, 1, 1, 1))]


def cases(tiny: bool, sizes: Sizes = ()) -> Iterator[Case]:
    for shape, (k, r, stride, padding, groups) in sizes or (TINY if tiny else SIZES):
        n, c, h, w = shape
        x, weight = normal(*shape), normal(k, c // groups, r, r)
        oh, ow = (h + 2 * padding - r) // stride + 1, (w + 2 * padding - r) // stride + 1
        dy = normal(n, k, oh, ow)
        label = f"{n},{c},{h},{w} to {k},{r} stride {stride} padding {padding}" + (groups > 1) * f" groups {groups}"
        work = {"flops": 2.0 * dy.size * c // groups * r * r, "elements": dy.size}
        work["bytes"] = 4.0 * (x.size + weight.size + dy.size)
        settings = (stride, padding, 1, groups)

        def forward(x=x, w=weight, r=r, s=stride, p=padding, d=dy):
            return _forward(x, w.reshape(len(w), -1), r, s, p, d.shape)

        def backward_weights(x=x, w=weight, r=r, s=stride, p=padding, d=dy):
            rows = d.transpose(0, 2, 3, 1).reshape(-1, len(w))
            return (rows.T @ im2col(x, r, s, p)).reshape(w.shape)

        plain = groups == 1 and x.size < 1 << 21  # columns of larger ones take too much memory
        peer = lambda which: _torch(x, weight, dy, (stride, padding, groups), which)
        yield Case(
            "conv2d_forward",
            label,
            (x, weight, None, *settings),
            forward if plain else None,
            peer("forward"),
            tolerance=1e-2,
            group="conv2d forward",
            **work,
        )
        yield Case(
            "conv2d_backward_data",
            label,
            (dy, weight, x.shape, *settings),
            torch=peer("data"),
            tolerance=1e-2,
            group="conv2d backward-data",
            **work,
        )
        yield Case(
            "conv2d_backward_weights",
            label,
            (dy, x, weight.shape, *settings),
            backward_weights if plain else None,
            peer("weights"),
            tolerance=1e-1,
            group="conv2d backward-weights",
            **work,
        )
        if plain:
            moved = {"bytes": 4.0 * dy.size, "elements": dy.size}
            yield Case("conv2d_backward_bias", label, (dy,), lambda d=dy: d.sum((0, 2, 3)), tolerance=1e-2, **moved)


def im2col(x, r, stride, padding):
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
    return (im2col(x, r, stride, padding) @ flat.T).reshape(n, oh, ow, k).transpose(0, 3, 1, 2)


def _torch(x, weight, dy, settings, which):
    stride, padding, groups = settings

    def make(torch):
        runs = {}
        for name, layout in (("NCHW", torch.contiguous_format), ("channels_last", torch.channels_last)):
            tx, tw, ty = (torch.from_numpy(a).to(memory_format=layout) for a in (x, weight, dy))
            mask = [which == "data", which == "weights", False]
            geometry = ([stride] * 2, [padding] * 2, [1, 1], False, [0, 0], groups)

            def forward(tx=tx, tw=tw):
                return torch.conv2d(tx, tw, None, stride, padding, 1, groups)

            def backward(tx=tx, tw=tw, ty=ty, geometry=geometry, mask=mask):
                return torch.ops.aten.convolution_backward(ty, tx, tw, [0], *geometry, mask)

            runs[name] = forward if which == "forward" else backward
        return runs

    return make
