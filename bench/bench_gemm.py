"""Matrix products and the fully connected layer."""

from __future__ import annotations

from collections.abc import Iterator

from .harness import Case, normal

SIZES = [(64, 64, 64), (256, 256, 256), (512, 512, 512), (1024, 1024, 1024), (100, 50, 784), (100, 512, 784)]
SIZES += [(8, 512, 784), (1, 4096, 4096), (4096, 576, 64)]


def cases(tiny: bool) -> Iterator[Case]:
    for m, n, k in [(9, 17, 33)] if tiny else SIZES:
        a, b = normal(m, k), normal(k, n)
        weight, bias, dy = normal(n, k), normal(n), normal(m, n)
        work = {"flops": 2.0 * m * n * k, "bytes": 4.0 * (m * k + k * n + m * n), "elements": m * n, "tolerance": 1e-2}
        label = f"{m}x{n}x{k}"
        yield Case("gemm", label, (a, b), lambda a=a, b=b: a @ b, _torch_product(a, b), **work)
        yield Case("linear_forward", label, (a, weight, bias), lambda a=a, w=weight, b=bias: a @ w.T + b, **work)
        yield Case("linear_backward_data", label, (dy, weight), lambda d=dy, w=weight: d @ w, **work)
        yield Case("linear_backward_weights", label, (dy, a), lambda d=dy, a=a: d.T @ a, **work)
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
