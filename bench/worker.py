"""One process of a benchmark: nnlite, or a peer in an environment of its own.

Thread pools, allocators and environment variables of the competitors must not mix. The parent starts one worker for
each and lets them take turns: it writes a command per line, the worker answers with a line of JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from .harness import Case, Run, Timer, copy_bandwidth

# Page faults on fresh buffers, taken away: freed memory is never given back to the system.
NO_FAULTS = "glibc.malloc.trim_threshold=8589934592:glibc.malloc.mmap_threshold=8589934592"
# What holds a peer to AVX2 when our AVX2 backend is measured.
AVX2 = {
    "OPENBLAS_CORETYPE": "Haswell",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
}


def environment(kind: str, avx2: bool) -> dict[str, str]:
    """The environment in which a worker of this kind starts."""
    values = dict(os.environ)
    if avx2 and kind != "nnlite":
        values |= AVX2
    if kind == "torch-nofault":
        values["GLIBC_TUNABLES"] = NO_FAULTS
    return values


def cases(ops: list[str], tiny: bool) -> Iterator[Case]:
    """The cases of all ``bench_*.py``, or of the named ops; the same in every worker."""
    for info in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if info.name.startswith("bench_"):
            for case in importlib.import_module(f"bench.{info.name}").cases(tiny):
                if not ops or any(case.op.startswith(op) for op in ops):
                    yield case


class Variant(NamedTuple):
    """One way to run a case: what switches to it, and what makes the call that is timed."""

    activate: Callable[[], object]
    build: Callable[[], Run]


Variants = dict[str, Variant]


def _nnlite(case: Case, threads: list[int], backends: list[str]) -> Variants:
    import nnlite as nl

    def variant(name: str, n: int) -> Variant:
        module = importlib.import_module(f"nnlite._{name}")

        def activate() -> None:
            nl.backend(name)
            nl.set_num_threads(n)

        return Variant(activate, case.make or (lambda: lambda: case.run(module)))

    return {f"{name} t{n}": variant(name, n) for name in backends for n in threads}


def _numpy(case: Case, threads: list[int], backends: list[str]) -> Variants:
    if case.numpy is None:
        return {}
    from threadpoolctl import threadpool_limits

    run = case.numpy
    return {
        f"t{n}": Variant(lambda n=n: threadpool_limits(n), lambda: run)
        for n in (threads if case.flops else threads[:1])
    }


def _torch(case: Case, threads: list[int], backends: list[str]) -> Variants:
    if case.torch is None:
        return {}
    torch = importlib.import_module("torch")
    ways = _ways(case.torch(torch))
    return {
        f"t{n} {way}".strip(): Variant(lambda n=n: torch.set_num_threads(n), lambda run=run: run)
        for way, run in ways.items()
        for n in threads
    }


def _jax(case: Case, threads: list[int], backends: list[str]) -> Variants:
    if case.jax is None:
        return {}
    ways = _ways(case.jax(importlib.import_module("jax")))
    # JAX uses the CPUs that it may use: that is how its number of threads is set.
    n = len(os.sched_getaffinity(0))
    return {f"t{n} {way}".strip(): Variant(lambda: None, lambda run=run: run) for way, run in ways.items()}


def _ways(runs: Run | dict[str, Run]) -> dict[str, Run]:
    return runs if isinstance(runs, dict) else {"": runs}


_KINDS = {"nnlite": _nnlite, "numpy": _numpy, "torch": _torch, "torch-nofault": _torch, "jax": _jax}


def serve(kind: str, options: dict[str, Any], commands: TextIO, answers: TextIO) -> None:
    """Answer commands until there are no more."""
    remaining = cases(options["ops"], options["tiny"])
    variants: Variants = {}
    timers: dict[str, Timer] = {}
    bandwidths: dict[tuple[int, int], float] = {}
    for line in commands:
        command = json.loads(line)
        answer: dict[str, Any] = {}
        if command["do"] == "next":
            variants, timers = {}, {}  # frees what the last case held
            case = next(remaining, None)
            if case is not None:
                variants = _KINDS[kind](case, options["threads"], options["backends"])
                answer = {key: getattr(case, key) for key in ("op", "label", "flops", "bytes", "elements", "group")}
                answer |= {"least_ratio": case.least_ratio, "variants": list(variants)}
                if kind == "nnlite":
                    modules = [importlib.import_module(f"nnlite._{name}") for name in options["backends"]]
                    reference = [importlib.import_module("nnlite.reference")] if options["tiny"] else []
                    case.check([*reference, *modules])
        elif command["do"] == "time":
            name = command["variant"]
            variants[name].activate()
            if name not in timers:
                timers[name] = Timer(variants[name].build())
            answer = {"seconds": timers[name].round()}
        elif command["do"] == "peak":
            import nnlite as nl

            module = importlib.import_module(f"nnlite._{command['backend']}")
            nl.set_num_threads(command["threads"])
            module._set_num_threads(command["threads"])
            answer = {"flops": module._fma_peak(0.2)}
        elif command["do"] == "bandwidth":
            size = 1 << max(int(command["bytes"]) - 1, 1).bit_length()
            key = (min(size, 1 << 28), command["threads"])
            if key not in bandwidths:
                bandwidths[key] = copy_bandwidth(*key)
            answer = {"bytes": bandwidths[key]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    serve(sys.argv[1], json.loads(sys.argv[2]), sys.stdin, out)
