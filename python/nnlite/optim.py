"""Optimizers, with PyTorch's names, defaults and parameter groups. Formulas: docs/numerics.md, section 11.

Each ``step()`` is one call of the backend for all parameters of a group that have a gradient; the others are left
alone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from . import arrays, capture
from .arrays import Array, is_array
from .autograd import Parameter
from .backend import ops


class Optimizer:
    """Base of the optimizers.

    Attributes:
        param_groups: a list of dicts, each with ``params`` and its settings. The settings may be changed between steps.
        state: parameter -> dict of what the optimizer remembers of it.
    """

    def __init__(self, params: Iterable[Parameter] | Iterable[dict[str, Any]], defaults: dict[str, Any]) -> None:
        name = type(self).__name__
        if is_array(params) or isinstance(params, (Parameter, Mapping)):
            raise TypeError(
                f"{name}: params must be an iterable of Parameters or of dicts, got {type(params).__name__}"
            )
        groups: list[Any] = list(params)
        if not groups:
            raise ValueError(f"{name}: there are no parameters to optimize")
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Parameter, dict[str, Any]] = {}
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Optimize more parameters: a dict with ``params``, and the settings that differ from the defaults."""
        name = type(self).__name__
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise TypeError(f"{name}: a parameter group must be a dict with an entry 'params', got {param_group!r}")
        unknown = [key for key in param_group if key != "params" and key not in self.defaults]
        if unknown:
            raise TypeError(f"{name}: unknown settings in a parameter group: {', '.join(unknown)}")
        params = param_group["params"]
        params = [params] if isinstance(params, Parameter) else list(params)
        if not params:
            raise ValueError(f"{name}: a parameter group holds no parameters")
        seen = {id(p) for group in self.param_groups for p in group["params"]}
        for i, p in enumerate(params):
            if not isinstance(p, Parameter):
                raise TypeError(f"{name}: params[{i}] must be a Parameter, got {type(p).__name__}")
            if id(p) in seen:
                raise ValueError(f"{name}: params[{i}] of shape {p.shape} appears twice")
            seen.add(id(p))
        group = {**self.defaults, **param_group, "params": params}
        self._check(group)
        self.param_groups.append(group)

    def _check(self, group: dict[str, Any]) -> None:
        """Raise where a setting makes no sense."""
        name = type(self).__name__
        for key in ("lr", "weight_decay"):
            _at_least_zero(name, key, group[key])

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set every gradient to ``None`` (or to zeros where there is one)."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None if set_to_none or p.grad is None else arrays.zeros_like(p.grad)

    def step(self) -> None:
        """Update all parameters that have a gradient. If anything is wrong, nothing is changed."""
        work = []
        for group in self.param_groups:
            self._check(group)
            params = [p for p in group["params"] if p.grad is not None]
            for p in params:
                _check_gradient(type(self).__name__, p)
            if params:
                work.append((group, params))
        for group, params in work:
            self._update(group, params)
            if capture.is_active():
                grads = [p.grad for p in params]
                capture.on_replay(functools.partial(self._update_again, group, params, grads))

    def _update(self, group: dict[str, Any], params: list[Parameter]) -> None:
        raise NotImplementedError

    def _update_again(self, group: dict[str, Any], params: list[Parameter], grads: list[Array]) -> None:
        """For the replay of a captured step, whose gradients are where they were when it was recorded."""
        self._check(group)
        for p, grad in zip(params, grads, strict=True):
            p.grad = grad
        self._update(group, params)

    def _states(self, params: list[Parameter]) -> list[dict[str, Any]]:
        """What is remembered of each parameter, or the state to start from; the caller stores it after the update."""
        return [self.state.get(p) or self._new_state(p) for p in params]

    def _new_state(self, p: Parameter) -> dict[str, Any]:
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """``{"state": {index: ...}, "param_groups": [...]}``, with parameters as indices.

        The arrays are the optimizer's own, not copies.
        """
        index = {p: i for i, p in enumerate(self._parameters())}
        groups = [{**group, "params": [index[p] for p in group["params"]]} for group in self.param_groups]
        return {"state": {index[p]: dict(state) for p, state in self.state.items()}, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from a copy of what :meth:`state_dict` returned.

        Raises:
            ValueError: something does not fit; nothing is changed.
        """
        name = type(self).__name__
        groups, states = state_dict["param_groups"], state_dict["state"]
        sizes, own = [len(g["params"]) for g in groups], [len(g["params"]) for g in self.param_groups]
        if sizes != own:
            raise ValueError(
                f"{name}: load_state_dict: groups of {sizes} parameters, but this optimizer has groups of {own}"
            )
        params = self._parameters()
        loaded: dict[Parameter, dict[str, Any]] = {}
        for i, state in states.items():
            if not 0 <= i < len(params):
                raise ValueError(
                    f"{name}: load_state_dict: state of parameter {i}, but there are {len(params)} parameters"
                )
            p = params[i]
            fresh = self._new_state(p)
            if state.keys() != fresh.keys():
                raise ValueError(
                    f"{name}: load_state_dict: parameter {i} has {sorted(state)}, expected {sorted(fresh)}"
                )
            for key, value in state.items():
                if is_array(fresh[key]) and (value.shape != p.shape or value.dtype != p.dtype):
                    raise ValueError(
                        f"{name}: load_state_dict: {key} of parameter {i} is {value.dtype} of shape {value.shape}, "
                        f"but the parameter is {p.dtype} of shape {p.shape}"
                    )
            loaded[p] = {key: arrays.put(arrays.copy(v), p.data) if is_array(v) else v for key, v in state.items()}
        settings = [{key: value for key, value in group.items() if key != "params"} for group in groups]
        for new, group in zip(settings, self.param_groups, strict=True):
            if new.keys() | {"params"} != group.keys():
                raise ValueError(f"{name}: load_state_dict: settings {sorted(new)}, expected {sorted(self.defaults)}")
            self._check({**group, **new})
        for new, group in zip(settings, self.param_groups, strict=True):
            group.update(new)
        self.state = loaded

    def _parameters(self) -> list[Parameter]:
        return [p for group in self.param_groups for p in group["params"]]

    def __repr__(self) -> str:
        groups = [", ".join(f"{k}={v}" for k, v in g.items() if k != "params") for g in self.param_groups]
        return f"{type(self).__name__}({'; '.join(groups)})"


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
        _at_least_zero("SGD", "momentum", group["momentum"])
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
        _at_least_zero(name, "eps", group["eps"])
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


def _at_least_zero(name: str, key: str, value: float) -> None:
    if not 0.0 <= value < math.inf:
        raise ValueError(f"{name}: {key} must be a finite number of at least 0, got {value}")


def _check_gradient(name: str, p: Parameter) -> None:
    data, grad = p.data, p.grad
    if not is_array(data):
        raise TypeError(f"{name}: .data of a parameter must be a numpy.ndarray, got {type(data).__name__}")
    if isinstance(data, np.ndarray) and not data.flags.carray:
        raise ValueError(f"{name}: the array of a parameter of shape {data.shape} must be C-contiguous and writable")
    if not is_array(grad):
        raise TypeError(
            f"{name}: .grad of a parameter of shape {data.shape} must be a numpy.ndarray, got {type(grad).__name__}"
        )
    if grad.dtype != data.dtype:
        raise TypeError(f"{name}: a parameter of shape {data.shape} is {data.dtype} but its gradient is {grad.dtype}")
    if grad.shape != data.shape:
        raise ValueError(f"{name}: a parameter has shape {data.shape} but its gradient has shape {grad.shape}")
