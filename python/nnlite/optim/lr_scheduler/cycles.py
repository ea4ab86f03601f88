"""Schedules that go up and down, of the momentum against the learning rate too."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

from ... import arguments
from ..optimizer import Optimizer
from .base import LRScheduler, check_optimizer, cosine, for_each_group, power
from .functions import attributes_of


class OneCycleLR(LRScheduler):
    """One cycle: up from ``max_lr / div_factor`` to ``max_lr``, down to ``max_lr / div_factor / final_div_factor``.

    The momentum, or the first beta, goes the other way (Smith and Topin 2018, https://arxiv.org/abs/1708.07120). A
    phase from ``a`` to ``b`` is ``b + (a - b) / 2 (1 + cos(pi p))``, or ``(b - a) p + a``, with ``p`` from 0 to 1. Step
    it after each batch.

    Args:
        optimizer: the optimizer.
        max_lr: the highest learning rate, or a list with one for each group.
        total_steps: the number of steps of the cycle; or ``epochs`` and ``steps_per_epoch``, whose product it is.
        epochs: the number of epochs.
        steps_per_epoch: the number of batches of each.
        pct_start: the part of the cycle that goes up.
        anneal_strategy: ``"cos"`` or ``"linear"``.
        cycle_momentum: whether the momentum changes.
        base_momentum: the lowest momentum, or a list with one for each group.
        max_momentum: the highest momentum, or a list with one for each group.
        div_factor: ``max_lr`` divided by the first learning rate.
        final_div_factor: the first learning rate divided by the last.
        three_phase: whether it goes down to the first learning rate in as many steps as up, and further after that.
        last_epoch: the number of steps so far; -1 to begin.

    Raises:
        ValueError: the cycle's length is not given, ``step()`` is called after its end, or a setting makes no sense.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer("OneCycleLR", optimizer)
        if total_steps is not None:
            self.total_steps = arguments.size("OneCycleLR: total_steps", total_steps)
        elif epochs is not None and steps_per_epoch is not None:
            self.total_steps = arguments.size("OneCycleLR: epochs", epochs) * arguments.size(
                "OneCycleLR: steps_per_epoch", steps_per_epoch
            )
        else:
            raise ValueError("OneCycleLR: total_steps is needed, or epochs and steps_per_epoch")
        part = arguments.number("OneCycleLR: pct_start", pct_start, 0.0, 1.0)
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"OneCycleLR: anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}")
        self._anneal_func_type = anneal_strategy
        self._schedule_phases = _phases(self.total_steps, part, arguments.flag("OneCycleLR: three_phase", three_phase))
        starts = [0.0, *(phase["end_step"] for phase in self._schedule_phases)]
        if any(a == b for a, b in itertools.pairwise(starts)):
            raise ValueError(
                f"OneCycleLR: a phase has no steps with total_steps={self.total_steps} and pct_start={part:g}; choose "
                "a longer cycle or another part"
            )
        highest = for_each_group("OneCycleLR: max_lr", optimizer, max_lr)
        first = arguments.number("OneCycleLR: div_factor", div_factor, above=True)
        last = arguments.number("OneCycleLR: final_div_factor", final_div_factor, above=True)
        self.cycle_momentum = arguments.flag("OneCycleLR: cycle_momentum", cycle_momentum)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, highest, strict=True):
                group["initial_lr"] = lr / first
                group["max_lr"] = lr
                group["min_lr"] = group["initial_lr"] / last
        if self.cycle_momentum:
            self.use_beta1 = _has_betas("OneCycleLR", optimizer)
            _set_momentums("OneCycleLR", optimizer, base_momentum, max_momentum, last_epoch == -1)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The point in the phase that ``last_epoch`` is in; writes the momentums."""
        t = self.last_epoch
        if t > self.total_steps:
            raise ValueError(f"OneCycleLR: step() was called {t} times, but total_steps is {self.total_steps}")
        start = 0.0
        for phase in self._schedule_phases:
            end = phase["end_step"]
            if t <= end:
                break
            if phase is not self._schedule_phases[-1]:
                start = end
        part = (t - start) / (end - start)
        lrs = []
        for group in self.optimizer.param_groups:
            lrs.append(self._between(group[phase["start_lr"]], group[phase["end_lr"]], part))
            if self.cycle_momentum:
                momentum = self._between(group[phase["start_momentum"]], group[phase["end_momentum"]], part)
                _set_momentum(group, momentum, self.use_beta1)
        return lrs

    def _between(self, start: float, end: float, part: float) -> float:
        if self._anneal_func_type == "linear":
            return (end - start) * part + start
        return end + (start - end) / 2.0 * (cosine(part) + 1)


def _phases(total_steps: int, part: float, three: bool) -> list[dict[str, Any]]:
    keys = ("end_step", "start_lr", "end_lr", "start_momentum", "end_momentum")
    up = (part * total_steps - 1, "initial_lr", "max_lr", "max_momentum", "base_momentum")
    down = (2 * part * total_steps - 2, "max_lr", "initial_lr", "base_momentum", "max_momentum")
    out = (total_steps - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum")
    end = (total_steps - 1, "max_lr", "min_lr", "base_momentum", "max_momentum")
    return [dict(zip(keys, phase, strict=True)) for phase in ((up, down, out) if three else (up, end))]


class CyclicLR(LRScheduler):
    """Up from ``base_lr`` to ``max_lr`` in ``step_size_up`` steps and down in ``step_size_down``, again and again.

    ``base_lr + (max_lr - base_lr) h s``, where ``h`` goes from 0 to 1 and back along lines, and ``s`` is 1
    (``"triangular"``), ``1 / 2^(cycle - 1)`` (``"triangular2"``), ``gamma^t`` (``"exp_range"``) or ``scale_fn``. The
    momentum, or the first beta, goes the other way (Smith 2017, https://arxiv.org/abs/1506.01186). Step it after each
    batch.

    Args:
        optimizer: the optimizer; its learning rates become ``base_lr``.
        base_lr: the lowest learning rate, or a list with one for each group.
        max_lr: the highest of the first cycle, or a list with one for each group.
        step_size_up: steps on the way up; at least 1.
        step_size_down: steps on the way down; ``step_size_up`` if ``None``.
        mode: how later cycles are scaled; not used with ``scale_fn``.
        gamma: the base of ``"exp_range"``; at least 0.
        scale_fn: a function of the number of the cycle, from 1, or of the step.
        scale_mode: which of the two ``scale_fn`` gets: ``"cycle"`` or ``"iterations"``.
        cycle_momentum: whether the momentum changes.
        base_momentum: the lowest momentum, or a list with one for each group.
        max_momentum: the highest momentum, or a list with one for each group.
        last_epoch: the number of steps so far; -1 to begin.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer("CyclicLR", optimizer)
        base_lrs = for_each_group("CyclicLR: base_lr", optimizer, base_lr)
        self.max_lrs = for_each_group("CyclicLR: max_lr", optimizer, max_lr)
        up = float(arguments.size("CyclicLR: step_size_up", step_size_up))
        down = up if step_size_down is None else float(arguments.size("CyclicLR: step_size_down", step_size_down))
        self.total_size = up + down
        self.step_ratio = up / self.total_size
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError(f"CyclicLR: mode must be 'triangular', 'triangular2' or 'exp_range', got {mode!r}")
        if scale_mode not in ("cycle", "iterations"):
            raise ValueError(f"CyclicLR: scale_mode must be 'cycle' or 'iterations', got {scale_mode!r}")
        self.mode = mode
        self.gamma = arguments.number("CyclicLR: gamma", gamma)
        self._scale_fn_custom = scale_fn
        if scale_fn is None:
            scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.scale_mode = scale_mode
        self.cycle_momentum = arguments.flag("CyclicLR: cycle_momentum", cycle_momentum)
        if self.cycle_momentum:
            self.use_beta1 = _has_betas("CyclicLR", optimizer)
            self.base_momentums, self.max_momentums = _set_momentums(
                "CyclicLR", optimizer, base_momentum, max_momentum, last_epoch == -1
            )
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, base_lrs, strict=True):
                group["lr"] = lr
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """The scale of the cycle or the step ``x``."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular":
            return 1.0
        return 1 / 2.0 ** (x - 1) if self.mode == "triangular2" else power(self.gamma, x)

    def get_lr(self) -> list[float]:
        """The points on the cycle; writes the momentums."""
        t = self.last_epoch
        cycle = math.floor(1 + t / self.total_size)
        x = 1.0 + t / self.total_size - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else t)
        if self.cycle_momentum:
            momentums = zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=False)
            for group, low, high in momentums:
                _set_momentum(group, high - (high - low) * height * scale, self.use_beta1)
        return [low + (high - low) * height * scale for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimizer. Of a function ``scale_fn`` ``None``, of another callable its attributes."""
        custom = None if self._scale_fn_custom is None else attributes_of(self._scale_fn_custom)
        return {**super().state_dict(), "_scale_fn_custom": custom}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from what :meth:`state_dict` returned; ``scale_fn`` stays the schedule's own."""
        state = self._checked_state(state_dict, self.state_dict().keys())
        custom = state.pop("_scale_fn_custom")
        self.__dict__.update(state)
        if custom is not None and self._scale_fn_custom is not None:
            self._scale_fn_custom.__dict__.update(custom)


def _has_betas(name: str, optimizer: Optimizer) -> bool:
    if "betas" not in optimizer.defaults and "momentum" not in optimizer.defaults:
        raise ValueError(
            f"{name}: {type(optimizer).__name__} has neither 'momentum' nor 'betas'; write cycle_momentum=False"
        )
    return "betas" in optimizer.defaults


def _set_momentums(
    name: str, optimizer: Optimizer, base: float | list[float], most: float | list[float], write: bool
) -> tuple[list[float], list[float]]:
    lows = for_each_group(f"{name}: base_momentum", optimizer, base)
    highs = for_each_group(f"{name}: max_momentum", optimizer, most)
    for group, low, high in zip(optimizer.param_groups, lows, highs, strict=True):
        if write:
            _set_momentum(group, high, "betas" in optimizer.defaults)
            group["max_momentum"] = high
            group["base_momentum"] = low
    return lows, highs


def _set_momentum(group: dict[str, Any], momentum: float, use_beta1: bool) -> None:
    if use_beta1:
        group["betas"] = (momentum, *group["betas"][1:])
    else:
        group["momentum"] = momentum
