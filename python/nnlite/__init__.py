"""Neural networks on NumPy arrays with specified arithmetic: the same bits on any number of threads and any CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import arguments, init, nn, ops, optim, random
from .backend import backend, get_num_threads, set_num_threads
from .backend import name as get_backend
from .files import load, load_checkpoint, save, save_checkpoint
from .function import function
from .gradcheck import gradcheck, numerical_gradient
from .random import manual_seed
from .tape import enable_grad, grad, is_grad_enabled, no_grad
from .tensor import Parameter, Tensor

if TYPE_CHECKING:
    from . import cuda, data, kernels, metrics, plot, search, shapes
    from .captured_step import capture
    from .cuda import array
    from .model_summary import summary
    from .model_trace import trace
    from .program import Program, load_program
    from .recorder import record
    from .runs import load_run
    from .training import Trainer

__version__ = "0.1.0"
NUMERICS = 1
"""Version of docs/numerics.md: results change in no bit while it stays the same."""

__all__ = [
    "NUMERICS",
    "Parameter",
    "Program",
    "Tensor",
    "Trainer",
    "__version__",
    "arguments",
    "array",
    "backend",
    "capture",
    "cuda",
    "data",
    "enable_grad",
    "function",
    "get_backend",
    "get_num_threads",
    "grad",
    "gradcheck",
    "init",
    "is_grad_enabled",
    "kernels",
    "load",
    "load_checkpoint",
    "load_program",
    "load_run",
    "manual_seed",
    "metrics",
    "nn",
    "no_grad",
    "numerical_gradient",
    "ops",
    "optim",
    "plot",
    "random",
    "record",
    "save",
    "save_checkpoint",
    "search",
    "set_num_threads",
    "shapes",
    "summary",
    "trace",
]


# Imported on use: what a training loop may not need, and the module that has it (`""`: it is a module).
_ON_USE = {
    **dict.fromkeys(
        [
            *("arange", "bernoulli", "empty", "empty_like", "eye", "from_numpy", "full", "full_like", "linspace"),
            *("multinomial", "ones", "ones_like", "rand", "rand_like", "randint", "randn", "randn_like", "randperm"),
            *("zeros", "zeros_like"),
        ],
        ".creation",
    ),
    "Program": ".program",
    "Trainer": ".training",
    "array": ".cuda",
    "capture": ".captured_step",
    "cuda": "",
    "data": "",
    "kernels": "",
    "load_program": ".program",
    "load_run": ".runs",
    "metrics": "",
    "plot": "",
    "record": ".recorder",
    "search": "",
    "shapes": "",
    "summary": ".model_summary",
    "trace": ".model_trace",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _ON_USE:
        if name in ops.__dict__ and not name.startswith("_") and callable(ops.__dict__[name]):
            return ops.__dict__[name]  # nl.where, nl.cat, nl.matmul: ops by the names that PyTorch has at its top
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(_ON_USE[name] or f".{name}", __name__)
    return getattr(module, name) if _ON_USE[name] else module


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
