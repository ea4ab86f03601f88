"""Batch normalisation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .harness import Case, Sizes, normal

SIZES = [(128, 64, 32, 32), (128, 16, 32, 32), (32, 256, 8, 8), (128, 512)]


def cases(tiny: bool, sizes: Sizes = ()) -> Iterator[Case]:
    for shape in sizes or ([(4, 3, 5, 5), (9, 17)] if tiny else SIZES):
        x, dy, c = normal(*shape), normal(*shape, seed=1), shape[1]
        weight, bias = normal(c), normal(c, seed=1)
        axes, column = (0, *range(2, len(shape))), (slice(None), *[None] * (len(shape) - 2))
        mean, var = x.mean(axes), x.var(axes)
        label, work = "x".join(map(str, shape)), {"bytes": 8.0 * x.size, "elements": x.size, "group": "batchnorm"}
        three = {**work, "bytes": 12.0 * x.size}

        def normalise(x=x, w=weight, b=bias, m=mean, v=var, column=column):
            return (x - m[column]) / np.sqrt(v[column] + np.float32(1e-5)) * w[column] + b[column]

        def train(x=x, axes=axes, w=weight, b=bias, column=column):
            return normalise(x, w, b, x.mean(axes), x.var(axes), column)

        def backward(x=x, dy=dy, axes=axes, w=weight, m=mean, v=var, column=column):
            d, r = x - m[column], 1 / np.sqrt(v + np.float32(1e-5))
            count = np.float32(x.size / len(m))
            a, t = dy.sum(axes), (dy * d).sum(axes)
            return (dy - (a / count)[column] - d * (t * r * r / count)[column]) * (w * r)[column]

        both = (dy, x, weight, mean, var)
        yield Case("batchnorm_training_forward", label, (x, weight, bias), train, _torch(x, weight, bias), **work)
        peer = _torch_backward(x, dy, weight)
        yield Case("batchnorm_training_backward", label, both, backward, peer, tolerance=1e-3, **three)
        yield Case("batchnorm_inference_forward", label, (x, weight, bias, mean, var), normalise, **work)
        yield Case("batchnorm_inference_backward", label, both, **three)
        yield Case("batchnorm_running_update", label, (mean, var, mean, var, 100, 0.1), elements=c)


def _layouts(torch, *arrays):
    for name, layout in (("NCHW", torch.contiguous_format), ("channels_last", torch.channels_last)):
        if arrays[0].ndim == 4 or name == "NCHW":
            tensors = [torch.from_numpy(a) for a in arrays]
            yield name, [t.to(memory_format=layout) if t.ndim == 4 else t for t in tensors]


def _torch(x, weight, bias):
    def make(torch):
        norm = torch.nn.functional.batch_norm
        return {
            name: lambda tx=tx, tw=tw, tb=tb: norm(tx, None, None, tw, tb, training=True)
            for name, (tx, tw, tb) in _layouts(torch, x, weight, bias)
        }

    return make


def _torch_backward(x, dy, weight):
    def make(torch):
        runs = {}
        for name, (tx, ty, tw) in _layouts(torch, x, dy, weight):
            _, mean, rstd = torch.ops.aten.native_batch_norm(tx, tw, tw, None, None, True, 0.1, 1e-5)
            rest = (None, None, mean, rstd, True, 1e-5, [True] * 3)
            call = torch.ops.aten.native_batch_norm_backward
            runs[name] = lambda tx=tx, ty=ty, tw=tw, rest=rest: call(ty, tx, tw, *rest)
        return runs

    return make
