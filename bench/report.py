"""Tables from JSON files: those of README.md, docs/dropin.md and bench/, between their markers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from . import gpu_report, gpu_resources
from .harness import median, spread
from .tables import Result, Row, geometric_mean, merge, table, time_text

HERE = Path(__file__).parent
Measure = Callable[[Row, str], float | None]


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


def _rows(result: Result, name: str) -> list[Row]:
    return [row for row in result["rows"] if name in row["seconds"]]


def _names(result: Result) -> list[str]:
    """Our backends and numbers of threads."""
    found = (name for row in result["rows"] for name in row["seconds"] if name.startswith("cpu_"))
    return sorted(dict.fromkeys(found))


def _fraction(row: Row, name: str) -> float | None:
    """Floor over measured."""
    return row["floors"][name] / median(row["seconds"][name]) if name in row["floors"] else None


def _ratio(row: Row, name: str, kinds: Iterable[str]) -> float | None:
    peers = versus(row, name)
    return min((peers[kind][0] for kind in kinds if kind in peers), default=None)


def _text(value: float | None, form: str = ".2f") -> str:
    return "" if value is None else format(value, form)


def _origin(rows: Iterable[Row]) -> str:
    """What was measured on what, when and of which commit: the runs that these rows are from.

    Runs of one machine with the same programs are one line.
    """
    alike: dict[tuple[str, ...], list[Result]] = {}
    for run in {row["run"]["machine"]["date"]: row["run"] for row in rows}.values():
        m = run["machine"]
        peers = ", ".join(f"{name} {m[name]}" for name in ("numpy", "torch", "jax") if name in m)
        alike.setdefault((f"{m['cpu']}, {m['cores']} cores", peers, str(run["rounds"])), []).append(run)
    lines = []
    for (where, peers, rounds), runs in alike.items():
        dates = _ends([run["machine"]["date"] for run in runs], " to ")
        commits = ", ".join(dict.fromkeys(run["machine"]["commit"] for run in runs))
        peaks = _rates(runs, "peaks", lambda rate: f"{rate / 1e9:.0f}", "GF/s")
        copies = _rates(runs, "bandwidths", lambda rate: f"{rate / 1e9:.1f}", "GB/s", "t")
        text = f"{where}; {dates}, commit {commits}; {peers}. FMA peak: {peaks or 'not measured'}. Copy: {copies}."
        lines.append(f"{text} Median of {rounds} rounds.")
    return "\n\n".join(lines)


def _ends(values: list[Any], between: str, form: Callable[[Any], str] = str) -> str:
    """The least and the greatest, or the only one."""
    return between.join(dict.fromkeys([form(min(values)), form(max(values))]))


def _rates(runs: list[Result], kind: str, form: Callable[[Any], str], unit: str, prefix: str = "") -> str:
    """What was measured beside the cases, by name."""
    names = dict.fromkeys(name for run in runs for name in run[kind])
    ends = {name: _ends([run[kind][name] for run in runs if name in run[kind]], " to ", form) for name in names}
    return ", ".join(f"{prefix}{name} {text} {unit}" for name, text in ends.items())


def cases_table(result: Result) -> str:
    """Every case: floor, measured, gap, the best peer and the ratios."""
    columns = ("case", "ours", "floor", "measured", "±", "gap", "of the floor", "best peer", "ratio", "without faults")
    text = [_origin(result["rows"])]
    for group in dict.fromkeys(row["group"] for row in result["rows"]):
        lines = []
        for row in (row for row in result["rows"] if row["group"] == group):
            for name in (n for n in row["seconds"] if n.startswith("cpu_")):
                seconds, floor, share = median(row["seconds"][name]), row["floors"].get(name), _fraction(row, name)
                peers = versus(row, name)
                plain = peers.pop("torch-nofault", None)
                best = min(((r, f"{kind} {v}") for kind, (r, v) in peers.items()), default=None)
                line = (
                    f"{row['op']} {row['label']}",
                    name,
                    time_text(floor) if floor else "",
                    time_text(seconds),
                    f"{spread(row['seconds'][name]):.0%}",
                    time_text(max(seconds - floor, 0.0)) if floor else "",
                    _text(share, ".0%"),
                    best[1] if best else "",
                    _text(best[0] if best else None),
                    _text(plain[0] if plain else None),
                )
                lines.append(line)
        text += [f"### {group or 'other ops'}", table(columns, lines)]
    return "\n\n".join(text)


def groups_table(result: Result) -> str:
    """Geometric means of each group."""
    lines = []
    for group in dict.fromkeys(row["group"] for row in result["rows"]):
        for name in _names(result):
            rows = [row for row in _rows(result, name) if row["group"] == group]
            means = [
                [x for row in rows if (x := _fraction(row, name)) is not None],
                [x for row in rows if (x := _ratio(row, name, ("numpy", "torch", "jax"))) is not None],
                [x for row in rows if (x := _ratio(row, name, ("torch",))) is not None],
                [x for row in rows if (x := _ratio(row, name, ("torch-nofault",))) is not None],
            ]
            if rows:
                texts = [_text(geometric_mean(x), f) if x else "" for x, f in zip(means, _FORMS, strict=True)]
                lines.append((group or "other ops", name, str(len(rows)), *texts))
    columns = ("group", "ours", "cases", "of the floor", "best peer / ours", "torch / ours", "without faults / ours")
    return f"{_origin(result['rows'])}\n\n{table(columns, lines)}"


_FORMS = (".0%", ".2f", ".2f", ".2f")


def headline_table(result: Result) -> str:
    """Training steps alone, for the README."""
    return steps_table({**result, "rows": [row for row in result["rows"] if row["op"] == "training_step"]})


def steps_table(result: Result) -> str:
    """Training steps and inference."""
    names = _names(result)
    most = max((threads_of(name) for name in names), default=1)
    name = next((name for name in names if threads_of(name) == most), "")
    rows = [row for row in _rows(result, name) if row["op"] in ("training_step", "inference")]
    lines = []
    for row in rows:
        times = {other: median(values) for other, values in row["seconds"].items()}

        def best(kind: str, compiled: bool | None, times: dict[str, float] = times, own: float = times[name]) -> str:
            found = [
                seconds
                for other, seconds in times.items()
                if other.startswith(kind) and (compiled is None or ("compile" in other) == compiled)
            ]
            return f"{time_text(min(found))} ({min(found) / own:.1f}x)" if found else ""

        kind = "step" if row["op"] == "training_step" else "inference"
        peers = (best("torch ", False), best("torch ", True), best("jax ", None), best("numpy ", None))
        lines.append((f"{row['label']}, {kind}", time_text(times[name]), *peers))
    columns = (f"{most} threads", "nnlite", "PyTorch eager", "PyTorch compiled", "JAX", "NumPy, the book's way")
    return f"{_origin(rows)}\n\n{table(columns, lines)}" if lines else ""


def dropin_table(result: Result) -> str:
    """One gradient of the book's networks: NumPy at its best number of threads, the drop-in, and its float32."""
    most = max((threads_of(name) for name in _names(result)), default=1)
    times: dict[str, dict[str, float]] = {}
    rows = [row for row in result["rows"] if row["op"] == "dropin_gradient"]
    for row in rows:
        name = next((n for n in row["seconds"] if n.startswith("cpu_") and threads_of(n) == most), None)
        if name is None:
            continue
        label, _, option = row["label"].partition(", --")
        numpy = [median(values) for other, values in row["seconds"].items() if other.startswith("numpy ")]
        times.setdefault(label, {})[option] = median(row["seconds"][name])
        times[label]["numpy" + option] = min(numpy, default=np.nan)
    lines = [
        (
            label,
            time_text(t["numpy"]),
            f"{time_text(t[''])} ({t['numpy'] / t['']:.1f}x)",
            f"{time_text(t['float32'])} ({t['numpyfloat32'] / t['float32']:.1f}x)",
        )
        for label, t in times.items()
        if {"", "float32"} <= t.keys()
    ]
    columns = (f"one gradient, {most} threads", "NumPy", "nnlite.dropin", "nnlite.dropin --float32")
    return f"{_origin(rows)}\n\n{table(columns, lines)}" if lines else ""


