"""Every backend is the reference's set of ops with the reference's arguments; choosing one."""

from __future__ import annotations

import inspect
import os
import pickle
import signal
import subprocess
import sys
import threading
from types import ModuleType

import numpy as np
import pytest

import nnlite as nl
from nnlite import reference
from nnlite.backend import available, get_num_threads, name, names, reason, set_num_threads, usable_cpus

COMPILED = [name for name in available() if name != "reference"]


def ops_of(module: ModuleType) -> set[str]:
    return {name for name, value in vars(module).items() if not name.startswith("_") and inspect.isbuiltin(value)}


def arguments(doc: str) -> list[tuple[str, str]]:
    """Names and defaults from a compiled function's first line, e.g. ``gemm(a: object, transpose_a: bool = False)``."""
    inside = doc.splitlines()[0].split("(", 1)[1].rsplit(") ->", 1)[0]
    pieces = [piece.strip() for piece in inside.split(", ")]
    return [(piece.split(":")[0], piece.split(" = ")[1] if " = " in piece else "") for piece in pieces]


def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def test_there_is_a_compiled_backend() -> None:
    assert "cpu_baseline" in COMPILED


@pytest.mark.parametrize("backend", COMPILED, indirect=True)
def test_a_backend_has_exactly_the_ops_of_the_reference(backend: ModuleType) -> None:
    assert ops_of(backend) == set(reference.__all__)


@pytest.mark.parametrize("backend", COMPILED, indirect=True)
@pytest.mark.parametrize("op", sorted(reference.__all__))
def test_an_op_has_the_arguments_of_the_reference(backend: ModuleType, op: str) -> None:
    want = [
        (name, "" if parameter.default is inspect.Parameter.empty else repr(parameter.default))
        for name, parameter in inspect.signature(getattr(reference, op)).parameters.items()
    ]
    assert arguments(getattr(backend, op).__doc__) == want


def test_switch_and_context_manager() -> None:
    before = name()
    with nl.backend("reference"):
        assert name() == "reference"
        with nl.backend("cpu_baseline"):
            assert name() == "cpu_baseline"
        assert name() == "reference"
    assert name() == before
    nl.backend("reference")
    try:
        assert name() == "reference"
    finally:
        nl.backend(before)


def test_a_failing_switch_changes_nothing() -> None:
    before = name()
    with pytest.raises(ValueError, match=r"backend: unknown backend 'gpu'; known are reference, cpu_baseline"):
        nl.backend("gpu")
    absent = next(name for name in names() if reason(name) is not None)
    with pytest.raises(RuntimeError, match=f"backend '{absent}' cannot run here: this CPU lacks "):
        nl.backend(absent)
    assert name() == before


def test_the_environment_chooses() -> None:
    script = "from nnlite.backend import name, why; print(name(), why())"
    chosen = run(script, NNLITE_BACKEND="cpu_baseline")
    assert chosen.stdout == "cpu_baseline NNLITE_BACKEND asks for it\n", chosen.stderr
    assert "ValueError: backend: unknown backend 'nonsense'" in run(script, NNLITE_BACKEND="nonsense").stderr


def test_threads_from_the_environment() -> None:
    script = "from nnlite.backend import get_num_threads, ops; print(get_num_threads(), ops()._get_num_threads())"
    assert run(script, NNLITE_NUM_THREADS="3", NNLITE_BACKEND="cpu_baseline").stdout == "3 3\n"
    for wrong in ("0", "many", "-1", "1025"):
        assert "NNLITE_NUM_THREADS must be a number between 1 and 1024" in run(script, NNLITE_NUM_THREADS=wrong).stderr


def test_set_num_threads() -> None:
    before = get_num_threads()
    try:
        set_num_threads(np.int64(5))
        assert get_num_threads() == 5
        with nl.backend("cpu_baseline"):
            from nnlite.backend import ops

            assert ops()._get_num_threads() == 5
        for wrong in (0, -1, 1025):
            with pytest.raises(ValueError, match=f"set_num_threads: n must be between 1 and 1024, got {wrong}"):
                set_num_threads(wrong)
        for wrong in (2.0, "2", None, True):
            with pytest.raises(TypeError, match="set_num_threads: n must be an integer"):
                set_num_threads(wrong)  # type: ignore[arg-type]
        assert get_num_threads() == 5
    finally:
        set_num_threads(before)


def test_usable_cpus_is_not_above_the_affinity() -> None:
    assert 1 <= usable_cpus() <= len(os.sched_getaffinity(0))


def test_a_kernel_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(nl.kernels.gemm)) is nl.kernels.gemm


@pytest.mark.parametrize("threads", [1, 2])
def test_signals_are_handled_within_an_op_of_many_short_parts(threads: int) -> None:
    images = 2 if name() == "cpu_baseline" else 96  # a tenth of a second at 18 or 800 GFLOP/s
    x = np.ones((images, 256, 28, 28), np.float32)
    handled = 0

    def handle(*_: object) -> None:
        nonlocal handled
        handled += 1

    ended = threading.Event()

    def send() -> None:
        while not ended.wait(0.002):
            os.kill(os.getpid(), signal.SIGUSR1)

    sender, before = threading.Thread(target=send), signal.signal(signal.SIGUSR1, handle)
    number = get_num_threads()
    set_num_threads(threads)
    try:
        sender.start()
        handled = 0
        nl.kernels.conv2d_backward_weights(x, x, (256, 256, 3, 3), padding=1)
        within = handled
    finally:
        ended.set()
        sender.join()
        set_num_threads(number)
        signal.signal(signal.SIGUSR1, before)
    assert within > 3  # one or two come before and behind the op
