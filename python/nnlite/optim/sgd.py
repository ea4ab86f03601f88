"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import arguments, arrays
from ..backend import ops
from ..tensor import Parameter
from .optimizer import Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent with momentum (the first step is the gradient), Nesterov's variant, weight decay."""

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov})

    def check(self, group: dict[str, Any]) -> None:
        """``lr``, ``weight_decay``, ``momentum`` and ``nesterov``."""
        super().check(group)
        arguments.number("SGD: momentum", group["momentum"])
        if arguments.flag("SGD: nesterov", group["nesterov"]) and group["momentum"] == 0:
            raise ValueError("SGD: nesterov needs a momentum above 0")

    def new_state(self, p: Parameter) -> dict[str, Any]:
        """The momentum; only a step with momentum stores it."""
        return {"momentum_buffer": arrays.zeros_like(p.data)}

    def update(self, group: dict[str, Any], params: list[Parameter]) -> None:
        """One call of the backend."""
        momentum = float(group["momentum"])
        states = self.states(params) if momentum else []
        ops(params[0].data).sgd_update(
            [p.data for p in params],
            [p.grad for p in params],
            [state["momentum_buffer"] for state in states],
            float(group["lr"]),
            momentum,
            float(group["weight_decay"]),
            bool(group["nesterov"]),
        )
        self.state.update(zip(params, states, strict=False))
