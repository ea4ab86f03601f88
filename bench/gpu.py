"""What is run when an NVIDIA GPU is at hand: checks of bits, compute-sanitizer, ops and training steps beside PyTorch.

``python -m bench.gpu [--checks] [--sanitize] [--ops [NAME …]] [--steps [NAME …]]``; without a selection, all four. Each
ends after ``--limit`` seconds with what it has. The figures go to a file in bench/results, from which
``python -m bench --report`` writes the tables.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import importlib.util
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

import nnlite as nl
from nnlite.backend import available, load_device

from . import (
    bench_batchnorm,
    bench_elementwise,
    bench_gemm,
    bench_optim,
    bench_pool2d,
    gpu_report,
    gpu_small_cases,
    nets,
)
from .__main__ import machine, output
from .gpu_small_cases import upload
from .harness import Case, Run, Timer, normal, ways
from .worker import cases

ROOT = Path(__file__).parent.parent
Row = dict[str, Any]

# The CPU's sizes and larger ones, up to a gigabyte of traffic and more.
SIZES: dict[str, list[Any]] = {
    "bench_batchnorm": [*bench_batchnorm.SIZES, (512, 64, 64, 64)],
    "bench_elementwise": [*bench_elementwise.SIZES[-2:], 1 << 27],
    "bench_gemm": [*((n, n, n) for n in (512, 1024, 2048, 4096, 8192)), *bench_gemm.SIZES],
    "bench_optim": [*bench_optim.SIZES, 90_000_000],
    "bench_pool2d": [*bench_pool2d.SIZES, (768, 64, 64, 64)],
}
OPS = ["gemm", "conv2d_forward", "conv2d_backward_data", "conv2d_backward_weights", "max_pool2d", "avg_pool2d"]
OPS += ["batchnorm_training", "relu", "add", "softmax_cross_entropy", "dropout", "adam", "sgd"]
# How PyTorch convolves: cudnn.benchmark, TF32. The first is the peer; the third is PyTorch as it is installed.
MODES = {"": (False, False), "benchmark": (True, False), "TF32": (False, True)}


class Clock(NamedTuple):
    """The stream of a library: marks in it, milliseconds between two of them, waiting for it, and one large copy."""

    record: Callable[[], Any]
    elapsed: Callable[[Any, Any], float]
    wait: Run
    copy: Run

    def seconds(self, calls: Sequence[Run], copies: int) -> float:
        """Of the device, per call, after some copies.

        The copies leave no input in the L2 cache, and the device is busy with them while the calls are queued: what is
        measured are kernels, not Python.
        """
        for _ in range(copies):
            self.copy()
        first = self.record()
        for call in calls:
            call()
        last = self.record()
        self.wait()
        return self.elapsed(first, last) / 1e3 / len(calls)


def _nnlite_clock(module: ModuleType, size: int) -> Clock:
    x, y = (module._from_numpy(np.resize(normal(1 << 16), size // 8), 0) for _ in range(2))
    return Clock(module._record_event, module._elapsed_ms, module._synchronize, lambda: y.assign(x))


def _torch_clock(torch: Any, size: int) -> Clock:
    x = torch.randn(size // 8)
    y = torch.empty_like(x)

    def record() -> Any:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    return Clock(record, lambda first, last: first.elapsed_time(last), torch.cuda.synchronize, lambda: y.copy_(x))


class OnCuda:
    """PyTorch, but what it makes of NumPy arrays lies on the GPU."""

    def __init__(self, torch: Any) -> None:
        torch.set_default_device("cuda")
        self._torch = torch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._torch, name)

    def from_numpy(self, x: np.ndarray) -> Any:
        return self._torch.from_numpy(x).cuda()

    def precision(self, benchmark: bool, tf32: bool) -> None:
        """How products and convolutions are computed from now on."""
        self._torch.backends.cuda.matmul.allow_tf32 = False
        self._torch.backends.cudnn.allow_tf32 = tf32
        self._torch.backends.cudnn.benchmark = benchmark

    def kernels(self, call: Run) -> list[str]:
        """Names of the kernels of a call, the longest-running first."""
        profiler = importlib.import_module("torch.profiler")
        kinds = profiler.ProfilerActivity
        with profiler.profile(activities=[kinds.CPU, kinds.CUDA]) as profile:
            call()
            self._torch.cuda.synchronize()
        device = self._torch.autograd.DeviceType.CUDA
        found = [event for event in profile.events() if event.device_type == device]
        return [event.name for event in sorted(found, key=lambda event: -event.time_range.elapsed_us())]


class OnDevice:
    """A device's module with the calling convention of the CPU backends."""

    def __init__(self, module: ModuleType) -> None:
        self._module, self.__name__ = module, module.__name__

    def __getattr__(self, op: str) -> Run:
        def call(*arguments: Any) -> Any:
            there = upload(self._module, list(arguments))
            result = getattr(self._module, op)(*there)
            self._module._synchronize()
            if result is None:
                for x, y in zip(_arrays(list(arguments)), _arrays(there), strict=True):
                    x[...] = y.numpy()
                return None
            return tuple(y.numpy() for y in result) if isinstance(result, tuple) else result.numpy()

        return call


