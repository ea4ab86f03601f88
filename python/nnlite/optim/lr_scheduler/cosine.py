"""Schedules along a cosine (Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983)."""

from __future__ import annotations

from ... import arguments
from ..optimizer import Optimizer
from .base import LRScheduler, cosine


class CosineAnnealingLR(LRScheduler):
    """``eta_min + (base_lr - eta_min) (1 + cos(pi t / T_max)) / 2``: half a period down, the next up again.

    Args:
        optimizer: the optimizer.
        T_max: steps from the highest to the lowest learning rate; at least 1.
        eta_min: the lowest.
        last_epoch: the number of steps so far; -1 to begin.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max = arguments.size("CosineAnnealingLR: T_max", T_max)
        self.eta_min = arguments.number("CosineAnnealingLR: eta_min", eta_min)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The present distances from ``eta_min`` times the quotient of ``1 + cos`` now and one step before."""
        if self._is_initial:
            return self._lrs()
        t, both = self.last_epoch, list(zip(self._lrs(), self.base_lrs, strict=False))
        if self._step_count == 1 and t > 0:
            return self._get_closed_form_lr()
        if (t - 1 - self.T_max) % (2 * self.T_max) == 0:  # one step before, 1 + cos was 0
            rise = 1 - cosine(1 / self.T_max)
            return [lr + (base_lr - self.eta_min) * rise / 2 for lr, base_lr in both]
        factor = (1 + cosine(t / self.T_max)) / (1 + cosine((t - 1) / self.T_max))
        return [factor * (lr - self.eta_min) + self.eta_min for lr, _ in both]

    def _get_closed_form_lr(self) -> list[float]:
        height = 1 + cosine(self.last_epoch / self.T_max)
        return [self.eta_min + (base_lr - self.eta_min) * height / 2 for base_lr in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """``eta_min + (base_lr - eta_min) (1 + cos(pi T_cur / T_i)) / 2``, from the top again when ``T_cur`` is ``T_i``.

    Args:
        optimizer: the optimizer.
        T_0: steps of the first run; at least 1.
        T_mult: how many times as long as the one before each later run is; at least 1.
        eta_min: the lowest learning rate.
        last_epoch: the number of steps so far; -1 to begin.
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        name = "CosineAnnealingWarmRestarts"
        self.T_0 = arguments.size(f"{name}: T_0", T_0)
        self.T_i = T_0
        self.T_mult = arguments.size(f"{name}: T_mult", T_mult)
        self.eta_min = arguments.number(f"{name}: eta_min", eta_min)
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The point on the cosine."""
        height = 1 + cosine(self.T_cur / self.T_i)
        return [self.eta_min + (base_lr - self.eta_min) * height / 2 for base_lr in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """The next step, or the one at ``epoch``, which may lie between two: ``step(epoch + i / batches)``.

        Raises:
            ValueError: ``epoch`` is negative.
        """
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            self.T_cur, self.T_i = arguments.number("CosineAnnealingWarmRestarts: epoch", epoch), self.T_0
            if self.T_mult == 1:
                self.T_cur %= self.T_0
            while self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        self.last_epoch = int(epoch)
        self._write(self.get_lr())
