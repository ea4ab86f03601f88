"""Search for hyperparameters: random, on a grid, by successive halving; seeded, in parallel processes.

A *space* maps names to what they may be; an *objective* trains with such settings and returns a score on validation
data::

    def objective(settings, seed):
        nl.manual_seed(seed)
        model = build(settings["width"])
        ...
        return trainer.fit(x, t, validation=(x_val, t_val), seed=seed).test_accuracy[-1]

    if __name__ == "__main__":
        results = search.random_search(objective, {"lr": Log(1e-4, 1e-1), "width": Choice([16, 32])}, trials=20)
        print(results)

Settings and seed of a trial depend on the search's seed and the trial's number alone, never on the other trials or
processes (docs/numerics.md, section 10: the draw of the trial's number, stream 3 for settings, 0 for seeds).
"""

from __future__ import annotations

import concurrent.futures
import csv
import io
import itertools
import math
import multiprocessing
import operator
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from . import arguments, files, random
from .backend import backend, ops, set_num_threads, usable_cpus
from .backend import name as backend_name
from .reference import arith
from .table import text as table_of

__all__ = ["Choice", "Integer", "Linear", "Log", "Results", "grid_search", "random_search", "successive_halving"]

Objective: TypeAlias = Callable[..., float]
Row = dict[str, Any]
_OWN = ("trial", "seed", "budget", "score", "error")


class Linear:
    """Numbers from ``low`` to ``high``, all equally likely: ``low + u * (high - low)``."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = _bounds(type(self).__name__, low, high)

    def at(self, u: float) -> Any:
        """The value at ``u`` from 0 to 1."""
        return self.low + u * (self.high - self.low)

    def grid(self, n: int) -> list[Any]:
        """``n`` values, the bounds among them, without repetition."""
        return list(dict.fromkeys(self.at(i / (n - 1)) if n > 1 else self.at(0.5) for i in range(n)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.low}, {self.high})"


class Log(Linear):
    """Numbers above 0 whose logarithms are equally likely, such as learning rates."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__(low, high)
        if self.low <= 0:
            raise ValueError(f"Log: low must be above 0, got {low}")

    def at(self, u: float) -> float:
        """The value at ``u``: ``exp(log(low) + u * (log(high) - log(low)))``."""
        low, high = arith.log(np.array([self.low, self.high]))
        value = float(arith.exp(np.array([low + u * (high - low)]))[0])
        return min(max(value, self.low), self.high)

    def grid(self, n: int) -> list[Any]:
        """``n`` values with equal quotients, the bounds exactly."""
        values = super().grid(n)
        return values if n == 1 else [self.low, *values[1:-1], self.high]


class Integer(Linear):
    """Integers from ``low`` to ``high``, both included, all equally likely: widths, numbers of layers."""

    def __init__(self, low: int, high: int) -> None:
        for name, value in (("low", low), ("high", high)):
            if isinstance(value, bool) or not hasattr(value, "__index__"):
                raise TypeError(f"Integer: {name} must be an integer, got {value!r}")
        super().__init__(low, high)
        self.low, self.high = operator.index(low), operator.index(high)

    def at(self, u: float) -> int:
        """``low + floor(u * (high - low + 1))``."""
        return int(min(self.low + math.floor(u * (self.high - self.low + 1)), self.high))

    def grid(self, n: int) -> list[Any]:
        """Up to ``n`` values: those of a linear grid, rounded."""
        return list(dict.fromkeys(round(value) for value in Linear(self.low, self.high).grid(n)))


class Choice:
    """One of a list of values, all equally likely. In a space a plain list means the same."""

    def __init__(self, values: Sequence[Any]) -> None:
        self.values = list(values)
        if not self.values:
            raise ValueError("Choice: values must hold at least one value, got none")

    def at(self, u: float) -> Any:
        """The value at ``u``."""
        return self.values[min(int(u * len(self.values)), len(self.values) - 1)]

    def grid(self, n: int) -> list[Any]:
        """All values."""
        return self.values

    def __repr__(self) -> str:
        return f"Choice({self.values!r})"


