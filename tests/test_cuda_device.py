"""The device layer without a GPU, against a CUDA runtime that tests/cpp/check_device.cpp plays."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RUNTIME = ("cuda/runtime/fault.cpp", "cuda/runtime/recording.cpp")  # what of it knows no Python
NVCC = shutil.which("nvcc")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if NVCC is None:
        pytest.skip("needs nvcc, for CUDA's headers")
    to = tmp_path_factory.mktemp("device") / "check_device"
    sources = ["tests/cpp/check_device.cpp", "cuda/device/device.cpp", *RUNTIME]
    flags = ["-std=c++20", "-O1", "--cudart=none", "-Xcompiler=-Wall,-Wextra,-fsanitize=address,-fsanitize=undefined"]
    command = [NVCC, *flags, f"-I{ROOT / 'cuda'}", f"-I{ROOT / 'csrc'}", *(str(ROOT / s) for s in sources)]
    done = subprocess.run([*command, "-o", str(to)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return to


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        ([], ""),
        (["no-driver"], "no NVIDIA driver is installed (libcuda.so.1 cannot be loaded)\n"),
        (
            ["old-driver"],
            "the NVIDIA driver is too old: it supports CUDA 12.4, and nnlite was built with CUDA 13.0\n",
        ),
        (["no-device"], "the NVIDIA driver finds no GPU (CUDA_VISIBLE_DEVICES is '')\n"),
    ],
)
def test_the_device_layer(program: Path, mode: list[str], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = subprocess.run([program, *mode], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, says, "")


@pytest.mark.skipif(importlib.util.find_spec("nnlite._cuda") is None, reason="_cuda is not built")
def test_the_module_without_a_device() -> None:
    """Importing it starts nothing; what needs a device says why there is none."""
    code = """if True:
        import numpy as np
        import nnlite._cuda as m
        assert "libcuda.so" not in open("/proc/self/maps").read()
        if m._device_count() == 0:
            assert m._why_none() != ""
            for call, kind in ((lambda: m._from_numpy(np.zeros(2), 0), ValueError),
                               (lambda: m.add(np.zeros(2), np.zeros(2)), TypeError),
                               (lambda: m.random_bits(3, 0, 0, 0), RuntimeError)):
                try:
                    call()
                except kind as error:
                    assert kind is TypeError or m._why_none() in str(error), error
                else:
                    raise AssertionError(kind)
            assert m._bytes_in_use() == 0
            m._synchronize()
            m._release_cached()
    """
    subprocess.run([sys.executable, "-c", code], check=True)
