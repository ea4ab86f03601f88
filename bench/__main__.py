"""Command line of the benchmarks."""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import nnlite as nl
from nnlite.backend import available

from . import harness, memory, report, roofline
from .worker import environment

Row = dict[str, Any]


class Worker:
    """A competitor's process."""

    def __init__(self, kind: str, options: dict[str, Any]) -> None:
        command = [sys.executable, "-m", "bench.worker", kind, json.dumps(options)]
        if kind == "jax":
            cpus = sorted(os.sched_getaffinity(0))[: max(options["threads"])]
            command = ["taskset", "-c", ",".join(map(str, cpus)), *command]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(kind, "cpu_avx2" in options["backends"]),
        )

    def ask(self, **command: Any) -> dict[str, Any]:
        """Send a command, wait for its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(command), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("bench: a worker has failed (its message is above)")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()


def machine() -> dict[str, str]:
    """Where and of what these figures are."""
    model = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), model)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    versions = {}
    for name in ("numpy", "torch", "jax"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "cpu": model,
        "cores": str(os.cpu_count()),
        "date": datetime.date.today().isoformat(),
        "commit": commit.strip(),
        "nnlite": nl.__version__,
        "python": platform.python_version(),
        **versions,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("op", nargs="*", help="ops, or beginnings of their names (default: all)")
    parser.add_argument("--backend", default=available()[-1], help="compiled backends, separated by commas")
    parser.add_argument("--against", default="numpy", help="peers: numpy,torch,jax")
    parser.add_argument("--threads", default="1", help="numbers of threads, separated by commas")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tiny", action="store_true", help="sizes of a quick check")
    parser.add_argument("--floor", action="store_true", help="only show cases that are slower than NumPy")
    parser.add_argument("--json", metavar="FILE", help="write all figures")
    parser.add_argument("--plot", metavar="FILE", help="draw a roofline with every case")
    parser.add_argument(
        "--memory", action="store_true", help="memory of the VGG step, beside PyTorch if it is --against"
    )
    parser.add_argument(
        "--report", nargs="*", metavar="JSON", help="write the tables of README.md and bench/RESULTS.md and end"
    )
    return parser


def main() -> int:
    """Check and time the cases."""
    options = _parser().parse_args()
    if options.report is not None:
        return report.write([Path(file) for file in options.report])
    peers = [peer for peer in options.against.split(",") if peer]
    if options.memory:
        return memory.show("torch" in peers)
    threads = [int(n) for n in options.threads.split(",")]
    settings = {"ops": options.op, "tiny": options.tiny, "threads": threads, "backends": options.backend.split(",")}
    kinds = ["nnlite", *[kind for kind in ("numpy", "torch", "torch-nofault", "jax") if kind.split("-")[0] in peers]]
    workers = {kind: Worker(kind, settings) for kind in kinds}
    rows: list[Row] = []
    try:
        peaks = {
            f"{backend} t{n}": workers["nnlite"].ask(do="peak", backend=backend, threads=n)["flops"]
            for backend in settings["backends"]
            for n in threads
        }
        bandwidths = {n: workers["nnlite"].ask(do="bandwidth", bytes=1 << 28, threads=n)["bytes"] for n in threads}
        for name, peak in peaks.items():
            print(f"FMA peak {name}: {peak / 1e9:.0f} GF/s")
        for n, bandwidth in bandwidths.items():
            print(f"copy bandwidth t{n}: {bandwidth / 1e9:.1f} GB/s")
        while (row := _case(workers, options.rounds, peaks, threads)) is not None:
            rows.append(row)
            _show(row, options.floor)
    finally:
        for worker in workers.values():
            worker.__exit__(None, None, None)
    if options.json:
        result = {"machine": machine(), "peaks": peaks, "bandwidths": bandwidths, "rows": rows}
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n")
    if options.plot:
        roofline.draw(rows, peaks, bandwidths, options.plot)
    return 0


def _case(workers: dict[str, Worker], rounds: int, peaks: dict[str, float], threads: list[int]) -> Row | None:
    """Time the next case. The first round tries every variant; the others keep the two best of each peer."""
    answers = {kind: worker.ask(do="next") for kind, worker in workers.items()}
    row: Row = dict(answers["nnlite"])
    if "op" not in row:
        return None
    variants = {kind: list(answer.get("variants", [])) for kind, answer in answers.items()}
    seconds: dict[str, list[float]] = {}
    for i in range(rounds):
        for kind, worker in workers.items():
            for variant in variants[kind]:
                name = variant if kind == "nnlite" else f"{kind} {variant}"
                seconds.setdefault(name, []).append(worker.ask(do="time", variant=variant)["seconds"])
        if i == 0:
            for kind in variants:
                if kind != "nnlite":
                    variants[kind] = _best(kind, variants[kind], seconds, threads)
    # What was tried once and dropped is no measurement.
    row["seconds"] = {name: values for name, values in seconds.items() if len(values) == rounds}
    del row["variants"]
    row["roofs"] = {}
    for name in peaks:
        n = int(name.rsplit("t", 1)[1])
        if row["flops"]:
            row["roofs"][name] = peaks[name]
        elif row["bytes"]:
            row["roofs"][name] = workers["nnlite"].ask(do="bandwidth", bytes=row["bytes"], threads=n)["bytes"]
    return row


def _best(kind: str, variants: list[str], seconds: dict[str, list[float]], threads: list[int]) -> list[str]:
    """The two fastest for every number of threads."""
    kept = []
    for n in threads:
        own = [v for v in variants if f"t{n}" in v.split()]
        kept += sorted(own, key=lambda v: seconds[f"{kind} {v}"][0])[:2]
    return kept


def _show(row: Row, floor: bool) -> None:
    for name in row["roofs"] or [name for name in row["seconds"] if name.startswith("cpu_")]:
        peers = report.versus(row, name)
        plain = peers.pop("torch-nofault", (None, ""))[0]
        ratio, best = min(((r, f"{kind} {variant}") for kind, (r, variant) in peers.items()), default=(None, ""))
        if floor and not (row["elements"] >= 4096 and ratio is not None and ratio < row["least_ratio"]):
            continue
        values = row["seconds"][name]
        seconds = harness.median(values)
        work = row["flops"] or row["bytes"]
        rate = f"{work / seconds / 1e9:7.1f} {'GF/s' if row['flops'] else 'GB/s'}" if work else " " * 12
        roof = f"{work / seconds / row['roofs'][name]:5.0%}" if name in row["roofs"] else "     "
        peer = f"  {ratio:6.2f}x {best}" if ratio is not None else ""
        peer += f"  (without page faults {plain:.2f}x)" if plain is not None else ""
        print(
            f"{row['op']:28} {row['label']:38} {name:13} {seconds * 1e6:11.1f} us ±{harness.spread(values):4.0%} "
            f"{rate} {roof}{peer}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
