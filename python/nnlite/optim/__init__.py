"""Optimizers, with PyTorch's names, defaults and parameter groups. Formulas: docs/numerics.md, section 11.

``SGD``, ``Adam`` and ``AdamW`` are one call of the backend for all parameters of a group that have a gradient; the
others are composed of ops. Parameters without a gradient are left alone.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from .adam import Adam, AdamW
from .adaptive import ASGD, Adadelta, Adagrad, RMSprop, Rprop
from .moments import LAMB, Adamax, Lion, Muon, NAdam, RAdam
from .optimizer import Optimizer
from .sgd import SGD

if TYPE_CHECKING:
    from . import lr_scheduler as lr_scheduler
    from . import swa_utils as swa_utils

__all__ = [
    "ASGD",
    "LAMB",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
]


def __getattr__(name: str) -> ModuleType:
    """``optim.lr_scheduler`` and ``optim.swa_utils`` are imported on use."""
    if name in ("lr_scheduler", "swa_utils"):
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
