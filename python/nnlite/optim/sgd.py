"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import arguments, arrays
from ..arrays import Array
from ..backend import ops
from ..tensor import Parameter
from .formula import Formula, assign_all
from .optimizer import Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent with momentum (the first step is the gradient), Nesterov's variant, weight decay.

    ``dampening`` d: the momentum is ``v = momentum * v + (1 - d) * g`` after the first step. ``maximize``: climb.
    """

    _later = frozenset({"dampening", "maximize"})

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        settings = {"momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov}
        super().__init__(params, {"lr": lr, **settings, "maximize": maximize})

    def check(self, group: dict[str, Any]) -> None:
        """All settings."""
        super().check(group)
        arguments.number("SGD: momentum", group["momentum"])
        arguments.number("SGD: dampening", group["dampening"], 0.0, 1.0)
        arguments.flag("SGD: maximize", group["maximize"])
        if arguments.flag("SGD: nesterov", group["nesterov"]):
            if group["momentum"] == 0:
                raise ValueError("SGD: nesterov needs a momentum above 0")
            if group["dampening"] != 0:
                raise ValueError("SGD: nesterov needs a dampening of 0")

    def new_state(self, p: Parameter) -> dict[str, Any]:
        """The momentum; only a step with momentum stores it."""
        return {"momentum_buffer": arrays.zeros_like(p.data)}

    def update(self, group: dict[str, Any], params: list[Parameter]) -> None:
        """One call of the backend."""
        momentum, grads = float(group["momentum"]), self.gradients(group, params)
        states = self.states(params) if momentum else []
        if momentum and group["dampening"]:
            self._dampened(group, params, grads, states)
        else:
            ops(params[0].data).sgd_update(
                [p.data for p in params],
                grads,
                [state["momentum_buffer"] for state in states],
                float(group["lr"]),
                momentum,
                float(group["weight_decay"]),
                bool(group["nesterov"]),
            )
        self.state.update(zip(params, states, strict=False))

    def _dampened(
        self, group: dict[str, Any], params: list[Parameter], grads: list[Array], states: list[dict[str, Any]]
    ) -> None:
        work = []
        for p, grad, state in zip(params, grads, states, strict=True):
            g, x = Formula(grad), Formula(p.data)
            if group["weight_decay"]:
                g = g + group["weight_decay"] * x
            share = 1.0 - group["dampening"] if p in self.state else 1.0
            v = group["momentum"] * Formula(state["momentum_buffer"]) + share * g
            work += [(state["momentum_buffer"], v), (p.data, x - group["lr"] * v)]
        assign_all(work)
