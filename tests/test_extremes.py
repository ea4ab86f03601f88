"""Extreme arguments, and what a process may do to itself while an op runs: no crash, no hang, no wrong result.

``NNLITE_EXTREMES=200000 pytest tests/test_extremes.py`` makes that many random calls instead of a sample.
"""

from __future__ import annotations

import os
import subprocess
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import nnlite as nl
from compare import Refusal, full
from device import OnDevice
from nnlite import reference
from nnlite.backend import available
from nnlite.cuda import is_available
from support import assert_same_bits

DEVICES = [name for name in ("cuda_sim", "cuda") if is_available(name)]
COMPILED = [name for name in (*available(), *DEVICES) if name != "reference"]
BIG = 2**31 + 1

REFUSALS: list[Refusal] = [
    ("conv2d_forward", lambda: (full(1, 1, 1, 1), full(1, 1, 2, 2), None, BIG), ValueError,
     r"^conv2d_forward: stride must be at most 2147483648, got \(2147483649, 2147483649\)$"),
    ("conv2d_forward", lambda: (full(1, 1, 1, 1), full(1, 1, 2, 2), None, 1, (0, BIG)), ValueError,
     r"^conv2d_forward: padding must be at most 2147483648, got \(0, 2147483649\)$"),
    ("conv2d_backward_weights", lambda: (full(1, 8, 1, 1), full(1, 2, 1, 1), (8, 1, 1, 1), 2**60, 0, 1, 2), ValueError,
     r"^conv2d_backward_weights: stride must be at most 2147483648"),
    ("im2col", lambda: (full(1, 0, 1, 1), 1, 1, (0, 2**34)), ValueError, r"^im2col: padding must be at most"),
    ("im2col", lambda: (full(1, 0, 1, 1), 1, 1, 0, 2**60), ValueError, r"^im2col: dilation must be at most 2147483648"),
    ("max_pool2d_forward", lambda: (full(1, 1, 4, 4), 2, BIG), ValueError, r"^max_pool2d_forward: stride must be"),
    ("col2im", lambda: (full(0, 0), (2**40, 0, 2**40, 1), 1), ValueError,
     r"^col2im: size of an array of shape .* overflows$"),
]  # fmt: skip

LONG = 2**40
EMPTY: list[tuple[str, Any]] = [
    ("transpose", lambda: (np.zeros((LONG, 0, 1), np.float32),)),
    ("softmax_forward", lambda: (np.zeros((0, 7), np.float32),)),
    ("softmax_backward", lambda: (np.zeros((LONG, 0), np.float32),) * 2),
    ("im2col", lambda: (np.zeros((1, 0, 1, 1), np.float32), 1, 1, (0, 2**30))),
    ("gemm", lambda: (np.zeros((LONG, 0), np.float32), np.zeros((0, 0), np.float32))),
    ("linear_backward_bias", lambda: (np.zeros((LONG, 0), np.float32),)),
    ("conv2d_backward_bias", lambda: (np.zeros((LONG, 2, 0, 1), np.float32),)),
    ("batchnorm_inference_forward", lambda: (np.zeros((LONG, 0), np.float32), *[np.zeros(0, np.float32)] * 4)),
    (
        "batchnorm_inference_backward",
        lambda: (*[np.zeros((LONG, 2, 0), np.float32)] * 2, *[np.ones(2, np.float32)] * 3),
    ),
    ("relu_forward", lambda: (np.zeros((LONG, 0), np.float32),)),
    ("batchnorm_training_forward", lambda: (np.zeros((4, 0), np.float32), *[np.zeros(0, np.float32)] * 2)),
    ("batchnorm_training_backward", lambda: (*[np.zeros((4, 0, 3), np.float32)] * 2, *[np.zeros(0, np.float32)] * 3)),
    ("dropout_forward", lambda: (np.zeros((LONG, 0), np.float32), 0.5, 1, 2)),
]


