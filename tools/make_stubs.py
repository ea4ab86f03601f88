"""Write the type stubs of the compiled modules.

Every backend has exactly the reference's ops, so the stubs are the reference's signatures. Run it after adding an op:
``python tools/make_stubs.py``. ``--check`` only says whether the stubs are current.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from nnlite import reference

PACKAGE = Path(__file__).parent.parent / "python" / "nnlite"
FIRST = "_cpu_baseline"
OTHERS = ("_cpu_avx2", "_cpu_avx512", "_cpu_neon")

UNDERSCORED = """
_compiler: str

def _cpu_features() -> dict[str, bool]: ...
def _set_num_threads(n: int) -> None: ...
def _get_num_threads() -> int: ...
"""
HEADER = f'''"""Compiled ops: those of :mod:`nnlite.reference`, with its results. Written by tools/make_stubs.py."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nnlite.reference.checks import Array, Pair
{UNDERSCORED}'''
OTHER = f'''"""The ops of the baseline for another instruction set. Written by tools/make_stubs.py."""

from nnlite.{FIRST} import *
{UNDERSCORED}'''


def stub() -> str:
    """The text of the first stub file."""
    lines = []
    for op in sorted(reference.__all__):
        signature = inspect.signature(getattr(reference, op))
        parameters = [
            f"{name}: {parameter.annotation}"
            + ("" if parameter.default is parameter.empty else f" = {parameter.default!r}")
            for name, parameter in signature.parameters.items()
        ]
        one = f"def {op}({', '.join(parameters)}) -> {signature.return_annotation}: ...\n"
        if len(one) > 120:
            one = f"def {op}(\n    {', '.join(parameters)}\n) -> {signature.return_annotation}: ...\n"
        if max(map(len, one.splitlines())) > 120:
            body = "".join(f"    {parameter},\n" for parameter in parameters)
            one = f"def {op}(\n{body}) -> {signature.return_annotation}: ...\n"
        lines.append(one)
    return HEADER + "".join(lines)


def main() -> int:
    """Write the stubs, or check them."""
    stale = 0
    for module in (FIRST, *OTHERS):
        text = stub() if module == FIRST else OTHER
        path = PACKAGE / f"{module}.pyi"
        if path.exists() and path.read_text() == text:
            continue
        stale += 1
        if "--check" not in sys.argv:
            path.write_text(text)
    if "--check" in sys.argv and stale:
        print("stubs are stale: run python tools/make_stubs.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
