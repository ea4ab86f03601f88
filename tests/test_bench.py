"""Every benchmark runs once at its smallest size, and every op has one."""

from __future__ import annotations

import ast
import importlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnlite as nl
from nnlite import reference
from nnlite.backend import available
from nnlite.backend import name as backend_name

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
command_line = importlib.import_module("bench.__main__")
gpu = importlib.import_module("bench.gpu")
gpu_report = importlib.import_module("bench.gpu_report")
gpu_resources = importlib.import_module("bench.gpu_resources")
harness = importlib.import_module("bench.harness")
nets = importlib.import_module("bench.nets")
worker = importlib.import_module("bench.worker")
report = importlib.import_module("bench.report")
tables = importlib.import_module("bench.tables")

CASES = list(worker.cases([], True))
STEPS = {"training_step", "inference", "dropin_gradient"}


def test_every_op_has_a_benchmark() -> None:
    assert {case.op for case in CASES} == set(reference.__all__) | STEPS


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.op} {case.label}")
def test_benchmark_runs_and_its_check_passes(case: Any) -> None:
    backends = [importlib.import_module(f"nnlite._{name}") for name in available() if name != "reference"]
    case.check([reference, *backends])


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.op} {case.label}")
@pytest.mark.parametrize("peer", ["numpy", "torch", "jax"])
def test_peer_runs_and_agrees(case: Any, peer: str) -> None:
    if getattr(case, peer) is None:
        pytest.skip(f"no {peer} version")
    if peer != "numpy":
        runs = getattr(case, peer)(pytest.importorskip(peer))
    elif case.make is None:
        return  # is part of the check
    else:
        runs = case.numpy
    backend = importlib.import_module(f"nnlite._{available()[-1]}")
    ours = case.check([backend])
    for name, run in harness.ways(runs).items():
        if "compile" not in name:  # takes a C++ compiler and minutes
            result = run()
            if case.alike:
                case.compare(ours, result)


def _serve(kind: str, options: dict[str, Any], *commands: dict[str, Any]) -> list[dict[str, Any]]:
    answers = io.StringIO()
    worker.serve(kind, options, io.StringIO("".join(json.dumps(c) + "\n" for c in commands)), answers)
    return [json.loads(line) for line in answers.getvalue().splitlines()]


def _options(path: Path, **changes: Any) -> dict[str, Any]:
    common = {"ops": ["relu_forward"], "only": "", "tiny": True, "threads": [1], "backends": [available()[-1]]}
    return {**common, "scratch": str(path), **changes}


@pytest.fixture(autouse=True)
def _leave_nothing_set() -> Iterator[None]:
    name, threads = backend_name(), nl.get_num_threads()
    yield
    nl.backend(name)
    nl.set_num_threads(threads)
    harness.scratch = None


def test_a_worker_answers_line_by_line(tmp_path: Path) -> None:
    name = f"{available()[-1]} t1"
    commands = [{"do": "next"}, {"do": "check"}, {"do": "time", "variant": name}, {"do": "next"}]
    case, check, time, end = _serve("nnlite", _options(tmp_path), *commands)
    assert case["op"] == "relu_forward"
    assert case["variants"] == [name]
    assert check == {}
    assert time["seconds"] > 0
    assert end == {}


def test_a_worker_reports_a_wrong_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "relu_forward", lambda x: x + 1)
    _, check = _serve("nnlite", _options(tmp_path), {"do": "next"}, {"do": "check"})
    assert "relu_forward 77" in check["wrong"]
    assert "differ" in check["wrong"]