@pytest.mark.parametrize(("op", "args", "error", "message"), REFUSALS)
def test_refuses(backend: ModuleType, op: str, args: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        getattr(backend, op)(*args())


@pytest.mark.parametrize(("op", "args"), EMPTY, ids=[op for op, _ in EMPTY])
def test_empty_results_come_at_once(backend: ModuleType, op: str, args: Any) -> None:
    assert_same_bits(getattr(backend, op)(*args()), getattr(reference, op)(*args()))


CALLS = """
import importlib, sys
import numpy as np
import nnlite as nl
import nnlite.shapes
from device import OnDevice
from nnlite import reference
from support import assert_same_bits

backend, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
module = importlib.import_module(f"nnlite._{backend}")
module = OnDevice(module) if backend.startswith("cuda") else module
random = np.random.default_rng(seed)
EDGES = [0, 1, 2, 3, 2**15, 2**16, 2**30, 2**31 - 1, 2**31, 2**31 + 1, 2**32, 2**57, 2**60, 2**62, 2**63 - 1, 2**63, -1]

def number():
    return int(random.choice([1, 1, 1, 2, 3])) if random.random() < 0.6 else EDGES[random.integers(len(EDGES))]

def pair():
    return number() if random.random() < 0.5 else (number(), number())

def array(rank):
    return random.standard_normal(tuple(int(n) for n in random.choice([0, 1, 1, 2, 3, 5], rank))).astype(np.float32)

def geometry():
    # Of a convolution whose arrays often fit each other: elsewhere most calls are refused for their shapes.
    options = pair(), pair(), pair()
    n, c, k = (int(random.integers(0, 3)) for _ in range(3))
    groups = int(random.choice([1, 1, 2]))
    x = (n, c * groups, *(int(i) for i in random.integers(0, 4, 2)))
    weight = (k * groups, c, *(int(i) for i in random.integers(1, 3, 2)))
    try:
        arrays = np.zeros(x, np.float32), np.zeros(weight, np.float32)
        y = nl.shapes.conv2d_forward(*arrays, None, *options, groups).shape
    except ValueError:
        y = x
    return x, weight, y, (*options, groups)

def filled(shape):
    size = np.prod([max(n, 1) for n in shape], dtype=float)  # NumPy refuses (0, 2**62, 2**62), too
    return random.standard_normal(shape).astype(np.float32) if size < 10**6 else array(4)

def step():
    x, weight, dy = array(4), array(4), array(4)
    fit_x, fit_weight, fit_y, fit = geometry()
    shape = tuple(number() if random.random() < 0.2 else int(random.integers(0, 4)) for _ in range(4))
    return [
        ("conv2d_forward", x, weight, None, pair(), pair(), pair(), number()),
        ("conv2d_backward_data", dy, weight, shape, pair(), pair(), pair(), number()),
        ("conv2d_backward_weights", dy, x, shape, pair(), pair(), pair(), number()),
        ("conv2d_forward", filled(fit_x), filled(fit_weight), None, *fit),
        ("conv2d_backward_data", filled(fit_y), filled(fit_weight), fit_x, *fit),
        ("conv2d_backward_weights", filled(fit_y), filled(fit_x), fit_weight, *fit),
        ("im2col", x, pair(), pair(), pair(), pair()),
        ("col2im", array(2), shape, pair(), pair(), pair(), pair()),
        ("max_pool2d_forward", x, pair(), pair(), pair()),
        ("avg_pool2d_forward", x, pair(), pair(), pair()),
        ("avg_pool2d_backward", dy, shape, pair(), pair(), pair()),
        ("sum_backward", np.ones((), np.float32), shape),
        ("random_uniform", shape, 0.0, 1.0, "float32", number(), number(), number()),
    ][random.integers(13)]

done = 0
for i in range(count):
    op, *args = step()
    try:
        spec = getattr(nl.shapes, op)(*args)
        large = any(s.size > 10**6 for s in (spec if isinstance(spec, tuple) else (spec,)))
    except (TypeError, ValueError) as error:
        spec, large = str(error), False
    if large:
        continue
    print(op, args[1:] if op != "random_uniform" else args, file=sys.stderr)
    try:
        result = getattr(module, op)(*args)
        assert_same_bits(result, getattr(reference, op)(*args))
        done += 1
    except (TypeError, ValueError) as error:
        assert str(error) == spec, (str(error), spec)
    except MemoryError:
        pass
print(done)
"""


@pytest.mark.parametrize("backend", COMPILED)
def test_random_extremes_neither_crash_nor_hang(backend: str) -> None:
    count = int(os.environ.get("NNLITE_EXTREMES", "1200")) // len(COMPILED)
    run = subprocess.run(
        [sys.executable, "-c", CALLS, backend, "0", str(count)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60 + count / 20,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert int(run.stdout) > count // 50


def run_script(script: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.mark.parametrize("backend", COMPILED)
def test_a_daemon_thread_inside_an_op_does_not_abort_the_exit(backend: str) -> None:
    script = f"""
import threading, time, numpy as np, nnlite as nl
from nnlite import _{backend} as module
x = np.ones((60, 60) if {backend in DEVICES} else (300, 300), np.float32)
x = module._from_numpy(x, 0) if {backend in DEVICES} else x
def work():
    while True:
        module.gemm(x, x)
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.1)
"""
    for _ in range(3):
        run = run_script(script)
        assert (run.returncode, run.stderr) == (0, "")


def test_memory_is_returned_where_there_is_none() -> None:
    script = """
import resource, numpy as np
from nnlite import nn
import nnlite as nl
x = np.ones((64, 512), np.float32)
model = nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 512))
def step():
    model(x).sum().backward()
step()
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
for extra in range(1, 40):
    resource.setrlimit(resource.RLIMIT_AS, (used + extra * 300_000, resource.RLIM_INFINITY))
    kept = []
    try:
        for _ in range(2000):
            kept.append(nl.kernels.relu_forward(x))
            kept.append(np.ones(5000))
    except MemoryError:
        pass
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    kept.clear()
    step()
"""
    run = run_script(script)
    assert (run.returncode, run.stderr) == (0, "")


def test_a_fork_in_a_signal_handler_inside_an_op() -> None:
    script = """
import os, signal, sys, time, numpy as np, nnlite as nl
nl.set_num_threads(2)
x = np.ones((1500, 1500), np.float32)
children = []
def handler(*args):
    pid = os.fork()
    if pid:
        children.append(pid)
        return
signal.signal(signal.SIGALRM, handler)
parent = os.getpid()
for i in range(3):
    signal.setitimer(signal.ITIMER_REAL, 0.03)
    try:
        for _ in range(4):
            y = nl.kernels.gemm(x, x)
        assert (y == 1500).all()
        code = 0
    except RuntimeError as error:
        code = 0 if "forked this process inside an op" in str(error) else 3
    if os.getpid() != parent:
        os._exit(code)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
print(len(children))
"""
    run = run_script(script, timeout=120)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) >= 1


def test_zero_threads_are_refused() -> None:
    for name in available():
        if name != "reference":
            module = __import__(f"nnlite._{name}", fromlist=["x"])
            with pytest.raises(ValueError, match="n must be at least 1, got 0"):
                module._set_num_threads(0)


class Lying(np.ndarray):
    """A subclass whose ``astype`` returns itself."""

    def astype(self, *args: Any, **options: Any) -> Any:
        return np.asarray(self)


def test_subclasses_of_ndarray_are_what_they_hold(backend: ModuleType) -> None:
    if isinstance(backend, OnDevice):
        pytest.skip("arrays of a device are copies here")
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    labels = np.array([0, 1, 2, 1], np.int8)
    want = reference.softmax_cross_entropy_forward(x, labels)
    assert_same_bits(backend.softmax_cross_entropy_forward(x, labels.view(Lying)), want)
    masked = np.ma.masked_array(x, x > 4)
    matrix = x.view(np.matrix)
    ones = np.ones(3, np.float32)
    for given in (masked, matrix):
        assert_same_bits(backend.relu_forward(given), x)
        got = backend.batchnorm_training_forward(given, np.ma.masked_array(ones, [True] * 3), ones)
        assert_same_bits(got, reference.batchnorm_training_forward(x, ones, ones))
        p = x.copy()
        backend.sgd_update([p], [given], [], 0.5, 0.0, 0.0, False)
        assert_same_bits(p, x - np.float32(0.5) * x)
        p = x.copy().view(type(given))
        backend.sgd_update([p], [x], [], 0.5, 0.0, 0.0, False)
        assert_same_bits(np.array(p.view(np.ndarray)), x - np.float32(0.5) * x)


def test_bounds_of_another_type() -> None:
    for name in available():
        with nl.backend(name):
            nl.manual_seed(0)
            got = nl.random.uniform((5,), np.float32(0.1), 1.0, "float64")
            nl.manual_seed(0)
            assert_same_bits(got, nl.random.uniform((5,), float(np.float32(0.1)), 1.0, "float64"))


WRONG_CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("conv2d_forward", (full(1, 1, 9, 9), full(1, 1, 2, 2)), {"pad": 1},
     "conv2d_forward: unknown argument 'pad'; did you mean 'padding'?"),
    ("relu_forward", (full(3),), {"zzz": 1}, "relu_forward: unknown argument 'zzz'; it has x"),
    ("conv2d_forward", (full(1, 1, 9, 9),), {}, "conv2d_forward: lacks the argument 'weight'"),
    ("relu_forward", (full(3), full(3)), {}, "relu_forward: takes at most 1 arguments, got 2"),
    ("relu_forward", (full(3),), {"x": full(3)}, "relu_forward: argument 'x' is given twice"),
    ("gemm", (full(2, 2), full(2, 2)), {"transpose_a": "yes"}, "gemm: transpose_a must be a bool, got str"),
    ("batchnorm_training_forward", (full(4, 2), full(2), full(2)), {"relu": "yes"},
     "batchnorm_training_forward: relu must be a bool, got str"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "type_name"), [(1, "int"), (None, "NoneType"), ("yes", "str"), (0.0, "float")])
def test_flags_are_bools(backend: ModuleType, value: Any, type_name: str) -> None:
    x, channels = full(2, 2), full(2)
    for op, flag, args in [
        ("gemm", "transpose_a", (x, x, value)),
        ("gemm", "transpose_b", (x, x, False, value)),
        ("batchnorm_training_forward", "relu", (x, channels, channels, 1e-5, value)),
        ("batchnorm_inference_forward", "relu", (x, *[channels] * 4, 1e-5, value)),
        ("sgd_update", "nesterov", ([x], [x.copy()], [], 0.1, 0.0, 0.0, value)),
        ("adam_update", "decoupled", (*([full(2)] for _ in range(4)), 0.1, 0.9, 0.9, 0.1, 0.0, value, 0.1, 0.1)),
    ]:
        with pytest.raises(TypeError, match=f"^{op}: {flag} must be a bool, got {type_name}$"):
            getattr(backend, op)(*args)
    assert_same_bits(backend.gemm(x, x, np.True_, np.False_), reference.gemm(x, x, True, False))


def test_a_kernel_that_is_nearly_all_padding(backend: ModuleType) -> None:
    x, size, padding = full(1, 1, 1, 1), (2**31 - 1, 1), (2**30 - 1, 0)
    y, index = backend.max_pool2d_forward(x, size, 1, padding)
    assert (y.item(), index.item()) == (1, 2**30 - 1)
    assert_same_bits(backend.max_pool2d_backward(x, index, x.shape, size, 1, padding), x)
    assert_same_bits(backend.avg_pool2d_forward(x, size, 1, padding), x / np.float32(2**31 - 1))


@pytest.mark.parametrize("name", available())
@pytest.mark.parametrize(("op", "args", "options", "message"), WRONG_CALLS)
def test_wrong_calls_are_told_in_a_line(name: str, op: str, args: Any, options: Any, message: str) -> None:
    with nl.backend(name), pytest.raises(TypeError) as raised:
        getattr(nl.kernels, op)(*args, **options)
    assert str(raised.value) == message
