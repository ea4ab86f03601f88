"""A schedule by what a metric does."""

from __future__ import annotations

import math
from typing import Any

from ... import arguments
from ..optimizer import Optimizer
from .base import LRScheduler, check_optimizer, for_each_group


class ReduceLROnPlateau(LRScheduler):
    """Multiplies the learning rate by ``factor`` when a metric has not become better for more than ``patience`` steps.

    Args:
        optimizer: the optimizer.
        mode: ``"min"`` where less is better, ``"max"`` where more is.
        factor: at least 0, below 1.
        patience: steps without progress that are let pass.
        threshold: better is less than ``best (1 - threshold)`` or more than ``best (1 + threshold)`` (``"rel"``); less
            than ``best - threshold`` or more than ``best + threshold`` (``"abs"``).
        threshold_mode: ``"rel"`` or ``"abs"``.
        cooldown: steps after a reduction in which nothing is counted.
        min_lr: the lowest learning rate, or a list with one for each group.
        eps: a reduction by at most this is left out.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        name = "ReduceLROnPlateau"
        self.factor = arguments.number(f"{name}: factor", factor, 0.0, 1.0, below=True)
        self.optimizer = check_optimizer(name, optimizer)
        if mode not in ("min", "max"):
            raise ValueError(f"{name}: mode must be 'min' or 'max', got {mode!r}")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"{name}: threshold_mode must be 'rel' or 'abs', got {threshold_mode!r}")
        self.min_lrs = for_each_group(f"{name}: min_lr", optimizer, min_lr)
        self.default_min_lr = None if isinstance(min_lr, (list, tuple)) else self.min_lrs[0]
        self.patience = arguments.size(f"{name}: patience", patience, 0)
        self.cooldown = arguments.size(f"{name}: cooldown", cooldown, 0)
        self.eps = arguments.number(f"{name}: eps", eps)
        self.last_epoch = 0
        self._last_lr = self._lrs()
        self.mode = mode
        self.threshold = arguments.number(f"{name}: threshold", threshold)
        self.threshold_mode = threshold_mode
        self.mode_worse = math.inf if mode == "min" else -math.inf
        self.best = self.mode_worse
        self.cooldown_counter = 0
        self.num_bad_epochs = 0

    def step(self, metrics: Any) -> None:  # type: ignore[override]
        """Take the metric of one more epoch: a number, or a tensor or array of one element. NaN is no progress."""
        current = float(metrics)
        self.last_epoch += 1
        if self._is_better(current, self.best):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce_lr()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = self._lrs()

    @property
    def in_cooldown(self) -> bool:
        """Whether the last reduction was less than ``cooldown`` steps ago."""
        return self.cooldown_counter > 0

    def _reduce_lr(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise ValueError(
                    f"ReduceLROnPlateau: min_lr has {len(self.min_lrs)} values for the optimizer's {len(groups)} "
                    "groups; set min_lrs after add_param_group()"
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, least in zip(groups, self.min_lrs, strict=True):
            lr = float(group["lr"])
            reduced = max(lr * self.factor, least)
            if lr - reduced > self.eps:
                group["lr"] = reduced

    def _is_better(self, a: float, best: float) -> bool:
        if self.threshold_mode == "rel":
            return a < best * (1.0 - self.threshold) if self.mode == "min" else a > best * (self.threshold + 1.0)
        return a < best - self.threshold if self.mode == "min" else a > best + self.threshold
