"""The specification of every op, in NumPy: ``docs/numerics.md`` in executable form, and a backend like the others.

Ops use only ``+ - * / sqrt``, comparisons, bit operations and data movement. They take float32 or float64 arrays in any
memory layout, return new C-contiguous arrays of the same type, and check every argument before they compute or write
anything: ``TypeError`` for anything but arrays of one float type in native byte order, ``ValueError`` for shapes and
numbers that do not fit. The docstrings name only what is special to an op.

The ops are what the submodules list in their ``__all__``.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

import numpy as np

from nnlite.reference import arith


def _specified(op: Callable[..., Any]) -> Callable[..., Any]:
    """``op`` under the arithmetic of numerics section 1: subnormals are kept; Inf and NaN are results, not warnings."""

    @functools.wraps(op)
    def call(*args: Any, **kwargs: Any) -> Any:
        arith.require_float_state()
        with np.errstate(all="ignore"):
            return op(*args, **kwargs)

    return call


__all__: list[str] = []
for _info in pkgutil.iter_modules(__path__):
    _module = importlib.import_module(f"{__name__}.{_info.name}")
    for _name in getattr(_module, "__all__", ()):
        globals()[_name] = _specified(getattr(_module, _name))
        __all__ += [_name]
