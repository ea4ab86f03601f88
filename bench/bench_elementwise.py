"""Elementwise ops, sums, dropout and random numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .harness import Case, Sizes, normal

SIZES = [4096, 1 << 16, 1 << 20, 1 << 23]


def cases(tiny: bool, sizes: Sizes = ()) -> Iterator[Case]:
    for n in sizes or ([77] if tiny else SIZES):
        a, b = normal(n), normal(n, seed=1)
        p, generator = np.abs(a) + np.float32(0.1), np.random.default_rng(0)
        mask, one = (a > 0).astype(np.uint8), np.float32(1)
        two, three = {"bytes": 8.0 * n, "elements": n}, {"bytes": 12.0 * n, "elements": n}
        yield Case("relu_forward", str(n), (a,), lambda a=a: np.maximum(a, 0), _torch("relu", a), group="ReLU", **two)
        relu = _torch_relu_backward(a, b)
        yield Case("relu_backward", str(n), (a, b), lambda a=a, b=b: a * (b > 0), relu, group="ReLU", **three)
        yield Case("sigmoid_forward", str(n), (a,), lambda a=a: one / (one + np.exp(-a)), _torch("sigmoid", a), **two)
        yield Case("sigmoid_backward", str(n), (a, b), lambda a=a, b=b: a * (one - b) * b, **three)
        yield Case("tanh_forward", str(n), (a,), lambda a=a: np.tanh(a), _torch("tanh", a), least_ratio=0.5, **two)
        yield Case("tanh_backward", str(n), (a, b), lambda a=a, b=b: a * (one - b * b), **three)
        yield Case("exp_forward", str(n), (a,), lambda a=a: np.exp(a), _torch("exp", a), least_ratio=0.5, **two)
        yield Case("exp_backward", str(n), (a, b), lambda a=a, b=b: a * b, **three)
        yield Case("log_forward", str(n), (p,), lambda p=p: np.log(p), _torch("log", p), least_ratio=0.5, **two)
        yield Case("log_backward", str(n), (a, p), lambda a=a, p=p: a / p, **three)
        yield Case("add", str(n), (a, b), lambda a=a, b=b: a + b, _torch_add(a, b), group="add", **three)
        yield Case("subtract", str(n), (a, b), lambda a=a, b=b: a - b, **three)
        yield Case("multiply", str(n), (a, b), lambda a=a, b=b: a * b, **three)
        yield Case("negative", str(n), (a,), lambda a=a: -a, **two)
        yield Case("sum_forward", str(n), (a,), lambda a=a: a.sum(), tolerance=1e-2, bytes=4.0 * n, elements=n)
        yield Case(
            "sum_backward", str(n), (np.asarray(one), (n,)), lambda n=n: np.full(n, one), bytes=4.0 * n, elements=n
        )

        def dropout(a=a, n=n, generator=generator):
            a * (generator.random(n, np.float32) > 0.5) * np.float32(2)

        peer, undrop = _torch_dropout(a), lambda a=a, m=mask: a * m * np.float32(2)
        yield Case("dropout_forward", str(n), (a, 0.5, 1, 2), dropout, peer, alike=False, group="dropout", **two)
        yield Case("dropout_backward", str(n), (a, mask, 0.5), undrop, group="dropout", **two)

        def drawing(draw):
            def run():
                draw()  # other numbers than ours: timed, not compared

            return run

        raw = drawing(lambda n=n, g=generator: g.integers(0, 1 << 32, n, np.uint32))
        uniform = drawing(lambda n=n, g=generator: g.random(n, np.float32) * 2 - 1)
        yield Case("random_bits", str(n), (n, 1, 2, 3), raw, bytes=4.0 * n, elements=n)
        yield Case("random_uniform", str(n), ((n,), -1.0, 1.0, np.float32, 1, 2, 3), uniform, bytes=4.0 * n, elements=n)
        bell = drawing(lambda n=n, g=generator: g.normal(0, 1, n).astype(np.float32))
        yield Case("random_normal", str(n), ((n,), 0.0, 1.0, np.float32, 1, 2, 3), bell, bytes=4.0 * n, elements=n)
        order = drawing(lambda n=n, g=generator: np.argsort(g.integers(0, 1 << 63, n), kind="stable"))
        yield Case("random_permutation", str(n), (n, 1, 2, 3), order, bytes=8.0 * n, elements=n)


def _torch(name, x):
    def make(torch):
        tx, function = torch.from_numpy(x), getattr(torch, name)
        return lambda: function(tx)

    return make


def _torch_relu_backward(dy, y):
    def make(torch):
        ty, tx = torch.from_numpy(dy), torch.from_numpy(y)
        return lambda: torch.ops.aten.threshold_backward(ty, tx, 0)

    return make


def _torch_add(a, b):
    def make(torch):
        ta, tb = torch.from_numpy(a), torch.from_numpy(b)
        return lambda: ta + tb

    return make


def _torch_dropout(x):
    def make(torch):
        tx = torch.from_numpy(x)
        return lambda: torch.nn.functional.dropout(tx, 0.5)

    return make
