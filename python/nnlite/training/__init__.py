"""The training loop, who is told of it, and what it leaves behind."""

from .callbacks import CSVLog, JSONLog
from .checkpoint import Checkpoints
from .early_stopping import EarlyStopping
from .history import Callback, History
from .trainer import Trainer

__all__ = ["CSVLog", "Callback", "Checkpoints", "EarlyStopping", "History", "JSONLog", "Trainer"]
