"""Command line of the benchmarks."""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nnlite as nl
from nnlite.backend import available

from . import harness, memory, report, roofline
from .worker import cases, environment

Row = dict[str, Any]


class Worker:
    """A competitor's process. JAX has one for each number of threads: it takes what CPUs it has when it starts."""

    def __init__(self, kind: str, threads: list[int], settings: dict[str, Any]) -> None:
        self.kind, self.threads = kind, threads
        self.environment = environment(kind, threads, settings["backends"] == ["cpu_avx2"])
        options = json.dumps({**settings, "threads": threads})
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", kind, options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | self.environment,
        )

    @property
    def note(self) -> str:
        """What was done to it, for the record."""
        text = f"{self.kind}, threads {', '.join(map(str, self.threads))}"
        if self.kind == "jax":
            text += f", bound to {self.threads[0]} CPU(s)"
        return ", ".join([text, *(f"{name}={value}" for name, value in self.environment.items())])

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a command, wait for its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({"do": do, **arguments}), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"bench: the worker {self.kind} has failed (its message is above)")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process, and close the pipes to it."""
        with self._process:
            self._process.kill()


def output(*command: str) -> str:
    """What a command prints; nothing where it does not exist or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def machine() -> dict[str, str]:
    """Where and of what these figures are."""
    model = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), model)
    versions = {}
    for name in ("numpy", "torch", "jax"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "cpu": model,
        "cores": str(os.cpu_count()),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M"),
        "commit": output("git", "rev-parse", "--short", "HEAD"),
        "nnlite": nl.__version__,
        "python": platform.python_version(),
        **versions,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("op", nargs="*", help="ops, or beginnings of their names (default: all)")
    parser.add_argument("--only", metavar="TEXT", default="", help="only cases with this in their label")
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
    for peer in peers:
        if peer not in ("numpy", "torch", "jax") or importlib.util.find_spec(peer) is None:
            raise SystemExit(f"bench: --against {peer}: no such peer is installed")
    if options.memory:
        return memory.show("torch" in peers, options.tiny)
    if options.tiny is False and "NNLITE_DATA_DIR" not in os.environ:
        print("adam_update after 6,000 MNIST steps is left out: NNLITE_DATA_DIR is not set")
    threads = [int(n) for n in options.threads.split(",")]
    backends = options.backend.split(",")
    _check(options.op, backends)
    with tempfile.TemporaryDirectory() as scratch:
        settings = {
            "ops": options.op,
            "only": options.only,
            "tiny": options.tiny,
            "backends": backends,
            "scratch": scratch,
        }
        return _run(options, settings, threads, peers)


def _check(ops: list[str], backends: list[str]) -> None:
    """Raises ``SystemExit`` with a sentence where a name is that of no op, or of no backend of this machine."""
    here = [name for name in available() if name != "reference"]
    for backend in backends:
        if backend not in here:
            raise SystemExit(f"bench: --backend {backend}: this machine has {', '.join(here)}")
    for op in ops:
        if next(cases([op], True), None) is None:
            known = sorted({case.op for case in cases([], True)})
            raise SystemExit(f"bench: {op}: no such op; there are {', '.join(known)}")


def _start(settings: dict[str, Any], threads: list[int], peers: list[str]) -> Iterator[Worker]:
    """The workers. With two threads, a peer may be faster with one."""
    yield Worker("nnlite", threads, settings)
    at_most = sorted({1, *threads})
    for kind in ("numpy", "torch", "torch-nofault"):
        if kind.split("-")[0] in peers:
            yield Worker(kind, at_most, settings)
    if "jax" in peers:
        yield from (Worker("jax", [n], settings) for n in at_most)


def _run(options: argparse.Namespace, settings: dict[str, Any], threads: list[int], peers: list[str]) -> int:
    rows: list[Row] = []
    wrong: list[str] = []
    workers: list[Worker] = []
    begin = time.monotonic()
    try:
        workers.extend(_start(settings, threads, peers))
        nnlite = workers[0]
        for worker in workers:
            print(worker.note)
        peaks = {}
        for backend in settings["backends"]:
            for n in threads:
                peak = nnlite.ask("peak", backend=backend, threads=n).get("flops")
                if peak is not None:
                    peaks[f"{backend} t{n}"] = peak
        large = 1 << 22 if options.tiny else 1 << 30
        bandwidths = {str(n): nnlite.ask("bandwidth", bytes=large, threads=n)["bytes"] for n in threads}
        for name, peak in peaks.items():
            print(f"FMA peak {name}: {peak / 1e9:.0f} GF/s")
        for n, bandwidth in bandwidths.items():
            print(f"copy bandwidth t{n}: {bandwidth / 1e9:.1f} GB/s")
        while (row := _case(workers, options.rounds, peaks, wrong)) is not None:
            if "seconds" in row:
                rows.append(row)
                _show(row, options.floor)
        notes = [worker.note for worker in workers]
    finally:
        for worker in workers:
            worker.close()
    print(f"{len(rows)} cases in {(time.monotonic() - begin) / 60:.1f} minutes")
    for text in wrong:
        print(f"WRONG: {text}")
    if not rows and not wrong:
        raise SystemExit(f"bench: no case has {settings['only']!r} in its label")
    if options.json:
        result = {"machine": machine(), "notes": notes, "rounds": options.rounds, "peaks": peaks}
        result |= {"bandwidths": bandwidths, "wrong": wrong, "rows": rows}
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n")
    if options.plot:
        roofline.draw(rows, peaks, bandwidths, options.plot)
    return 1 if wrong else 0


def _case(workers: list[Worker], rounds: int, peaks: dict[str, float], wrong: list[str]) -> Row | None:
    """Check and time the next case. The first round tries every variant; the others keep the best two of each peer."""
    answers = [worker.ask("next") for worker in workers]
    row: Row = answers[0]
    if "op" not in row:
        return None
    problems = [answer["wrong"] for worker in workers if "wrong" in (answer := worker.ask("check"))]
    if problems:
        wrong += problems
        print("\n".join(problems), flush=True)
        return row
    variants = [list(answer.get("variants", [])) for answer in answers]
    seconds: dict[str, list[float]] = {}
    faults: dict[str, list[float]] = {}
    for i in range(rounds):
        for j, worker in enumerate(workers):
            prefix = "" if worker.kind == "nnlite" else f"{worker.kind} "
            for variant in variants[j]:
                answer = worker.ask("time", variant=variant)
                seconds.setdefault(prefix + variant, []).append(answer["seconds"])
                faults.setdefault(prefix + variant, []).append(answer["faults"])
            if i == 0 and worker.kind != "nnlite" and rounds > 1:
                first = {variant: seconds[prefix + variant][0] for variant in variants[j]}
                variants[j] = _best(first, worker.threads)
                worker.ask("keep", variants=variants[j])
    # What was tried once and dropped is no measurement.
    row["seconds"] = {name: values for name, values in seconds.items() if len(values) == rounds}
    row["faults"] = {name: harness.median(faults[name]) for name in row["seconds"]}
    del row["variants"]
    row["floors"] = {name: floor for name in row["seconds"] if (floor := _floor(row, name, workers[0], peaks))}
    return row


def _floor(row: Row, name: str, nnlite: Worker, peaks: dict[str, float]) -> float | None:
    """Seconds that operations over FMA peak, and bytes over copy bandwidth at this footprint, take at least."""
    if not name.startswith("cpu_"):
        return None
    floor = row["flops"] / peaks[name] if name in peaks else 0.0
    if row["bytes"] and (not row["flops"] or row["bytes"] > 1 << 20):
        bandwidth = nnlite.ask("bandwidth", bytes=row["bytes"], threads=report.threads_of(name))["bytes"]
        floor = max(floor, row["bytes"] / bandwidth)
    return floor


def _best(seconds: dict[str, float], threads: list[int]) -> list[str]:
    """The two fastest for every number of threads."""
    kept = []
    for n in threads:
        kept += sorted((v for v in seconds if report.threads_of(v) == n), key=seconds.__getitem__)[:2]
    return kept


def _show(row: Row, floor: bool) -> None:
    for name in (name for name in row["seconds"] if name.startswith("cpu_")):
        peers = report.versus(row, name)
        plain = peers.pop("torch-nofault", (None, ""))[0]
        ratio, best = min(((r, f"{kind} {variant}") for kind, (r, variant) in peers.items()), default=(None, ""))
        if floor and not (row["elements"] >= 4096 and ratio is not None and ratio < row["least_ratio"]):
            continue
        values = row["seconds"][name]
        seconds = harness.median(values)
        work = row["flops"] or row["bytes"]
        rate = f"{work / seconds / 1e9:7.1f} {'GF/s' if row['flops'] else 'GB/s'}" if work else " " * 12
        share = f"{row['floors'][name] / seconds:5.0%}" if name in row["floors"] else "     "
        peer = f"  {ratio:6.2f}x {best}" if ratio is not None else ""
        peer += f"  (without page faults {plain:.2f}x)" if plain is not None else ""
        print(
            f"{row['op']:28} {row['label']:38} {name:13} {seconds * 1e6:11.1f} us ±{harness.spread(values):4.0%} "
            f"{rate} {share}{peer}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
