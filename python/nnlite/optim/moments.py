"""Relatives of Adam, and optimizers of momentum."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ..backend import ops
from ..tensor import Parameter
from .composed import Composed, Params, WithMoments, mixed
from .formula import Formula, power


class Adamax(WithMoments):
    """Adam with the greatest gradient: ``u = max(beta2 * u, abs(g) + eps)``; ``p = p - lr / (1 - beta1^t) * m / u``."""

    _arrays = ("exp_avg", "exp_inf")

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**settings, "maximize": maximize})

    def one(self, group: dict[str, Any], x: Formula, g: Formula, state: dict[str, Any]) -> Formula:
        """The new parameter."""
        beta1, beta2 = (float(beta) for beta in group["betas"])
        state["power1"], state["power2"] = state["power1"] * beta1, state["power2"] * beta2
        m = state["exp_avg"] = mixed(beta1, state["exp_avg"], g)
        u = state["exp_inf"] = (beta2 * Formula(state["exp_inf"])).maximum(g.abs() + float(group["eps"]))
        return x - (float(group["lr"]) / (1.0 - float(state["power1"]))) * m / u


class NAdam(WithMoments):
    """Adam with Nesterov's momentum (Dozat 2016): ``mu_t = beta1 * (1 - 0.5 * 0.96^(t * momentum_decay))``."""

    _numbers: ClassVar = {"eps": (0.0, math.inf), "momentum_decay": (0.0, math.inf)}
    _arrays = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        more = {"momentum_decay": momentum_decay, "decoupled_weight_decay": decoupled_weight_decay}
        super().__init__(params, {**settings, **more, "maximize": maximize})

    def new_state(self, p: Parameter) -> dict[str, Any]:
        """Moments, steps, powers, and the product of the mu so far."""
        return {**super().new_state(p), "mu_product": 1.0}

    def one(self, group: dict[str, Any], x: Formula, g: Formula, state: dict[str, Any]) -> Formula:
        """The new parameter."""
        lr, beta1, t = float(group["lr"]), float(group["betas"][0]), int(state["step"])
        if float(group["weight_decay"]) and group["decoupled_weight_decay"]:
            x = x * (1.0 - lr * float(group["weight_decay"]))
        mu, following = (beta1 * (1.0 - 0.5 * power(0.96, n * float(group["momentum_decay"]))) for n in (t, t + 1))
        state["mu_product"] *= mu
        m, v = self._moments(group, g, state)
        root = (v / (1.0 - float(state["power2"]))).sqrt() + float(group["eps"])
        so_far = float(state["mu_product"])
        x = x - (lr * (1.0 - mu) / (1.0 - so_far)) * g / root
        return x - (lr * following / (1.0 - so_far * following)) * m / root


class RAdam(WithMoments):
    """Adam whose step is rectified while its variance is not yet known (Liu et al. 2020)."""

    _arrays = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**settings, "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize})

    def one(self, group: dict[str, Any], x: Formula, g: Formula, state: dict[str, Any]) -> Formula:
        """The new parameter."""
        lr, beta2 = float(group["lr"]), group["betas"][1]
        if float(group["weight_decay"]) and group["decoupled_weight_decay"]:
            x = x * (1.0 - lr * float(group["weight_decay"]))
        m, v = self._moments(group, g, state)
        rest1, rest2 = 1.0 - float(state["power1"]), 1.0 - float(state["power2"])
        most = 2.0 / (1.0 - beta2) - 1.0
        now = most - 2.0 * state["step"] * state["power2"] / rest2
        step = (lr / rest1) * m
        if now <= 5.0:
            return x - step
        rect = math.sqrt((now - 4.0) * (now - 2.0) * most / ((most - 4.0) * (most - 2.0) * now))
        return x - step * (rect * math.sqrt(rest2)) / (v.sqrt() + float(group["eps"]))


