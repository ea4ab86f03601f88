"""Whole programs in the manner of the chapters: their output plainly, and run by ``python -m nnlite.dropin``."""

from __future__ import annotations

import gzip
import importlib.util
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnlite

HERE = Path(__file__).parent
DATA = os.environ.get("NNLITE_DATA_DIR")
HAS_MNIST = bool(DATA) and (Path(DATA) / "mnist").is_dir()
NUMBER = re.compile(r"(?<![\w.])-?(?:\d+\.\d*(?:e[-+]?\d+)?|\d+e[-+]?\d+|nan|inf)")


@dataclass
class Program:
    """A program of ``programs/``, how it is run, and how far sums in another order may move what it prints.

    Attributes:
        path, args: the script and its arguments.
        says: words of the output, the first of which shows that the program got through.
        rtol, atol: tolerance of numbers on lines without accuracies; accuracies are equal.
        saves: the files that it writes.
        mnist, plots: what it needs.
    """

    path: str
    args: list[str] = field(default_factory=list)
    says: str = "loss"
    rtol: float = 1e-9
    atol: float = 0.0
    saves: list[str] = field(default_factory=list)
    mnist: bool = True
    plots: bool = False

    def __str__(self):
        return " ".join([self.path, *self.args])


DEEP = ["deep_convnet_params.pkl"]
PROGRAMS = [
    Program("ch02/gates.py", says="(1, 0) 0 1 1 1", mnist=False),
    Program("ch03/activations.py", says="relu", mnist=False, plots=True),
    Program("ch03/inference.py", ["500"], "dtype float32 shape (10,)"),
    Program("ch03/inference_batch.py", ["2000"], "accuracy", rtol=1e-6),
    Program("ch04/gradient_descent.py", says="end", atol=1e-11, mnist=False),
    Program("ch04/gradient_simplenet.py", says="gradient", atol=1e-11, mnist=False),
    Program("ch04/train_neuralnet.py", ["60"], atol=1e-11),
    Program("ch05/buy_apple_orange.py", says="price 715.0000000000001", mnist=False),
    Program("ch05/gradient_check.py", ["4"], "W1: difference", 0.0, 1e-11),
    Program("ch05/train_neuralnet.py", ["150"]),
    Program("ch06/optimizer_compare_naive.py", says="Adam", atol=1e-14, mnist=False, plots=True),
    Program("ch06/optimizer_compare_mnist.py", ["20"], "Adam smooth", 1e-6, plots=True),
    Program("ch06/weight_init_compare.py", ["20"]),
    Program("ch06/batch_norm_gradient_check.py", ["short"], "5 gamma2: difference", 0.0, 1e-10),
    Program("ch06/batch_norm_test.py", ["2"], rtol=1e-8),
    Program("ch06/overfit_weight_decay.py", ["8"]),
    Program("ch06/overfit_dropout.py", ["8"], "test acc", plots=True),
    Program("ch06/hyperparameter_optimization.py", ["5"], "val acc"),
    Program("ch07/gradient_check.py", says="W3 difference", rtol=0.0, atol=1e-11, mnist=False),
    Program("ch07/train_convnet.py", ["200"], rtol=1e-6, saves=["params.pkl"], plots=True),
    Program("ch07/train_convnet.py", ["200", "momentum"], saves=["params.pkl"], plots=True),
    Program("ch07/visualize_filter.py", says="after", mnist=False, plots=True),
    Program("ch07/apply_filter.py", says="filter 15 float64 (1, 1, 60, 60)", mnist=False, plots=True),
    Program("ch08/train_deepnet.py", ["30"], rtol=1e-5, saves=DEEP),
    Program("ch08/train_deepnet.py", ["30", "sgd"], rtol=1e-8, saves=DEEP),
    Program("ch08/half_float_network.py", ["100"], "float16 acc", rtol=1e-9),
]


def weights(*sizes: int, dtype: type = np.float64, scale: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(sum(sizes)).standard_normal(sizes) * scale).astype(dtype)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the programs, with files of parameters."""
    there = tmp_path_factory.mktemp("programs") / "programs"
    shutil.copytree(HERE / "programs", there, ignore=shutil.ignore_patterns("__pycache__"))
    layers = [(784, 50), (50, 100), (100, 10)]
    sample = {f"W{i}": weights(*s, dtype=np.float32, scale=s[0] ** -0.5) for i, s in enumerate(layers, 1)}
    sample |= {f"b{i}": weights(s[1], dtype=np.float32) for i, s in enumerate(layers, 1)}
    (there / "ch03" / "sample_weight.pkl").write_bytes(pickle.dumps(sample))
    shapes = [(30, 1, 5, 5), (4320, 100), (100, 10)]
    simple = {f"W{i}": weights(*s, scale=0.1) for i, s in enumerate(shapes, 1)}
    simple |= {f"b{i}": weights(n) for i, n in enumerate((30, 100, 10), 1)}
    (there / "ch07" / "params.pkl").write_bytes(pickle.dumps(simple))
    shapes = [(16, 1, 3, 3), (16, 16, 3, 3), (32, 16, 3, 3), (32, 32, 3, 3), (64, 32, 3, 3), (64, 64, 3, 3)]
    deep = {f"W{i}": weights(*s, scale=(2 / np.prod(s[1:])) ** 0.5) for i, s in enumerate(shapes, 1)}
    deep |= {"W7": weights(1024, 50, scale=0.04), "W8": weights(50, 10, scale=0.2)}
    deep |= {f"b{i}": weights(n, scale=0.1) for i, n in enumerate((16, 16, 32, 32, 64, 64, 50, 10), 1)}
    (there / "ch08" / "deep_convnet_params.pkl").write_bytes(pickle.dumps(deep))
    if not HAS_MNIST and importlib.util.find_spec("sklearn"):
        digits(there / "dataset")
    return there


def digits(folder: Path) -> None:
    """The images that the plain library takes for MNIST where there is none, in MNIST's files."""
    spec = importlib.util.spec_from_file_location("plain_mnist", HERE / "plain" / "dataset" / "mnist.py")
    assert spec is not None
    assert spec.loader is not None
    mnist = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mnist)
    folder.mkdir()
    for key, x in mnist.init_mnist().items():
        x = x.reshape(-1, 28, 28) if key.endswith("img") else x
        header = bytes((0, 0, 8, x.ndim)) + b"".join(size.to_bytes(4, "big") for size in x.shape)
        (folder / mnist.key_file[key]).write_bytes(gzip.compress(header + x.tobytes()))


