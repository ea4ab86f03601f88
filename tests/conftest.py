"""Fixtures: ``backend`` runs a test on every backend that this machine can run, the reference included."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from types import ModuleType

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")

from nnlite import backend as _switch
from nnlite.backend import available


@pytest.fixture(params=available())
def backend(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """The backend's module; also the one that ``nnlite`` runs on during the test."""
    with _switch(request.param):
        name = request.param if request.param == "reference" else f"_{request.param}"
        yield importlib.import_module(f"nnlite.{name}")
