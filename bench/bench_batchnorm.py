"""Batch normalisation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .harness import Case, normal


def cases(tiny: bool) -> Iterator[Case]:
    shapes = [(4, 3, 5, 5), (9, 17)] if tiny else [(4, 16, 8, 8), (16, 16, 16, 16), (32, 64, 32, 32), (128, 512)]
    for shape in shapes:
        x, dy, c = normal(*shape), normal(*shape, seed=1), shape[1]
        weight, bias, mean, var = normal(c), normal(c, seed=1), normal(c, seed=2), normal(c, seed=3) ** 2
        axes, column = (0, *range(2, len(shape))), (slice(None), *[None] * (len(shape) - 2))
        label, work = "x".join(map(str, shape)), {"bytes": 8.0 * x.size, "elements": x.size}

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
        yield Case("batchnorm_training_backward", label, both, backward, tolerance=1e-3, **work)
        yield Case("batchnorm_inference_forward", label, (x, weight, bias, mean, var), normalise, **work)
        yield Case("batchnorm_inference_backward", label, both, **work)
        yield Case("batchnorm_running_update", label, (mean, var, mean, var, 100, 0.1), elements=c)


def _torch(x, weight, bias):
    def make(torch):
        tx, tw, tb = (torch.from_numpy(a) for a in (x, weight, bias))
        return lambda: torch.nn.functional.batch_norm(tx, None, None, tw, tb, training=True)

    return make
