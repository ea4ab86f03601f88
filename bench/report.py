"""Tables from JSON files: README.md's short one and bench/RESULTS.md, between their markers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from .harness import median, spread

HERE = Path(__file__).parent
Row = dict[str, Any]


def threads_of(name: str) -> int:
    """The number of threads in a name such as ``torch t2 channels_last``."""
    found = re.search(r"\bt(\d+)\b", name)
    assert found is not None
    return int(found[1])


def versus(row: Row, name: str) -> dict[str, tuple[float, str]]:
    """For each kind of peer: its time at its best setting of no more threads, divided by ours, and that setting."""
    ours = median(row["seconds"][name])
    best: dict[str, tuple[float, str]] = {}
    for other, values in row["seconds"].items():
        kind, _, variant = other.partition(" ")
        if not kind.startswith("cpu_") and threads_of(other) <= threads_of(name):
            best[kind] = min(best.get(kind, (np.inf, "")), (median(values) / ours, variant))
    return best


def geometric_mean(values: Iterable[float]) -> float:
    """Geometric mean."""
    return float(np.exp(np.mean(np.log(list(values)))))


def _ours(result: dict[str, Any], backend: str, n: int) -> list[tuple[Row, str]]:
    name = f"{backend} t{n}"
    return [(row, name) for row in result["rows"] if name in row["seconds"]]


def _rate(row: Row, name: str) -> float:
    return (row["flops"] or row["bytes"]) / median(row["seconds"][name])


def _fraction(row: Row, name: str) -> float | None:
    return _rate(row, name) / row["roofs"][name] if name in row["roofs"] else None


def _ratio(row: Row, name: str, kinds: Iterable[str]) -> float | None:
    peers = versus(row, name)
    return min((peers[kind][0] for kind in kinds if kind in peers), default=None)


def _text(value: float | None, form: str = ".2f") -> str:
    return "" if value is None else format(value, form)


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"


def _origin(result: dict[str, Any]) -> str:
    m = result["machine"]
    peers = ", ".join(f"{name} {m[name]}" for name in ("numpy", "torch", "jax") if name in m)
    peaks = ", ".join(f"{name} {peak / 1e9:.0f} GF/s" for name, peak in result["peaks"].items())
    copies = ", ".join(f"t{n} {rate / 1e9:.1f} GB/s" for n, rate in result["bandwidths"].items())
    where = f"{m['cpu']}, {m['cores']} cores; {m['date']}, commit {m['commit']}; {peers}."
    return f"{where} FMA peak: {peaks}. Copy: {copies}."


def cases_table(result: dict[str, Any]) -> str:
    """Every case: floor, measured, gap, the best peer and the ratios."""
    lines = [_origin(result), ""]
    columns = ("case", "backend, threads", "floor", "measured", "±", "of the roof", "best peer", "peer / ours")
    head = f"| {' | '.join((*columns, 'torch without faults / ours'))} |"
    groups = dict.fromkeys(row["group"] for row in result["rows"])
    for group in groups:
        lines += [f"### {group or 'other ops'}", "", head, "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
        for row in result["rows"]:
            if row["group"] != group:
                continue
            for name in (n for n in row["seconds"] if n.startswith("cpu_")):
                seconds, roof = median(row["seconds"][name]), row["roofs"].get(name)
                floor = (row["flops"] or row["bytes"]) / roof if roof else None
                peers = versus(row, name)
                plain = peers.pop("torch-nofault", None)
                best = min(((r, f"{kind} {v}") for kind, (r, v) in peers.items()), default=None)
                lines.append(
                    f"| {row['op']} {row['label']} | {name} | {_time(floor) if floor else ''} | {_time(seconds)} | "
                    f"{spread(row['seconds'][name]):.0%} | {_text(floor / seconds if floor else None, '.0%')} | "
                    f"{best[1] if best else ''} | {_text(best[0] if best else None)} | {_text(plain and plain[0])} |"
                )
        lines.append("")
    return "\n".join(lines)


def steps_table(result: dict[str, Any]) -> str:
    """Training steps and inference, for the README."""
    most = max(int(n) for n in result["bandwidths"])
    backend = next(iter(result["peaks"])).split()[0]
    lines = [_origin(result), ""]
    lines += [f"| {most} threads | nnlite | PyTorch eager | PyTorch compiled | JAX | NumPy, the book's way |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    for row, name in _ours(result, backend, most):
        if row["op"] not in ("training_step", "inference"):
            continue
        times = {other: median(values) for other, values in row["seconds"].items()}

        def best(choose: Callable[[str], bool], times: dict[str, float] = times, own: float = times[name]) -> str:
            found = [seconds for other, seconds in times.items() if choose(other)]
            return f"{_time(min(found))} ({min(found) / own:.1f}x)" if found else ""

        columns = [
            best(lambda o: o.startswith("torch ") and "compile" not in o),
            best(lambda o: o.startswith("torch ") and "compile" in o),
            best(lambda o: o.startswith("jax ")),
            best(lambda o: o.startswith("numpy ")),
        ]
        kind = "step" if row["op"] == "training_step" else "inference"
        lines.append(f"| {row['label']}, {kind} | {_time(times[name])} | {' | '.join(columns)} |")
    return "\n".join(lines)


def targets_table(result: dict[str, Any]) -> str:
    """What is wanted, what was measured, and whether that is enough."""
    lines = ["| target | backend, threads | measured | met |", "| --- | --- | --- | --- |"]

    def add(what: str, name: str, value: float | None, least: float, form: str = ".2f") -> None:
        if value is not None:
            lines.append(f"| {what} | {name} | {format(value, form)} | {'yes' if value >= least else 'no'} |")

    torch, any_blas = ("torch",), ("torch", "numpy")
    for name in result["peaks"]:
        backend, n = name.split()[0], threads_of(name)
        rows = [row for row, _ in _ours(result, backend, n)]
        gemm = [row for row in rows if row["op"] == "gemm"]
        big = [f for r in gemm if r["label"].split()[0] in _SQUARES and (f := _fraction(r, name)) is not None]
        if n == 1 and big:
            add("gemm 512³ to 2048³, least share of the FMA peak: 80 %", name, min(big), 0.8, ".0%")
        for what, group, kinds, mean, least in (
            ("gemm", "gemm", any_blas, 1.1, 0.9),
            ("conv2d forward", "conv2d forward", torch, 1.25, 0.85),
            ("conv2d backward-data", "conv2d backward-data", torch, 1.25, 0.85),
            ("conv2d backward-weights", "conv2d backward-weights", torch, 1.25, 0.85),
        ):
            of = [(r, x) for r in rows if r["group"] == group and (x := _ratio(r, name, kinds)) is not None]
            if not of:
                continue
            add(f"{what}, geometric mean over the best peer: {mean}", name, geometric_mean(x for _, x in of), mean)
            worst = min(of, key=lambda pair: pair[1])
            add(f"{what}, least ratio: {least} ({worst[0]['label']})", name, worst[1], least)
            plain = [x for r, _ in of if (x := _ratio(r, name, ("torch-nofault",))) is not None]
            if plain and group != "gemm":
                add(f"{what}, geometric mean without torch's page faults: 1.0", name, geometric_mean(plain), 1.0)
        for group in ("pooling", "batchnorm", "ReLU", "losses", "optimizers"):
            for row in (r for r in rows if r["group"] == group):
                ratio, share = _ratio(row, name, torch), _fraction(row, name)
                if ratio is not None and share is not None:
                    met = ratio >= 2 or share >= 0.85
                    text = f"{ratio:.2f}x, {share:.0%}"
                    what = f"{row['op']} {row['label']}: 2x torch or 85 % of copy"
                    lines.append(f"| {what} | {name} | {text} | {'yes' if met else 'no'} |")
        for row in rows:
            step, one = row["op"] == "training_step", row["group"] == "inference, batch 1"
            if not (step or one):
                continue
            large = row["label"].startswith(("VGG", "ResNet"))
            least = (1.2 if large else 4.0 if "784-50-10" in row["label"] else 1.5) if step else 2.0
            least = 1.5 if one and row["label"].startswith("VGG") else least
            what = "step" if step else "inference"
            add(f"{row['label']}, {what}: {least}x the best of torch", name, _ratio(row, name, torch), least)
            if step:
                add(f"{row['label']}, step: 1.2x JAX", name, _ratio(row, name, ("jax",)), 1.2)
                if row["label"].startswith("SimpleConvNet"):
                    add(f"{row['label']}, step: 30x the book's NumPy", name, _ratio(row, name, ("numpy",)), 30, ".1f")
        if n > 1 and f"{backend} t1" in result["peaks"]:
            _scaling(lines, rows, backend, n)
    return "\n".join(lines)


_SQUARES = ("512x512x512", "1024x1024x1024", "2048x2048x2048")


def _scaling(lines: list[str], rows: list[Row], backend: str, n: int) -> None:
    one, many = f"{backend} t1", f"{backend} t{n}"
    shares: dict[str, list[float]] = {}
    for row in rows:
        if one in row["roofs"] and many in row["roofs"] and median(row["seconds"][one]) > 2e-4:
            gained = median(row["seconds"][one]) / median(row["seconds"][many])
            shares.setdefault(row["group"], []).append(gained / (row["roofs"][many] / row["roofs"][one]))
    for group, values in shares.items():
        value = geometric_mean(values)
        what = f"{group or 'other ops'}: gain of {n} threads over the roof's gain, geometric mean: 0.9"
        lines.append(f"| {what} | {many} | {value:.2f} | {'yes' if value >= 0.9 else 'no'} |")


def write(files: list[Path]) -> int:
    """Rewrite what stands between the markers, from the given files or the newest in bench/results."""
    if not files:
        files = sorted((HERE / "results").glob("*-cpu.json"))[-1:]
    results = [json.loads(file.read_text()) for file in files]
    if not results:
        print("bench: no JSON file given and none in bench/results")
        return 1
    tables = {
        "steps": "\n\n".join(steps_table(result) for result in results[:1]),
        "targets": "\n\n".join(_origin(result) + "\n\n" + targets_table(result) for result in results),
        "cases": "\n\n".join(cases_table(result) for result in results),
    }
    for path in (HERE.parent / "README.md", HERE / "RESULTS.md"):
        text = path.read_text()
        for name, table in tables.items():
            begin, end = f"<!-- bench:{name} begin -->", f"<!-- bench:{name} end -->"
            if begin in text:
                before, rest = text.split(begin)
                text = f"{before}{begin}\n{table}\n{end}{rest.split(end)[1]}"
        path.write_text(text)
    return 0