def test_a_wrong_result_is_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    class Wrong:
        kind, threads = "nnlite", (1,)

        def ask(self, do: str, **_: Any) -> dict[str, Any]:
            return {"next": {"op": "gemm", "label": "x"}, "check": {"wrong": "gemm x: differ"}}[do]

    wrong: list[str] = []
    assert "seconds" not in command_line._case([Wrong()], 1, {}, wrong)
    assert wrong == ["gemm x: differ"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gemm", "nosuchop"], "bench: nosuchop: no such op; there are abs_backward, .*, where"),
        (["gemm", "--backend", "cpu_nosuch"], "bench: --backend cpu_nosuch: this machine has cpu_baseline"),
        (["gemm", "--backend", "reference"], "bench: --backend reference: this machine has cpu_baseline"),
        (["relu", "--tiny", "--only", "nothing", "--against", ""], "bench: no case has 'nothing' in its label"),
    ],
)
def test_what_cannot_be_timed_is_one_sentence(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)  # whose package the workers are
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    with pytest.raises(SystemExit, match=message):
        command_line.main()


def test_no_module_imports_another_in_a_circle() -> None:
    used = {file.stem: _imported(file) for file in (ROOT / "bench").glob("*.py")}
    while used:
        leaves = [name for name, others in used.items() if not others & used.keys()]
        assert leaves, f"a circle among {sorted(used)}"
        for name in leaves:
            del used[name]


def _imported(file: Path) -> set[str]:
    nodes = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom) and node.level]
    return {name for node in nodes for name in ([node.module] if node.module else [a.name for a in node.names])}


def test_environments_of_the_workers() -> None:
    assert worker.environment("nnlite", [1, 2], True) == {}
    assert worker.environment("torch", [1, 2], False) == {}
    assert worker.environment("torch-nofault", [1], False) == {"GLIBC_TUNABLES": worker.NO_FAULTS}
    assert worker.environment("numpy", [1], True)["OPENBLAS_CORETYPE"] == "Haswell"
    assert "inductor" in worker.environment("torch", [1], True)["TORCHINDUCTOR_CACHE_DIR"]
    assert "XLA_FLAGS" in worker.environment("jax", [1], False)
    assert "XLA_FLAGS" not in worker.environment("jax", [2], False)


def test_the_state_of_training_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    optim = importlib.import_module("bench.bench_optim")
    monkeypatch.setattr(harness, "scratch", tmp_path)
    first = optim._trained(True)
    monkeypatch.setattr(optim, "_train", None)
    again = optim._trained(True)
    assert all((a == b).all() for x, y in zip(first, again, strict=True) for a, b in zip(x, y, strict=True))


def test_work_of_the_networks() -> None:
    work = {net.name: nets.flops(net, True) * net.batch for net in nets.nets()}
    assert work["MLP 784-50-10"] == 100 * 2 * (2 * 784 * 50 + 3 * 50 * 10)
    assert round(work["VGG, 6 convolutions"] / 1e9) == 117


