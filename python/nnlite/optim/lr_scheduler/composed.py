"""Schedules made of schedules."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from ... import arguments
from ..optimizer import Optimizer
from .base import LRScheduler
from .plateau import ReduceLROnPlateau


class _Composed(LRScheduler):
    _schedulers: Sequence[LRScheduler]

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimizer, of each schedule in it too."""
        return {**super().state_dict(), "_schedulers": [scheduler.state_dict() for scheduler in self._schedulers]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from what :meth:`state_dict` returned."""
        state = self._checked_state(state_dict, self.state_dict().keys())
        saved = state.pop("_schedulers")
        if len(saved) != len(self._schedulers):
            raise ValueError(
                f"{type(self).__name__}: load_state_dict: {len(saved)} schedules, expected {len(self._schedulers)}"
            )
        for scheduler, one in zip(self._schedulers, saved, strict=True):
            scheduler._checked_state(one, scheduler.state_dict().keys())
        for scheduler, one in zip(self._schedulers, saved, strict=True):
            scheduler.load_state_dict(one)
        self.__dict__.update(state)


class SequentialLR(_Composed):
    """One schedule after the other, each from its beginning: ``schedulers[i]`` from step ``milestones[i - 1]`` on.

    ``SequentialLR(optimizer, [LinearLR(optimizer), CosineAnnealingLR(optimizer, 95)], [5])`` is a warm-up and a cosine.

    Args:
        optimizer: the optimizer of all schedules.
        schedulers: the schedules.
        milestones: the steps at which the next one begins, ascending; one fewer than schedules.
        last_epoch: the number of steps so far; -1 to begin.

    Raises:
        TypeError: an entry is no schedule.
        ValueError: there is none, one is for another optimizer or a :class:`ReduceLROnPlateau`, or the milestones do
            not fit.
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1
    ) -> None:
        self._schedulers = _checked("SequentialLR", schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR: milestones must be one fewer than the {len(schedulers)} schedulers, "
                f"got {len(milestones)}"
            )
        self._milestones = [arguments.size("SequentialLR: milestones[i]", m, 0) for m in milestones]
        if self._milestones != sorted(self._milestones):
            raise ValueError(f"SequentialLR: milestones must ascend, got {self._milestones}")
        self.last_epoch = arguments.size("SequentialLR: last_epoch", last_epoch, -1) + 1
        self.optimizer = optimizer
        # Each schedule made its first step when it was made; take the steps back, and make the first one's again.
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        _step_back(self)
        first = schedulers[bisect_right(self._milestones, 0)]
        stepped, optimizer._stepped = optimizer._stepped, True  # no warning: it is the first step again
        first._initial_step()
        optimizer._stepped = stepped
        self._last_lr = first.get_last_lr()

    def step(self) -> None:
        """A step of the schedule whose turn it is."""
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[i]
        if i > 0 and self._milestones[i - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


class ChainedScheduler(_Composed):
    """Several schedules at once: each ``step()`` is a step of every one, so that their factors are multiplied.

    Args:
        schedulers: the schedules, of one optimizer.
        optimizer: the optimizer; that of the first schedule if ``None``.

    Raises:
        TypeError: an entry is no schedule.
        ValueError: there is none, or one is for another optimizer or a :class:`ReduceLROnPlateau`.
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        self._schedulers = _checked("ChainedScheduler", schedulers, optimizer)
        self.optimizer = schedulers[0].optimizer
        self._last_lr = self._lrs()

    def step(self) -> None:
        """A step of every schedule, in their order."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = self._lrs()


def _checked(name: str, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> Sequence[LRScheduler]:
    if not isinstance(schedulers, (list, tuple)):
        raise TypeError(f"{name}: schedulers must be a list of schedules, got {type(schedulers).__name__}")
    if not schedulers:
        raise ValueError(f"{name}: schedulers is empty; at least one is needed")
    for i, scheduler in enumerate(schedulers):
        if not isinstance(scheduler, LRScheduler):
            raise TypeError(f"{name}: schedulers[{i}] must be a schedule, got {type(scheduler).__name__}")
        if isinstance(scheduler, ReduceLROnPlateau):
            raise ValueError(
                f"{name}: schedulers[{i}] is a ReduceLROnPlateau, whose step() needs a metric; step it beside this one"
            )
        if scheduler.optimizer is not (optimizer or schedulers[0].optimizer):
            raise ValueError(f"{name}: schedulers[{i}] is for another optimizer; make all of them for one")
    return schedulers


def _step_back(scheduler: LRScheduler) -> None:
    if isinstance(scheduler, _Composed):
        for one in scheduler._schedulers:
            _step_back(one)
    else:
        scheduler.last_epoch -= 1
