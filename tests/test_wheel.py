"""The wheel of tools/build_wheel.py, where ``NNLITE_WHEEL`` names one: installed without a compiler, it trains."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

WHEEL = os.environ.get("NNLITE_WHEEL", "")
pytestmark = pytest.mark.skipif(not WHEEL, reason="NNLITE_WHEEL names no wheel; tools/build_wheel.py makes one")


def test_has_every_cpu_module_and_no_source() -> None:
    names = zipfile.ZipFile(WHEEL).namelist()
    modules = {Path(name).name.split(".")[0] for name in names if name.endswith(".so")}
    assert "_cpu_baseline" in modules
    assert modules >= {"_cpu_avx2", "_cpu_avx512"} or "_cpu_neon" in modules
    assert "manylinux" in Path(WHEEL).name
    assert not [name for name in names if name.endswith((".cpp", ".h", ".cu"))]


def test_trains_where_there_is_no_compiler(tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    scripts = tmp_path / "venv" / "bin"
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "HOME", "LANG"))}
    environment = {**kept, "PATH": str(scripts)}

    def run(*command: str) -> str:
        done = subprocess.run(
            [str(scripts / command[0]), *command[1:]], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("pip", "install", "-q", "--only-binary=:all:", f"{WHEEL}[digits]")
    assert f"Python {sys.version.split()[0]}" in run("nnlite", "info")
    run("nnlite", "train", "--epochs", "1", "--out", "run")
    assert "identical" in run("nnlite", "replay", "run")
