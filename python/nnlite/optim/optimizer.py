"""The base of the optimizers."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .. import arrays, recording
from ..arrays import Array, is_array
from ..tensor import Parameter


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
            at_least_zero(name, key, group[key])

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
            for p in params:
                p._version += 1
            self._update(group, params)
            if recording.is_active():
                grads = [p.grad for p in params]
                recording.on_replay(functools.partial(self._update_again, group, params, grads))

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


def at_least_zero(name: str, key: str, value: float) -> None:
    """Refuse a setting that is negative or not finite."""
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
