"""A case, its check, and its timing.

The machine may be shared and its clock may drift: competitors are timed in rounds, one after the other, and what is
quoted is the median of each and the ratio of medians.
"""

from __future__ import annotations

import resource
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

Run = Callable[..., Any]
Sizes = Sequence[Any]  # of a bench_*.py, in place of its own

# Where the workers of one run leave what they share; set by the worker.
scratch: Path | None = None


@dataclass
class Case:
    """One op on one set of arguments, or a whole step.

    Args:
        op: its name in ``nnlite.reference``, or what the step is.
        label: what the arguments are.
        arguments: of the op; lists of arrays are changed in place and copied for checks.
        group: the table that it belongs to.
        make: for a step: builds what is timed, for the current backend; each call of that returns an array.
        numpy: the NumPy expression that the op replaces, or several ways of it by name.
        torch, jax: make the same call there, given the module; what is timed, or several ways of it by name.
        flops, bytes: work and traffic that cannot be avoided.
        elements: size by which ``--floor`` sorts.
        tolerance: relative, of the comparisons.
        alike: whether PyTorch and JAX compute the same numbers, so that they can be compared.
        least_ratio: of NumPy's time to ours, below which ``--floor`` shows the case.
    """

    op: str
    label: str
    arguments: tuple[Any, ...] = ()
    numpy: Run | dict[str, Run] | None = None
    torch: Callable[[Any], Run | dict[str, Run]] | None = None
    jax: Callable[[Any], Run | dict[str, Run]] | None = None
    flops: float = 0.0
    bytes: float = 0.0
    elements: int = 0
    tolerance: float = 1e-4
    least_ratio: float = 1.0
    group: str = ""
    make: Callable[[], Run] | None = None
    alike: bool = True

    def run(self, backend: ModuleType) -> Any:
        """Call the op."""
        return getattr(backend, self.op)(*self.arguments)

    def check(self, backends: Sequence[ModuleType]) -> np.ndarray:
        """All backends give the same bits, and about what NumPy gives. Returns the (first) result."""
        results = [self._result(backend) for backend in backends]
        for backend, result in zip(backends[1:], results[1:], strict=True):
            for got, want in zip(result, results[0], strict=True):
                if got.tobytes() != want.tobytes():
                    raise AssertionError(
                        f"{self.op} {self.label}: {backend.__name__} and {backends[0].__name__} differ"
                    )
        if not all(np.isfinite(x).all() for x in results[0]):
            raise AssertionError(f"{self.op} {self.label}: a result is not finite")
        if self.make is None and self.numpy is not None:
            for run in ways(self.numpy).values():
                self.compare(results[0][0], run())
        return results[0][0]

    def compare(self, ours: np.ndarray, theirs: Any) -> None:
        """Raise where a peer's result is another one. Peers that return nothing are not compared."""
        if isinstance(theirs, (tuple, list)):
            theirs = next((x for x in theirs if x is not None), None)
        if theirs is None:
            return
        theirs = np.asarray(theirs.detach() if hasattr(theirs, "detach") else theirs)
        np.testing.assert_allclose(ours, theirs.reshape(ours.shape), rtol=self.tolerance, atol=self.tolerance)

    def _result(self, backend: ModuleType) -> list[np.ndarray]:
        if self.make is not None:
            import nnlite as nl

            with nl.backend(backend.__name__.removeprefix("nnlite.").removeprefix("_")):
                return [np.asarray(self.make()())]
        arguments = [[x.copy() for x in a] if isinstance(a, list) else a for a in self.arguments]
        result = getattr(backend, self.op)(*arguments)
        lists = [x for a in arguments if isinstance(a, list) for x in a]
        changed = lists or self.arguments[:1]
        return [np.asarray(x) for x in (changed if result is None else _several(result))]


def ways(runs: Run | dict[str, Run]) -> dict[str, Run]:
    """The ways of a peer by name; one that is the only one has the name ""."""
    return runs if isinstance(runs, dict) else {"": runs}


def _several(result: Any) -> Sequence[Any]:
    return result if isinstance(result, tuple) else (result,)


class Timer:
    """Times one competitor, a round at a time; short calls are repeated until they last."""

    def __init__(self, run: Run, least_seconds: float = 4e-3, wait: Run = lambda: None) -> None:
        self._run, self._wait = run, wait  # what waits for what was only queued
        run()  # compiles, fills pools
        wait()
        start = time.perf_counter()
        run()
        wait()
        once = time.perf_counter() - start
        self._warm = once < 0.25
        self._repeats = max(1, int(least_seconds / max(once, 1e-7)))

    def round(self) -> tuple[float, float]:
        """Seconds and page faults per call. One more call before short ones brings the caches into a loop's state."""
        if self._warm:
            self._run()
        self._wait()
        faults = _faults()
        start = time.perf_counter()
        for _ in range(self._repeats):
            self._run()
        self._wait()
        seconds = time.perf_counter() - start
        return seconds / self._repeats, (_faults() - faults) / self._repeats


def _faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def settle() -> None:
    """Wait until this process is idle: threads of a pool go on spinning, OpenBLAS's for a tenth of a second."""
    for _ in range(50):
        before = time.process_time()
        time.sleep(5e-3)
        if time.process_time() - before < 5e-4:
            break


def median(values: Sequence[float]) -> float:
    """Median."""
    return statistics.median(values)


def spread(values: Sequence[float]) -> float:
    """Distance of the quartiles, as a share of the median."""
    if len(values) < 4:
        return (max(values) - min(values)) / median(values)
    low, _, high = statistics.quantiles(values, n=4)
    return (high - low) / median(values)


def copy_bandwidth(size: int, threads: int) -> float:
    """Bytes read and written per second when ``threads`` threads copy ``size / 2`` bytes with NumPy; the best of 5."""
    x = np.ones(max(size // 8, 1024), np.float32)
    y = np.zeros_like(x)
    parts = list(zip(np.array_split(x, threads), np.array_split(y, threads), strict=True))
    repeats = max(1, int(5e7 / (2 * x.nbytes)))
    begin = threading.Barrier(threads)
    ends = [0.0] * threads
    starts = [0.0] * threads

    def copy(i: int) -> None:
        source, target = parts[i]
        np.copyto(target, source)
        begin.wait()
        starts[i] = time.perf_counter()
        for _ in range(repeats):
            np.copyto(target, source)
        ends[i] = time.perf_counter()

    best = 0.0
    for _ in range(5):
        workers = [threading.Thread(target=copy, args=(i,)) for i in range(1, threads)]
        for worker in workers:
            worker.start()
        copy(0)
        for worker in workers:
            worker.join()
        best = max(best, 2 * x.nbytes * repeats / (max(ends) - min(starts)))
    return best


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Test data, float32."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32)
