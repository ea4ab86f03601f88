"""Every op's forward and backward on plain arrays, for people who write their own layers.

``nl.kernels.conv2d_forward(x, weight, ...)`` runs on the current backend. Signatures and docstrings are those of
:mod:`nnlite.reference`: ``help(nl.kernels.conv2d_forward)``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .backend import ops


def __getattr__(name: str) -> Callable[..., Any]:
    specification = None if name.startswith("_") else getattr(_reference(), name, None)
    if not callable(specification):
        raise AttributeError(f"nnlite.kernels has no op {name!r}")

    from .reference.signature import explain

    @functools.wraps(specification)
    def kernel(*args: Any, **kwargs: Any) -> Any:
        try:
            return getattr(ops(args[0] if args else None), name)(*args, **kwargs)
        except TypeError as error:
            if "incompatible function arguments" not in str(error):
                raise
            wrong = explain(specification, args, kwargs)  # in place of the bindings' text, which shows whole arrays
            raise TypeError(wrong or str(error).partition("\n")[0]) from None

    kernel.__module__, kernel.__qualname__ = __name__, name  # where pickle finds it
    globals()[name] = kernel
    return kernel


def __dir__() -> list[str]:
    return sorted(name for name, value in vars(_reference()).items() if callable(value) and not name.startswith("_"))


def _reference() -> ModuleType:
    from . import reference

    return reference
