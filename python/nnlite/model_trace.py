"""``nl.trace``: what happens layer by layer, with times, ranges and what is not a number."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from . import arrays, observe, random, table
from .arrays import Array
from .nn.module import Module, get_buffers, set_buffers
from .recorder import interception
from .tensor import Tensor


class TraceRow(NamedTuple):
    """One layer: what it computed, and how long its ops took forward and backward, in seconds."""

    path: str
    type: str
    ops: tuple[str, ...]
    output_shape: tuple[int, ...]
    least: float
    greatest: float
    mean: float
    zeros: float
    nan: int
    forward: float
    backward: float


class Trace(list[TraceRow]):
    """The layers in the order in which they computed; ``str()`` is a table."""

    def __str__(self) -> str:
        rows = [("layer", "op", "output shape", "least", "greatest", "mean", "zeros", "NaN", "forward", "backward")]
        rows += [
            (
                row.path or row.type,
                ", ".join(row.ops),
                str(row.output_shape),
                f"{row.least:.4g}",
                f"{row.greatest:.4g}",
                f"{row.mean:.4g}",
                f"{row.zeros:.1%}",
                str(row.nan),
                f"{row.forward * 1e6:.0f} us",
                f"{row.backward * 1e6:.0f} us",
            )
            for row in self
        ]
        return "\n".join(table.text(rows, left=3))


class _Watch(observe.Observer):
    def __init__(self) -> None:
        self.layers: list[tuple[str, str, Array]] = []
        self.ops: dict[str, list[str]] = {}
        self.seconds: dict[tuple[str, bool], float] = {}
        self.backward = False

    def leave(self, path: str, module: Module, result: Any) -> None:
        if observe.is_leaf(module):
            first = result[0] if isinstance(result, tuple) else result
            self.layers.append(
                (path, type(module).__name__, arrays.to_numpy(first.data if isinstance(first, Tensor) else first))
            )

    def tell(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], run: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = run()
        key = (observe.path(), self.backward)
        self.seconds[key] = self.seconds.get(key, 0.0) + time.perf_counter() - start
        if not self.backward:
            self.ops.setdefault(key[0], []).append(name)
        return result


def trace(model: Module, *inputs: Array | Tensor, backward: bool = True) -> Trace:
    """Run a model once and say what each layer did, without changing it.

    Args:
        model: any module; its mode (training or evaluation) is the one that it has.
        inputs: what the model takes.
        backward: run the backward pass too, with a gradient of ones, for its times.

    Returns:
        a row for each layer: path, type, ops, output shape; least, greatest and mean element, share of zeros, number of
        NaN; seconds that its ops took forward and backward. ``print`` shows a table. Parameters, gradients, running
        statistics and random numbers are as before.
    """
    watch = _Watch()
    buffers, draws = get_buffers(model), random.get_state()
    gradients = [(p, p.grad) for p in model.parameters()]
    try:
        with observe.watching(watch), interception(watch.tell):
            y = model(*inputs)
            if backward and isinstance(y, Tensor) and y.requires_grad:
                watch.backward = True
                y.backward(arrays.full_like(y.data, 1))
    finally:
        set_buffers(buffers)
        random.set_state(draws)
        for p, gradient in gradients:
            p.grad = gradient
    rows = Trace()
    for path, kind, y in watch.layers:
        forward, back = (watch.seconds.get((path, backward), 0.0) for backward in (False, True))
        rows.append(TraceRow(path, kind, tuple(watch.ops.get(path, ())), y.shape, *_statistics(y), forward, back))
    return rows


def _statistics(y: Array) -> tuple[float, float, float, float, int]:
    if not y.size:
        return float("nan"), float("nan"), float("nan"), 0.0, 0
    with np.errstate(all="ignore"):
        nan = int(np.isnan(y).sum())
        zeros = float(np.count_nonzero(y == 0)) / y.size
        return float(np.min(y)), float(np.max(y)), float(np.mean(y)), zeros, nan