class Lion(Composed):
    """``p = p * (1 - lr * weight_decay) - lr * sign(beta1 * m + (1 - beta1) * g)``; ``m = beta2 * m + (1 - beta2) * g``
    (Chen et al. 2023).
    """

    _arrays = ("exp_avg",)

    def __init__(
        self,
        params: Params,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize})

    def _decoupled(self, group: dict[str, Any]) -> bool:
        return True

    def one(self, group: dict[str, Any], x: Formula, g: Formula, state: dict[str, Any]) -> Formula:
        """The new parameter."""
        (beta1, beta2), lr = group["betas"], float(group["lr"])
        if float(group["weight_decay"]):
            x = x * (1.0 - lr * float(group["weight_decay"]))
        step = mixed(beta1, state["exp_avg"], g).sign()
        state["exp_avg"] = mixed(beta2, state["exp_avg"], g)
        return x - lr * step


class LAMB(WithMoments):
    """Adam's step of each parameter scaled by the ratio of the norms of parameter and step (You et al. 2020)."""

    _arrays = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**settings, "maximize": maximize})

    def _decoupled(self, group: dict[str, Any]) -> bool:
        return True

    def one(self, group: dict[str, Any], x: Formula, g: Formula, state: dict[str, Any]) -> Formula:
        """The new parameter."""
        m, v = self._moments(group, g, state)
        step = m / (1.0 - float(state["power1"])) / ((v / (1.0 - float(state["power2"]))).sqrt() + float(group["eps"]))
        if float(group["weight_decay"]):
            step = step + float(group["weight_decay"]) * x
        size, length = x.norm(), step.norm()
        ratio = size.above(0.0).chosen(length.above(0.0).chosen(size / length, 1.0), 1.0)
        return x - float(group["lr"]) * (ratio * step)


class Muon(Composed):
    """Momentum whose matrix is made nearly orthogonal by ``ns_steps`` Newton-Schulz steps (Jordan et al. 2024).

    For matrices alone: give biases and embeddings to another optimizer. PyTorch takes the Newton-Schulz steps in
    bfloat16, this one in the parameter's dtype.

    Raises:
        ValueError: a parameter has not 2 dimensions.
    """

    _numbers: ClassVar = {"momentum": (0.0, 1.0), "eps": (0.0, math.inf)}
    _arrays = ("momentum_buffer",)

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        *,
        maximize: bool = False,
    ) -> None:
        settings = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov}
        steps = {"ns_coefficients": ns_coefficients, "eps": eps, "ns_steps": ns_steps}
        super().__init__(params, {**settings, **steps, "maximize": maximize})

    def check(self, group: dict[str, Any]) -> None:
        """All settings, and that parameters are matrices."""
        super().check(group)
        for p in group["params"]:
            if p.ndim != 2:
                raise ValueError(f"Muon: parameters must have 2 dimensions, got shape {p.shape}; give it to AdamW")

    def _decoupled(self, group: dict[str, Any]) -> bool:
        return True

    def one(self, group: dict[str, Any], x: Formula, g: Formula, state: dict[str, Any]) -> Formula:
        """The new parameter."""
        momentum = float(group["momentum"])
        m = state["momentum_buffer"] = mixed(momentum, state["momentum_buffer"], g)
        update = momentum * m + (1.0 - momentum) * g if group["nesterov"] else m
        rows, columns = x.data.shape
        if float(group["weight_decay"]):
            x = x * (1.0 - float(group["lr"]) * float(group["weight_decay"]))
        scale = float(group["lr"]) * math.sqrt(max(1.0, rows / columns))
        return x - scale * _orthogonal(update, group["ns_coefficients"], int(group["ns_steps"]), float(group["eps"]))


def _orthogonal(x: Formula, coefficients: tuple[float, float, float], steps: int, eps: float) -> Formula:
    """``y = a y + (b A + c A A) y`` with ``A = y y'``, from ``x`` divided by its norm."""
    kernels = ops(x.data)
    a, b, c = coefficients
    tall = x.data.shape[0] > x.data.shape[1]
    y = Formula(kernels.permute(x.data, (1, 0))) if tall else x
    y = y / x.norm().maximum(eps)
    for _ in range(steps):
        gram = Formula(kernels.gemm(y.data, y.data, False, True))
        mix = b * gram + c * Formula(kernels.gemm(gram.data, gram.data))
        y = a * y + Formula(kernels.gemm(mix.data, y.data))
    return Formula(kernels.permute(y.data, (1, 0))) if tall else y