class Targets:
    """What is wanted, what was measured, and whether that is enough; for one backend and number of threads."""

    def __init__(self, result: Result, name: str) -> None:
        self.name, self.rows, self.lines = name, _rows(result, name), []  # type: ignore[var-annotated]
        if threads_of(name) == 1:
            squares = [row for row in self.rows if row["op"] == "gemm" and row["label"].split()[0] in _SQUARES]
            self._least("gemm 512³ to 2048³, share of the FMA peak", squares, _fraction, 0.8, ".0%")
        self._products()
        self._memory_bound()
        self._steps()
        if threads_of(name) > 1:
            self._scaling(f"{name.split()[0]} t1")

    def _add(self, what: str, value: float | None, least: float, form: str = ".2f", where: str = "") -> None:
        if value is not None:
            text = format(value, form) + (f" ({where})" if where else "")
            self.lines.append((what, self.name, format(least, form), text, "yes" if value >= least else "no"))

    def _values(self, rows: list[Row], of: Measure) -> list[tuple[float, str]]:
        return [(x, row["label"]) for row in rows if (x := of(row, self.name)) is not None]

    def _least(self, what: str, rows: list[Row], of: Measure, least: float, form: str = ".2f") -> None:
        if values := self._values(rows, of):
            missed = sum(x < least for x, _ in values)
            worst, label = min(values)
            where = f"{label}; {missed} of {len(values)} below" if missed else label
            self._add(f"{what}, least", worst, least, form, where)

    def _mean(self, what: str, rows: list[Row], of: Measure, least: float) -> None:
        if values := self._values(rows, of):
            self._add(f"{what}, geometric mean", geometric_mean(x for x, _ in values), least)

    def _products(self) -> None:
        gemm = [row for row in self.rows if row["op"] == "gemm"]
        blas = lambda row, name: _ratio(row, name, ("numpy", "torch"))
        torch = lambda row, name: _ratio(row, name, ("torch",))
        plain = lambda row, name: _ratio(row, name, ("torch-nofault",))
        self._mean("gemm over the best of OpenBLAS and MKL", gemm, blas, 1.1)
        self._least("gemm over the best of OpenBLAS and MKL", gemm, blas, 0.9)
        for group in ("conv2d forward", "conv2d backward-data", "conv2d backward-weights"):
            rows = [row for row in self.rows if row["group"] == group]
            self._mean(f"{group} over torch", rows, torch, 1.25)
            self._mean(f"{group} over torch without faults", rows, plain, 1.0)
            self._least(f"{group} over torch", rows, torch, 0.85)
            for row in rows:
                if int(row["label"].split(",")[1]) > 4:
                    continue
                ratio, share = torch(row, self.name), _fraction(row, self.name)
                if group == "conv2d forward" and ratio is not None and share is not None:
                    self._either(f"{group} {row['label']}", ratio, 2.0, share, 0.6)
                if group == "conv2d backward-weights":
                    self._add(f"{group} {row['label']} over torch", ratio, 1.2)

    def _either(self, what: str, ratio: float, times: float, share: float, least: float) -> None:
        met = "yes" if ratio >= times or share >= least else "no"
        wanted = f"{times:g}x torch or {least:.0%} of the floor"
        self.lines.append((what, self.name, wanted, f"{ratio:.2f}x, {share:.0%}", met))

    def _memory_bound(self) -> None:
        for group in ("pooling", "batchnorm", "ReLU", "losses", "optimizers"):
            for row in (row for row in self.rows if row["group"] == group):
                ratio, share = _ratio(row, self.name, ("torch",)), _fraction(row, self.name)
                if ratio is not None and share is not None:
                    self._either(f"{row['op']} {row['label']}", ratio, 2.0, share, 0.85)

    def _steps(self) -> None:
        for row in self.rows:
            label, torch = row["label"], _ratio(row, self.name, ("torch",))
            if row["op"] == "training_step":
                large = label.startswith(("VGG", "ResNet"))
                least = 1.2 if large else 4.0 if label.startswith("MLP 784-50-10") else 1.5
                share = _fraction(row, self.name)
                if large and torch is not None and share is not None:
                    self._either(f"{label}, step", torch, least, share, 0.75)
                else:
                    self._add(f"{label}, step over the best of torch", torch, least)
                self._add(f"{label}, step over JAX", _ratio(row, self.name, ("jax",)), 1.2)
                if label.startswith("SimpleConvNet"):
                    self._add(f"{label}, step over the book's NumPy", _ratio(row, self.name, ("numpy",)), 30, ".1f")
            elif row["op"] == "dropin_gradient" and threads_of(self.name) > 1:
                least = 20 if "ConvNet" in label else 2
                ratio = _ratio(row, self.name, ("numpy",))
                self._add(f"{label}, gradient over NumPy", ratio, least * 2 if "float32" in label else least, ".1f")
            elif row["group"] == "inference, batch 1":
                least = 1.5 if label.startswith("VGG") else 2.0
                self._add(f"{label}, inference over the best of torch", torch, least)

    def _scaling(self, one: str) -> None:
        """Speed gained by threads, over what the floor gains."""

        def gain(row: Row, name: str) -> float | None:
            if one not in row["floors"] or name not in row["floors"] or median(row["seconds"][one]) < 2e-4:
                return None
            floors = row["floors"][one] / row["floors"][name]
            return median(row["seconds"][one]) / median(row["seconds"][name]) / floors

        for group in dict.fromkeys(row["group"] for row in self.rows):
            rows = [row for row in self.rows if row["group"] == group]
            n = threads_of(self.name)
            self._mean(f"{group or 'other ops'}: gain of {n} threads over the floor's gain", rows, gain, 0.9)


