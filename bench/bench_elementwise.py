"""Elementwise ops, sums, dropout and random numbers."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import numpy as np

from nnlite import reference
from nnlite.reference import elementwise

from .harness import Case, Sizes, normal

SIZES = [4096, 1 << 16, 1 << 20, 1 << 23]


def cases(tiny: bool, sizes: Sizes = ()) -> Iterator[Case]:
    for n in sizes or ([77] if tiny else SIZES):
        a, b = normal(n), normal(n, seed=1)
        generator, mask, one = np.random.default_rng(0), (a > 0).astype(np.uint8), np.float32(1)
        two = {"bytes": 8.0 * n, "elements": n}
        for op in elementwise.__all__:
            yield _elementwise(op, n, a, b)
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


# What the ops replace, and in which ratio to NumPy's time slow ones still count as fast.
NUMPY = {
    "relu_forward": lambda x: np.maximum(x, 0),
    "relu_backward": lambda dy, y: dy * (y > 0),
    "sigmoid_forward": lambda x: 1 / (1 + np.exp(-x)),
    "sigmoid_backward": lambda dy, y: dy * (1 - y) * y,
    "tanh_forward": np.tanh,
    "tanh_backward": lambda dy, y: dy * (1 - y * y),
    "exp_forward": np.exp,
    "exp_backward": np.multiply,
    "log_forward": np.log,
    "log_backward": np.divide,
    "round": np.rint,
}
LEAST_RATIOS = {"tanh_forward": 0.5, "exp_forward": 0.5, "log_forward": 0.5}


def _elementwise(op, n, a, b):
    """The case of an elementwise op; NumPy's function is that of its name, PyTorch's too."""
    positive = op.startswith(("log", "sqrt", "divide"))
    if positive:
        b = np.abs(b) + np.float32(0.1)
    count = len(inspect.signature(getattr(reference, op)).parameters)
    mask = (a > 0).astype(np.float32)
    arguments = ((b if positive else a,), (a, b), (mask, a, b))[count - 1]
    expression = NUMPY.get(op) or getattr(np, op, None)
    return Case(
        op,
        str(n),
        arguments,
        expression and (lambda: expression(*arguments)),
        _torch(op, arguments),
        group={"relu_forward": "ReLU", "relu_backward": "ReLU", "add": "add"}.get(op, ""),
        bytes=4.0 * n * (count + 1),
        elements=n,
        least_ratio=LEAST_RATIOS.get(op, 1.0),
    )


def _torch(op, arguments):
    """Of the forward functions, of add, and of ReLU's gradient."""
    name = op.removesuffix("_forward")
    if name == op and op not in ("add", "relu_backward"):
        return None

    def make(torch):
        tensors = [torch.from_numpy(x) for x in arguments]
        if op == "relu_backward":
            return lambda: torch.ops.aten.threshold_backward(*tensors, 0)
        name_, _, approximate = name.partition("_")  # f_tanh is PyTorch's f with approximate="tanh"
        function = getattr(torch.nn.functional, name_, None) or getattr(torch, name_)
        options = {"approximate": approximate} if approximate else {}
        return lambda: function(*tensors, **options)

    return make


def _torch_dropout(x):
    def make(torch):
        tx = torch.from_numpy(x)
        return lambda: torch.nn.functional.dropout(tx, 0.5)

    return make