def _arrays(x: Any) -> list[Any]:
    if isinstance(x, (list, tuple)):
        return [array for item in x for array in _arrays(item)]
    return [x] if hasattr(x, "nbytes") else []


def traffic(case: Case, result: Any, l2: int) -> float:
    """Bytes of what an op reads and writes. What a batchnorm normalises is read twice if it does not fit in L2."""
    read = _arrays(list(case.arguments))
    total = sum(x.nbytes for x in read)
    # Optimizers change all their lists but the second, the gradients.
    written = _arrays([a for i, a in enumerate(case.arguments) if i != 1]) if result is None else _arrays([result])
    twice = {"batchnorm_training_forward": 1, "batchnorm_training_backward": 2}.get(case.op, 0)
    return float(total + sum(x.nbytes for x in written) + sum(x.nbytes for x in read[:twice] if x.nbytes > l2))


class Entrant:
    """One way to run a case: the same call on several copies of its arguments, and how long it took in each round."""

    def __init__(self, clock: Clock, copy_seconds: float, calls: list[Run], setup: Run = lambda: None) -> None:
        self._clock, self._calls, self._setup = clock, calls, setup
        setup()
        for call in calls:
            call()
        clock.wait()
        start = time.perf_counter()
        for call in calls:
            call()
        queueing = time.perf_counter() - start
        clock.wait()
        self._copies = 1 + min(40, int(1.5 * queueing / copy_seconds))
        self.seconds: list[float] = []

    def round(self) -> None:
        self._setup()
        self.seconds.append(self._clock.seconds(self._calls, self._copies))