def finished(command: list[str], cwd: Path, path: Path) -> subprocess.CompletedProcess:
    environment = {**os.environ, "MPLBACKEND": "Agg", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(path)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


def run(command: list[str], cwd: Path, path: Path) -> str:
    done = finished(command, cwd, path)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def plainly(program: Program, folder: Path) -> str:
    script = folder / program.path
    return run([sys.executable, script.name, *program.args], script.parent, HERE / "plain")


def by_dropin(program: Program, folder: Path, *options: str) -> str:
    """From a folder other than the script's, which the drop-in is to enter."""
    command = [sys.executable, "-m", "nnlite.dropin", *options, program.path, *program.args]
    return run(command, folder, Path(nnlite.__file__).parent.parent)


def agree(got: str, want: str, rtol: float, atol: float, exact: str = "acc") -> None:
    """The same text, numbers within the tolerance; lines that name accuracies are equal."""
    assert len(got.splitlines()) == len(want.splitlines()), f"got\n{got}\nexpected\n{want}"
    for line, wanted in zip(got.splitlines(), want.splitlines(), strict=True):
        if exact and exact in wanted:
            assert line == wanted
            continue
        assert NUMBER.sub("#", line) == NUMBER.sub("#", wanted)
        numbers, expected = (np.array(NUMBER.findall(text), float) for text in (line, wanted))
        np.testing.assert_allclose(numbers, expected, rtol, atol, err_msg=f"{line}\nexpected\n{wanted}")


@pytest.fixture(scope="module")
def expected(folder: Path) -> Callable[[Program], tuple[str, dict[str, Any]]]:
    """What a program prints plainly, and what it saves; run once, and its files put back."""
    done: dict[str, tuple[str, dict[str, Any]]] = {}

    def get(program: Program) -> tuple[str, dict[str, Any]]:
        if program.plots:
            pytest.importorskip("matplotlib")
        if program.mnist and not HAS_MNIST:
            pytest.importorskip("sklearn")
        if str(program) not in done:
            done[str(program)] = with_files(plainly, program, folder)
        return done[str(program)]

    return get


def with_files(how: Callable[..., str], program: Program, folder: Path) -> tuple[str, dict[str, Any]]:
    """(output, contents of the files that the program wrote); afterwards the files are as before."""
    kept = {f: f.read_bytes() for f in folder.glob("*/*.pkl")}
    stamps = {f: f.stat().st_mtime_ns for f in kept}
    output = how(program, folder)
    written = [f for f in folder.glob("*/*.pkl") if f.stat().st_mtime_ns != stamps.get(f)]
    saved = {f.name: pickle.loads(f.read_bytes()) for f in written}
    for f in written:
        f.write_bytes(kept[f])
    return output, saved


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_plainly(expected, program):
    output, saved = expected(program)
    assert program.says in output
    assert list(saved) == program.saves


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_by_dropin(expected, folder, program):
    want, params = expected(program)
    got, saved = with_files(by_dropin, program, folder)
    agree(got, want, program.rtol, program.atol)
    assert list(saved) == list(params)
    for name in params:  # plain arrays under the same names
        assert list(saved[name]) == list(params[name])
        for key, p in params[name].items():
            assert type(saved[name][key]) is np.ndarray
            np.testing.assert_allclose(saved[name][key], p, 1e-4, 1e-6)


@pytest.mark.parametrize("path", ["ch05/train_neuralnet.py", "ch07/train_convnet.py"])
def test_by_dropin_in_float32(expected, folder, path):
    """Losses near those of float64; accuracies may turn over on single images."""
    program = next(p for p in PROGRAMS if p.path == path)
    want, _ = expected(program)
    got, _ = with_files(lambda *a: by_dropin(*a, "--float32"), program, folder)
    agree(got, want, 1e-3, 0.02, exact="")
    assert got != want


def test_a_failing_program_fails(folder):
    script = folder / "ch02" / "fails.py"
    script.write_text("import sys\nfrom common.layers import Relu\nprint(sys.argv[1:])\nRelu().forward(None)\n")
    command = [sys.executable, "-m", "nnlite.dropin", "ch02/fails.py", "--report", "x y"]
    done = finished(command, folder, Path(nnlite.__file__).parent.parent)
    assert done.returncode == 1
    assert done.stdout.startswith("['--report', 'x y']")
    assert "fails.py" in done.stderr
    assert "TypeError" in done.stderr
