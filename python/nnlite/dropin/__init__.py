"""Programs written for the NumPy library of "Deep Learning from Scratch" (ゼロから作るDeep Learning), on kernels.

``python -m nnlite.dropin script.py`` runs a program with the book's packages ``common`` and ``dataset`` served by
nnlite; in code, :func:`install` before the program's imports and :func:`uninstall` after them.
"""

from __future__ import annotations

import sys
from types import ModuleType

from ..cuda import check_device
from . import calls, hooks
from .calls import Options
from .report import text

__all__ = ["install", "report", "uninstall"]

_finder: hooks.Finder | None = None
_before: list[tuple[Options, dict[str, ModuleType]]] = []  # of each install(): options, and modules it put aside


def install(float32: bool = False, device: str = "cpu") -> None:
    """Serve ``common`` and ``dataset`` to the imports that follow, until :func:`uninstall`.

    Modules of these names that were imported before are put aside meanwhile. Calls may be nested: the options are those
    of the last one, and each needs its :func:`uninstall`.

    Args:
        float32: compute in float32 instead of float64.
        device: where kernels run: ``"cpu"``, ``"cuda"`` or ``"cuda:N"``. Programs see NumPy arrays all the same.

    Raises:
        ValueError, RuntimeError: there is no such device, or it cannot be used.
    """
    global _finder
    check_device(device)
    first = _finder is None
    if first:
        calls.records.clear()
    _before.append((Options(calls.options.float32, calls.options.device), hooks.take_modules() if first else {}))
    calls.options.float32, calls.options.device = bool(float32), device
    if _finder is None:
        _finder = hooks.Finder()
        sys.meta_path.insert(0, _finder)


def uninstall() -> None:
    """Undo the last :func:`install`. With the first one the hook goes, and the modules that it served.

    Raises:
        RuntimeError: nothing is installed.
    """
    global _finder
    if not _before:
        raise RuntimeError("uninstall: nnlite.dropin is not installed")
    options, modules = _before.pop()
    calls.options.float32, calls.options.device = options.float32, options.device
    if not _before:
        if _finder in sys.meta_path:
            sys.meta_path.remove(_finder)
        _finder = None
        hooks.take_modules()
        sys.modules.update(modules)


def report() -> str:
    """Which functions and layers ran compiled, how often and how long, which as NumPy formulas and why.

    Since the first :func:`install`; with it, until :func:`uninstall`, the definitions of the program's own files.
    """
    return text(calls.records, _finder.edited if _finder else {})
