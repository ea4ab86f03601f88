"""Softmax and the losses."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .harness import Case, Sizes, normal

SIZES = [(100, 10), (128, 1000), (256, 50257)]


def cases(tiny: bool, sizes: Sizes = ()) -> Iterator[Case]:
    one = np.asarray(np.float32(1))
    for n, k in sizes or ([(5, 7)] if tiny else SIZES):
        x, dy = normal(n, k), normal(n, k, seed=1)
        y, t = _softmax(x), np.arange(n) % k
        label, work = f"{n}x{k}", {"bytes": 8.0 * x.size, "elements": x.size}
        losses = {**work, "group": "losses"}
        yield Case("softmax_forward", label, (x,), lambda x=x: _softmax(x), _torch_softmax(x), **work)
        yield Case(
            "softmax_backward", label, (dy, y), lambda d=dy, y=y: y * (d - (d * y).sum(1, keepdims=True)), **work
        )
        loss, back = _torch_loss(x, t), _torch_loss_backward(x, t)
        yield Case("softmax_cross_entropy_forward", label, (x, t), lambda x=x, t=t: _loss(x, t), loss, **losses)
        yield Case(
            "softmax_cross_entropy_backward", label, (one, y, t), lambda y=y, t=t: _gradient(y, t), back, **losses
        )
        yield Case("mse_forward", label, (x, dy), lambda x=x, d=dy: ((x - d) ** 2).mean(), tolerance=1e-3, **work)
        yield Case("mse_backward", label, (one, x, dy), lambda x=x, d=dy: (x - d) * np.float32(2 / x.size), **work)


def _softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def _loss(x, t):
    return -np.log(_softmax(x)[np.arange(len(t)), t]).mean()


def _gradient(y, t):
    dx = y.copy()
    dx[np.arange(len(t)), t] -= 1
    return dx / np.float32(len(t))


def _torch_softmax(x):
    def make(torch):
        tx = torch.from_numpy(x)
        return lambda: torch.softmax(tx, 1)

    return make


def _torch_loss(x, t):
    def make(torch):
        tx, tt = torch.from_numpy(x), torch.from_numpy(t)
        return lambda: torch.nn.functional.cross_entropy(tx, tt)

    return make


def _torch_loss_backward(x, t):
    """The two kernels that PyTorch runs for the gradient of ``cross_entropy``."""

    def make(torch):
        aten = torch.ops.aten
        y, tt, one = torch.log_softmax(torch.from_numpy(x), 1), torch.from_numpy(t), torch.ones(())
        count = torch.tensor(float(len(t)))

        def run():
            dy = aten.nll_loss_backward(one, y, tt, None, 1, -100, count)
            return aten._log_softmax_backward_data(dy, y, 1, torch.float32)

        return run

    return make
