"""What nvcc makes of the kernels, for sm_90: the arithmetic of docs/numerics.md, and nothing outside registers."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
gpu_resources = importlib.import_module("bench.gpu_resources")
KERNELS, compile_kernels = gpu_resources.KERNELS, gpu_resources.compile_kernels
entries, options = gpu_resources.entries, gpu_resources.options
pytestmark = pytest.mark.skipif(gpu_resources.NVCC is None, reason="needs nvcc")

CONTRACTIBLE = re.compile(r"\b(?:add|sub|mul)\.f(?:32|64)\b")  # without .rn, ptxas may fuse them
FORBIDDEN = {
    "subnormals become 0": re.compile(r"\.ftz\b"),
    "an approximation": re.compile(r"\.(?:approx|full)\b"),
    "may be contracted": CONTRACTIBLE,
    "a mode other than to nearest": re.compile(r"\b(?:add|sub|mul|fma|div|sqrt|rcp)\.r[zmp]\.f(?:32|64)\b"),
    "the order of atomic sums of floats is not specified": re.compile(r"\b(?:atom|red)\.[\w.:]*f(?:16|16x2|32|64)\b"),
}


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path], Any]]:
    """The kernels of a file; each is compiled once, and two at a time."""
    folder = tmp_path_factory.mktemp("ptx")
    pool = ThreadPoolExecutor(2)
    futures = {file: pool.submit(compile_kernels, file, folder / file.stem, options()) for file in KERNELS}
    yield lambda file: futures[file].result()
    pool.shutdown(cancel_futures=True)


def violations(ptx: str) -> list[str]:
    return [f"{what}: {match[0]}" for what, pattern in FORBIDDEN.items() for match in pattern.finditer(ptx)]


def writes_fma(file: Path) -> bool:
    """Whether the file, or a header of its own folder or of formulas, asks for a fused multiply-add."""
    text = file.read_text()
    headers = [ROOT / "cuda" / name for name in re.findall(r'#include "(.*?)"', text)]
    headers += [ROOT / "csrc" / name for name in re.findall(r'#include "(formulas/.*?)"', text)]
    texts = [text, *(header.read_text() for header in headers if header.exists() and header.name != "launch.h")]
    return any(word in part for part in texts for word in ("fused(", "fma", "elementary.h"))


@pytest.mark.parametrize("file", KERNELS, ids=lambda file: file.stem)
def test_arithmetic_is_as_written(compiled: Callable[[Path], Any], file: Path) -> None:
    ptx = compiled(file).ptx
    assert entries(ptx)
    assert violations(ptx) == []
    if not writes_fma(file):
        assert "fma." not in ptx


def test_the_oldest_architecture_copies_otherwise(tmp_path: Path) -> None:
    """What sm_75 lacks, and a build for a machine without a GPU compiles for."""
    source = tmp_path / "copies.cu"
    source.write_text(
        """#include "async_copy.h"
using namespace nnlite;
__global__ void copies(const float* from, float* to, bool inside) {
  float* const memory = &shared_memory<float>();
  const SharedPlace<float> place(memory);
  AsyncCopies copies;
  copies.copy<16>(place, from);
  copies.copy<8>(place + 4, from + 4);
  copies.copy<4>(place + 6, from + 6);
  copies.copy_or_zero<16>(place + 8, from + 8, inside);
  copies.copy_or_zero<8>(place + 12, from + 12, inside);
  copies.copy_or_zero<4>(place + 14, from + 14, inside);
  copies.commit();
  copies.wait<0>();
  __syncthreads();
  for (int i = 0; i < 15; ++i) to[i] = memory[i];
}
"""
    )
    flags = [flag.replace("sm_90", "sm_75") for flag in options()]
    assert flags != options()
    compiled = compile_kernels(source, tmp_path / "copies", flags)
    assert "cp.async" not in compiled.ptx
    assert compiled.ptx.count("st.shared") == 6


@pytest.mark.parametrize("file", KERNELS, ids=lambda file: file.stem)
def test_everything_is_in_registers(compiled: Callable[[Path], Any], file: Path) -> None:
    messages = compiled(file).messages
    frames = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", messages)
    assert len(frames) >= len(entries(compiled(file).ptx))
    assert set(frames) == {("0", "0", "0")}, messages
    assert "warning" not in messages


@pytest.mark.parametrize(
    ("op", "instruction"), [("3Add", "add"), ("8Subtract", "sub"), ("8Multiply", "mul"), ("8BackwardINS_3LogEE", "div")]
)
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_one_operation_is_one_instruction(
    compiled: Callable[[Path], Any], op: str, instruction: str, dtype: str
) -> None:
    file = ROOT / "cuda" / "ops" / "map.cu"
    letter = "f" if dtype == "f32" else "d"
    kernels = {n: b for n, b in entries(compiled(file).ptx).items() if f"{op}E{letter}" in n}
    assert len(kernels) == 3  # in packs, one by one, and broadcast
    for body in kernels.values():
        arithmetic = re.findall(r"\b(?:add|sub|mul|fma|div|rcp)\.\w*\.?f\d\d", body)
        assert set(arithmetic) == {f"{instruction}.rn.{dtype}"}


@pytest.mark.parametrize(
    ("flag", "expression", "what"),
    [
        ("--fmad=true", "(a + b) * c", "may be contracted"),
        ("-ftz=true", "a + b", "subnormals become 0"),
        ("-prec-div=false", "a / b", "an approximation"),
        ("-prec-sqrt=false", "sqrtf(a)", "an approximation"),
        ("--fmad=false", "atomicAdd(y, a)", "the order of atomic sums"),
    ],
)
def test_other_arithmetic_is_found(tmp_path: Path, flag: str, expression: str, what: str) -> None:
    """The checks above can fail."""
    source = tmp_path / "kernel.cu"
    source.write_text(f"__global__ void kernel(float a, float b, float c, float* y) {{ y[1] = {expression} + b * c; }}")
    flags = [f for f in options() if f.split("=")[0] != flag.split("=")[0]]
    found = violations(compile_kernels(source, tmp_path / "out", [*flags, flag]).ptx)
    assert any(text.startswith(what) for text in found), found
