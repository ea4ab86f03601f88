"""Fixtures: ``backend`` runs a test on every backend that this machine can run, the reference included."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")
if "PYTEST_XDIST_WORKER" in os.environ:  # threads of several processes share the cores
    os.environ.setdefault("NNLITE_NUM_THREADS", "2")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in what a script starts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

from device import OnDevice
from nnlite import backend as _switch
from nnlite.backend import available, ops
from nnlite.cuda import is_available

DEVICES = [name for name in ("cuda_sim", "cuda") if is_available(name)]


@pytest.fixture(params=[*available(), *DEVICES])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The backend's module; also the one that ``nnlite`` runs on during the test."""
    if request.param in DEVICES:
        module = OnDevice(importlib.import_module(f"nnlite._{request.param}"))
        ops()  # the choice that monkeypatch restores
        choice = sys.modules["nnlite.backend"]
        monkeypatch.setattr(choice, "_current", module)
        monkeypatch.setattr(choice, "_current_name", request.param)
        yield module
        return
    with _switch(request.param):
        name = request.param if request.param == "reference" else f"_{request.param}"
        yield importlib.import_module(f"nnlite.{name}")


@pytest.fixture
def small_device(backend: ModuleType) -> Iterator[None]:
    """The simulator shows a single multiprocessor, which any problem fills: kernels for large problems are chosen."""
    show = getattr(backend, "_set_multiprocessors", None)
    if show is None:
        yield
        return
    show(1)
    yield
    show(132)
