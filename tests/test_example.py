"""The short program that shows the library runs as written, and importing nnlite stays cheap."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import nnlite as nl
from nnlite import kernels, reference

README = Path(__file__).parent.parent / "README.md"
PROGRAM = README.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]


def test_program_runs_as_written(tmp_path):
    run = subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert 0.5 < float(run.stdout) < 10
    assert os.listdir(tmp_path) == ["w.safetensors"]


def test_the_inside_of_a_network_runs_as_written():
    example = Path(__file__).parent.parent / "examples" / "look_inside.py"
    run = subprocess.run([sys.executable, "-W", "error", str(example)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "same bits on pure NumPy: True" in run.stdout
    assert "same losses when captured: True" in run.stdout


def test_import_brings_in_nothing_heavy():
    script = (
        "import numpy, sys; before = set(sys.modules); import nnlite\n"
        "print(*(m for m in set(sys.modules) - before if not m.startswith('nnlite')))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = {"json", "hashlib", "safetensors", "tqdm", "argparse", "dataclasses", "matplotlib", "sklearn", "subprocess"}
    assert not heavy & set(run.stdout.split())


def test_public_names():
    for name in nl.__all__:
        assert getattr(nl, name) is not None
    assert callable(nl.function)
    assert callable(nl.gradcheck)
    assert callable(nl.backend)
    assert inspect.ismodule(nl.kernels)
    assert nl.NUMERICS == 1
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        nl.nothing  # noqa: B018


def test_names_are_seen_before_they_are_imported():
    script = "import nnlite as nl, nnlite.nn.functional as F; print(*dir(nl)); print(nl.data.load.__name__)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    names, used = run.stdout.splitlines()
    assert set(names.split()) >= {*nl.__all__, "Trainer", "array", "cuda", "data", "kernels"}
    assert used == "load"


def test_the_backend_that_runs_has_a_name(backend):
    assert nl.get_backend() == backend.__name__.removeprefix("nnlite.").removeprefix("_")


def test_functional_has_the_ops_and_nothing_else():
    import nnlite.nn.functional as F

    assert set(dir(F)) >= {"relu", "linear", "conv2d", "cross_entropy", "mse_loss", "dropout", "softmax"}
    for name in dir(F):
        assert getattr(F, name) is getattr(nl.ops, name)
        assert inspect.isfunction(getattr(F, name)), name
        assert getattr(F, name).__doc__, name
        assert getattr(F, name).__module__.startswith("nnlite.ops."), name


def test_kernels_are_the_backends_with_the_references_descriptions(backend, monkeypatch):
    assert set(dir(kernels)) >= {"conv2d_forward", "relu_backward", "gemm"}
    assert kernels.linear_forward.__doc__ == reference.linear_forward.__doc__
    assert inspect.signature(kernels.linear_forward) == inspect.signature(reference.linear_forward)
    x, weight = np.ones((2, 3), np.float32), np.ones((4, 3), np.float32)
    assert np.array_equal(nl.kernels.linear_forward(x, weight=weight), np.full((2, 4), 3))
    monkeypatch.setattr(backend, "linear_forward", lambda *args: "mine")
    assert nl.kernels.linear_forward(x, weight) == "mine"
    with pytest.raises(AttributeError, match="no op 'nothing'"):
        nl.kernels.nothing  # noqa: B018
    with pytest.raises(AttributeError, match="no op '__wrapped__'"):
        nl.kernels.__wrapped__  # noqa: B018


def test_threads_build_graphs_of_their_own():
    results = []

    def work(seed):
        x = np.random.default_rng(seed).standard_normal((8, 4)).astype(np.float32)
        w = nl.Parameter(np.ones((3, 4), np.float32))
        for _ in range(20):
            y = nl.ops.tanh(nl.ops.linear(x, w))
            (y * y).sum().backward()
        results.append((seed, w.grad.tobytes()))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (0, 1, 0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(results)) == 2
