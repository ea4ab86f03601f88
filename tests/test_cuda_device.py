"""The device layer without a GPU, against a CUDA runtime that tests/cpp/check_device.cpp plays."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NVCC = shutil.which("nvcc")
pytestmark = pytest.mark.skipif(NVCC is None, reason="needs nvcc, for CUDA's headers")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert NVCC is not None
    to = tmp_path_factory.mktemp("device") / "check_device"
    sources = ["tests/cpp/check_device.cpp", "cuda/device/device.cpp", "cuda/runtime/fault.cpp"]
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
