"""Optimizer updates, over one array; and Adam with the state that real training leaves."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from . import harness, nets
from .harness import Case, Sizes, normal

SIZES = [50_000, 1_000_000, 25_000_000]
SETTINGS = (1e-3, 0.9, 0.999, 1e-8, 0.0, False, 0.1, 0.001)


def cases(tiny: bool, sizes: Sizes = ()) -> Iterator[Case]:
    for n in sizes or ([100] if tiny else SIZES):
        p, g = normal(n), normal(n, seed=1)
        m, v = np.zeros_like(p), np.ones_like(p)
        label, lists = str(n), ([p.copy()], [g])
        sgd = {"bytes": 20.0 * n, "elements": n, "group": "optimizers"}
        adam = {**sgd, "bytes": 28.0 * n}
        momentum = (0.01, 0.9, 0.0, False)
        plain = (*lists, [], 0.01, 0.0, 0.0, False)
        peer = _torch([p], [g], "SGD", momentum=0.0)
        yield Case("sgd_update", f"{label} plain", plain, _plain_sgd(p, g), peer, **{**sgd, "bytes": 12.0 * n})
        yield Case("sgd_update", label, (*lists, [m.copy()], *momentum), _sgd(p, g, m), _torch([p], [g], "SGD"), **sgd)
        arguments = (*lists, [m.copy()], [v.copy()], *SETTINGS)
        yield Case("adam_update", label, arguments, _adam(p, g, m, v), _torch([p], [g], "Adam"), **adam)
    trained = None if sizes else _trained(tiny)
    if trained is not None:
        p, g, m, v = trained
        n = sum(x.size for x in p)
        settings = (*SETTINGS[:6], 1.0, 1.0)  # corrections after so many steps
        peer = _torch(p, g, "Adam", m, v)
        work = {"bytes": 28.0 * n, "elements": n, "group": "optimizers"}
        yield Case("adam_update", "after 6,000 MNIST steps", (p, g, m, v, *settings), None, peer, **work)


def _trained(tiny: bool):
    """The state that ``_train`` leaves: made by the first worker of a run, read by the others."""
    file = harness.scratch / "trained.npz" if harness.scratch else None
    if file is None or not file.exists():
        trained = _train(tiny)
        if trained is None or file is None:
            return trained
        np.savez(file, *(x for arrays in trained for x in arrays))
    with np.load(file) as stored:
        arrays = [stored[name] for name in stored.files]
    quarter = len(arrays) // 4
    return [arrays[i * quarter : (i + 1) * quarter] for i in range(4)]


def _train(tiny: bool):
    """Parameters, gradients and both moments after 6,000 steps on MNIST (a few on random data if tiny)."""
    import nnlite as nl
    from nnlite import data, nn, optim

    folder = os.environ.get("NNLITE_DATA_DIR")
    nl.manual_seed(0)
    if tiny:
        net, steps = nets.nets(True)[0], 3
        x, t = nets.batch(net, 300)
    elif folder:
        net, steps = nets.nets()[0], 6000
        loaded = data.load("mnist", folder)
        x, t = loaded.x_train.reshape(-1, 784), loaded.t_train
    else:
        return None
    model, criterion = nets.layers(nn, net.spec), nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters())
    for i in range(steps):
        begin = i * 100 % len(x)
        optimizer.zero_grad()
        criterion(model(x[begin : begin + 100]), t[begin : begin + 100]).backward()
        optimizer.step()
    parameters = list(model.parameters())
    states = [optimizer.state[p] for p in parameters]
    return (
        [p.data for p in parameters],
        [p.grad for p in parameters],
        [s["exp_avg"] for s in states],
        [s["exp_avg_sq"] for s in states],
    )


def _plain_sgd(p, g):
    p = p.copy()

    def run():
        p[...] = p - np.float32(0.01) * g

    return run


def _sgd(p, g, m):
    p, m = p.copy(), m.copy()

    def run():
        m[...] = np.float32(0.9) * m + g
        p[...] = p - np.float32(0.01) * m

    return run


def _adam(p, g, m, v):
    p, m, v = p.copy(), m.copy(), v.copy()

    def run():
        m[...] = np.float32(0.9) * m + np.float32(0.1) * g
        v[...] = np.float32(0.999) * v + np.float32(0.001) * (g * g)
        p[...] = p - np.float32(0.01) * m / (np.sqrt(v) * np.float32(31.6) + np.float32(1e-8))

    return run


def _torch(p, g, name, m=None, v=None, momentum=0.9):
    def make(torch):
        runs = {}
        for fused in (False, True):
            parameters = [torch.nn.Parameter(torch.from_numpy(x.copy())) for x in p]
            for parameter, gradient in zip(parameters, g, strict=True):
                parameter.grad = torch.from_numpy(gradient)
            settings = {"momentum": momentum} if name == "SGD" else {}
            optimizer = getattr(torch.optim, name)(parameters, lr=1e-3, fused=fused, **settings)
            optimizer.step()
            if m is not None:
                for parameter, first, second in zip(parameters, m, v, strict=True):
                    optimizer.state[parameter]["step"].fill_(6000)
                    optimizer.state[parameter]["exp_avg"].copy_(torch.from_numpy(first))
                    optimizer.state[parameter]["exp_avg_sq"].copy_(torch.from_numpy(second))
            runs["fused" if fused else "foreach"] = optimizer.step
        return runs

    return make
