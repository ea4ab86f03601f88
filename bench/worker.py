"""One process of a benchmark: nnlite, or a peer in an environment of its own.

Thread pools, allocators and environment variables of the competitors must not mix. The parent starts one worker for
each and lets them take turns: it writes a command per line, the worker answers with a line of JSON.
"""

from __future__ import annotations

import getpass
import importlib
import json
import os
import pkgutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple, TextIO

import numpy as np

from . import harness
from .harness import Case, Run, Sizes, Timer, copy_bandwidth, settle, ways

# Page faults on fresh buffers, taken away: freed memory is never given back to the system.
NO_FAULTS = "glibc.malloc.trim_threshold=8589934592:glibc.malloc.mmap_threshold=8589934592"
# What holds a peer to AVX2 when our AVX2 backend is measured.
AVX2 = {
    "OPENBLAS_CORETYPE": "Haswell",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
}


def environment(kind: str, threads: list[int], avx2: bool) -> dict[str, str]:
    """What is set in the environment of a worker of this kind."""
    values: dict[str, str] = {}
    if kind == "jax":
        values["JAX_PLATFORMS"] = "cpu"
        if max(threads) == 1:
            values["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    elif avx2 and kind != "nnlite":
        values |= AVX2
        if kind == "numpy":
            groups = importlib.import_module("numpy._core._multiarray_umath").__cpu_dispatch__
            values["NPY_DISABLE_CPU_FEATURES"] = " ".join(g for g in groups if "AVX512" in g or g == "X86_V4")
        if kind.startswith("torch"):
            # Kernels that torch.compile has kept from a run with wider vectors must not be taken for these.
            values["TORCHINDUCTOR_CACHE_DIR"] = str(Path(tempfile.gettempdir()) / f"inductor-avx2-{getpass.getuser()}")
    if kind == "torch-nofault":
        values["GLIBC_TUNABLES"] = NO_FAULTS
    return values


def cases(
    ops: Sequence[str], tiny: bool, only: str = "", sizes: Mapping[str, Sizes] = MappingProxyType({})
) -> Iterator[Case]:
    """The cases of all ``bench_*.py``, or of the named ops and labels; the same in every worker.

    ``sizes`` are taken in place of a module's own.
    """

    def wanted(case: Case) -> bool:
        return not ops or any(case.op.startswith(op) for op in ops)

    for info in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if info.name.startswith("bench_"):
            module = importlib.import_module(f"bench.{info.name}")
            if tiny or any(wanted(case) for case in module.cases(True)):  # big arrays are made only where needed
                yield from (
                    case for case in module.cases(tiny, sizes.get(info.name, ())) if wanted(case) and only in case.label
                )


class Variant(NamedTuple):
    """One way to run a case: its number of threads, what switches to it, and what makes the call that is timed."""

    threads: int
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

        return Variant(n, activate, case.make or (lambda: lambda: case.run(module)))

    return {f"{name} t{n}": variant(name, n) for name in backends for n in threads}


def _numpy(case: Case, threads: list[int], backends: list[str]) -> Variants:
    if case.numpy is None:
        return {}
    from threadpoolctl import threadpool_limits

    return {
        f"t{n} {way}".strip(): Variant(n, lambda n=n: threadpool_limits(n), lambda run=run: run)
        for way, run in ways(case.numpy).items()
        for n in (threads if case.flops else [1])
    }


def _torch(case: Case, threads: list[int], backends: list[str]) -> Variants:
    if case.torch is None:
        return {}
    torch = importlib.import_module("torch")
    return {
        f"t{n} {way}".strip(): Variant(n, lambda n=n: torch.set_num_threads(n), lambda run=run: run)
        for way, run in ways(case.torch(torch)).items()
        for n in threads
    }


def _jax(case: Case, threads: list[int], backends: list[str]) -> Variants:
    if case.jax is None:
        return {}
    # JAX takes the CPUs that it may use when it starts: one worker for each number of threads.
    return {
        f"t{threads[0]} {way}".strip(): Variant(threads[0], lambda: None, lambda run=run: run)
        for way, run in ways(case.jax(importlib.import_module("jax"))).items()
    }


_KINDS = {"nnlite": _nnlite, "numpy": _numpy, "torch": _torch, "torch-nofault": _torch, "jax": _jax}


class Server:
    """Answers commands, one case at a time."""

    def __init__(self, kind: str, options: dict[str, Any]) -> None:
        self._kind, self._options = kind, options
        self._cases = cases(options["ops"], options["tiny"], options["only"])
        self._case: Case | None = None
        self._variants: Variants = {}
        self._timers: dict[str, Timer] = {}
        self._bandwidths: dict[tuple[int, int], float] = {}

    def next(self) -> dict[str, Any]:
        """Go on to the next case."""
        self._variants, self._timers, self._case = {}, {}, None  # frees what the last case held
        self._case = case = next(self._cases, None)
        if case is None:
            return {}
        self._variants = _KINDS[self._kind](case, self._options["threads"], self._options["backends"])
        answer = {key: getattr(case, key) for key in ("op", "label", "flops", "bytes", "elements", "group")}
        return {**answer, "least_ratio": case.least_ratio, "variants": list(self._variants)}

    def check(self) -> dict[str, Any]:
        """Check nnlite's result and leave it for the others, or compare with what nnlite has left."""
        case = self._case
        assert case is not None
        assert harness.scratch is not None
        file = harness.scratch / "result.npy"
        try:
            if self._kind == "nnlite":
                np.save(file, case.check(self._backends(case)))
            elif case.alike and self._variants and (self._kind != "numpy" or case.make is not None):
                variant = next(iter(self._variants.values()))
                variant.activate()
                case.compare(np.load(file), variant.build()())
        except AssertionError as error:
            return {"wrong": f"{case.op} {case.label}: {self._kind}: {str(error).strip()}"}
        return {}

    def _backends(self, case: Case) -> list[ModuleType]:
        """Those that are compared: of ops all that this machine has, of steps the timed ones; the reference if tiny."""
        from nnlite.backend import available

        names = self._options["backends"] if case.make else [name for name in available() if name != "reference"]
        modules = [importlib.import_module(f"nnlite._{name}") for name in names]
        return [importlib.import_module("nnlite.reference"), *modules] if self._options["tiny"] else modules

    def time(self, variant: str) -> dict[str, Any]:
        """One round of a variant."""
        threads, activate, build = self._variants[variant]
        activate()
        if variant not in self._timers:
            self._timers[variant] = Timer(build())
        seconds, faults = self._timers[variant].round()
        if threads > 1:
            settle()
        return {"seconds": seconds, "faults": faults}

    def keep(self, variants: list[str]) -> dict[str, Any]:
        """Free the variants that are not timed any more."""
        self._timers = {name: self._timers[name] for name in variants}
        self._variants = {name: self._variants[name] for name in variants}
        return {}

    def peak(self, backend: str, threads: int) -> dict[str, Any]:
        """Operations per second of nothing but fused multiply-adds, or nothing where the backend cannot tell."""
        import nnlite as nl

        module = importlib.import_module(f"nnlite._{backend}")
        measure = getattr(module, "_fma_peak", None)
        if measure is None:
            return {}
        with nl.backend(backend):
            nl.set_num_threads(threads)
            return {"flops": max(measure(0.1) for _ in range(3))}

    def bandwidth(self, bytes: float, threads: int) -> dict[str, Any]:
        """Copy bandwidth at this footprint, up to 1 GiB."""
        key = (min(int(bytes), 1 << 30), threads)
        if key not in self._bandwidths:
            self._bandwidths[key] = copy_bandwidth(*key)
        return {"bytes": self._bandwidths[key]}


def serve(kind: str, options: dict[str, Any], commands: TextIO, answers: TextIO) -> None:
    """Answer commands until there are no more."""
    harness.scratch = Path(options["scratch"])
    if kind == "jax":
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: max(options["threads"])])
    server = Server(kind, options)
    for line in commands:
        command = json.loads(line)
        answer = getattr(server, command.pop("do"))(**command)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    serve(sys.argv[1], json.loads(sys.argv[2]), sys.stdin, out)
