"""Memory of the VGG training step: growth of the peak over what model and data take, in a fresh process each."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import Any

from . import nets


def peak() -> int:
    """Largest resident size of this process so far, in bytes."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def growth(library: str, tiny: bool = False) -> int:
    """Bytes by which three steps raise the peak over what model, optimizer and data take."""
    net = next(net for net in nets.nets(tiny) if net.name.startswith("residual" if tiny else "VGG"))
    step: Any
    if library == "torch":
        import torch

        step = nets.torch_step(torch, net, net.batch)
    else:
        step = nets.nnlite_step(net, net.batch)
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # forget the peak of the imports
    before = peak()
    for _ in range(3):
        step()
    return peak() - before


def show(torch: bool, tiny: bool = False) -> int:
    """Print the growth, ours beside PyTorch's."""
    sizes = {}
    for library in ("nnlite", *(["torch"] if torch else [])):
        command = [sys.executable, "-m", "bench.memory", library, *(["tiny"] if tiny else [])]
        sizes[library] = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        what = "tiny step" if tiny else "VGG step"
        print(f"{what}, growth of the peak: {library} {sizes[library] / 1e6:.1f} MB")
    if torch:
        print(f"ratio {sizes['nnlite'] / sizes['torch']:.2f}")
    return 0


if __name__ == "__main__":
    print(growth(sys.argv[1], "tiny" in sys.argv))
