"""What all tables are made of: rows of figures, runs of one machine as one, and Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

Row = dict[str, Any]
Result = dict[str, Any]


def geometric_mean(values: Iterable[float]) -> float:
    """Geometric mean."""
    return float(np.exp(np.mean(np.log(list(values)))))


def time_text(seconds: float) -> str:
    """In a unit that suits."""
    return f"{seconds * 1e6:.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """In Markdown."""
    head = list(columns)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def merge(results: list[Result]) -> list[Result]:
    """Runs of the same machine and backends as one; a later run's rows replace those of an earlier one.

    Each row tells its ``run``.
    """
    merged: dict[tuple[str, ...], Result] = {}
    for result in sorted(results, key=lambda result: result["machine"]["date"]):
        backends = {name.split()[0] for row in result["rows"] for name in row["seconds"] if name.startswith("cpu_")}
        machine = result["machine"].get("gpu", result["machine"]["cpu"])
        into = merged.setdefault((machine, *sorted(backends)), {"runs": [], "rows": {}})
        into["runs"].append(result)
        into["rows"] |= {(row["op"], row["label"]): {**row, "run": result} for row in result["rows"]}
    return [{**result, "rows": list(result["rows"].values())} for result in merged.values()]
