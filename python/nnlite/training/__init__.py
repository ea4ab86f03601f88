"""The training loop and what it leaves behind."""

from .history import Callback, History
from .trainer import Trainer

__all__ = ["Callback", "History", "Trainer"]
