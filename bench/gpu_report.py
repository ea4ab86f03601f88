"""Tables of a GPU's figures: what bench.gpu prints, and its section of bench/RESULTS.md."""

from __future__ import annotations

from collections.abc import Iterable

from .harness import median, spread
from .tables import Result, Row, geometric_mean, merge, table, time_text

LARGE_CONVOLUTION = 5e9  # operations
GIGABYTE = 1e9
SMALL_NETS, LARGE_NETS = ("MLP", "LeNet"), ("VGG", "ResNet")


def _seconds(row: Row, name: str) -> float | None:
    return median(row["seconds"][name]) if name in row.get("seconds", {}) else None


def _peer(row: Row, names: Iterable[str]) -> tuple[float, str] | None:
    """The fastest of these, and its name."""
    return min(((seconds, name) for name in names if (seconds := _seconds(row, name)) is not None), default=None)


def _strict(row: Row) -> list[str]:
    """PyTorch's ways in float32 throughout."""
    return [name for name in row.get("seconds", {}) if name.startswith("torch") and not name.endswith("TF32")]


def _direct(row: Row) -> list[str]:
    """Of those, the ones without a Winograd or Fourier transform, which do fewer operations and round otherwise."""
    transforms = ("winograd", "fft")
    kernels = row.get("kernels", {})
    return [n for n in _strict(row) if not any(t in k.lower() for k in kernels.get(n, ()) for t in transforms)]


def _ratio(row: Row, names: Iterable[str], ours: str = "nnlite") -> float | None:
    """The time of the fastest of these, divided by ours."""
    peer, own = _peer(row, names), _seconds(row, ours)
    return peer[0] / own if peer is not None and own is not None else None


def _share(row: Row, name: str = "nnlite") -> float | None:
    """Floor over measured."""
    seconds = _seconds(row, name)
    return row["floors"][name] / seconds if seconds is not None else None


def _eager(row: Row) -> list[str]:
    return [name for name in row.get("seconds", {}) if name.startswith("torch eager")]


def _text(value: float | None, form: str = ".2f") -> str:
    return "" if value is None else format(value, form)


def _best(row: Row) -> str:
    """Our name in this row: of a step, captured if there is such a thing."""
    names = [name for name in row.get("seconds", {}) if name.startswith("nnlite")]
    return names[-1] if names else "nnlite"


def _rate(row: Row) -> str:
    seconds = _seconds(row, _best(row))
    if seconds is None:
        return ""
    if row["flops"]:
        return f"{row['flops'] / seconds / 1e12:.1f} TFLOP/s"
    return f"{row['bytes'] / seconds / 1e9:.0f} GB/s"


def line(row: Row) -> str:
    """A row as it is printed while the others are still measured."""
    name, peer = _best(row), _peer(row, _strict(row))
    seconds = _seconds(row, name)
    text = f"{row['op']:30} {row['label']:44} "
    if seconds is not None:
        text += f"{seconds * 1e6:11.1f} us ±{spread(row['seconds'][name]):4.0%} {_rate(row):>14} "
        text += f"{_share(row, name):5.0%}"
    if peer is not None and seconds is not None:
        text += f"  {peer[0] / seconds:6.2f}x {peer[1]}"
    return "\n".join([text, *(f"  WRONG: {problem}" for problem in row["wrong"])])


def targets(rows: list[Row], runs: list[Result]) -> list[tuple[str, str, str, str]]:
    """What is wanted, what was measured, and whether that is enough."""
    lines: list[tuple[str, str, str, str]] = []

    def add(what: str, wanted: str, measured: str, met: bool) -> None:
        lines.append((what, wanted, measured, "yes" if met else "no"))

    def least(what: str, values: list[tuple[float, str]], wanted: float, form: str) -> None:
        if values:
            value, where = min(values)
            missed = sum(value < wanted for value, _ in values)
            where += f"; {missed} of {len(values)} below" if missed else ""
            add(f"{what}, least", format(wanted, form), f"{value:{form}} ({where})", value >= wanted)

    last = {name: value for run in runs for name, value in run.items()}  # of the runs that have it
    if "checks" in last:
        found = last["checks"]
        bad = found["failed"] + found["error"]
        text = f"{found['passed']} passed, {bad} failed" + ("" if found["finished"] else ", not finished")
        add("tests on the device", "all pass", text, bool(found["passed"]) and not bad and found["finished"])
    for tool, found in last.get("sanitize", {}).items():
        text = f"{found['errors']} in {found['calls']} calls"
        add(f"errors of {tool}", "0", text, found["errors"] == 0 and bool(found["calls"]))
    timed = [row for row in rows if "nnlite" in row.get("seconds", {})]
    gemm = [(ratio, row["label"]) for row in timed if row["op"] == "gemm" and (ratio := _ratio(row, _strict(row)))]
    for n in (2048, 4096, 8192):
        for ratio, label in gemm:
            if label == f"{n}x{n}x{n} nn":
                add(f"gemm {n}³ over cuBLAS", "1.00", f"{ratio:.2f}", ratio >= 1)
    least("gemm over cuBLAS", gemm, 0.85, ".2f")
    for group, rate in (("conv2d forward", 45), ("conv2d backward-data", 40), ("conv2d backward-weights", 40)):
        of_group = [row for row in timed if row["group"] == group]
        ratios = [ratio for row in of_group if (ratio := _ratio(row, _direct(row)))]
        if ratios:
            mean = geometric_mean(ratios)
            text = f"{mean:.2f} ({len(ratios)} of {len(of_group)} shapes)"
            add(f"{group} over cuDNN's direct and implicit-GEMM kernels, geometric mean", "1.00", text, mean >= 1)
        large = [row for row in of_group if row["flops"] >= LARGE_CONVOLUTION]
        rates = [(row["flops"] / median(row["seconds"]["nnlite"]) / 1e12, row["label"]) for row in large]
        least(f"{group} of at least 5 GFLOP, TFLOP/s", rates, rate, ".0f")
    bound = [row for row in timed if not row["flops"] and row["bytes"] >= GIGABYTE]
    for op in dict.fromkeys(row["op"] for row in bound):
        shares = [(share, row["label"]) for row in bound if row["op"] == op and (share := _share(row)) is not None]
        least(f"{op} from 1 GB on, share of the copy bandwidth", shares, 0.9, ".0%")
    for row in rows:
        ratio, share = _ratio(row, _eager(row), "nnlite captured"), _share(row, "nnlite captured")
        if row["op"] == "training_step" and ratio is not None and share is not None:
            label, text = f"{row['label']}, captured step", f"{ratio:.2f}x, {share:.0%}"
            if row["label"].startswith(SMALL_NETS):
                add(label, "5x torch eager", f"{ratio:.2f}x", ratio >= 5)
            elif row["label"].startswith(LARGE_NETS):
                add(label, "1.5x torch eager or 70% of the FMA peak", text, ratio >= 1.5 or share >= 0.7)
    return lines


