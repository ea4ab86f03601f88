"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import arrays
from ..backend import ops
from ..tensor import Parameter
from .optimizer import Optimizer, at_least_zero


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

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        at_least_zero("SGD", "momentum", group["momentum"])
        if group["nesterov"] and group["momentum"] == 0:
            raise ValueError("SGD: nesterov needs a momentum above 0")

    def _new_state(self, p: Parameter) -> dict[str, Any]:
        return {"momentum_buffer": arrays.zeros_like(p.data)}

    def _update(self, group: dict[str, Any], params: list[Parameter]) -> None:
        momentum = float(group["momentum"])
        states = self._states(params) if momentum else []
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
