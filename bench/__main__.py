"""Command line of the benchmarks."""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import os
import pkgutil
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

import nnlite as nl
from nnlite import reference
from nnlite.backend import available

from . import harness
from .harness import Case


def cases(ops: list[str], tiny: bool) -> Iterator[Case]:
    """The cases of all ``bench_*.py``, or of the named ops."""
    for info in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if info.name.startswith("bench_"):
            for case in importlib.import_module(f"bench.{info.name}").cases(tiny):
                if not ops or any(case.op.startswith(op) for op in ops):
                    yield case


def machine() -> dict[str, str]:
    """Where and of what these figures are."""
    model = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), model)
    git = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "cpu": model,
        "cores": str(os.cpu_count()),
        "date": datetime.date.today().isoformat(),
        "commit": git.stdout.strip(),
        "nnlite": nl.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("op", nargs="*", help="ops, or beginnings of their names (default: all)")
    parser.add_argument("--backend", default="", help="compiled backends, separated by commas (default: the fastest)")
    parser.add_argument("--against", default="numpy", help="peers: numpy,torch")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--tiny", action="store_true", help="sizes of a quick check")
    parser.add_argument(
        "--floor", action="store_true", help="only show ops of 4,096 elements or more that are slower than NumPy"
    )
    parser.add_argument("--json", metavar="FILE", help="write all figures")
    return parser


def main() -> int:
    """Check and time the cases."""
    options = _parser().parse_args()
    names = options.backend.split(",") if options.backend else available()[-1:]
    modules = {name: importlib.import_module(f"nnlite._{name}") for name in names}
    torch: ModuleType | None = importlib.import_module("torch") if "torch" in options.against else None
    for module in modules.values():
        module._set_num_threads(options.threads)
    if torch is not None:
        torch.set_num_threads(options.threads)
    try:
        from threadpoolctl import threadpool_limits

        threadpool_limits(options.threads)
    except ImportError:
        print(
            "threadpoolctl is not installed: NumPy's matrix products use their own number of threads", file=sys.stderr
        )

    rows = []
    bandwidth = harness.copy_bandwidth()
    print(f"copy bandwidth {bandwidth / 1e9:.1f} GB/s; {options.threads} thread(s)")
    for case in cases(options.op, options.tiny):
        case.check([reference, *modules.values()] if options.tiny else list(modules.values()))
        competitors = {name: (lambda m=module: case.run(m)) for name, module in modules.items()}
        if case.numpy is not None and "numpy" in options.against:
            competitors["numpy"] = case.numpy
        if case.torch is not None and torch is not None:
            competitors["torch"] = case.torch(torch)
        seconds = harness.measure(competitors, options.rounds)
        rows.append({"op": case.op, "case": case.label, "flops": case.flops, "bytes": case.bytes, "seconds": seconds})
        _show(case, seconds, list(modules), options.floor)
    if options.json:
        report = {"machine": machine(), "threads": options.threads, "copy_bandwidth": bandwidth, "rows": rows}
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
    return 0


def _show(case: Case, seconds: dict[str, list[float]], ours: list[str], floor: bool) -> None:
    medians = {name: harness.median(values) for name, values in seconds.items()}
    for name in ours:
        ratio = medians.get("numpy", np.inf) / medians[name]
        slow = case.elements >= 4096 and ratio < case.least_ratio
        if floor and not slow:
            continue
        rate = (
            f"{case.flops / medians[name] / 1e9:7.1f} GF/s"
            if case.flops
            else f"{case.bytes / medians[name] / 1e9:7.1f} GB/s"
        )
        peers = "  ".join(f"{peer} {medians[peer] / medians[name]:6.2f}x" for peer in medians if peer not in ours)
        width = harness.spread(seconds[name])
        print(
            f"{case.op:32} {case.label:40} {name:12} {medians[name] * 1e6:10.1f} us ±{width:4.0%} {rate}  {peers}"
            + ("  SLOWER" if slow else ""),
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
