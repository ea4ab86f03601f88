"""The state of the floating-point unit: a library built with -Ofast switches flush-to-zero on for the whole process.

Compiled backends compute as ever and leave the register as it was; the reference, which is NumPy, refuses.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nnlite.backend import available

SCRIPT = """
import ctypes, sys
import numpy as np
import nnlite as nl

tiny = np.array([1e-39, -3e-42, 2e-38, 0.5], np.float32)
matrix, quarter, half = np.tile(tiny, (40, 40)), np.full((160, 33), 0.25, np.float32), np.full(4, 0.5, np.float32)
low = np.array([-100.0, -88.0], np.float32)

def flushed():
    return not (tiny[:1] * np.float32(1)).view(np.uint32)[0]

def results():
    k = nl.kernels
    p, v = tiny.copy(), tiny.copy()
    k.sgd_update([p], [tiny[::-1].copy()], [v], 0.5, 0.9, 0.01, True)
    arrays = [k.gemm(matrix, quarter), k.multiply(tiny, half), k.log_forward(tiny), k.exp_forward(low), p, v]
    return b"".join(a.tobytes() for a in arrays)

def everywhere():
    found = []
    for backend in sys.argv[2].split(","):
        for threads in (1, 3):
            with nl.backend(backend):
                nl.set_num_threads(threads)
                found.append(results())
    return found

with nl.backend("reference"):
    want = results()
assert all(bits == want for bits in everywhere()), "backends differ before"
ctypes.CDLL(sys.argv[1])
if not flushed():
    print("no effect")
    sys.exit()
assert all(bits == want for bits in everywhere()), "flush-to-zero reached a kernel"
assert flushed(), "a kernel left the register changed"
try:
    with nl.backend("reference"):
        nl.kernels.add(tiny, tiny)
except RuntimeError as error:
    print(error)
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc to build a library with -Ofast")
def test_flush_to_zero_is_neither_trusted_nor_left_changed(tmp_path: Path) -> None:
    source, library = tmp_path / "fast.c", tmp_path / "fast.so"
    source.write_text("int fast_math_library(void) { return 1; }\n")
    subprocess.run(["gcc", "-shared", "-fPIC", "-Ofast", str(source), "-o", str(library)], check=True)
    compiled = ",".join(name for name in available() if name != "reference")
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, str(library), compiled],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    if run.stdout == "no effect\n":
        pytest.skip("this compiler's -Ofast does not switch flush-to-zero on in a shared library")
    assert "flush-to-zero" in run.stdout


ROUNDING = """
import ctypes, sys
import numpy as np
import nnlite as nl

start = np.linspace(0.1, 0.9, 40, dtype=np.float32)

def update():
    k = nl.kernels
    p, g, m, v = (start.copy() for _ in range(4))
    k.adam_update([p], [g], [m], [v], 0.1, 0.9, 0.999, 1e-8, 0.01, False, 0.1, 0.001)
    return p.tobytes() + m.tobytes() + v.tobytes() + k.random_uniform((9,), -0.1, 0.2, "float32", 1, 2, 3).tobytes()

libm = ctypes.CDLL(ctypes.util.find_library("m") or "libm.so.6")
for backend in sys.argv[1].split(","):
    with nl.backend(backend):
        want = update()
        upward = 0x800 if sys.argv[2] == "x86_64" else 0x400000
        assert libm.fesetround(upward) == 0
        got = update()
        assert libm.fegetround() == upward, "a kernel left the register changed"
        libm.fesetround(0)
        assert got == want, backend
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64") or sys.platform != "linux", reason="glibc's modes")
def test_the_rounding_mode_is_neither_trusted_nor_left_changed() -> None:
    compiled = ",".join(name for name in available() if name != "reference")
    script = "import ctypes.util\n" + ROUNDING
    run = subprocess.run(
        [sys.executable, "-c", script, compiled, platform.machine()], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


REFUSING = """
import ctypes, sys
import numpy as np
import nnlite as nl
from nnlite import nn, optim

model = nn.Linear(3, 2)
optimizer = optim.Adam(model.parameters())
model(np.ones((1, 3), np.float32)).sum().backward()
libm = ctypes.CDLL(ctypes.util.find_library("m") or "libm.so.6")
down, up = (0x400, 0x800) if sys.argv[1] == "x86_64" else (0x800000, 0x400000)
for mode in (up, down):
    libm.fesetround(mode)
    for refused in (optimizer.step, lambda: nn.Linear(3, 2), lambda: nl.init.normal((3,))):
        try:
            refused()
            print("not refused")
        except RuntimeError as error:
            print(error)
    with nl.backend("reference"):
        try:
            nl.kernels.add(np.ones(3), np.ones(3))
        except RuntimeError as error:
            print(error)
libm.fesetround(0)
optimizer.step()
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64") or sys.platform != "linux", reason="glibc's modes")
def test_what_python_computes_refuses_another_rounding_mode() -> None:
    script = "import ctypes.util\n" + REFUSING
    run = subprocess.run(
        [sys.executable, "-c", script, platform.machine()], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    starts = [line.partition(":")[0] for line in run.stdout.splitlines()]
    assert starts == ["Adam.step", "init", "init", "nnlite.reference"] * 2
