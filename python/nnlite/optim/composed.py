"""Optimizers composed of the backend's ops: one update after the other, each as its formula says.

``g`` is the gradient (plus ``weight_decay * p`` where it is not decoupled), ``t`` counts steps from 1. Powers of the
betas are running products in binary64; where a formula needs another power, it is ``exp(y * log(x))``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

from .. import arguments, arrays
from ..arrays import Array
from ..tensor import Parameter
from .adam import check_betas
from .formula import Formula, assign_all
from .optimizer import Optimizer

Params = Iterable[Parameter] | Iterable[dict[str, Any]]


class Composed(Optimizer):
    """An optimizer whose :meth:`one` says what becomes of one parameter."""

    _numbers: ClassVar[dict[str, tuple[float, float]]] = {}  # settings and their bounds
    _arrays: tuple[str, ...] = ()  # of the state, zeros at first

    def check(self, group: dict[str, Any]) -> None:
        """All settings."""
        super().check(group)
        name = type(self).__name__
        for key, (least, most) in self._numbers.items():
            arguments.number(f"{name}: {key}", group[key], least, most)
        if "betas" in group:
            check_betas(name, group["betas"])
        arguments.flag(f"{name}: maximize", group["maximize"])

    def new_state(self, p: Parameter) -> dict[str, Any]:
        """Steps, and what is remembered."""
        return {"step": 0, **{key: arrays.zeros_like(p.data) for key in self._arrays}}

    def check_state(self, state: dict[str, Any]) -> None:
        """Steps."""
        if state["step"] < 0:
            raise ValueError(f"step must be at least 0, got {state['step']}")

    def update(self, group: dict[str, Any], params: list[Parameter]) -> None:
        """All new values are computed before the first is stored."""
        states, work = self.states(params), []
        numbers: list[dict[str, Any]] = []
        for p, grad, state in zip(params, self.gradients(group, params), states, strict=True):
            g, x = Formula(grad), Formula(p.data)
            if group.get("weight_decay") and not self._decoupled(group):
                g = g + group["weight_decay"] * x
            after = {**state, "step": state["step"] + 1}
            work += [(p.data, self.one(group, x, g, after))]
            for key in self._arrays:
                work += [(state[key], after[key])] if isinstance(after[key], Formula) else []
            numbers.append({key: value for key, value in after.items() if key not in self._arrays})
        assign_all(work)
        for p, state, after in zip(params, states, numbers, strict=True):
            state.update(after)
            self.state[p] = state

    def _decoupled(self, group: dict[str, Any]) -> bool:
        return bool(group.get("decoupled_weight_decay", False))

    def one(self, group: dict[str, Any], x: Formula, g: Formula, state: dict[str, Any]) -> Formula:
        """The new parameter. New arrays of the state are put into ``state`` as Formulas, numbers as they are."""
        raise NotImplementedError


def mixed(share: float, old: Array, new: Formula) -> Formula:
    """``share * old + (1 - share) * new``."""
    return share * Formula(old) + (1.0 - share) * new


class WithMoments(Composed):
    """With a first moment and the powers of the betas."""

    _numbers: ClassVar = {"eps": (0.0, math.inf)}

    def new_state(self, p: Parameter) -> dict[str, Any]:
        """Moments, steps, and the powers of the betas so far."""
        return {**super().new_state(p), "power1": 1.0, "power2": 1.0}

    def check_state(self, state: dict[str, Any]) -> None:
        """Steps and powers."""
        super().check_state(state)
        for key in ("power1", "power2"):
            arguments.number(key, state[key], 0.0, 1.0)

    def _moments(self, group: dict[str, Any], g: Formula, state: dict[str, Any]) -> tuple[Formula, Formula]:
        (beta1, beta2) = group["betas"]
        state["power1"], state["power2"] = state["power1"] * beta1, state["power2"] * beta2
        state["exp_avg"] = mixed(beta1, state["exp_avg"], g)
        state["exp_avg_sq"] = mixed(beta2, state["exp_avg_sq"], g * g)
        return state["exp_avg"], state["exp_avg_sq"]