class Results(list[Row]):
    """One dictionary per trial: ``trial``, ``seed``, the settings, ``score`` and ``error``; with budgets ``budget``.

    A trial that raised has the score ``None`` and says why in ``error``. ``print`` shows the best first.
    """

    def __init__(self, rows: Sequence[Row] = (), mode: str = "max") -> None:
        super().__init__(rows)
        self.mode = mode

    def ranked(self) -> list[Row]:
        """The best first; of equal scores the earlier trial, and failed ones last. The largest budget counts first."""
        return sorted(self, key=lambda row: (-row.get("budget", 0), *_rank(row["score"], self.mode), row["trial"]))

    @property
    def best(self) -> Row:
        """The best trial.

        Raises:
            ValueError: none has a score.
        """
        found = [row for row in self.ranked() if row["score"] is not None]
        if not found:
            first = self[0]["error"] if self else "there are no trials"
            raise ValueError(f"search: no trial has a score; the first: {first}")
        return found[0]

    def settings(self, row: Row) -> dict[str, Any]:
        """The settings of a row."""
        return {name: value for name, value in row.items() if name not in _OWN}

    def save_csv(self, path: str | os.PathLike[str]) -> None:
        """Write all trials, in their order, as a table."""
        names = list(dict.fromkeys(name for row in self for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self)
        files.write_file(path, text.getvalue().encode())

    def __str__(self) -> str:
        rows = self.ranked()
        names = list(dict.fromkeys(name for row in rows for name in row if name != "error" or row["error"]))
        return "\n".join(table_of([names, *([_shown(row.get(name)) for name in names] for row in rows)], 0))


def random_search(
    objective: Objective,
    space: Mapping[str, Any],
    trials: int,
    *,
    seed: int = 0,
    mode: str = "max",
    workers: int = 1,
) -> Results:
    """Try settings drawn at random (Bergstra and Bengio 2012).

    Args:
        objective: ``objective(settings, seed)``, of a dict and an integer of 64 bits, returns a score.
            With more than one worker it must be a function of a module or script that others can import.
        space: name -> :class:`Linear`, :class:`Log`, :class:`Integer`, :class:`Choice`, or a list of values.
        trials: how many.
        seed: from 0 to 2^64 - 1.
        mode: whether the best score is the ``"max"`` or the ``"min"``.
        workers: processes. They are started anew, so a script needs ``if __name__ == "__main__":``. More workers give
            the same results.

    Returns:
        :class:`Results`, in the order of the trials.

    Raises:
        TypeError, ValueError: wrong arguments. What an objective raises becomes the ``error`` of its trial.
    """
    checked = _space("random_search", space)
    rows = _drawn(checked, arguments.size("random_search: trials", trials), random.Generator(seed).seed)
    return _run("random_search", objective, rows, mode, workers)


def grid_search(
    objective: Objective,
    space: Mapping[str, Any],
    points: int | Mapping[str, int] = 5,
    *,
    seed: int = 0,
    mode: str = "max",
    workers: int = 1,
) -> Results:
    """Try all combinations of values, the last name changing fastest.

    Args:
        objective: as of :func:`random_search`.
        space: likewise.
        points: values of each range; or by name, 5 for others. A choice has all of its values.
        seed: decides the seeds of the trials.
        mode: ``"max"`` or ``"min"``.
        workers: processes.

    Returns:
        :class:`Results`, in the order of the trials.
    """
    checked = _space("grid_search", space)
    by_name = dict(points) if isinstance(points, Mapping) else dict.fromkeys(checked, points)
    for name in by_name:
        if name not in checked:
            raise ValueError(f"grid_search: points names {name!r}, but space has {', '.join(checked)}")
    values = [a.grid(arguments.size(f"grid_search: points of {n!r}", by_name.get(n, 5))) for n, a in checked.items()]
    combinations = itertools.product(*values)
    start = random.Generator(seed).seed
    rows = [_row(i, start, dict(zip(checked, which, strict=True))) for i, which in enumerate(combinations)]
    return _run("grid_search", objective, rows, mode, workers)


def successive_halving(
    objective: Objective,
    space: Mapping[str, Any],
    trials: int,
    budgets: Sequence[int],
    keep: float = 1 / 3,
    *,
    seed: int = 0,
    mode: str = "max",
    workers: int = 1,
) -> Results:
    """Try many settings with a small budget, and the best of them with larger ones (Jamieson and Talwalkar 2016).

    Args:
        objective: ``objective(settings, seed, budget)`` returns a score after, say, ``budget`` epochs.
        space: as of :func:`random_search`.
        trials: how many begin.
        budgets: in ascending order.
        keep: the share that goes on to the next budget, rounded up; at least one trial with a score.
        seed: from 0 to 2^64 - 1.
        mode: ``"max"`` or ``"min"``.
        workers: processes.

    Returns:
        :class:`Results`, budget by budget; a trial has the same settings and seed at each.
    """
    name = "successive_halving"
    checked = _space(name, space)
    levels = [arguments.size(f"{name}: budgets[{i}]", budget) for i, budget in enumerate(budgets)]
    if not levels or levels != sorted(set(levels)):
        raise ValueError(f"{name}: budgets must be ascending integers, at least one, got {list(budgets)}")
    share = arguments.number(f"{name}: keep", keep, 0.0, 1.0, above=True, below=True)
    rows = _drawn(checked, arguments.size(f"{name}: trials", trials), random.Generator(seed).seed)
    results = Results([], mode)
    for budget in levels:
        done = _run(name, objective, [{**row, "budget": budget} for row in rows], mode, workers)
        results += done
        good = [row for row in done.ranked() if row["score"] is not None]
        best = {row["trial"] for row in good[: max(1, math.ceil(len(rows) * share))]}
        rows = [row for row in rows if row["trial"] in best]
        if not rows:
            break
    return results


def _bounds(name: str, low: float, high: float) -> tuple[float, float]:
    pair = arguments.number(f"{name}: low", low, -math.inf), arguments.number(f"{name}: high", high, -math.inf)
    if not (math.isfinite(pair[0]) and math.isfinite(pair[1]) and pair[0] <= pair[1]):
        raise ValueError(f"{name}: low must be at most high, both finite, got {low} and {high}")
    return pair


def _space(name: str, space: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(space, Mapping) or not space:
        raise TypeError(f"{name}: space must be a dict such as {{'lr': Log(1e-4, 1e-1)}}, got {space!r:.80}")
    found = {}
    for key, axis in space.items():
        axis = Choice(axis) if isinstance(axis, (list, tuple)) else axis
        if not isinstance(axis, (Linear, Choice)):
            raise TypeError(f"{name}: space[{key!r}] must be Linear, Log, Integer, Choice or a list, got {axis!r:.80}")
        if key in _OWN:
            raise ValueError(f"{name}: {key!r} is a column of the results; name the setting otherwise")
        found[key] = axis
    return found


def _drawn(space: dict[str, Any], trials: int, seed: int) -> list[Row]:
    rows = []
    for i in range(trials):
        u = ops().random_uniform((len(space),), 0.0, 1.0, "float64", seed, i, random.USER)
        rows.append(_row(i, seed, {name: axis.at(float(v)) for (name, axis), v in zip(space.items(), u, strict=True)}))
    return rows


def _row(trial: int, seed: int, settings: dict[str, Any]) -> Row:
    low, high = ops().random_bits(2, seed, trial, random.INITIALISATION).tolist()
    return {"trial": trial, "seed": low | high << 32, **settings}


def _run(name: str, objective: Objective, rows: list[Row], mode: str, workers: int) -> Results:
    if mode not in ("max", "min"):
        raise ValueError(f"{name}: mode must be 'max' or 'min', got {mode!r}")
    if not callable(objective):
        raise TypeError(f"{name}: objective must be a function of settings and seed, got {objective!r:.80}")
    workers = min(arguments.size(f"{name}: workers", workers), max(len(rows), 1))
    if workers == 1:
        return Results([_trial(objective, row) for row in rows], mode)
    context = multiprocessing.get_context("spawn")  # a forked process could wait for threads that it does not have
    threads = max(1, usable_cpus() // workers)
    with concurrent.futures.ProcessPoolExecutor(
        workers, context, initializer=_begin, initargs=(threads, backend_name())
    ) as pool:
        waiting = [pool.submit(_trial, objective, row) for row in rows]
        try:
            return Results([future.result() for future in waiting], mode)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _begin(threads: int, name: str) -> None:
    set_num_threads(threads)
    backend(name)


def _trial(objective: Objective, row: Row) -> Row:
    settings = {name: value for name, value in row.items() if name not in _OWN}
    budget = (row["budget"],) if "budget" in row else ()
    try:
        score = arguments.number("search: the objective's score", objective(settings, row["seed"], *budget), -math.inf)
        return {**row, "score": score, "error": ""}
    except Exception as error:
        return {**row, "score": None, "error": f"{type(error).__name__}: {error}"[:500]}


def _rank(score: float | None, mode: str) -> tuple[bool, float]:
    return (True, 0.0) if score is None else (False, -score if mode == "max" else score)


def _shown(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
