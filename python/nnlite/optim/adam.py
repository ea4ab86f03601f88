"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import arrays
from ..backend import ops
from ..tensor import Parameter
from .optimizer import Optimizer, at_least_zero


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015); weight decay is added to the gradient."""

    _decoupled = False

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        name = type(self).__name__
        at_least_zero(name, "eps", group["eps"])
        betas = group["betas"]
        if len(betas) != 2 or not all(0.0 <= beta < 1.0 for beta in betas):
            raise ValueError(f"{name}: betas must be two numbers of at least 0 and below 1, got {betas}")

    def _new_state(self, p: Parameter) -> dict[str, Any]:
        zeros = arrays.zeros_like(p.data)
        return {"step": 0, "exp_avg": zeros, "exp_avg_sq": zeros.copy(), "power1": 1.0, "power2": 1.0}

    def _update(self, group: dict[str, Any], params: list[Parameter]) -> None:
        beta1, beta2 = (float(beta) for beta in group["betas"])
        # The corrections depend on how many steps a parameter has made: those that have made the same go into one call.
        together: dict[tuple[float, float], list[tuple[Parameter, dict[str, Any]]]] = {}
        for p, state in zip(params, self._states(params), strict=True):
            together.setdefault((state["power1"] * beta1, state["power2"] * beta2), []).append((p, state))
        for (power1, power2), same in together.items():
            ops(same[0][0].data).adam_update(
                [p.data for p, _ in same],
                [p.grad for p, _ in same],
                [state["exp_avg"] for _, state in same],
                [state["exp_avg_sq"] for _, state in same],
                float(group["lr"]),
                beta1,
                beta2,
                float(group["eps"]),
                float(group["weight_decay"]),
                self._decoupled,
                1.0 - power1,
                1.0 - power2,
            )
            for p, state in same:
                self.state[p] = state
                state["step"] += 1
                state["power1"] = power1
                state["power2"] = power2


class AdamW(Adam):
    """Adam with decoupled weight decay: the parameter itself shrinks (Loshchilov and Hutter 2019)."""

    _decoupled = True

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)
