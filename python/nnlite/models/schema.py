"""Models and optimizers as plain data: what a manifest says, checked, and what is built from it.

A manifest is untrusted input. A layer is a dictionary such as ``{"layer": "Conv2d", "in_channels": 1, …}``; its name is
looked up among the layers of :mod:`nnlite.nn`, its arguments are plain numbers and flags that the layer itself checks,
on the shapes backend, where nothing is allocated. Nothing is ever imported by path, evaluated or unpickled.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import nn, optim, random
from ..recorder import describing
from ..tensor import Parameter

_LARGEST_SIZE = 1 << 20
_MOST_LAYERS = 1000
_MOST_WEIGHTS = 1 << 27  # in all
_MOST_ACTIVATIONS = 1 << 24  # per layer and sample
_MOST_ELEMENTS = 1 << 32  # of all activations of a batch

Layer = dict[str, Any]

_NO_LAYERS = {"CrossEntropyLoss", "MSELoss", "Module", "Parameter", "functional", "init", "utils"}
_NO_LAYERS |= {"ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"}
LAYERS: dict[str, type[nn.Module]] = {name: getattr(nn, name) for name in nn.__all__ if name not in _NO_LAYERS}
OPTIMIZERS: dict[str, type[optim.Optimizer]] = {
    name: getattr(optim, name) for name in optim.__all__ if name != "Optimizer"
}


class ManifestError(ValueError):
    """A manifest says something that is not allowed; the message names the place."""


def check_layers(layers: object, where: str = "layers") -> list[Layer]:
    """The layers with every argument checked and every default filled in.

    Raises:
        ManifestError: an unknown layer or argument, a missing one, a wrong type or a value out of range.
    """
    if not isinstance(layers, list) or not 1 <= len(layers) <= _MOST_LAYERS:
        raise ManifestError(f"{where} must be a list of 1 to {_MOST_LAYERS} layers")
    checked = [_checked(layer, "layer", LAYERS, f"{where}[{i}]") for i, layer in enumerate(layers)]
    _described(checked, where)
    return checked


def check_optimizer(optimizer: object, where: str = "optimizer") -> dict[str, Any]:
    """The optimizer's name and settings, checked, with every default filled in.

    Format 1 of a manifest says ``beta1`` and ``beta2`` for ``betas``.
    """
    if isinstance(optimizer, dict) and {"beta1", "beta2"} <= optimizer.keys():
        betas = [optimizer["beta1"], optimizer["beta2"]]
        optimizer = {k: v for k, v in optimizer.items() if k not in ("beta1", "beta2")} | {"betas": betas}
    checked = _checked(optimizer, "name", OPTIMIZERS, where)
    try:
        _optimizer(checked, [Parameter(np.zeros(1, np.float32))])
    except (TypeError, ValueError) as error:
        raise ManifestError(f"{where}: {error}") from error
    return checked


def check_shapes(layers: Sequence[Layer], shape: tuple[int, ...], classes: int, batch_size: int = 1) -> None:
    """Follow a batch of samples of ``shape`` (C, H, W) through checked layers; each must give ``classes`` numbers.

    Raises:
        ManifestError: two layers do not fit together, or weights or activations are too large.
    """
    from ..shapes import Spec

    weights = elements = 0
    x: Any = Spec((batch_size, *shape), np.float32)
    for i, (layer, module) in enumerate(zip(layers, _described(layers, "layers"), strict=True)):
        where = f"layers[{i}] ({layer['layer']})"
        weights += sum(p.size for p in module.parameters())
        if weights > _MOST_WEIGHTS:
            raise ManifestError(f"{where}: the model has more than {_MOST_WEIGHTS} weights")
        with describing():
            try:
                x = module.eval()(x).data
            except (TypeError, ValueError) as error:
                raise ManifestError(f"{where}: {error}") from error
        elements += x.size
        if x.size > _MOST_ACTIVATIONS * batch_size:
            raise ManifestError(
                f"{where}: its output {x.shape[1:]} has more than {_MOST_ACTIVATIONS} elements per sample"
            )
        if elements > _MOST_ELEMENTS:
            raise ManifestError(f"{where}: a batch of {batch_size} has more than {_MOST_ELEMENTS} activations")
    if x.shape[1:] != (classes,):
        raise ManifestError(f"the last layer gives {x.shape[1:]} for each sample, but there are {classes} classes")


def build(layers: Sequence[Layer]) -> nn.Sequential:
    """The model of checked layers; its weights are drawn from ``nnlite.random`` in the order of the layers."""
    return nn.Sequential(*map(_module, layers))


def build_optimizer(optimizer: Mapping[str, Any], model: nn.Module) -> optim.Optimizer:
    """The optimizer of checked settings for the parameters of ``model``."""
    return _optimizer(optimizer, model.parameters())


def _optimizer(optimizer: Mapping[str, Any], params: Any) -> optim.Optimizer:
    settings = {key: tuple(v) if isinstance(v, list) else v for key, v in optimizer.items() if key != "name"}
    return OPTIMIZERS[optimizer["name"]](params, **settings)  # type: ignore[arg-type]


def _module(layer: Layer) -> nn.Module:
    arguments = {key: tuple(v) if isinstance(v, list) else v for key, v in layer.items() if key != "layer"}
    return LAYERS[layer["layer"]](**arguments)


def _described(layers: Sequence[Layer], where: str) -> list[nn.Module]:
    """The layers without elements; each checks its own arguments."""
    draws, built = random.get_state(), []
    try:
        with describing():
            for i, layer in enumerate(layers):
                try:
                    built.append(_module(layer))
                except (TypeError, ValueError, OverflowError) as error:
                    raise ManifestError(f"{where}[{i}] ({layer['layer']}): {error}") from error
    finally:
        random.set_state(draws)
    return built


def _checked(value: object, kind: str, table: Mapping[str, type], where: str) -> dict[str, Any]:
    """Name and arguments of an entry of ``table``: known, plain, none missing, defaults filled in."""
    if not isinstance(value, dict):
        raise ManifestError(f"{where} must be an object, got {shown(value)}")
    name = value.get(kind)
    if not isinstance(name, str) or name not in table:
        raise ManifestError(f"{where}.{kind} must be one of {', '.join(table)}, got {shown(name)}")
    known = {
        key: parameter
        for key, parameter in inspect.signature(table[name]).parameters.items()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and key not in ("params", "inplace")
    }
    unknown = [key for key in value if key != kind and key not in known]
    if unknown:
        raise ManifestError(f"{where} ({name}) has no argument {shown(unknown[0])}")
    checked: dict[str, Any] = {kind: name}
    for key, parameter in known.items():
        if key in value:
            if isinstance(parameter.default, bool) and not isinstance(value[key], bool):
                raise ManifestError(f"{where}.{key} must be true or false, got {shown(value[key])}")
            word = isinstance(parameter.default, str) and isinstance(value[key], str) and len(value[key]) < 32
            if not word:  # the layer itself knows its words
                _check_plain(value[key], f"{where}.{key}")
            checked[key] = value[key]
        elif parameter.default is parameter.empty:
            raise ManifestError(f"{where} ({name}) lacks {key}")
        else:
            checked[key] = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
    return checked


def _check_plain(value: object, where: str) -> None:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, list) and len(value) == 2 and not any(isinstance(v, list) for v in value):
        for v in value:
            _check_plain(v, where)
        return
    if not isinstance(value, int | float) or not math.isfinite(value if isinstance(value, float) else 0):
        raise ManifestError(f"{where} must be a number, a flag or a pair, got {shown(value)}")
    if isinstance(value, int) and abs(value) > _LARGEST_SIZE:
        raise ManifestError(f"{where} must be at most {_LARGEST_SIZE}, got {shown(value)}")


def shown(value: object) -> str:
    """``value`` for a message, cut to a readable length."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:
        return "a number of more than 77 digits"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