class Bench:
    """One run: the device, PyTorch where it can use the same, what both can do at most, and what has been found."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.device, self.tiny, self.rounds = options.device, options.tiny, options.rounds
        self.module = load_device(self.device)
        self.result: dict[str, Any] = {"machine": _machine(self.device, self.module), "rounds": self.rounds}
        self.result |= {"left_out": [], "wrong": [], "rows": []}
        self._limit, self._path = options.limit, _path(options, self.result["machine"])

    @functools.cached_property
    def torch(self) -> OnCuda | None:
        """PyTorch, if it can use the device."""
        if self.device != "cuda" or importlib.util.find_spec("torch") is None:
            return None
        torch = importlib.import_module("torch")
        return OnCuda(torch) if torch.cuda.is_available() else None

    @functools.cached_property
    def clocks(self) -> dict[str, Clock]:
        """Of nnlite and of PyTorch."""
        size = 1 << 20 if self.tiny else 1 << 30
        clocks = {"nnlite": _nnlite_clock(self.module, size)}
        if self.torch is not None:
            clocks["torch"] = _torch_clock(self.torch, size)
        seconds = {name: min(clock.seconds([clock.copy] * 4, 1) for _ in range(5)) for name, clock in clocks.items()}
        self.copy_seconds = min(seconds.values())
        self.result["bandwidth"] = size / self.copy_seconds
        print(f"copy bandwidth: {self.result['bandwidth'] / 1e9:.0f} GB/s")
        return clocks

    @functools.cached_property
    def peak(self) -> float:
        """Floating-point operations per second of nothing but fused multiply-adds."""
        if not hasattr(self.module, "_fma_peak"):
            return math.inf
        peak: float = max(self.module._fma_peak(1e-3 if self.tiny else 0.1) for _ in range(3))
        self.result["peak"] = peak
        print(f"FMA peak: {peak / 1e12:.1f} TFLOP/s")
        return peak

    def begin(self) -> None:
        """A part starts: its time runs from here."""
        self._end = time.monotonic() + self._limit

    def left(self) -> float:
        """Seconds that the part has left."""
        return self._end - time.monotonic()

    def save(self) -> None:
        """Write what there is; the command may be ended from outside at any time."""
        self.result["targets"] = gpu_report.targets(self.result["rows"], [self.result])
        if self._path is not None:
            self._path.write_text(json.dumps(self.result, indent=1) + "\n")

    def add(self, row: Row) -> None:
        self.result["rows"].append(row)
        self.result["wrong"] += [f"{row['op']} {row['label']}: {text}" for text in row["wrong"]]
        print(gpu_report.line(row), flush=True)
        self.save()


def checks(bench: Bench) -> None:
    """The tests that are run on the device."""
    where = "tests/test_sum.py" if bench.tiny else "tests"
    command = [sys.executable, "-m", "pytest", "-n", "0", "-v", "-rfE", "--tb=short", "-p", "no:cacheprovider", where]
    command += ["-k", "cuda_sim" if bench.device == "cuda_sim" else "cuda and not cuda_sim and not cuda_ptx"]
    if importlib.util.find_spec("hypothesis") is None:
        command.append("--ignore=tests/test_properties.py")
        bench.result["left_out"].append("tests/test_properties.py: hypothesis is not installed")
    text, finished = _run(command, bench.left())
    outcomes = dict(re.findall(r"^(\S+::.*?) (PASSED|FAILED|ERROR|SKIPPED)\b", text, re.MULTILINE))
    failures = re.findall(r"^(?:FAILED|ERROR) (.*)$", text, re.MULTILINE)
    counts = {name.lower(): list(outcomes.values()).count(name) for name in ("PASSED", "FAILED", "ERROR", "SKIPPED")}
    found = counts | {"finished": finished, "failures": failures}
    if not counts["passed"] or (finished and failures and not counts["failed"] + counts["error"]):
        found["output"] = text[-3000:]
    bench.result["checks"] = found
    print("\n".join([f"checks: {counts}", *failures, found.get("output", "")]))


def sanitize(bench: Bench) -> None:
    """compute-sanitizer over the small cases."""
    if bench.device == "cuda_sim":  # checks every access itself
        bench.result["sanitize"] = {"simulator": {"errors": 0, "calls": gpu_small_cases.run(bench.device)}}
        return
    tool = shutil.which("compute-sanitizer", path=os.environ["PATH"] + ":/usr/local/cuda/bin")
    if tool is None:
        bench.result["left_out"].append("sanitize: compute-sanitizer is not on the PATH")
        return
    found = bench.result["sanitize"] = {}
    for number, kind in enumerate(("memcheck", "racecheck")):
        command = [tool, "--tool", kind, sys.executable, "-m", "bench.gpu_small_cases", bench.device]
        text, finished = _run(command, bench.left() / (2 - number))
        summary = re.search(r"SUMMARY: (\d+) (?:error|hazard)", text)
        calls = re.search(r"^(\d+) calls$", text, re.MULTILINE)
        found[kind] = {"errors": int(summary[1]) if summary else None, "calls": int(calls[1]) if calls else None}
        if not finished or summary is None or int(summary[1]) or calls is None:
            found[kind]["output"] = text[:4000] + "\n…\n" + text[-2000:]
        print(f"{kind}: {found[kind]}")
        bench.save()


def _run(command: list[str], seconds: float) -> tuple[str, bool]:
    """What a command prints, and whether it ended by itself within ``seconds``; else it is ended, with its children."""
    settings = os.environ | {"COLUMNS": "300", "PYTHONUNBUFFERED": "1"}
    out: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, env=settings, start_new_session=True, **out)
    try:
        return process.communicate(timeout=max(seconds, 1))[0], True
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()[0], False


def ops(bench: Bench, names: list[str]) -> None:
    """Check and time each case, nnlite and PyTorch in turns."""
    cpu = importlib.import_module(f"nnlite._{available()[-1]}")
    for case in cases(names or OPS, bench.tiny, sizes={} if bench.tiny else SIZES):
        if case.make is not None or (case.op == "gemm" and not _is_wanted(case)):
            continue
        if bench.left() < 0:
            bench.result["left_out"].append(f"ops from {case.op} {case.label} on: the time was over")
            break
        row: Row = {"op": case.op, "label": case.label, "group": case.group, "flops": case.flops, "wrong": []}
        try:
            replace(case, numpy=None).check([cpu, OnDevice(bench.module)])
            _time_op(bench, case, row)
        except Exception as error:  # the other cases go on
            row["wrong"].append(_first_line(error))
        bench.add(row)
        bench.module._release_cached()
        if bench.torch is not None:
            bench.torch.cuda.empty_cache()


def _is_wanted(case: Case) -> bool:
    """All transpositions of the shapes that are no squares, of one square, and of the tiny ones."""
    m, k, n = case.label.split()[0].split("x")
    return not (m == k == n) or m == "4096" or case.label.endswith(" nn")


def _time_op(bench: Bench, case: Case, row: Row) -> None:
    clocks, l2, op = bench.clocks, bench.module._l2_bytes(0), getattr(bench.module, case.op)
    here = list(case.arguments)
    # Every call of a round finds other arguments, together more than twice what L2 holds; 32 at most.
    count = max(1, min(2 if bench.tiny else 32, -(-2 * l2 // sum(x.nbytes for x in _arrays(here)))))
    calls = [functools.partial(op, *upload(bench.module, here)) for _ in range(count)]
    row["bytes"] = traffic(case, calls[0](), l2)
    row["floors"] = {"nnlite": max(row["bytes"] / bench.result["bandwidth"], case.flops / bench.peak)}
    entrants = {"nnlite": Entrant(clocks["nnlite"], bench.copy_seconds, calls)}
    row["left_out"], row["kernels"] = {}, {}
    if bench.torch is not None and case.torch is not None:
        try:
            for name, peer in _peers(bench, case, count, row):
                entrants[name] = peer
        except Exception as error:  # what came before it goes on
            row["left_out"]["torch"] = _first_line(error)
    for _ in range(bench.rounds):
        for entrant in entrants.values():
            entrant.round()
    row["seconds"] = {name: entrant.seconds for name, entrant in entrants.items()}


def _peers(bench: Bench, case: Case, count: int, row: Row) -> Iterator[tuple[str, Entrant]]:
    """PyTorch's ways to run a case; of convolutions also the kernels that it has chosen."""
    made = [ways(case.torch(bench.torch)) for _ in range(count)]
    convolves = case.group.startswith("conv2d")
    for way in made[0]:
        runs = [each[way] for each in made]
        for mode, flags in MODES.items() if convolves else [("", MODES[""])]:
            name = " ".join(filter(None, ("torch", way, mode)))
            setup = functools.partial(bench.torch.precision, *flags)
            peer = Entrant(bench.clocks["torch"], bench.copy_seconds, runs, setup)
            if convolves:
                row["kernels"][name] = bench.torch.kernels(runs[0])
            yield name, peer


