"""A case, its check, and its timing in interleaved rounds.

The machine may be shared and its clock may drift: every round times all competitors one after the other, and what is
quoted is the median of each and the ratio of medians.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

Run = Callable[[], Any]


@dataclass
class Case:
    """One op on one set of arguments.

    Args:
        op: its name in ``nnlite.reference``.
        label: what the arguments are.
        arguments: of the op; lists of arrays are changed in place and copied for checks.
        numpy: the NumPy expression that the op replaces, if there is one.
        torch: makes the same call in PyTorch, given the module; returns what is timed.
        flops, bytes: work and traffic that cannot be avoided.
        elements: size by which ``--floor`` sorts.
        tolerance: relative, of the comparison with NumPy.
    """

    op: str
    label: str
    arguments: tuple[Any, ...]
    numpy: Run | None = None
    torch: Callable[[Any], Run] | None = None
    flops: float = 0.0
    bytes: float = 0.0
    elements: int = 0
    tolerance: float = 1e-4
    least_ratio: float = field(default=1.0)

    def run(self, backend: ModuleType) -> Any:
        """Call the op."""
        return getattr(backend, self.op)(*self.arguments)

    def check(self, backends: Sequence[ModuleType]) -> None:
        """All backends give the same bits, and about what NumPy gives."""
        results = []
        for backend in backends:
            arguments = [[x.copy() for x in a] if isinstance(a, list) else a for a in self.arguments]
            result = getattr(backend, self.op)(*arguments)
            lists = [x for a in arguments if isinstance(a, list) for x in a]
            results.append([np.asarray(x) for x in (lists if result is None else _several(result))])
        for backend, result in zip(backends[1:], results[1:], strict=True):
            for got, want in zip(result, results[0], strict=True):
                if got.tobytes() != want.tobytes():
                    raise AssertionError(
                        f"{self.op} {self.label}: {backend.__name__} and {backends[0].__name__} differ"
                    )
        if self.numpy is not None and (expected := self.numpy()) is not None:
            np.testing.assert_allclose(
                results[0][0],
                np.asarray(expected).reshape(results[0][0].shape),
                rtol=self.tolerance,
                atol=self.tolerance,
            )


def _several(result: Any) -> Sequence[Any]:
    return result if isinstance(result, tuple) else (result,)


def measure(competitors: dict[str, Run], rounds: int, least_seconds: float = 2e-3) -> dict[str, list[float]]:
    """Seconds per call of each competitor, one figure a round; short calls are repeated until they last."""
    repeats = {}
    for name, run in competitors.items():
        run()
        start = time.perf_counter()
        run()
        repeats[name] = max(1, int(least_seconds / max(time.perf_counter() - start, 1e-7)))
    seconds: dict[str, list[float]] = {name: [] for name in competitors}
    for _ in range(rounds):
        for name, run in competitors.items():
            start = time.perf_counter()
            for _ in range(repeats[name]):
                run()
            seconds[name].append((time.perf_counter() - start) / repeats[name])
    return seconds


def median(values: Sequence[float]) -> float:
    """Median."""
    return statistics.median(values)


def spread(values: Sequence[float]) -> float:
    """Distance of the quartiles, as a share of the median."""
    if len(values) < 4:
        return (max(values) - min(values)) / median(values)
    low, _, high = statistics.quantiles(values, n=4)
    return (high - low) / median(values)


def copy_bandwidth() -> float:
    """Bytes read and written per second by ``np.copyto`` on arrays that no cache holds."""
    x = np.ones(1 << 24, np.float32)
    y = np.empty_like(x)
    return 2 * x.nbytes / median(measure({"copy": lambda: np.copyto(y, x)}, 5)["copy"])


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Test data, float32."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32)
