"""One step of training: all of it, or nothing."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np

from .. import arguments, nn, random
from ..arrays import Array
from ..backend import device_module
from ..nn.module import get_buffers, set_buffers
from .batches import Pair
from .interrupt import CtrlC
from .sums import right_answers

Measured = tuple[Any, Any, int]  # loss, right answers, samples


class Stepping:
    """How a step is done: batches per step, clipping, the schedule."""

    def __init__(
        self,
        accumulate: int,
        clip_norm: float | None,
        clip_value: float | None,
        schedule: Any,
        schedule_per: str,
    ) -> None:
        self.accumulate = arguments.size("Trainer: accumulate", accumulate)
        self.clip_norm = None if clip_norm is None else arguments.number("Trainer: clip_norm", clip_norm, above=True)
        self.clip_value = (
            None if clip_value is None else arguments.number("Trainer: clip_value", clip_value, above=True)
        )
        if schedule is not None and not callable(getattr(schedule, "step", None)):
            raise TypeError(
                "Trainer: schedule must have a method step(), as optim.lr_scheduler.StepLR(optimizer, 10) has, got "
                f"{type(schedule).__name__}"
            )
        if isinstance(schedule, type):
            raise TypeError(f"Trainer: schedule must be an object, got the class {schedule.__name__}")
        if schedule_per not in ("epoch", "step"):
            raise ValueError(f"Trainer: schedule_per must be 'epoch' or 'step', got {schedule_per!r}")
        self.schedule, self.per = schedule, schedule_per
        self._wants_metric = schedule is not None and _needs_argument(schedule.step)
        if self._wants_metric and schedule_per == "step":
            raise ValueError(f"Trainer: {type(schedule).__name__} looks at an epoch's loss; write schedule_per='epoch'")

    def facts(self) -> dict[str, Any]:
        """What must be the same for a fit that goes on, fit for JSON."""
        return {
            "accumulate": self.accumulate,
            "clip_norm": self.clip_norm,
            "clip_value": self.clip_value,
            "schedule": None if self.schedule is None else type(self.schedule).__name__,
            "schedule_per": self.per,
        }

    def after_epoch(self, row: dict[str, Any]) -> None:
        """Tell a schedule of epochs; one that wants a number gets the validation loss, or else the loss."""
        if self.schedule is None or self.per != "epoch":
            return
        if self._wants_metric:
            self.schedule.step(row["loss"] if row["test_loss"] is None else row["test_loss"])
        else:
            self.schedule.step()

    def step(self, trainer: Any, group: list[Pair], where: str, number: int, ctrl_c: CtrlC) -> list[Measured]:
        """One step on the batches of ``group``; whatever is raised leaves everything as it was before.

        Of several batches the gradient is that of the mean over all their samples: each loss is multiplied by the
        batch's share of the samples, and the gradients are added in the order of the batches.

        On a device nothing waits: loss and count of right answers are the device's, a loss that is no number keeps the
        optimizer from changing anything, and is raised when :class:`Sums` asks for the numbers.
        """
        model, optimizer = trainer.model, trainer.optimizer
        buffers = get_buffers(model)
        generator = random.get_state()
        samples = sum(len(x) for x, _ in group)
        measured: list[Measured] = []
        try:
            ctrl_c.open()
            optimizer.zero_grad()
            for x, t in group:
                y = model(x)
                loss = trainer.loss(y, t)
                value: float | Array
                device = device_module(loss.data)
                if device is not None:
                    value = loss.data
                    device._check_finite(value, where, number)
                else:
                    value = loss.item()
                    if not math.isfinite(value):
                        raise FloatingPointError(f"the loss is {value} in {where}, step {number}")
                (loss if len(group) == 1 else loss * (len(x) / samples)).backward()
                measured.append((value, right_answers(trainer.loss, y.data, t), len(x)))
            self._clip(optimizer)
            ctrl_c.close()
            optimizer.step()  # all or nothing
        except BaseException:
            ctrl_c.close()
            set_buffers(buffers)
            random.set_state(generator)
            optimizer.zero_grad()
            raise
        if self.schedule is not None and self.per == "step":
            self.schedule.step()
        return measured

    def _clip(self, optimizer: Any) -> None:
        if self.clip_norm is None and self.clip_value is None:
            return
        params = [p for group in optimizer.param_groups for p in group["params"]]
        if self.clip_value is not None:
            nn.utils.clip_grad_value_(params, self.clip_value)
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(params, self.clip_norm)


def _needs_argument(step: Any) -> bool:
    """Whether ``step`` cannot be called without a number."""
    try:
        parameters = inspect.signature(step).parameters.values()
    except (TypeError, ValueError):
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(p.kind in kinds and p.default is inspect.Parameter.empty for p in parameters)


def lr_of(optimizer: Any) -> float | None:
    """The learning rate of the first group."""
    lr = optimizer.param_groups[0].get("lr")
    return float(lr) if isinstance(lr, (int, float, np.number)) else None
