"""Pooling."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nnlite.backend import ops

from .harness import Case, Sizes, normal

SIZES = [(100, 30, 24, 24), (32, 64, 32, 32), (128, 64, 32, 32)]


def cases(tiny: bool, sizes: Sizes = ()) -> Iterator[Case]:
    for shape in sizes or ([(2, 3, 6, 8)] if tiny else SIZES):
        x = normal(*shape)
        n, c, h, w = shape
        label = "x".join(map(str, shape))
        for kernel, stride, padding in ((2, 2, 0), (3, 2, 1)):
            settings, window = (kernel, stride, padding), f"{label} {kernel}/{stride}"
            dy = normal(n, c, h // 2, w // 2)
            index = ops().max_pool2d_forward(x, *settings)[1]
            work = {"bytes": 4.0 * (x.size + dy.size), "elements": x.size, "group": "pooling"}
            for op, reduce in (("max_pool2d", np.max), ("avg_pool2d", np.mean)):

                def windows(x=x, n=n, c=c, h=h, w=w, reduce=reduce):
                    return reduce(x.reshape(n, c, h // 2, 2, w // 2, 2), axis=(3, 5))

                expected = windows if kernel == 2 else None
                yield Case(f"{op}_forward", window, (x, *settings), expected, _torch(x, op, settings), **work)
                arguments = (dy, index, shape, *settings) if op == "max_pool2d" else (dy, shape, *settings)
                yield Case(f"{op}_backward", window, arguments, None, _torch_backward(x, dy, op, settings), **work)
        work = {"bytes": 4.0 * x.size, "elements": x.size}
        yield Case("global_avg_pool2d_forward", label, (x,), lambda x=x: x.mean((2, 3), keepdims=True), **work)
        small = normal(n, c, 1, 1)
        yield Case(
            "global_avg_pool2d_backward",
            label,
            (small, shape),
            lambda d=small, x=x: d / np.float32(x[0, 0].size) + 0 * x,
            **work,
        )


def _layouts(torch, *arrays):
    for name, layout in (("NCHW", torch.contiguous_format), ("channels_last", torch.channels_last)):
        yield name, [torch.from_numpy(a).to(memory_format=layout) for a in arrays]


def _torch(x, op, settings):
    def make(torch):
        function = getattr(torch.nn.functional, op)
        return {name: lambda tx=tx: function(tx, *settings) for name, (tx,) in _layouts(torch, x)}

    return make


def _torch_backward(x, dy, op, settings):
    kernel, stride, padding = ([size] * 2 for size in settings)

    def make(torch):
        runs = {}
        for name, (tx, ty) in _layouts(torch, x, dy):
            if op == "max_pool2d":
                _, index = torch.ops.aten.max_pool2d_with_indices(tx, kernel, stride, padding)
                call = torch.ops.aten.max_pool2d_with_indices_backward
                rest = (kernel, stride, padding, [1, 1], False, index)
            else:
                call, rest = torch.ops.aten.avg_pool2d_backward, (kernel, stride, padding, False, True, None)
            runs[name] = lambda call=call, tx=tx, ty=ty, rest=rest: call(ty, tx, *rest)
        return runs

    return make
