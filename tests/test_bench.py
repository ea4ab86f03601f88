"""Every benchmark runs once at its smallest size, and every op has one."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from nnlite import reference
from nnlite.backend import available

sys.path.insert(0, str(Path(__file__).parent.parent))
harness_cases = importlib.import_module("bench.__main__").cases

CASES = list(harness_cases([], True))


def test_every_op_has_a_benchmark() -> None:
    assert {case.op for case in CASES} == set(reference.__all__)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.op} {case.label}")
def test_benchmark_runs_and_its_check_passes(case: object) -> None:
    backends = [importlib.import_module(f"nnlite._{name}") for name in available() if name != "reference"]
    case.check([reference, *backends])  # type: ignore[attr-defined]
