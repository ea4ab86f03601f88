"""Schedules that go down, or up, by steps, lines and powers."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable

from ... import arguments
from ..optimizer import Optimizer
from .base import LRScheduler, power


class StepLR(LRScheduler):
    """Multiplies the learning rate by ``gamma`` every ``step_size`` steps: ``base_lr gamma^floor(t / step_size)``.

    Args:
        optimizer: the optimizer.
        step_size: how many steps the learning rate stays; at least 1.
        gamma: the factor; at least 0.
        last_epoch: the number of steps so far; -1 to begin.
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size = arguments.size("StepLR: step_size", step_size)
        self.gamma = arguments.number("StepLR: gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The present learning rates, times ``gamma`` at multiples of ``step_size``."""
        if self.last_epoch == 0 or self.last_epoch % self.step_size != 0:
            return self._lrs()
        return [lr * self.gamma for lr in self._lrs()]

    def _get_closed_form_lr(self) -> list[float]:
        factor = power(self.gamma, self.last_epoch // self.step_size)
        return [base_lr * factor for base_lr in self.base_lrs]


class MultiStepLR(LRScheduler):
    """Multiplies the learning rate by ``gamma`` at each of ``milestones``.

    Args:
        optimizer: the optimizer.
        milestones: numbers of steps; one that appears twice counts twice.
        gamma: the factor; at least 0.
        last_epoch: the number of steps so far; -1 to begin.
    """

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        if isinstance(milestones, (int, str)) or not isinstance(milestones, Iterable):
            raise TypeError(f"MultiStepLR: milestones must be a list of integers, got {milestones!r:.80}")
        self.milestones = Counter(arguments.size("MultiStepLR: milestones[i]", m, 0) for m in milestones)
        self.gamma = arguments.number("MultiStepLR: gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The present learning rates, times ``gamma`` at a milestone."""
        if self.last_epoch not in self.milestones:
            return self._lrs()
        factor = power(self.gamma, self.milestones[self.last_epoch])
        return [lr * factor for lr in self._lrs()]

    def _get_closed_form_lr(self) -> list[float]:
        factor = power(self.gamma, bisect_right(sorted(self.milestones.elements()), self.last_epoch))
        return [base_lr * factor for base_lr in self.base_lrs]


class ConstantLR(LRScheduler):
    """``base_lr factor`` for ``total_iters`` steps, and ``base_lr`` after them.

    Args:
        optimizer: the optimizer.
        factor: above 0, at most 1.
        total_iters: how many steps the factor lasts.
        last_epoch: the number of steps so far; -1 to begin.
    """

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        self.factor = arguments.number("ConstantLR: factor", factor, 0.0, 1.0, above=True)
        self.total_iters = arguments.size("ConstantLR: total_iters", total_iters, 0)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The present learning rates, times ``factor`` at first and ``1 / factor`` after ``total_iters`` steps."""
        if self.last_epoch == 0:
            return [lr * self.factor for lr in self._lrs()]
        if self.last_epoch != self.total_iters:
            return self._lrs()
        return [lr * (1.0 / self.factor) for lr in self._lrs()]

    def _get_closed_form_lr(self) -> list[float]:
        factor = self.factor + (self.last_epoch >= self.total_iters) * (1 - self.factor)
        return [base_lr * factor for base_lr in self.base_lrs]


class LinearLR(LRScheduler):
    """A line from ``base_lr start_factor`` to ``base_lr end_factor`` in ``total_iters`` steps: a warm-up.

    Args:
        optimizer: the optimizer.
        start_factor: above 0, at most 1.
        end_factor: from 0 to 1.
        total_iters: the number of steps; at least 1.
        last_epoch: the number of steps so far; -1 to begin.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self.start_factor = arguments.number("LinearLR: start_factor", start_factor, 0.0, 1.0, above=True)
        self.end_factor = arguments.number("LinearLR: end_factor", end_factor, 0.0, 1.0)
        self.total_iters = arguments.size("LinearLR: total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The present learning rates times the quotient of this step's point on the line and the last one's."""
        if self.last_epoch == 0:
            return [lr * self.start_factor for lr in self._lrs()]
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._lrs()
        rise = self.end_factor - self.start_factor
        factor = 1.0 + rise / (self.total_iters * self.start_factor + (self.last_epoch - 1) * rise)
        return [lr * factor for lr in self._lrs()]

    def _get_closed_form_lr(self) -> list[float]:
        rise = (self.end_factor - self.start_factor) * min(self.total_iters, self.last_epoch) / self.total_iters
        return [base_lr * (self.start_factor + rise) for base_lr in self.base_lrs]


class ExponentialLR(LRScheduler):
    """Multiplies the learning rate by ``gamma`` at each step: ``base_lr gamma^t``.

    Args:
        optimizer: the optimizer.
        gamma: the factor; at least 0.
        last_epoch: the number of steps so far; -1 to begin.
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = arguments.number("ExponentialLR: gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The present learning rates times ``gamma``."""
        return self._lrs() if self._is_initial else [lr * self.gamma for lr in self._lrs()]

    def _get_closed_form_lr(self) -> list[float]:
        factor = power(self.gamma, self.last_epoch)
        return [base_lr * factor for base_lr in self.base_lrs]


class PolynomialLR(LRScheduler):
    """``base_lr (1 - t / total_iters)^power``, and 0 from ``total_iters`` on.

    Args:
        optimizer: the optimizer.
        total_iters: the number of steps; at least 1.
        power: the exponent; at least 0.
        last_epoch: the number of steps so far; -1 to begin.
    """

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters = arguments.size("PolynomialLR: total_iters", total_iters)
        self.power = arguments.number("PolynomialLR: power", power)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The present learning rates times the quotient of this step's value and the last one's."""
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._lrs()
        left = 1.0 - self.last_epoch / self.total_iters
        factor = power(left / (1.0 - (self.last_epoch - 1) / self.total_iters), self.power)
        return [lr * factor for lr in self._lrs()]

    def _get_closed_form_lr(self) -> list[float]:
        factor = power(1.0 - min(self.total_iters, self.last_epoch) / self.total_iters, self.power)
        return [base_lr * factor for base_lr in self.base_lrs]
