"""A case, its check, and its timing.

The machine may be shared and its clock may drift: competitors are timed in rounds, one after the other, and what is
quoted is the median of each and the ratio of medians.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

Run = Callable[..., Any]


@dataclass
class Case:
    """One op on one set of arguments, or a whole step.

    Args:
        op: its name in ``nnlite.reference``, or what the step is.
        label: what the arguments are.
        arguments: of the op; lists of arrays are changed in place and copied for checks.
        group: the table that it belongs to.
        make: for a step: builds what is timed, for the current backend.
        numpy: the NumPy expression that the op replaces, if there is one.
        torch, jax: make the same call there, given the module; what is timed, or several ways of it by name.
        flops, bytes: work and traffic that cannot be avoided.
        elements: size by which ``--floor`` sorts.
        tolerance: relative, of the comparison with NumPy.
        least_ratio: of NumPy's time to ours, below which ``--floor`` shows the case.
    """

    op: str
    label: str
    arguments: tuple[Any, ...] = ()
    numpy: Run | None = None
    torch: Callable[[Any], Run | dict[str, Run]] | None = None
    jax: Callable[[Any], Run | dict[str, Run]] | None = None
    flops: float = 0.0
    bytes: float = 0.0
    elements: int = 0
    tolerance: float = 1e-4
    least_ratio: float = 1.0
    group: str = ""
    make: Callable[[], Run] | None = None

    def run(self, backend: ModuleType) -> Any:
        """Call the op."""
        return getattr(backend, self.op)(*self.arguments)

    def check(self, backends: Sequence[ModuleType]) -> None:
        """All backends give the same bits, and about what NumPy gives."""
        results = [self._result(backend) for backend in backends]
        for backend, result in zip(backends[1:], results[1:], strict=True):
            for got, want in zip(result, results[0], strict=True):
                if got.tobytes() != want.tobytes():
                    raise AssertionError(
                        f"{self.op} {self.label}: {backend.__name__} and {backends[0].__name__} differ"
                    )
        if not all(np.isfinite(x).all() for x in results[0]):
            raise AssertionError(f"{self.op} {self.label}: a result is not finite")
        if self.make is None and self.numpy is not None and (expected := self.numpy()) is not None:
            np.testing.assert_allclose(
                results[0][0],
                np.asarray(expected).reshape(results[0][0].shape),
                rtol=self.tolerance,
                atol=self.tolerance,
            )

    def _result(self, backend: ModuleType) -> list[np.ndarray]:
        if self.make is not None:
            import nnlite as nl

            with nl.backend(backend.__name__.removeprefix("nnlite.").removeprefix("_")):
                run = self.make()
                return [np.asarray(run()) for _ in range(2)]
        arguments = [[x.copy() for x in a] if isinstance(a, list) else a for a in self.arguments]
        result = getattr(backend, self.op)(*arguments)
        lists = [x for a in arguments if isinstance(a, list) for x in a]
        return [np.asarray(x) for x in (lists if result is None else _several(result))]


def _several(result: Any) -> Sequence[Any]:
    return result if isinstance(result, tuple) else (result,)


class Timer:
    """Times one competitor, a round at a time; short calls are repeated until they last."""

    def __init__(self, run: Run, least_seconds: float = 4e-3) -> None:
        self._run = run
        run()
        start = time.perf_counter()
        run()
        self._repeats = max(1, int(least_seconds / max(time.perf_counter() - start, 1e-7)))

    def round(self) -> float:
        """Seconds per call. One more call before them brings the caches into the state of a loop."""
        self._run()
        start = time.perf_counter()
        for _ in range(self._repeats):
            self._run()
        return (time.perf_counter() - start) / self._repeats


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
    """Bytes read and written per second when ``threads`` threads copy ``size / 2`` bytes with NumPy."""
    x = np.ones(max(size // 8, 1024), np.float32)
    y = np.empty_like(x)
    parts = list(zip(np.array_split(x, threads), np.array_split(y, threads), strict=True))
    repeats = max(1, int(5e7 / (2 * x.nbytes)))
    best = 0.0
    for _ in range(3):

        def copy(source: np.ndarray, target: np.ndarray) -> None:
            for _ in range(repeats):
                np.copyto(target, source)

        workers = [threading.Thread(target=copy, args=part) for part in parts[1:]]
        start = time.perf_counter()
        for worker in workers:
            worker.start()
        copy(*parts[0])
        for worker in workers:
            worker.join()
        best = max(best, 2 * x.nbytes * repeats / (time.perf_counter() - start))
    return best


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Test data, float32."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32)