def steps(bench: Bench, names: list[str]) -> None:
    """Time whole training steps of each network, nnlite and PyTorch in turns. Nobody waits for a step's loss."""
    for net in nets.nets(bench.tiny):
        if names and not any(net.name.lower().startswith(name.lower()) for name in names):
            continue
        if bench.left() < 0:
            bench.result["left_out"].append(f"steps from {net.name} on: the time was over")
            break
        row: Row = {"op": "training_step", "label": f"{net.name}, batch {net.batch}", "group": "training step"}
        row |= {"flops": nets.flops(net, True) * net.batch, "wrong": [], "left_out": {}}
        timers: dict[str, Timer] = {}
        step, x, t = nets.nnlite_training(net, net.batch)
        losses = [step(x, t).numpy().tobytes() for _ in range(3)]
        for name, build in _builds(bench, net).items():
            if bench.left() < 0:
                row["left_out"][name] = "the time was over"
                continue
            try:
                run, wait = build(), bench.clocks[name.split()[0]].wait
                # The third call of a captured step is its first replay.
                if name.startswith("nnlite") and [run().numpy().tobytes() for _ in range(3)] != losses:
                    row["wrong"].append(f"{name}: the losses are not those of the CPU")
                timers[name] = Timer(run, 4e-3 if bench.tiny else 0.1, wait)
            except Exception as error:
                row["left_out"][name] = _first_line(error)
                if name.startswith("nnlite"):
                    row["wrong"].append(f"{name}: {_first_line(error)}")
        seconds: dict[str, list[float]] = {name: [] for name in timers}
        for _ in range(bench.rounds):
            for name, timer in timers.items():
                seconds[name].append(timer.round()[0])
        row["seconds"] = seconds
        row["floors"] = {name: row["flops"] / bench.peak for name in seconds if name.startswith("nnlite")}
        bench.add(row)


