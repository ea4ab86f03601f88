"""Fixtures: ``library`` is the plain NumPy library or the drop-in, ``both`` is the two side by side."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import nnlite.dropin

HERE = Path(__file__).parent
PLAIN = HERE / "plain"
PROGRAMS = HERE / "programs"
NAMES = ("functions", "gradient", "util", "layers", "optimizer", "trainer", "multi_layer_net", "multi_layer_net_extend")

collect_ignore = ["plain", "programs"]


class Library:
    """The modules ``common.*`` as attributes, imported afresh."""

    def __init__(self, kind: str):
        self.kind = kind
        for name in NAMES:
            setattr(self, name, importlib.import_module(f"common.{name}"))

    def chapter(self, path: str) -> ModuleType:
        """A module of a chapter's folder, importing this library."""
        file = PROGRAMS / path
        spec = importlib.util.spec_from_file_location(file.stem, file)
        module = importlib.util.module_from_spec(spec)
        kept = list(sys.path)
        spec.loader.exec_module(module)
        sys.path[:] = kept
        return module

    @property
    def mnist(self) -> ModuleType:
        return importlib.import_module("dataset.mnist")


def forget() -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] in ("common", "dataset"):
            del sys.modules[name]


def plain_library(monkeypatch: pytest.MonkeyPatch) -> Library:
    forget()
    with monkeypatch.context() as patch:
        patch.syspath_prepend(PLAIN)
        return Library("plain")


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Programs draw from NumPy's global generator: the same numbers in every test, and no trace left."""
    kept = np.random.get_state()
    np.random.seed(1)
    yield
    np.random.set_state(kept)


@pytest.fixture(params=["plain", "dropin"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    """A library whose modules are those that ``import common`` finds during the test."""
    if request.param == "dropin":
        forget()
        nnlite.dropin.install()
        try:
            yield Library("dropin")
        finally:
            nnlite.dropin.uninstall()
            forget()
        return
    forget()
    monkeypatch.syspath_prepend(PLAIN)
    yield Library("plain")
    forget()


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Library, Library]]:
    """(plain, drop-in), for comparisons of what the two make of the same call."""
    plain = plain_library(monkeypatch)
    forget()
    nnlite.dropin.install()
    try:
        yield plain, Library("dropin")
    finally:
        nnlite.dropin.uninstall()
        forget()