def test_the_command_line_writes_figures_and_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("threadpoolctl")
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for ops, file in zip((["gemm", "relu", "adam"], ["training_step"]), files, strict=True):
        command = [sys.executable, "-m", "bench", *ops, "--tiny", "--rounds", "2", "--json", str(file)]
        subprocess.run([*command, "--threads", "1,2"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    (tmp_path / "bench").mkdir()
    text = "\n".join(
        f"<!-- bench:{n} begin -->old<!-- bench:{n} end -->" for n in ("steps", "targets", "groups", "cases")
    )
    (tmp_path / "bench" / "RESULTS.md").write_text(text)
    (tmp_path / "README.md").write_text("no markers")
    monkeypatch.setattr(report, "HERE", tmp_path / "bench")
    assert report.write(files) == 0
    text = (tmp_path / "bench" / "RESULTS.md").read_text()
    assert "gemm 9x33x17 nt" in text
    assert "residual, batch 4, step" in text
    assert "relu_forward 77" in text
    assert "old" not in text
    assert (tmp_path / "README.md").read_text() == "no markers"
    assert report.write(files) == 0
    assert (tmp_path / "bench" / "RESULTS.md").read_text() == text


def test_roofline(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    roofline = importlib.import_module("bench.roofline")
    row = {"group": "gemm", "flops": 2e9, "bytes": 1e6, "elements": 10, "seconds": {"cpu_avx2 t1": [0.1]}}
    row["floors"] = {"cpu_avx2 t1": 0.02}
    thin = {**row, "group": "ReLU", "flops": 0.0}
    roofline.draw([row, thin], {"cpu_avx2 t1": 1e11}, {"1": 1e10}, str(tmp_path / "roof.png"))
    assert (tmp_path / "roof.png").stat().st_size > 0


def test_memory_growth_is_measured() -> None:
    memory = importlib.import_module("bench.memory")
    assert memory.growth("nnlite", tiny=True) >= 0


def test_versus_takes_the_best_setting_of_no_more_threads() -> None:
    seconds = {"cpu_avx2 t1": [2.0], "cpu_avx2 t2": [1.0], "torch t1": [4.0], "torch t2 channels_last": [3.0]}
    assert report.versus({"seconds": seconds}, "cpu_avx2 t1") == {"torch": (2.0, "t1")}
    assert report.versus({"seconds": seconds}, "cpu_avx2 t2") == {"torch": (3.0, "t2 channels_last")}


def test_targets() -> None:
    seconds = {
        "cpu_avx2 t1": [1.0],
        "cpu_avx2 t2": [0.5],
        "torch t1": [1.3],
        "torch-nofault t1": [0.9],
        "numpy t1": [2],
    }
    row = {"op": "gemm", "label": "512x512x512 nn", "group": "gemm", "seconds": seconds}
    row["floors"] = {"cpu_avx2 t1": 0.85, "cpu_avx2 t2": 0.45}
    lines = {line[0]: line[2:] for line in report.Targets({"rows": [row]}, "cpu_avx2 t1").lines}
    assert lines["gemm 512³ to 2048³, share of the FMA peak, least"] == ("80%", "85% (512x512x512 nn)", "yes")
    assert lines["gemm over the best of OpenBLAS and MKL, geometric mean"] == ("1.10", "1.30", "yes")
    two = {line[0]: line[2:] for line in report.Targets({"rows": [row]}, "cpu_avx2 t2").lines}
    assert two["gemm: gain of 2 threads over the floor's gain, geometric mean"] == ("0.90", "1.06", "yes")


def test_the_gpu_command_on_the_simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nnlite._cuda_sim")
    file = tmp_path / "gpu.json"
    assert gpu.main(["--device", "cuda_sim", "--tiny", "--rounds", "2", "--json", str(file)]) == 0
    result = json.loads(file.read_text())
    assert result["wrong"] == []
    assert result["checks"]["passed"] > 0
    assert result["sanitize"]["simulator"]["calls"] > 100
    assert {row["group"] for row in result["rows"]} >= {"gemm", "conv2d forward", "losses", "training step"}
    captured = [row["seconds"]["nnlite captured"] for row in result["rows"] if row["op"] == "training_step"]
    assert [len(values) for values in captured] == [2, 2, 2]
    text = "<!-- bench:gpu begin -->old<!-- bench:gpu end --><!-- bench:steps begin -->CPU<!-- bench:steps end -->"
    (tmp_path / "RESULTS.md").write_text(text)
    monkeypatch.setattr(report, "HERE", tmp_path)
    assert report.write([file]) == 0
    text = (tmp_path / "RESULTS.md").read_text()
    assert "| tests on the device | all pass | " in text
    assert "| relu_forward 77 | " in text
    assert "| residual, batch 4 | " in text
    assert "WRONG" not in text
    assert "old" not in text
    assert ">CPU<" in text


def test_targets_of_a_gpu() -> None:
    def row(op: str, label: str, ours: float, **values: Any) -> dict[str, Any]:
        common = {"group": op, "flops": 0.0, "bytes": 0.0, "floors": {"nnlite": 0.95}, "wrong": []}
        return {"op": op, "label": label, **common, "seconds": {"nnlite": [ours], **values.pop("peers", {})}, **values}

    kernels = {"torch": ["implicit_gemm"], "torch benchmark": ["gemm", "winograd_2x2"], "torch TF32": ["hmma"]}
    peers = {"torch": [2.0], "torch benchmark": [0.5], "torch TF32": [0.1]}
    small = {"nnlite eager": [9.0], "nnlite captured": [1.0], "torch eager": [6.0], "torch eager channels_last": [4.0]}
    rows = [
        row("gemm", "4096x4096x4096 nn", 1.0, flops=1e12, peers={"torch": [1.1]}),
        row("gemm", "1x8x8 nn", 1.0, flops=1.0, peers={"torch": [0.8]}),
        row("conv2d", "a", 1.0, group="conv2d forward", flops=50e12, peers=peers, kernels=kernels),
        row("add", "large", 1.0, bytes=2e9),
        row("add", "small", 2.0, bytes=2e6),
        row("training_step", "MLP 784-50-10, batch 100", 1.0) | {"seconds": small, "floors": {"nnlite captured": 0.1}},
    ]
    found = {what: (measured, met) for what, _, measured, met in gpu_report.targets(rows, [])}
    assert found == {
        "gemm 4096³ over cuBLAS": ("1.10", "yes"),
        "gemm over cuBLAS, least": ("0.80 (1x8x8 nn; 1 of 2 below)", "no"),
        "conv2d forward over cuDNN's direct and implicit-GEMM kernels, geometric mean": ("2.00 (1 of 1 shapes)", "yes"),
        "conv2d forward of at least 5 GFLOP, TFLOP/s, least": ("50 (a)", "yes"),
        "add from 1 GB on, share of the copy bandwidth, least": ("95% (large)", "yes"),
        "MLP 784-50-10, batch 100, captured step": ("4.00x", "no"),
    }


def test_failures_on_a_gpu_are_the_exit_status() -> None:
    checks = {"passed": 9, "failed": 1, "error": 0, "finished": True}
    racecheck = {"errors": 2, "calls": 7}
    result = {"wrong": ["gemm x: differ"], "checks": checks, "sanitize": {"racecheck": racecheck}}
    assert gpu_report.problems(result) == [
        "gemm x: differ",
        "tests on the device: 9 passed, 1 failed",
        "errors of racecheck: 2 in 7 calls",
    ]


def test_traffic_of_ops() -> None:
    x, flags = np.zeros(10, np.float32), np.zeros(10, np.uint8)
    lists = ([x], [x], [x], [x])
    assert gpu.traffic(harness.Case("dropout_forward", "", (x, 0.5)), (x, flags), 0) == 90
    assert gpu.traffic(harness.Case("adam_update", "", lists), None, 0) == 280
    normalise = harness.Case("batchnorm_training_forward", "", (x, x[:1], x[:1]))
    assert gpu.traffic(normalise, (x, x[:1], x[:1]), 39) == 136
    assert gpu.traffic(normalise, (x, x[:1], x[:1]), 40) == 96


def test_a_later_run_replaces_rows_of_an_earlier_one() -> None:
    def run(date: str, *values: tuple[str, float]) -> dict[str, Any]:
        rows = [{"op": op, "label": "", "seconds": {"cpu_avx2 t1": [value]}} for op, value in values]
        return {"machine": {"cpu": "x", "date": date}, "rows": rows}

    (merged,) = tables.merge([run("2026-02", ("a", 2.0)), run("2026-01", ("a", 1.0), ("b", 1.0))])
    assert [(row["op"], row["seconds"]["cpu_avx2 t1"]) for row in merged["rows"]] == [("a", [2.0]), ("b", [1.0])]
    assert [row["run"]["machine"]["date"] for row in merged["rows"]] == ["2026-02", "2026-01"]
    assert len(merged["runs"]) == 2


DISASSEMBLY = """
.text._Z7productf:
        /*0000*/                   LDG.E.128.CONSTANT R4, desc[UR4][R2.64] ;
.L_x_0:
        /*0010*/                   LDGSTS.E.BYPASS.LTC128B.128 [R3], desc[UR4][R6.64] ;
        /*0020*/              @!PT LDS RZ, [RZ] ;
        /*0030*/               @P1 BRA `(.L_x_1) ;
.L_x_2:
        /*0040*/                   FFMA R1, R1, R2, R1 ;
        /*0050*/               @P2 BRA `(.L_x_2) ;
        /*0060*/                   BRA `(.L_x_3) ;
.L_x_1:
        /*0070*/                   LDS.128 R8, [R9+0x10] ;
        /*0080*/                   FFMA R1, R8, R2, R1 ;
        /*0090*/                   FFMA R1, R9.reuse, R2, R1 ;
.L_x_3:
        /*00a0*/               @P0 BRA P3, `(.L_x_0) ;
        /*00b0*/                   STG.E desc[UR4][R2.64], R1 ;
        /*00c0*/                   EXIT ;
.L_x_4:
        /*00d0*/                   BRA `(.L_x_4);
        /*00e0*/                   NOP;
.L_x_5:
"""


def test_the_loop_of_a_kernel() -> None:
    ((name, code),) = gpu_resources.parse(DISASSEMBLY).items()
    assert name == "_Z7productf"
    assert gpu_resources.widths(code, *gpu_resources.GLOBAL) == {"LDG.128": 1, "LDGSTS.128": 1, "STG.32": 1}
    names = [one.name.split(".")[0] for one in gpu_resources.hot_loop(code)]
    assert names == ["LDGSTS", "NOP", "BRA", "LDS", "FFMA", "FFMA", "BRA"]
    assert gpu_resources.hot_loop([one._replace(name="MOV") for one in code]) == []


def test_blocks_on_a_multiprocessor() -> None:
    assert gpu_resources.blocks_together(256, 32, 0) == 8  # all threads
    assert gpu_resources.blocks_together(256, 33, 0) == 6  # registers are given out in eights
    assert gpu_resources.blocks_together(256, 255, 0) == 1
    assert gpu_resources.blocks_together(32, 16, 0) == 32
    assert gpu_resources.blocks_together(64, 32, 42 << 10) == 5


def test_names_of_kernels() -> None:
    name = "product<Tiling<float, 128, 256, 8, 4, 2, 4, 4, 1>, Strided<float>, lane_sum::Row<Two<double> > >"
    assert gpu_resources.arguments(name)[1:] == ["Strided<float>", "lane_sum::Row<Two<double> >"]
    assert gpu_resources.short(name) == "product<128x256x8, Strided, Row<Two>>"
    assert (
        gpu_resources.short("forward<float, unsigned int, 3, Average<float> >") == "forward<unsigned int, 3, Average>"
    )
    assert gpu_resources.short("packs<Add, double, double>") == "packs<Add>"
    assert gpu_resources.short("chunks<double>") == "chunks"


def test_resources_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvdisasm = gpu_resources.disassembler()
    if gpu_resources.NVCC is None or nvdisasm is None:
        pytest.skip("needs nvcc and nvdisasm")
    rows = gpu_resources.rows(ROOT / "cuda" / "ops" / "fma_peak.cu", tmp_path, nvdisasm)
    assert [(row["kernel"], row["spilled"], row["shared"]) for row in rows] == [("multiply_add_chains", 0, [0])]
    assert rows[0]["loop"]["fma"] > 0.9 * rows[0]["loop"]["instructions"]
    file = tmp_path / "resources.json"
    file.write_text(json.dumps({"date": "2026-01-01", "commit": "abc", "nvcc": "13.0", "kernels": rows}))
    (tmp_path / "RESULTS.md").write_text("<!-- bench:resources begin -->old<!-- bench:resources end -->")
    monkeypatch.setattr(report, "HERE", tmp_path)
    assert report.write([file]) == 0
    text = (tmp_path / "RESULTS.md").read_text()
    assert "1 kernels; outside registers: none" in text
    assert "| fma_peak: multiply_add_chains |" in text
    assert "old" not in text
