"""Optimizers, with PyTorch's names, defaults and parameter groups. Formulas: docs/numerics.md, section 11.

Each ``step()`` is one call of the backend for all parameters of a group that have a gradient; the others are left
alone.
"""

from . import lr_scheduler as lr_scheduler
from . import swa_utils as swa_utils
from .adam import Adam, AdamW
from .optimizer import Optimizer
from .sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]
