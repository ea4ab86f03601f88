"""Optimizers that fit the step to each element, without momentum or with one of their own."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from .. import arrays
from ..tensor import Parameter
from .composed import Composed, Params, mixed
from .formula import Formula, power


class Adagrad(Composed):
    """``s = s + g*g``; ``p = p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)`` (Duchi et al. 2011)."""

    _numbers: ClassVar = {
        "lr_decay": (0.0, math.inf),
        "eps": (0.0, math.inf),
        "initial_accumulator_value": (0.0, math.inf),
    }
    _arrays = ("sum",)

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        settings = {"lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay}
        start = {"initial_accumulator_value": initial_accumulator_value}
        super().__init__(params, {"lr": lr, **settings, **start, "maximize": maximize})

    def new_state(self, p: Parameter) -> dict[str, Any]:
        """Steps and the sum of squares."""
        group = next(g for g in self.param_groups if any(q is p for q in g["params"]))
        return {"step": 0, "sum": arrays.full_like(p.data, float(group["initial_accumulator_value"]))}

    def one(self, group: dict[str, Any], x: Formula, g: Formula, state: dict[str, Any]) -> Formula:
        """The new parameter."""
        rate = float(group["lr"]) / (1.0 + (int(state["step"]) - 1) * float(group["lr_decay"]))
        total = state["sum"] = Formula(state["sum"]) + g * g
        return x - rate * g / (total.sqrt() + float(group["eps"]))


class RMSprop(Composed):
    """``s = alpha * s + (1 - alpha) * g*g``; ``p = p - lr * g / (sqrt(s) + eps)`` (Hinton 2012).

    ``centered`` subtracts the square of the running mean of ``g`` from ``s``; with ``momentum`` the step is
    ``b = momentum * b + g / (sqrt(s) + eps)``.
    """

    _numbers: ClassVar = {"alpha": (0.0, 1.0), "eps": (0.0, math.inf), "momentum": (0.0, math.inf)}
    _arrays = ("square_avg", "momentum_buffer", "grad_avg")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        settings = {"alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(params, {"lr": lr, **settings, "centered": centered, "maximize": maximize})

    def one(self, group: dict[str, Any], x: Formula, g: Formula, state: dict[str, Any]) -> Formula:
        """The new parameter."""
        alpha = float(group["alpha"])
        mean = state["square_avg"] = mixed(alpha, state["square_avg"], g * g)
        if group["centered"]:
            state["grad_avg"] = mixed(alpha, state["grad_avg"], g)
            mean = mean - state["grad_avg"] * state["grad_avg"]
        step = g / (mean.sqrt() + float(group["eps"]))
        if float(group["momentum"]):
            step = state["momentum_buffer"] = float(group["momentum"]) * Formula(state["momentum_buffer"]) + step
        return x - float(group["lr"]) * step


class Adadelta(Composed):
    """``s = rho * s + (1 - rho) * g*g``; ``d = sqrt(a + eps) / sqrt(s + eps) * g``; ``a = rho * a + (1 - rho) * d*d``;
    ``p = p - lr * d`` (Zeiler 2012).
    """

    _numbers: ClassVar = {"rho": (0.0, 1.0), "eps": (0.0, math.inf)}
    _arrays = ("square_avg", "acc_delta")

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        settings = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**settings, "maximize": maximize})

    def one(self, group: dict[str, Any], x: Formula, g: Formula, state: dict[str, Any]) -> Formula:
        """The new parameter."""
        rho, eps = float(group["rho"]), float(group["eps"])
        mean = state["square_avg"] = mixed(rho, state["square_avg"], g * g)
        step = (Formula(state["acc_delta"]) + eps).sqrt() / (mean + eps).sqrt() * g
        state["acc_delta"] = mixed(rho, state["acc_delta"], step * step)
        return x - float(group["lr"]) * step


class Rprop(Composed):
    """Steps by the sign of the gradient (Riedmiller and Braun 1993): a parameter's step grows by ``etas[1]`` while the
    sign stays, shrinks by ``etas[0]`` and is left out when it changes, within ``step_sizes``.
    """

    _arrays = ("prev", "step_size")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50.0),
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "etas": etas, "step_sizes": step_sizes, "maximize": maximize})

    def check(self, group: dict[str, Any]) -> None:
        """All settings."""
        super().check(group)
        for key in ("etas", "step_sizes"):
            if not isinstance(group[key], (tuple, list)) or len(group[key]) != 2:
                raise TypeError(f"Rprop: {key} must be two numbers, got {group[key]!r:.80}")
        (shrink, grow), (least, most) = group["etas"], group["step_sizes"]
        if not 0.0 < shrink < 1.0 < grow:
            raise ValueError(f"Rprop: etas must be a number below 1 and one above it, got {group['etas']}")
        if not 0.0 <= least <= most:
            raise ValueError(f"Rprop: step_sizes must be the least and the greatest, got {group['step_sizes']}")

    def new_state(self, p: Parameter) -> dict[str, Any]:
        """Steps, the last gradient, and each element's step."""
        group = next(g for g in self.param_groups if any(q is p for q in g["params"]))
        size = arrays.full_like(p.data, float(group["lr"]))
        return {"step": 0, "prev": arrays.zeros_like(p.data), "step_size": size}

    def one(self, group: dict[str, Any], x: Formula, g: Formula, state: dict[str, Any]) -> Formula:
        """The new parameter."""
        (shrink, grow), (least, most) = group["etas"], group["step_sizes"]
        product = g * Formula(state["prev"])
        same, changed = product.above(0.0), product.below(0.0)
        factor = same.chosen(grow, changed.chosen(shrink, 1.0))
        size = state["step_size"] = (Formula(state["step_size"]) * factor).maximum(least).minimum(most)
        kept = state["prev"] = changed.chosen(0.0, g)
        return x - kept.sign() * size


class ASGD(Composed):
    """Averaged stochastic gradient descent (Polyak and Juditsky 1992); the average is the state ``ax``."""

    _numbers: ClassVar = {"lambd": (0.0, math.inf), "alpha": (0.0, math.inf), "t0": (0.0, math.inf)}
    _arrays = ("ax",)

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        settings = {"lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay}
        super().__init__(params, {**settings, "maximize": maximize})

    def new_state(self, p: Parameter) -> dict[str, Any]:
        """Steps, the average, the rate of the next step and the share of the next average."""
        group = next(g for g in self.param_groups if any(q is p for q in g["params"]))
        return {**super().new_state(p), "eta": float(group["lr"]), "mu": 1.0}

    def one(self, group: dict[str, Any], x: Formula, g: Formula, state: dict[str, Any]) -> Formula:
        """The new parameter."""
        lr, lambd, t = float(group["lr"]), float(group["lambd"]), state["step"]
        eta, mu = float(state["eta"]), float(state["mu"])
        x = x * (1.0 - lambd * eta) - eta * g
        average = Formula(state["ax"])
        state["ax"] = x if mu == 1.0 else average + (x - average) * mu
        state["eta"] = lr / power(1.0 + lambd * lr * t, float(group["alpha"]))
        state["mu"] = 1.0 / max(1.0, t - group["t0"])
        return x
