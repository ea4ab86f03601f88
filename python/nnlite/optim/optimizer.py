"""The base of the optimizers."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

from .. import arguments, arrays, recording
from ..arrays import Array, is_array
from ..backend import ops
from ..rounding import require_nearest
from ..tensor import Parameter, Tensor

# Settings of PyTorch's optimizers that say how, not what, they compute.
_HOW = {"foreach", "fused", "capturable", "differentiable", "param_names"}
# What schedules keep in a group beside its settings: each a finite number, of at least 0.
_SCHEDULES = {"initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum", "swa_lr"}


class Optimizer:
    """Base of the optimizers, and of optimizers of one's own.

    Args:
        params: an iterable of Parameters, or of parameter groups: dicts with ``params`` and the settings that differ.
        defaults: the settings and their values, for groups that do not have them.

    Attributes:
        param_groups: a list of dicts, each with ``params`` and its settings. The settings may be changed between steps.
        state: parameter -> dict of what the optimizer remembers of it.

    A subclass defines :meth:`update`. It extends :meth:`check` for settings other than ``lr`` and ``weight_decay``, and
    defines :meth:`new_state` (and :meth:`check_state`) if it remembers something of a parameter. Groups, ``step``,
    ``zero_grad``, ``state_dict``, ``load_state_dict``, saving and captured steps follow from these::

        class SignMomentum(nl.optim.Optimizer):
            def __init__(self, params, lr=1e-3, beta=0.9):
                super().__init__(params, {"lr": lr, "beta": beta})

            def check(self, group):
                super().check(group)
                nl.arguments.number("SignMomentum: beta", group["beta"], 0, 1, below=True)

            def new_state(self, p):
                return {"mean": np.zeros_like(p.data)}

            def update(self, group, params):
                for p, state in zip(params, self.states(params)):
                    state["mean"] += (1 - group["beta"]) * (p.grad - state["mean"])
                    p.data -= group["lr"] * np.sign(state["mean"])
                    self.state[p] = state
    """

    _later: frozenset[str] = frozenset()  # settings that earlier versions had not
    _stepped = False  # schedules warn where they are stepped first
    _pytorchs: Mapping[str, Any] = {}  # settings that PyTorch's optimizer has, and whose values mean this class

    def __init__(self, params: Iterable[Parameter] | Iterable[dict[str, Any]], defaults: dict[str, Any]) -> None:
        name = type(self).__name__
        if isinstance(params, Mapping) or not _is_iterable(params):
            belongs_to_model = hasattr(params, "parameters") or getattr(params, "__name__", "") == "parameters"
            advice = "; write model.parameters()" if belongs_to_model else ""
            raise TypeError(
                f"{name}: params must be an iterable of Parameters or of dicts, got {arrays.what_is(params)}{advice}"
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
        unknown = [key for key in param_group if key not in {"params", *self.defaults, *_SCHEDULES}]
        if unknown:
            raise TypeError(f"{name}: unknown settings in a parameter group: {', '.join(unknown)}")
        params = param_group["params"]
        if not isinstance(params, Parameter) and not _is_iterable(params):
            raise TypeError(f"{name}: 'params' of a parameter group must be Parameters, got {arrays.what_is(params)}")
        params = [params] if isinstance(params, Parameter) else list(params)
        if not params:
            raise ValueError(f"{name}: a parameter group holds no parameters")
        seen = {id(p) for group in self.param_groups for p in group["params"]}
        for i, p in enumerate(params):
            if not isinstance(p, Parameter):
                raise TypeError(f"{name}: params[{i}] must be a Parameter, got {arrays.what_is(p)}")
            if id(p) in seen:
                raise ValueError(f"{name}: params[{i}] of shape {p.shape} appears twice")
            seen.add(id(p))
        group = {**self.defaults, **param_group, "params": params}
        self.check(group)
        self.param_groups.append(group)

    def check(self, group: dict[str, Any]) -> None:
        """Raise ``TypeError`` or ``ValueError`` where a setting of ``group`` makes no sense; called before each step.

        The base checks ``lr`` and ``weight_decay``, where the group has them: finite numbers of at least 0.
        """
        for key in ("lr", "weight_decay"):
            if key in group:
                arguments.number(f"{type(self).__name__}: {key}", group[key])

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set every gradient to ``None`` (or to zeros where there is one)."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None if set_to_none or p.grad is None else arrays.zeros_like(p.grad)

    def step(self) -> None:
        """Update all parameters that have a gradient. If anything is wrong, nothing is changed."""
        require_nearest(f"{type(self).__name__}.step")
        work = []
        for group in self.param_groups:
            self.check(group)
            params = [p for p in group["params"] if p.grad is not None]
            for p in params:
                _check_gradient(type(self).__name__, p)
            if params:
                work.append((group, params))
        self._stepped = True
        for group, params in work:
            start = recording.position()
            for p in params:
                p._version += 1
            self.update(group, params)
            if recording.is_active():
                grads = [p.grad for p in params]
                recording.on_replay(functools.partial(self._update_again, group, params, grads), start)

    def update(self, group: dict[str, Any], params: list[Parameter]) -> None:
        """Change ``p.data`` of all ``params``, parameters of ``group`` that have a gradient, in place.

        Everything was checked before: settings by :meth:`check`; ``p.data`` is C-contiguous and writable, and
        ``p.grad`` has its shape and dtype.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define update()")

    def _update_again(self, group: dict[str, Any], params: list[Parameter], grads: list[Array]) -> None:
        """For the replay of a captured step, whose gradients are where they were when it was recorded."""
        self.check(group)
        for p, grad in zip(params, grads, strict=True):
            p.grad = grad
        self.update(group, params)

    def gradients(self, group: dict[str, Any], params: list[Parameter]) -> list[Array]:
        """The gradients; with the setting ``maximize`` those of the other sign."""
        grads = [p.grad for p in params if p.grad is not None]
        return [ops(g).negative(g) for g in grads] if group.get("maximize") else grads

    def states(self, params: list[Parameter]) -> list[dict[str, Any]]:
        """What is remembered of each parameter, or a new state. :meth:`update` stores it in ``self.state``, last."""
        return [self.state.get(p) or self.new_state(p) for p in params]

    def new_state(self, p: Parameter) -> dict[str, Any]:
        """What is remembered of ``p`` before its first step: names, and arrays or numbers. Nothing by default.

        :meth:`load_state_dict` accepts these names, with arrays of these shapes and dtypes.
        """
        return {}

    def check_state(self, state: dict[str, Any]) -> None:
        """Raise ``ValueError`` where a number in ``state``, which is to be loaded, makes no sense. Names, types, shapes
        and that numbers are finite were checked before.
        """

    def state_dict(self) -> dict[str, Any]:
        """``{"state": {index: ...}, "param_groups": [...]}``, with parameters as indices.

        The arrays are the optimizer's own, not copies.
        """
        index = {p: i for i, p in enumerate(self._parameters())}
        groups = [{**group, "params": [index[p] for p in group["params"]]} for group in self.param_groups]
        return {"state": {index[p]: dict(state) for p, state in self.state.items()}, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from a copy of what :meth:`state_dict` returned, or PyTorch's, with arrays for its tensors.

        Of PyTorch's, settings that this optimizer does not have are left out if they are off.

        Raises:
            ValueError, TypeError: something does not fit, or a number makes no sense; nothing is changed.
        """
        what = f"{type(self).__name__}: load_state_dict"
        if not isinstance(state_dict, Mapping) or not {"param_groups", "state"} <= state_dict.keys():
            advice = "; read the file first" if isinstance(state_dict, (str, os.PathLike)) else ""
            raise TypeError(
                f"{what}: state_dict must be what an optimizer's state_dict() returns, a dict with 'state' and "
                f"'param_groups', got {_shown(state_dict)}{advice}"
            )
        groups, states = state_dict["param_groups"], state_dict["state"]
        if not isinstance(groups, (list, tuple)) or not all(_is_saved_group(g) for g in groups):
            raise TypeError(f"{what}: 'param_groups' must be a list of dicts with a list 'params', got {groups!r:.80}")
        if not isinstance(states, Mapping) or not all(isinstance(state, Mapping) for state in states.values()):
            raise TypeError(f"{what}: 'state' must be a dict of dicts, got {states!r:.80}")
        sizes, own = [len(g["params"]) for g in groups], [len(g["params"]) for g in self.param_groups]
        if sizes != own:
            raise ValueError(f"{what}: groups of {sizes} parameters, but this optimizer has groups of {own}")
        groups = [self._known(group, own) for group, own in zip(groups, self.param_groups, strict=True)]
        params = self._parameters()
        groups_of = [group for group, n in zip(groups, own, strict=True) for _ in range(n)]
        loaded: dict[Parameter, dict[str, Any]] = {}
        for i, state in states.items():
            if not isinstance(i, int) or not 0 <= i < len(params):
                raise ValueError(f"{what}: state of parameter {i!r}, but there are {len(params)} parameters")
            state = {key: _number(value) for key, value in state.items() if value is not None}
            if not state:  # of PyTorch's, before the first step or without momentum
                continue
            state = self.complete_state(groups_of[i], state)
            self._check_state(f"{what}: parameter {i}", params[i], state)
            loaded[params[i]] = {
                key: arrays.put(arrays.copy(v), params[i].data) if is_array(v) else v for key, v in state.items()
            }
        settings = [{key: value for key, value in group.items() if key != "params"} for group in groups]
        for new, group in zip(settings, self.param_groups, strict=True):
            for key in group.keys() - new.keys() & self._later:  # a file of a version that had them not
                new[key] = self.defaults[key]
            if (new.keys() ^ group.keys()) - {"params", *_SCHEDULES}:
                raise ValueError(f"{what}: settings {sorted(new)}, expected {sorted(self.defaults)}")
            for key in new.keys() & _SCHEDULES:
                arguments.number(f"{what}: {key}", new[key])
            self.check({**group, **new})
        for new, group in zip(settings, self.param_groups, strict=True):
            group.update(new)
        self.state = loaded

    def complete_state(self, group: Mapping[str, Any], state: dict[str, Any]) -> dict[str, Any]:
        """``state``, which is to be loaded, with what follows from the rest where PyTorch's does not have it."""
        return state

    def _known(self, group: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
        """``group``, which is to be loaded, without settings of PyTorch's that change nothing."""

        def idle(key: str, value: Any) -> bool:
            return key in _HOW or (not is_array(value) and (not value or self._pytorchs.get(key) == value))

        return {key: value for key, value in group.items() if key in own or not idle(key, value)}

    def _check_state(self, what: str, p: Parameter, state: dict[str, Any]) -> None:
        fresh = self.new_state(p)
        if state.keys() != fresh.keys():
            raise ValueError(f"{what} has {sorted(state)}, expected {sorted(fresh)}")
        for key, value in state.items():
            if is_array(fresh[key]):
                if not is_array(value):
                    raise ValueError(f"{what}: {key} must be an array, got {_shown(value)}")
                if value.shape != fresh[key].shape or value.dtype != fresh[key].dtype:
                    raise ValueError(
                        f"{what}: {key} is {value.dtype} of shape {value.shape}, "
                        f"but must be {fresh[key].dtype} of shape {fresh[key].shape}"
                    )
            else:
                kind = Integral if isinstance(fresh[key], Integral) else Real
                if not isinstance(value, kind) or isinstance(value, bool) or not math.isfinite(value):
                    integer = "an integer" if kind is Integral else "a finite number"
                    raise ValueError(f"{what}: {key} must be {integer}, got {_shown(value)}")
        try:
            self.check_state(state)
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from None

    def _parameters(self) -> list[Parameter]:
        return [p for group in self.param_groups for p in group["params"]]

    def __repr__(self) -> str:
        groups = [", ".join(f"{k}={v}" for k, v in g.items() if k != "params") for g in self.param_groups]
        return f"{type(self).__name__}({'; '.join(groups)})"


def _is_iterable(params: object) -> bool:
    """Whether ``params`` is an iterable that can hold parameters: no model, no array, no tensor, no text."""
    if is_array(params) or isinstance(params, (Tensor, str)) or hasattr(params, "parameters"):
        return False
    return isinstance(params, Iterable)


def _is_saved_group(group: object) -> bool:
    return isinstance(group, Mapping) and isinstance(group.get("params"), (list, tuple))


def _number(value: Any) -> Any:
    """``value``; an array without dimensions that holds an integer, as PyTorch counts steps, as that integer."""
    if isinstance(value, np.ndarray) and value.ndim == 0 and value == np.floor(value):
        return int(value)
    return value


def _shown(value: object) -> str:
    return f"{value!r:.80}" if isinstance(value, (str, int, float, os.PathLike)) else arrays.what_is(value)


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
