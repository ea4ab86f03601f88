"""Optimizer updates, over one array and over the arrays of a small network."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .harness import Case, normal


def cases(tiny: bool) -> Iterator[Case]:
    for n in [100] if tiny else [4096, 50_000, 1_000_000]:
        p, g = normal(n), normal(n, seed=1)
        m, v = np.zeros_like(p), np.ones_like(p)
        label, lists = str(n), ([p.copy()], [g])
        sgd = {"bytes": 20.0 * n, "elements": n}
        momentum, adam = (0.01, 0.9, 0.0, False), (1e-3, 0.9, 0.999, 1e-8, 0.0, False, 0.1, 0.001)
        yield Case("sgd_update", label, (*lists, [m.copy()], *momentum), _sgd(p, g, m), **sgd)
        moments = ([m.copy()], [v.copy()])
        yield Case("adam_update", label, (*lists, *moments, *adam), _adam(p, g, m, v), bytes=28.0 * n, elements=n)


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
