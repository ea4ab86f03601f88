"""Schedules by functions of one's own."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from typing import Any

from ..optimizer import Optimizer
from .base import LRScheduler, check_optimizer

Factor = Callable[[int], float]


class _ByFunction(LRScheduler):
    def __init__(self, optimizer: Optimizer, lr_lambda: Factor | list[Factor], last_epoch: int = -1) -> None:
        name = type(self).__name__
        n = len(check_optimizer(name, optimizer).param_groups)
        self.lr_lambdas = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) else [lr_lambda] * n
        if len(self.lr_lambdas) != n:
            raise ValueError(
                f"{name}: lr_lambda must be a function, or one for each of the optimizer's {n} groups, "
                f"got {len(self.lr_lambdas)}"
            )
        for i, function in enumerate(self.lr_lambdas):
            if not callable(function):
                raise TypeError(
                    f"{name}: lr_lambda[{i}] must be a function of the number of steps, got {type(function).__name__}"
                )
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimizer. Of functions ``None``, of other callables their attributes."""
        return {**super().state_dict(), "lr_lambdas": [attributes_of(function) for function in self.lr_lambdas]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from what :meth:`state_dict` returned; functions stay the schedule's own."""
        state = self._checked_state(state_dict, self.state_dict().keys())
        saved = state.pop("lr_lambdas")
        if len(saved) != len(self.lr_lambdas):
            raise ValueError(
                f"{type(self).__name__}: load_state_dict: {len(saved)} functions, expected {len(self.lr_lambdas)}"
            )
        self.__dict__.update(state)
        for function, attributes in zip(self.lr_lambdas, saved, strict=True):
            if attributes is not None:
                function.__dict__.update(attributes)


class LambdaLR(_ByFunction):
    """``base_lr lr_lambda(t)``.

    Args:
        optimizer: the optimizer.
        lr_lambda: a function of the number of steps, or a list with one for each group.
        last_epoch: the number of steps so far; -1 to begin.
    """

    def get_lr(self) -> list[float]:
        """The first learning rates times the functions' factors."""
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [base_lr * function(self.last_epoch) for base_lr, function in pairs]


class MultiplicativeLR(_ByFunction):
    """Multiplies the learning rate by ``lr_lambda(t)`` at each step.

    Args:
        optimizer: the optimizer.
        lr_lambda: a function of the number of steps, or a list with one for each group.
        last_epoch: the number of steps so far; -1 to begin.
    """

    def get_lr(self) -> list[float]:
        """The present learning rates times the functions' factors."""
        if self._is_initial:
            return self._lrs()
        return [lr * function(self.last_epoch) for lr, function in zip(self._lrs(), self.lr_lambdas, strict=False)]


def attributes_of(function: Any) -> dict[str, Any] | None:
    """What a state keeps of a callable: nothing of a function."""
    plain = isinstance(function, (types.FunctionType, types.BuiltinFunctionType)) or not hasattr(function, "__dict__")
    return None if plain else dict(function.__dict__)
