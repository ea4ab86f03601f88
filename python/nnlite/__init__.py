"""Neural networks on NumPy arrays with specified arithmetic: the same bits on any number of threads and any CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import arguments, init, nn, ops, optim, random
from .backend import backend, get_num_threads, set_num_threads
from .backend import name as get_backend
from .files import load, save
from .function import function
from .gradcheck import gradcheck, numerical_gradient
from .random import manual_seed
from .tape import no_grad
from .tensor import Parameter, Tensor

if TYPE_CHECKING:
    from . import cuda, data, kernels
    from .cuda import array
    from .training import Trainer

__version__ = "0.1.0"
NUMERICS = 1
"""Version of docs/numerics.md: results change in no bit while it stays the same."""

__all__ = [
    "NUMERICS",
    "Parameter",
    "Tensor",
    "Trainer",
    "__version__",
    "arguments",
    "array",
    "backend",
    "cuda",
    "data",
    "function",
    "get_backend",
    "get_num_threads",
    "gradcheck",
    "init",
    "kernels",
    "load",
    "manual_seed",
    "nn",
    "no_grad",
    "numerical_gradient",
    "ops",
    "optim",
    "random",
    "save",
    "set_num_threads",
]


def __getattr__(name: str) -> Any:
    """Import on use what a training loop may not need."""
    import importlib

    if name in ("cuda", "data", "kernels"):
        return importlib.import_module(f".{name}", __name__)
    if name == "array":
        return importlib.import_module(".cuda", __name__).array
    if name == "Trainer":
        return importlib.import_module(".training", __name__).Trainer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
