"""Memory of the VGG training step: growth of the peak over what model and data take, in a fresh process each."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from . import nets


def peak() -> int:
    """Largest resident size of this process so far, in bytes."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def growth(library: str, tiny: bool = False) -> int:
    """Bytes by which three steps raise the peak."""
    net = nets.nets(tiny)[2 if tiny else 5]
    step: Any
    if library == "torch":
        import torch

        step = nets.torch_runs(torch, net, net.batch, True)["eager"]
    else:
        step = nets.nnlite_step(net, net.batch)
    before = peak()
    for _ in range(3):
        step()
    return peak() - before


def show(torch: bool) -> int:
    """Print the growth, ours beside PyTorch's."""
    sizes = {}
    for library in ("nnlite", *(["torch"] if torch else [])):
        command = [sys.executable, "-m", "bench.memory", library]
        sizes[library] = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        print(f"VGG step, growth of the peak: {library} {sizes[library] / 1e6:.0f} MB")
    if torch:
        print(f"ratio {sizes['nnlite'] / sizes['torch']:.2f}")
    return 0


if __name__ == "__main__":
    print(growth(sys.argv[1]))
