"""Matrix products and the fully connected layer."""

from __future__ import annotations

from collections.abc import Iterator

from .harness import Case, Sizes, normal

# M x K x N: (M, K) times (K, N).
SQUARES = [(n, n, n) for n in (8, 16, 32, 64, 128, 256, 512, 1024, 2048)]
SIZES = [(100, 784, 50), (100, 50, 10), (100, 784, 512), (128, 4096, 4096), (1, 4096, 4096), (8, 784, 512)]
SIZES += [(4096, 64, 576), (4096, 576, 64), (64, 65536, 576), (64, 576, 65536)]
LINEAR = [(100, 784, 50), (100, 784, 512), (1, 4096, 4096)]


def cases(tiny: bool, sizes: Sizes = ()) -> Iterator[Case]:
    for m, k, n in sizes or ([(9, 33, 17)] if tiny else SQUARES + SIZES):
        label = f"{m}x{k}x{n}"
        work = {"flops": 2.0 * m * n * k, "bytes": 4.0 * (m * k + k * n + m * n), "elements": m * n, "tolerance": 1e-1}
        for ta in (False, True):
            for tb in (False, True):
                a, b = normal(*(k, m) if ta else (m, k)), normal(*(n, k) if tb else (k, n))
                left, right = a.T if ta else a, b.T if tb else b
                yield Case(
                    "gemm",
                    f"{label} {'t' if ta else 'n'}{'t' if tb else 'n'}",
                    (a, b, ta, tb),
                    lambda a=left, b=right: a @ b,
                    _torch_product(left, right),
                    group="gemm",
                    **work,
                )
    for m, k, n in sizes or ([(9, 33, 17)] if tiny else LINEAR):
        label = f"{m}x{k}x{n}"
        work = {"flops": 2.0 * m * n * k, "bytes": 4.0 * (m * k + k * n + m * n), "elements": m * n, "tolerance": 1e-1}
        x, weight, bias, dy = normal(m, k), normal(n, k), normal(n), normal(m, n)
        yield Case("linear_forward", label, (x, weight, bias), lambda x=x, w=weight, b=bias: x @ w.T + b, **work)
        yield Case("linear_backward_data", label, (dy, weight), lambda d=dy, w=weight: d @ w, **work)
        yield Case("linear_backward_weights", label, (dy, x), lambda d=dy, x=x: d.T @ x, **work)
        yield Case(
            "linear_backward_bias",
            label,
            (dy,),
            lambda d=dy: d.sum(0),
            tolerance=1e-2,
            bytes=4.0 * m * n,
            elements=m * n,
        )


def _torch_product(a, b):
    def make(torch):
        x, y = torch.from_numpy(a), torch.from_numpy(b)
        return lambda: x @ y

    return make
