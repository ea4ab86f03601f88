"""Every benchmark runs once at its smallest size, and every op has one."""

from __future__ import annotations

import importlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nnlite import reference
from nnlite.backend import available

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
worker = importlib.import_module("bench.worker")
report = importlib.import_module("bench.report")

CASES = list(worker.cases([], True))
STEPS = {"training_step", "inference"}


def test_every_op_has_a_benchmark() -> None:
    assert {case.op for case in CASES} == set(reference.__all__) | STEPS


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.op} {case.label}")
def test_benchmark_runs_and_its_check_passes(case: Any) -> None:
    backends = [importlib.import_module(f"nnlite._{name}") for name in available() if name != "reference"]
    case.check([reference, *backends])


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.op} {case.label}")
@pytest.mark.parametrize("peer", ["numpy", "torch", "jax"])
def test_peer_runs(case: Any, peer: str) -> None:
    if getattr(case, peer) is None:
        pytest.skip(f"no {peer} version")
    if peer == "numpy":
        case.numpy()
        return
    runs = getattr(case, peer)(pytest.importorskip(peer))
    for name, run in (runs if isinstance(runs, dict) else {"": runs}).items():
        if "compile" not in name:  # takes a C++ compiler and minutes
            run()


def test_a_worker_answers_line_by_line() -> None:
    options = {"ops": ["relu_forward"], "tiny": True, "threads": [1], "backends": [available()[-1]]}
    answers = io.StringIO()
    commands = [{"do": "next"}, {"do": "time", "variant": f"{available()[-1]} t1"}, {"do": "next"}]
    worker.serve("nnlite", options, io.StringIO("".join(json.dumps(c) + "\n" for c in commands)), answers)
    case, time, end = (json.loads(line) for line in answers.getvalue().splitlines())
    assert case["op"] == "relu_forward"
    assert time["seconds"] > 0
    assert end == {}


def test_the_command_line_writes_figures_and_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("threadpoolctl")
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "bench", "gemm", "training_step", "--tiny", "--rounds", "2", "--json", str(file)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    (tmp_path / "bench").mkdir()
    for path in (tmp_path / "README.md", tmp_path / "bench" / "RESULTS.md"):
        names = ("steps", "targets", "cases")
        path.write_text("\n".join(f"<!-- bench:{name} begin -->old<!-- bench:{name} end -->" for name in names))
    monkeypatch.setattr(report, "HERE", tmp_path / "bench")
    assert report.write([file]) == 0
    text = (tmp_path / "bench" / "RESULTS.md").read_text()
    assert "gemm 9x33x17 nt" in text
    assert "residual, batch 4, step" in text
    assert "old" not in text


def test_versus_takes_the_best_setting_of_no_more_threads() -> None:
    seconds = {"cpu_avx2 t1": [2.0], "cpu_avx2 t2": [1.0], "torch t1": [4.0], "torch t2 channels_last": [3.0]}
    assert report.versus({"seconds": seconds}, "cpu_avx2 t1") == {"torch": (2.0, "t1")}
    assert report.versus({"seconds": seconds}, "cpu_avx2 t2") == {"torch": (3.0, "t2 channels_last")}
