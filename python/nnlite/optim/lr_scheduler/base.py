"""The base of the schedules, and the two functions that they need beside ``+ - * /``."""

from __future__ import annotations

import decimal
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ... import arguments
from ..optimizer import Optimizer

_PRECISE = decimal.Context(prec=50, rounding=decimal.ROUND_HALF_EVEN, Emin=-(10**9), Emax=10**9, traps=[])
_PYTORCHS = {"_get_lr_called_within_step", "_is_initial", "verbose"}  # entries of its states that mean nothing here


class LRScheduler:
    """Base of the schedules, and of schedules of one's own: a subclass defines :meth:`get_lr`.

    Args:
        optimizer: the optimizer whose groups get the learning rates.
        last_epoch: the number of steps made so far; -1 to begin. Otherwise the groups hold ``initial_lr``, which the
            optimizer's ``state_dict`` keeps.

    Attributes:
        optimizer: the optimizer.
        base_lrs: the learning rate that each group had at first.
        last_epoch: the number of steps so far.

    Raises:
        TypeError: ``optimizer`` is none.
        KeyError: ``last_epoch`` is not -1, and a group has no ``initial_lr``.
    """

    _is_initial = False  # while the constructor makes the first step

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        name = type(self).__name__
        self.optimizer = check_optimizer(name, optimizer)
        self.last_epoch = arguments.size(f"{name}: last_epoch", last_epoch, -1)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"{name}: last_epoch is {last_epoch}, but param_groups[{i}] has no 'initial_lr'; load the "
                    "optimizer's state first, or leave last_epoch at -1"
                )
        self.base_lrs: list[float] = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            del self._is_initial

    def get_lr(self) -> list[float]:
        """The learning rate of each group at ``last_epoch``; :meth:`step` calls it. See :meth:`get_last_lr`."""
        raise NotImplementedError(f"{type(self).__name__} does not define get_lr()")

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group as the last step left it."""
        return self._last_lr

    def step(self) -> None:
        """Count one step more, and give each group its learning rate."""
        own = type(self.optimizer).step is not Optimizer.step
        if self._step_count == 1 and not self.optimizer._stepped and not own:
            warnings.warn(
                f"{type(self).__name__}: step() was called before the optimizer's step(), so the first learning rate "
                "is never used; call optimizer.step() first, and scheduler.step() after it",
                UserWarning,
                stacklevel=2,
            )
        self._step_count += 1
        try:
            self._update_lr()
        except Exception:
            self._step_count -= 1
            raise

    def _update_lr(self, epoch: int | None = None) -> None:
        """Go to the next epoch, or to ``epoch``: there by ``_get_closed_form_lr``, where the schedule has one."""
        closed: Callable[[], list[float]] | None = getattr(self, "_get_closed_form_lr", None)
        before = self.last_epoch
        self.last_epoch = before + 1 if epoch is None else epoch
        try:
            values = self.get_lr() if epoch is None or closed is None else closed()
            self._write(values)
        except Exception:
            self.last_epoch = before
            raise

    def _write(self, values: list[float]) -> None:
        groups = self.optimizer.param_groups
        if len(values) != len(groups):
            raise ValueError(
                f"{type(self).__name__}: {len(values)} learning rates for the optimizer's {len(groups)} groups; "
                "make the schedule after add_param_group()"
            )
        for group, value in zip(groups, values, strict=True):
            group["lr"] = value
        self._last_lr = self._lrs()

    def _lrs(self) -> list[float]:
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimizer, under PyTorch's names."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from what :meth:`state_dict` returned, or that of PyTorch's schedule of the same name.

        The learning rates themselves are the optimizer's: load its state as well.

        Raises:
            TypeError: ``state_dict`` is no dict.
            ValueError: entries are missing, or there are others. Nothing is changed.
        """
        self.__dict__.update(self._checked_state(state_dict, self.state_dict().keys()))

    def _checked_state(self, state_dict: Mapping[str, Any], own: Any) -> dict[str, Any]:
        what = f"{type(self).__name__}: load_state_dict"
        if not isinstance(state_dict, Mapping):
            raise TypeError(
                f"{what}: state_dict must be what state_dict() returns, a dict, got {type(state_dict).__name__}"
            )
        state = {key: value for key, value in state_dict.items() if key not in _PYTORCHS}
        if state.keys() != own:
            raise ValueError(f"{what}: entries {sorted(state)}, expected {sorted(own)}")
        lrs = state.get("base_lrs", self._lrs())
        if len(lrs) != len(self.optimizer.param_groups):
            raise ValueError(
                f"{what}: learning rates of {len(lrs)} groups, but the optimizer has {len(self.optimizer.param_groups)}"
            )
        return state


def check_optimizer(name: str, optimizer: Any) -> Optimizer:
    """``optimizer`` if it is one with learning rates."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{name}: optimizer must be an nnlite.optim.Optimizer, got {type(optimizer).__name__}")
    if any("lr" not in group for group in optimizer.param_groups):
        raise ValueError(f"{name}: {type(optimizer).__name__} has no setting 'lr'")
    return optimizer


def for_each_group(what: str, optimizer: Optimizer, value: Any) -> list[float]:
    """A number for all groups, or a list with one for each, as a list of floats."""
    n = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [arguments.number(what, value)] * n
    if len(value) != n:
        raise ValueError(f"{what} must be a number, or one for each of the optimizer's {n} groups, got {len(value)}")
    return [arguments.number(f"{what}[{i}]", x) for i, x in enumerate(value)]


def cosine(x: float) -> float:
    """``cos(pi x)`` within 2 ulp: the specified cosine (docs/numerics.md, section 9). Equal bits on every machine."""
    from ...reference.arith import sincos2pi

    return float(sincos2pi(np.array([0.5 * x]))[1][0])


def power(x: float, exponent: float) -> float:
    """``x`` to the power ``exponent``, for ``x`` of at least 0, rounded from 50 decimal digits.

    ``exp(exponent ln x)`` in :mod:`decimal`, whose ``exp`` and ``ln`` are correctly rounded by its specification. So
    the result is the correctly rounded one, but where it lies within ``1e-47`` of halfway between two numbers.
    """
    if exponent == 1 or x == 1:
        return float(x)
    if exponent == 0:
        return 1.0
    if x == 0:
        return 0.0
    logarithm = _PRECISE.ln(decimal.Decimal(x))
    return float(_PRECISE.exp(_PRECISE.multiply(decimal.Decimal(exponent), logarithm)))