_SQUARES = ("512x512x512", "1024x1024x1024", "2048x2048x2048")


def targets_table(result: Result, missed_alone: bool = False) -> str:
    """All targets, or those that are missed, and how many are met."""
    lines = [line for name in _names(result) for line in Targets(result, name).lines]
    met = sum(line[-1] == "yes" for line in lines)
    shown = [line for line in lines if line[-1] != "yes"] if missed_alone else lines
    text = table(("target", "ours", "wanted", "measured", "met"), shown) if shown else ""
    return f"{_origin(result['rows'])}\n\n{met} of {len(lines)} are met.\n\n{text}".rstrip()


def misses_table(result: Result) -> str:
    """The targets that are missed."""
    return targets_table(result, missed_alone=True)


def _date(result: Result) -> str:
    return max(row["run"]["machine"]["date"] for row in result["rows"] if row["op"] == "training_step")


def write(files: list[Path]) -> int:
    """Rewrite what stands between the markers, from the given files.

    If none is given: from all in bench/results; a newer figure takes an older one's place.
    """
    loaded = [json.loads(file.read_text()) for file in files or (HERE / "results").glob("*.json")]
    if not loaded:
        print("bench: no JSON file given and none in bench/results")
        return 1
    resources = [result for result in loaded if "kernels" in result]
    gpu = [result for result in loaded if "gpu" in result.get("machine", ())]
    cpu = [result for result in loaded if result not in resources and result not in gpu]
    tables = {"gpu": gpu_report.section(gpu)} if gpu else {}
    if resources:
        tables["resources"] = gpu_resources.section(max(resources, key=lambda result: result["date"]))
    if cpu:
        results = merge(cpu)
        tables |= {
            name: "\n\n".join(filter(None, map(make, results)))
            for name, make in (
                ("steps", steps_table),
                ("misses", misses_table),
                ("dropin", dropin_table),
                ("targets", targets_table),
                ("groups", groups_table),
                ("cases", cases_table),
            )
        }
        timed = [result for result in results if headline_table(result)]
        newest = max(timed, key=_date, default=None)
        if newest is not None:
            tables["headline"] = headline_table(newest)
    documents = [HERE.parent / "README.md", HERE.parent / "docs" / "dropin.md", HERE / "RESULTS.md"]
    for path in [*documents, *sorted((HERE / "results").glob("*.md"))]:
        before = text = path.read_text() if path.exists() else ""
        for name, content in tables.items():
            begin, end = f"<!-- bench:{name} begin -->", f"<!-- bench:{name} end -->"
            if begin in text and end in text:
                text = f"{text.split(begin)[0]}{begin}\n\n{content}\n\n{end}{text.split(end)[1]}"
                print(f"{path}: table {name}")
        if text != before:
            path.write_text(text)
    return 0