def _builds(bench: Bench, net: nets.Net) -> dict[str, Callable[[], Run]]:
    """What makes each way to run a training step."""

    def eager() -> Run:
        return functools.partial(*nets.nnlite_training(net, net.batch, bench.device))

    def captured() -> Run:
        step, x, t = nets.nnlite_training(net, net.batch, bench.device)
        return functools.partial(nl.cuda.capture(step, bench.device), x, t)

    builds: dict[str, Callable[[], Run]] = {"nnlite eager": eager, "nnlite captured": captured}
    torch = bench.torch
    if torch is not None:
        torch.precision(*MODES[""])
        builds["torch graph"] = lambda: nets.torch_graph(torch, net, net.batch)
        runs = nets.torch_runs(torch, net, net.batch, True)
        for way in ("eager", "eager, default optimizer", "eager channels_last", "compile"):  # compiling takes minutes
            if way in runs:
                builds[f"torch {way}"] = lambda run=runs[way]: run
    return builds


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip()}".splitlines()[0][:300]


def _machine(device: str, module: ModuleType) -> dict[str, str]:
    """Also the GPU, its driver, and the CUDA version of the compiler that is installed."""
    found = machine() | {"device": device, "gpu": module._device_name(0)}
    release = re.search(r"release ([\d.]+)", output(shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc", "--version"))
    if device == "cuda":
        found["driver"] = output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
        found["cuda"] = release[1] if release else ""
    return found


def _path(options: argparse.Namespace, found: dict[str, str]) -> Path | None:
    """Of the figures. A run of some parts only has their names in its file's."""
    if options.json is not None:
        return Path(options.json)
    if options.device != "cuda" or options.tiny:
        return None
    name = [found["date"][:10], re.sub(r"\W+", "-", found["gpu"]).lower(), *_selected(options)]
    return ROOT / "bench" / "results" / f"{'-'.join(name)}.json"


def _selected(options: argparse.Namespace) -> Iterator[str]:
    yield from (name for name in ("checks", "sanitize") if getattr(options, name))
    yield from ("-".join((name, *part)) for name in ("ops", "steps") if (part := getattr(options, name)) is not None)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("--checks", action="store_true", help="the tests, on the device")
    parser.add_argument("--sanitize", action="store_true", help="compute-sanitizer over every op")
    parser.add_argument("--ops", nargs="*", metavar="NAME", help="time ops, or those whose names begin so")
    parser.add_argument("--steps", nargs="*", metavar="NAME", help="time training steps, or of the networks named so")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    parser.add_argument("--device", choices=("cuda", "cuda_sim"), default="cuda")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=540, metavar="SECONDS", help="of each part (default: 540)")
    parser.add_argument("--tiny", action="store_true", help="sizes of a quick check")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the selected parts."""
    options = _parser().parse_args(arguments)
    why = nl.cuda.reason(options.device)
    if why is not None:
        raise SystemExit(f"bench: device {options.device} cannot be used: {why}")
    every = not list(_selected(options))
    bench = Bench(options)
    parts: dict[str, Run] = {
        "checks": lambda: checks(bench),
        "sanitize": lambda: sanitize(bench),
        "ops": lambda: ops(bench, options.ops or []),
        "steps": lambda: steps(bench, options.steps or []),
    }
    for name, part in parts.items():
        if every or getattr(options, name) not in (None, False):
            bench.begin()
            part()
            bench.save()
    print(gpu_report.summary(bench.result))
    return 1 if gpu_report.problems(bench.result) else 0


if __name__ == "__main__":
    sys.exit(main())