def problems(result: Result) -> list[str]:
    """What makes the exit status 1: wrong bits, failed tests, errors of compute-sanitizer."""
    found = list(result["wrong"])
    for name, _, measured, met in targets([], [result]):
        if met == "no":
            found.append(f"{name}: {measured}")
    return found


def summary(result: Result) -> str:
    """What bench.gpu prints at the end."""
    lines = [table(("target", "wanted", "measured", "met"), result["targets"])] if result["targets"] else []
    lines += [f"left out: {text}" for text in result["left_out"]] + [f"WRONG: {text}" for text in problems(result)]
    return "\n".join(lines)


def section(results: list[Result]) -> str:
    """The section of bench/RESULTS.md."""
    text = []
    for merged in merge(results):
        rows, runs = merged["rows"], merged["runs"]
        text += [_origin(run) for run in runs]
        text.append(table(("target", "wanted", "measured", "met"), targets(rows, runs)))
        text += [f"WRONG: {row['op']} {row['label']}: {problem}" for row in rows for problem in row["wrong"]]
        for group in dict.fromkeys(row["group"] for row in rows if row["op"] != "training_step"):
            of_group = [row for row in rows if row["group"] == group and row["op"] != "training_step"]
            text += [f"### GPU: {group or 'other ops'}", _ops_table(of_group)]
        steps = [row for row in rows if row["op"] == "training_step"]
        if steps:
            text += ["### GPU: training steps", _steps_table(steps)]
    return "\n\n".join(text)


def _origin(run: Result) -> str:
    m = run["machine"]
    versions = ", ".join(f"{name} {m[name]}" for name in ("driver", "cuda", "torch", "numpy") if m.get(name))
    peak = f"FMA peak: {run['peak'] / 1e12:.1f} TFLOP/s. " if run.get("peak") else ""
    copy = f"Copy: {run['bandwidth'] / 1e9:.0f} GB/s. " if run.get("bandwidth") else ""
    left_out = f" Left out: {'; '.join(run['left_out'])}." if run["left_out"] else ""
    where = f"{m['gpu']}; {m['date']}, commit {m['commit']}; {versions}."
    return f"{where} {peak}{copy}Median of {run['rounds']} rounds.{left_out}"


def _ops_table(rows: list[Row]) -> str:
    columns = ["case", "nnlite", "±", "rate", "of the floor", "torch", "ratio", "fastest way"]
    convolves = any(row.get("kernels") for row in rows)
    columns += ["direct ratio", "TF32 ratio", "kernels"] if convolves else []
    lines = []
    for row in rows:
        own, peer = _seconds(row, "nnlite"), _peer(row, _strict(row))
        cells = [
            f"{row['op']} {row['label']}",
            time_text(own) if own is not None else "wrong" if row["wrong"] else "",
            f"{spread(row['seconds']['nnlite']):.0%}" if own is not None else "",
            _rate(row),
            _text(_share(row), ".0%"),
            time_text(peer[0]) if peer else "",
            _text(_ratio(row, _strict(row))),
            peer[1].removeprefix("torch").strip() if peer else "",
        ]
        if convolves:
            tf32 = [name for name in row.get("seconds", {}) if name.endswith("TF32")]
            kernels = {
                kernels[0]: name for name, kernels in row.get("kernels", {}).items() if kernels and name not in tf32
            }
            cells += [
                _text(_ratio(row, _direct(row))),
                _text(_ratio(row, tf32)),
                ", ".join(f"`{k[:70]}`" for k in kernels),
            ]
        lines.append(cells)
    return table(columns, lines)


def _steps_table(rows: list[Row]) -> str:
    columns = ("step", "eager", "captured", "of the FMA peak", "torch eager", "torch compiled", "torch CUDA graph")
    lines = []
    for row in rows:
        own = _seconds(row, _best(row))

        def peer(names: Iterable[str], row: Row = row, own: float | None = own) -> str:
            found = _peer(row, names)
            return f"{time_text(found[0])} ({found[0] / own:.1f}x)" if found and own else ""

        ours = [_seconds(row, name) for name in ("nnlite eager", "nnlite captured")]
        cells = [row["label"], *(time_text(s) if s is not None else "" for s in ours)]
        cells.append(_text(_share(row, _best(row)), ".0%"))
        lines.append([*cells, peer(_eager(row)), peer(["torch compile"]), peer(["torch graph"])])
    return table(columns, lines)
