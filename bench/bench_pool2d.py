"""Pooling."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nnlite import reference

from .harness import Case, normal


def cases(tiny: bool) -> Iterator[Case]:
    shapes = [(2, 3, 6, 8)] if tiny else [(1, 16, 16, 16), (16, 16, 28, 28), (32, 64, 32, 32)]
    for shape in shapes:
        x = normal(*shape)
        n, c, h, w = shape
        work = {"bytes": 4.0 * x.size * 1.5, "elements": x.size}
        dy = normal(n, c, h // 2, w // 2)
        index = np.zeros(dy.shape, np.int32) if x.size > 10000 else reference.max_pool2d_forward(x, 2)[1]
        label = "x".join(map(str, shape))
        for op, reduce in (("max_pool2d", np.max), ("avg_pool2d", np.mean)):

            def windows(x=x, n=n, c=c, h=h, w=w, reduce=reduce):
                return reduce(x.reshape(n, c, h // 2, 2, w // 2, 2), axis=(3, 5))

            yield Case(f"{op}_forward", f"{label} 2/2", (x, 2), windows, _torch(x, op, 2, 2, 0), **work)
            yield Case(f"{op}_forward", f"{label} 3/2", (x, 3, 2, 1), None, _torch(x, op, 3, 2, 1), **work)
        yield Case("max_pool2d_backward", f"{label} 2/2", (dy, index, shape, 2), **work)
        yield Case(
            "avg_pool2d_backward",
            f"{label} 2/2",
            (dy, shape, 2),
            lambda d=dy: np.kron(d / 4, np.ones((2, 2), "f")),
            **work,
        )
        yield Case("global_avg_pool2d_forward", label, (x,), lambda x=x: x.mean((2, 3), keepdims=True), **work)
        small = normal(n, c, 1, 1)
        yield Case(
            "global_avg_pool2d_backward",
            label,
            (small, shape),
            lambda d=small, x=x: d / np.float32(x[0, 0].size) + 0 * x,
            **work,
        )


def _torch(x, op, kernel, stride, padding):
    def make(torch):
        tx, function = torch.from_numpy(x), getattr(torch.nn.functional, op)
        return lambda: function(tx, kernel, stride, padding)

    return make
