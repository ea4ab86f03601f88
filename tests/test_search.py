"""Searches: what is drawn, that processes change nothing, failures, budgets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnlite as nl
from nnlite import nn, optim, random, search
from nnlite.search import Choice, Integer, Linear, Log

SPACE = {"lr": Log(1e-4, 1.0), "width": Integer(1, 4), "act": ["relu", "tanh"], "p": Linear(-1, 1)}


def trained(settings: dict[str, Any], seed: int) -> float:
    """The loss of a small fit; widths of 4 are refused."""
    if settings["width"] == 4:
        raise ValueError("too wide")
    nl.manual_seed(seed)
    x = random.normal((16, 3))
    model = nn.Sequential(nn.Linear(3, settings["width"]), nn.Tanh(), nn.Linear(settings["width"], 1))
    fit = nl.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), settings["lr"]), progress=False)
    return fit.fit(x, x[:, :1].copy(), epochs=3, batch_size=4, seed=seed).loss[-1]


def where(settings: dict[str, Any], seed: int) -> float:
    return float(os.getpid())


def test_processes_change_nothing(tmp_path: Path) -> None:
    one = search.random_search(trained, SPACE, 8, seed=3, mode="min")
    two = search.random_search(trained, SPACE, 8, seed=3, mode="min", workers=2)
    assert one == two
    assert os.getpid() not in {row["score"] for row in search.random_search(where, SPACE, 2, workers=2)}
    assert one[:3] == search.random_search(trained, SPACE, 3, seed=3, mode="min")
    assert search.random_search(trained, SPACE, 1, seed=4)[0]["seed"] != one[0]["seed"]
    good = [row["score"] for row in one if row["score"] is not None]
    assert one.best["score"] == min(good)
    assert [row["error"] for row in one if row["width"] == 4] == ["ValueError: too wide"] * (8 - len(good))
    assert 0 < len(good) < 8
    assert one.ranked()[-1]["score"] is None
    assert trained(one.settings(one.best), one.best["seed"]) == one.best["score"]
    assert str(one).splitlines()[0].split() == ["trial", "seed", "lr", "width", "act", "p", "score", "error"]
    one.save_csv(tmp_path / "table.csv")
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert lines[0] == "trial,seed,lr,width,act,p,score,error"
    assert len(lines) == 9


def test_what_is_drawn() -> None:
    rows = search.random_search(lambda settings, seed: 0.0, SPACE, 300)
    u = nl.kernels.random_uniform((4,), 0.0, 1.0, "float64", 0, 7, random.USER)
    assert rows[7]["p"] == -1 + u[3] * 2
    assert rows[7]["width"] == 1 + int(u[1] * 4)
    assert len({row["seed"] for row in rows}) == 300
    assert set(np.bincount([row["width"] for row in rows]).nonzero()[0]) == {1, 2, 3, 4}
    assert {row["act"] for row in rows} == {"relu", "tanh"}
    below = sum(row["lr"] < 1e-2 for row in rows)  # half of the logarithms
    assert 120 < below < 180
    assert all(1e-4 <= row["lr"] <= 1 for row in rows)


def test_grid() -> None:
    space = {"lr": Log(1e-3, 1.0), "n": Integer(1, 4), "c": Choice("ab")}
    rows = search.grid_search(lambda settings, seed: settings["n"], space, {"lr": 4, "n": 9})
    assert len(rows) == 4 * 4 * 2
    np.testing.assert_allclose([row["lr"] for row in rows[::8]], [1e-3, 1e-2, 1e-1, 1], rtol=1e-14)
    assert (rows[0]["lr"], rows[-1]["lr"]) == (1e-3, 1.0)
    assert [(row["n"], row["c"]) for row in rows[:4]] == [(1, "a"), (1, "b"), (2, "a"), (2, "b")]
    assert rows.best["trial"] == 6  # the first of those with n = 4
    assert Linear(2, 5).grid(1) == [3.5]
    assert Linear(2, 2).grid(3) == [2]


def test_successive_halving() -> None:
    calls: list[tuple[int, int]] = []

    def objective(settings: dict[str, Any], seed: int, budget: int) -> float:
        calls.append((budget, seed))
        if settings["x"] > 0.9:
            raise FloatingPointError("diverged")
        return settings["x"] * budget

    rows = search.successive_halving(objective, {"x": Linear(0, 1)}, 9, (1, 3, 9), seed=1)
    assert [budget for budget, _ in calls] == [1] * 9 + [3] * 3 + [9]
    best = max((row for row in rows[:9] if row["score"] is not None), key=lambda row: row["score"])
    assert rows.best == {**best, "budget": 9, "score": best["x"] * 9}
    assert calls[-1] == (9, best["seed"])
    assert {row["trial"] for row in rows[9:12]} == {row["trial"] for row in search.Results(rows[:9]).ranked()[:3]}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Log(0, 1), ValueError, "Log: low must be above 0, got 0"),
        (lambda: Linear(2, 1), ValueError, "low must be at most high, both finite, got 2 and 1"),
        (lambda: Integer(1, 2.5), TypeError, r"Integer: high must be an integer, got 2\.5"),
        (lambda: Choice([]), ValueError, "at least one value"),
        (lambda: search.random_search(trained, {}, 1), TypeError, "space must be a dict such as"),
        (
            lambda: search.random_search(trained, {"lr": 0.1}, 1),
            TypeError,
            r"space\['lr'\] must be Linear.* got 0\.1",
        ),
        (lambda: search.random_search(trained, {"seed": [1]}, 1), ValueError, "'seed' is a column of the results"),
        (lambda: search.random_search(trained, SPACE, 0), ValueError, "trials must be at least 1, got 0"),
        (lambda: search.random_search(trained, SPACE, 1, mode="best"), ValueError, "mode must be 'max' or 'min'"),
        (lambda: search.grid_search(trained, SPACE, {"x": 3}), ValueError, "points names 'x', but space has lr, width"),
        (lambda: search.successive_halving(trained, SPACE, 3, (3, 1)), ValueError, r"ascending .* got \[3, 1\]"),
        (lambda: search.random_search(lambda s, seed: None, SPACE, 1).best, ValueError, "no trial has a score; .*None"),
        (lambda: search.random_search(lambda s, seed: np.nan, SPACE, 1).best, ValueError, "no trial has a score"),
    ],
)
def test_refusals(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
