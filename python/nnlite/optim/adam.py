"""Adam and AdamW."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .. import arguments, arrays
from ..arrays import Array
from ..backend import ops
from ..tensor import Parameter
from .formula import Formula, assign_all
from .optimizer import Optimizer


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015); weight decay is added to the gradient."""

    _decoupled = False
    _amsgrad = False
    _later = frozenset({"amsgrad", "maximize"})

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**settings, "amsgrad": amsgrad, "maximize": maximize})

    def check(self, group: dict[str, Any]) -> None:
        """All settings."""
        super().check(group)
        name = type(self).__name__
        arguments.number(f"{name}: eps", group["eps"])
        check_betas(name, group["betas"])
        for key in ("amsgrad", "maximize"):
            arguments.flag(f"{name}: {key}", group[key])
        self._amsgrad = self._amsgrad or bool(group["amsgrad"])

    def new_state(self, p: Parameter) -> dict[str, Any]:
        """Moments, steps, and the powers of the betas so far; with ``amsgrad`` the greatest second moment."""
        zeros = arrays.zeros_like(p.data)
        state = {"step": 0, "exp_avg": zeros, "exp_avg_sq": zeros.copy(), "power1": 1.0, "power2": 1.0}
        return {**state, "max_exp_avg_sq": zeros.copy()} if self._amsgrad else state

    def complete_state(self, group: Mapping[str, Any], state: dict[str, Any]) -> dict[str, Any]:
        """PyTorch keeps no powers of the betas: they are multiplied up again, step by step."""
        if "step" not in state or "power1" in state or "power2" in state:
            return state
        power1 = power2 = 1.0
        for _ in range(int(state["step"])):
            power1 *= float(group["betas"][0])
            power2 *= float(group["betas"][1])
            if power1 == power2 == 0.0:
                break
        return {**state, "power1": power1, "power2": power2}

    def check_state(self, state: dict[str, Any]) -> None:
        """Steps and powers."""
        if state["step"] < 0:
            raise ValueError(f"step must be at least 0, got {state['step']}")
        for key in ("power1", "power2"):
            arguments.number(key, state[key], 0.0, 1.0)

    def update(self, group: dict[str, Any], params: list[Parameter]) -> None:
        """One call of the backend for all that have made the same number of steps."""
        beta1, beta2 = (float(beta) for beta in group["betas"])
        grads = dict(zip(params, self.gradients(group, params), strict=True))
        # The corrections depend on how many steps a parameter has made: those that have made the same go into one call.
        together: dict[tuple[float, float], list[tuple[Parameter, dict[str, Any]]]] = {}
        for p, state in zip(params, self.states(params), strict=True):
            together.setdefault((state["power1"] * beta1, state["power2"] * beta2), []).append((p, state))
        for (power1, power2), same in together.items():
            if group["amsgrad"]:
                for p, state in same:
                    self._amsgrad_update(group, p, grads[p], state, 1.0 - power1, 1.0 - power2)
                self._count(same, power1, power2)
                continue
            ops(same[0][0].data).adam_update(
                [p.data for p, _ in same],
                [grads[p] for p, _ in same],
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
            self._count(same, power1, power2)

    def _count(self, same: list[tuple[Parameter, dict[str, Any]]], power1: float, power2: float) -> None:
        for p, state in same:
            self.state[p] = state
            state["step"] += 1
            state["power1"] = power1
            state["power2"] = power2

    def _amsgrad_update(
        self, group: dict[str, Any], p: Parameter, grad: Array, state: dict[str, Any], c1: float, c2: float
    ) -> None:
        """The update by the greatest second moment so far (Reddi et al. 2018)."""
        (beta1, beta2), decay, x, g = group["betas"], group["weight_decay"], Formula(p.data), Formula(grad)
        if decay and self._decoupled:
            x = x * (1.0 - group["lr"] * decay)
        elif decay:
            g = g + decay * x
        m = beta1 * Formula(state["exp_avg"]) + (1.0 - beta1) * g
        v = beta2 * Formula(state["exp_avg_sq"]) + (1.0 - beta2) * (g * g)
        most = Formula(state["max_exp_avg_sq"]).maximum(v)
        step = (group["lr"] / c1) * m / (most.sqrt() * (1.0 / math.sqrt(c2)) + group["eps"])
        work = [(state["exp_avg"], m), (state["exp_avg_sq"], v), (state["max_exp_avg_sq"], most), (p.data, x - step)]
        assign_all(work)


def check_betas(name: str, betas: Any) -> None:
    """Two numbers from 0 to 1, without 1."""
    if not isinstance(betas, Sequence) or len(betas) != 2:
        raise TypeError(f"{name}: betas must be two numbers, got {betas!r:.80}")
    for i, beta in enumerate(betas):
        arguments.number(f"{name}: betas[{i}]", beta, 0.0, 1.0, below=True)


class AdamW(Adam):
    """Adam with decoupled weight decay: the parameter itself shrinks (Loshchilov and Hutter 2019)."""

    _decoupled = True
    _pytorchs = {"decoupled_weight_decay": True}  # noqa: RUF012

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
