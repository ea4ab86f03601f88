"""An end to a fit that no longer gets better."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .. import arguments, arrays, nn, optim
from .history import Callback, Row

if TYPE_CHECKING:
    from .trainer import Trainer


class EarlyStopping(Callback):
    """Ends a fit when a number of its history has not become better for ``patience`` epochs.

    Args:
        patience: epochs without a better number, at least 1.
        min_delta: by how much more than this a number must be better to count, at least 0.
        monitor: the name of the number in a row of the history; without validation data say ``"loss"``.
        mode: ``"min"`` or ``"max"``; by default ``"max"`` for names that end in ``accuracy``, else ``"min"``.
        restore_best: at the end of the fit, also one that was not ended early, give the model the parameters and
            buffers of the best epoch.

    Attributes:
        best: the best number so far; ``None`` before the first epoch.
        best_epoch: its epoch.
    """

    def __init__(
        self,
        patience: int = 5,
        min_delta: float = 0.0,
        monitor: str = "test_loss",
        mode: str | None = None,
        restore_best: bool = True,
    ) -> None:
        self.patience = arguments.size("EarlyStopping: patience", patience)
        self.min_delta = arguments.number("EarlyStopping: min_delta", min_delta)
        self.monitor = monitor
        self.maximize = is_maximized("EarlyStopping", monitor, mode)
        self.restore_best = arguments.flag("EarlyStopping: restore_best", restore_best)
        self._reset()

    def _reset(self) -> None:
        self.best: float | None = None
        self.best_epoch = 0
        self._epochs = 0
        self._weights: dict[str, Any] = {}

    def at_start(self, trainer: Trainer) -> None:
        """Begin anew, unless the fit goes on."""
        if not trainer.history:
            self._reset()

    def after_epoch(self, row: Row, model: nn.Module) -> str | None:
        """Look at the number; the reason to stop, or ``None``."""
        value = monitored("EarlyStopping", row, self.monitor)
        self._epochs = row["epoch"]
        if is_better(value, self.best, self.maximize, self.min_delta):
            self.best, self.best_epoch = value, row["epoch"]
            if self.restore_best:
                self._weights = {k: arrays.to_numpy(arrays.copy(v)) for k, v in model.state_dict().items()}
        if self._epochs - self.best_epoch >= self.patience:
            return f"no better {self.monitor} than {self.best} of epoch {self.best_epoch}"
        return None

    def at_end(self, status: str, model: nn.Module, optimizer: optim.Optimizer) -> None:
        """Put the best weights back, unless the fit failed or was interrupted."""
        ended_well = status == "finished" or status.startswith("stopped: no better")
        if self.restore_best and self._weights and ended_well and self.best_epoch != self._epochs:
            model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """Best number, epochs and weights."""
        return {
            "best": self.best,
            "best_epoch": self.best_epoch,
            "epochs": self._epochs,
            "weights": self._weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue."""
        self.best, self.best_epoch, self._epochs = state["best"], state["best_epoch"], state["epochs"]
        self._weights = dict(state["weights"])


def is_maximized(what: str, monitor: str, mode: str | None) -> bool:
    """Whether more is better."""
    if mode not in (None, "min", "max"):
        raise ValueError(f"{what}: mode must be 'min' or 'max', got {mode!r}")
    return monitor.endswith("accuracy") if mode is None else mode == "max"


def monitored(what: str, row: Row, monitor: str) -> float:
    """The number of a row."""
    value = row.get(monitor)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        known = [name for name, v in row.items() if isinstance(v, (int, float)) and name != "epoch"]
        advice = "; give fit(validation=…), or" if monitor.startswith("test_") else "; "
        raise ValueError(f"{what}: an epoch has no {monitor!r}{advice} monitor one of {', '.join(known)}")
    return float(value)


def is_better(value: float, best: float | None, maximize: bool, min_delta: float = 0.0) -> bool:
    """Whether a number is better than the best so far; NaN never is."""
    if math.isnan(value):
        return False
    if best is None:
        return True
    return value > best + min_delta if maximize else value < best - min_delta
