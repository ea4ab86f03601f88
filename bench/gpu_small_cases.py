"""Every op and a few training steps on a device once, at small odd sizes: what compute-sanitizer runs.

``python -m bench.gpu_small_cases cuda`` is also a quick sign of life.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from nnlite.backend import load_device

from . import nets
from .worker import cases

# Next to the tiny sizes of bench_*.py, some that take more than one block of threads.
SIZES: dict[str, list[Any]] = {
    "bench_batchnorm": [(4, 3, 5, 5), (9, 17), (3, 2, 67, 71)],
    "bench_conv2d": [
        ((2, 3, 7, 9), (5, 3, 1, 1, 1)),
        ((3, 6, 19, 13), (10, 5, 2, 2, 2)),
        ((2, 35, 9, 9), (67, 1, 1, 0, 1)),
    ],
    "bench_elementwise": [77, 4099],
    "bench_gemm": [(9, 33, 17), (131, 70, 137)],
    "bench_im2col": [((2, 3, 7, 9), 3, 1, 1), ((3, 5, 19, 17), 5, 2, 2)],
    "bench_losses": [(5, 7), (3, 1031)],
    "bench_optim": [100, 4099],
    "bench_pool2d": [(2, 3, 6, 8), (3, 5, 18, 34)],
}


def upload(module: Any, x: Any) -> Any:
    """Arguments of an op, their arrays on the device."""
    if isinstance(x, list):
        return [upload(module, item) for item in x]
    return module._from_numpy(x, 0) if isinstance(x, np.ndarray) else x


def _double(x: Any) -> Any:
    if isinstance(x, list):
        return [_double(item) for item in x]
    if isinstance(x, np.ndarray):
        return x.astype(np.float64) if x.dtype == np.float32 else x
    return np.float64 if x is np.float32 else x


def run(device: str) -> int:
    """Number of calls."""
    module, calls = load_device(device), 0
    for case in cases([], True, sizes=SIZES):
        if case.make is None:
            for arguments in (list(case.arguments), _double(list(case.arguments))):
                getattr(module, case.op)(*upload(module, arguments))
                module._synchronize()
                calls += 1
    for net in nets.nets(True):
        step, x, t = nets.nnlite_training(net, net.batch, device)
        for _ in range(2):
            step(x, t).numpy()
            calls += 1
    x, index = upload(module, [np.ones((9, 5), np.float32), np.arange(7)])
    module._check_finite(module.sum_forward(module._take(x, index)), "the small cases", 1)
    module._count_equal(module._argmax(x), module._argmax(x))
    module._synchronize()
    return calls + 5


if __name__ == "__main__":
    print(f"{run(sys.argv[1])} calls")
