"""Reductions over axes, elements moved and chosen, products of stacks of matrices."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .harness import Case, Sizes, normal

SIZES = [(64, 32, 32), (256, 64, 64), (1024, 32, 256)]


def cases(tiny: bool, sizes: Sizes = ()) -> Iterator[Case]:
    for shape in sizes or ([(3, 5, 7)] if tiny else SIZES):
        x, label = normal(*shape), ",".join(map(str, shape))
        n = x.size
        for axis in (0, 1, 2):
            yield from _along(x, axis, f"{label} axis {axis}")
        yield _moved("permute", label, (x, (2, 0, 1)), x, lambda x=x: x.transpose(2, 0, 1).copy(), _permuted(x))
        yield _moved("expand", label, (x[:1], shape), x, lambda x=x: np.broadcast_to(x[:1], x.shape).copy())
        size = tuple(max(k // 2, 1) for k in shape)
        key = tuple(slice(0, k) for k in size)
        start, step = (0, 0, 0), (1, 1, 1)
        yield _moved("slice", label, (x, start, size, step), x[key], lambda x=x, key=key: x[key].copy())

        def placed(x=x, key=key):
            y = np.zeros_like(x)
            y[key] = x[key]
            return y

        yield _moved("place", label, (x[key].copy(), shape, start, step), x, placed)
        yield Case(
            "concat",
            label,
            ([x, x], 1),
            lambda x=x: np.concatenate([x, x], 1),
            torch=_peer(lambda torch, t: torch.cat([t, t], 1), x),
            bytes=16.0 * n,
            elements=n,
        )
        a, b = x, normal(shape[0], shape[2], shape[1], seed=1)
        yield Case(
            "bmm",
            label,
            (a, b),
            lambda a=a, b=b: a @ b,
            torch=_peer(lambda torch, s, t: torch.bmm(s, t), a, b),
            flops=2.0 * n * shape[1],
            elements=n,
            group="bmm",
        )


def _peer(run, *arrays):
    """``run(torch, *tensors)``."""

    def make(torch):
        tensors = [torch.from_numpy(x) for x in arrays]
        return lambda: run(torch, *tensors)

    return make


def _permuted(x):
    return lambda torch: torch.from_numpy(x).permute(2, 0, 1).contiguous


def _moved(op, label, arguments, larger, numpy, torch=None):
    return Case(op, label, arguments, numpy, torch=torch, bytes=8.0 * larger.size, elements=larger.size, group="copies")


def _along(x, axis, label):
    """What works along one axis."""
    n, rng = x.shape[axis], np.random.default_rng(0)
    index, each = rng.integers(0, n, n), rng.integers(0, n, x.shape)
    sizes = {"bytes": 4.0 * x.size, "elements": x.size}

    def torch_of(name):
        return _peer(lambda torch, t: getattr(torch, name)(t, axis), x)

    yield Case(
        "sum_forward",
        label,
        (x, (axis,)),
        lambda: x.sum(axis),
        torch=torch_of("sum"),
        tolerance=1e-3,
        group="reductions",
        **sizes,
    )
    yield Case("amax", label, (x, (axis,)), lambda: x.max(axis), torch=torch_of("amax"), group="reductions", **sizes)
    yield Case("argmax", label, (x, axis), lambda: x.argmax(axis), torch=torch_of("argmax"), **sizes)
    yield Case("cumsum", label, (x, axis), lambda: x.cumsum(axis), torch=torch_of("cumsum"), tolerance=1e-3, **sizes)
    sizes["bytes"] *= 2
    yield Case("index_select", label, (x, index, axis), lambda: np.take(x, index, axis), group="indices", **sizes)
    yield Case("gather", label, (x, each, axis), lambda: np.take_along_axis(x, each, axis), group="indices", **sizes)

    def added():
        y = np.zeros_like(x)
        np.add.at(np.moveaxis(y, axis, 0), index, np.moveaxis(x, axis, 0))
        return y

    yield Case("index_select_backward", label, (x, index, x.shape, axis), added, group="indices", **sizes)
    yield Case("gather_backward", label, (x, each, x.shape, axis), group="indices", **sizes)
