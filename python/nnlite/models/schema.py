"""Models and optimizers as plain data: what a manifest says, checked, and what is built from it.

A manifest is untrusted input. A layer is a dictionary such as ``{"layer": "Conv2d", "in_channels": 1, …}``; its name is
looked up in :data:`LAYERS`, its arguments are checked integers, numbers and flags, and the sizes of all weights and
activations are known before anything is allocated. Nothing is ever imported by path, evaluated or unpickled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from .. import nn, optim

_LARGEST_SIZE = 1 << 20
_MOST_LAYERS = 1000
_MOST_WEIGHTS = 1 << 27  # in all
_MOST_ACTIVATIONS = 1 << 24  # per layer and sample
_REQUIRED: Any = object()
Layer = dict[str, Any]


class ManifestError(ValueError):
    """A manifest says something that is not allowed; the message names the place."""


class Integer(NamedTuple):
    """An integer argument of a layer, or a pair of them, from ``low`` to ``high``."""

    low: int
    high: int = _LARGEST_SIZE
    default: Any = _REQUIRED
    pair: bool = False
    optional: bool = False

    def check(self, value: object, where: str) -> Any:
        """``value`` if it is allowed here."""
        if value is None and self.optional:
            return None
        if self.pair and isinstance(value, list | tuple) and len(value) == 2:
            return [self._check_one(v, where) for v in value]
        return self._check_one(value, where)

    def _check_one(self, value: object, where: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ManifestError(
                f"{where} must be an integer{' or a pair of them' if self.pair else ''}, got {_shown(value)}"
            )
        if not self.low <= value <= self.high:
            raise ManifestError(f"{where} must be between {self.low} and {self.high}, got {_shown(value)}")
        return value


class Number(NamedTuple):
    """A float argument from ``low`` to ``high``."""

    low: float
    high: float
    default: Any = _REQUIRED

    def check(self, value: object, where: str) -> float:
        """``value`` as a float if it is allowed here."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ManifestError(f"{where} must be a number, got {_shown(value)}")
        if not self.low <= value <= self.high:  # also refuses NaN
            raise ManifestError(f"{where} must be between {self.low:g} and {self.high:g}, got {_shown(value)}")
        return float(value)


class Flag(NamedTuple):
    """A true or false argument."""

    default: Any = _REQUIRED

    def check(self, value: object, where: str) -> bool:
        """``value`` if it is allowed here."""
        if not isinstance(value, bool):
            raise ManifestError(f"{where} must be true or false, got {_shown(value)}")
        return value


Field = Integer | Number | Flag
_CONV2D: dict[str, Field] = {
    "in_channels": Integer(1),
    "out_channels": Integer(1),
    "kernel_size": Integer(1, 1024, pair=True),
    "stride": Integer(1, 1024, 1, pair=True),
    "padding": Integer(0, 1024, 0, pair=True),
    "dilation": Integer(1, 1024, 1, pair=True),
    "groups": Integer(1, default=1),
    "bias": Flag(True),
}
_POOL2D: dict[str, Field] = {
    "kernel_size": Integer(1, 1024, pair=True),
    "stride": Integer(1, 1024, None, pair=True, optional=True),
    "padding": Integer(0, 512, 0, pair=True),
}
_BATCHNORM: dict[str, Field] = {
    "num_features": Integer(1),
    "eps": Number(1e-30, 1.0, 1e-5),
    "momentum": Number(0.0, 1.0, 0.1),
}
LAYERS: dict[str, dict[str, Field]] = {
    "Conv2d": {**_CONV2D},
    "Linear": {"in_features": Integer(1), "out_features": Integer(1), "bias": Flag(True)},
    "BatchNorm1d": {**_BATCHNORM},
    "BatchNorm2d": {**_BATCHNORM},
    "MaxPool2d": {**_POOL2D},
    "AvgPool2d": {**_POOL2D},
    "ReLU": {},
    "Sigmoid": {},
    "Tanh": {},
    "Dropout": {"p": Number(0.0, 0.999, 0.5)},
    "Flatten": {},
}
_LR = Number(1e-12, 1e6)
_DECAY = Number(0.0, 1e3, 0.0)
_ADAM: dict[str, Field] = {
    "lr": _LR,
    "beta1": Number(0.0, 0.999999, 0.9),
    "beta2": Number(0.0, 0.999999, 0.999),
    "eps": Number(1e-30, 1.0, 1e-8),
}
OPTIMIZERS: dict[str, dict[str, Field]] = {
    "SGD": {"lr": _LR, "momentum": Number(0.0, 0.999999, 0.0), "weight_decay": _DECAY, "nesterov": Flag(False)},
    "Adam": {**_ADAM, "weight_decay": _DECAY},
    "AdamW": {**_ADAM, "weight_decay": Number(0.0, 1e3, 0.01)},
}


def check_layers(layers: object, where: str = "layers") -> list[Layer]:
    """The layers with every argument checked and every default filled in.

    Raises:
        ManifestError: an unknown layer or argument, a missing one, a wrong type or a value out of range.
    """
    if not isinstance(layers, list) or not 1 <= len(layers) <= _MOST_LAYERS:
        raise ManifestError(f"{where} must be a list of 1 to {_MOST_LAYERS} layers")
    return [_checked(layer, "layer", LAYERS, f"{where}[{i}]") for i, layer in enumerate(layers)]


def check_optimizer(optimizer: object, where: str = "optimizer") -> dict[str, Any]:
    """The optimizer's name and arguments, checked, with every default filled in."""
    checked = _checked(optimizer, "name", OPTIMIZERS, where)
    if checked.get("nesterov") and checked["momentum"] == 0:
        raise ManifestError(f"{where}: nesterov needs a momentum above 0")
    return checked


def check_shapes(layers: Sequence[Layer], shape: tuple[int, ...], classes: int) -> None:
    """Follow one sample of ``shape`` (C, H, W) through checked layers; the result must be ``classes`` numbers.

    Raises:
        ManifestError: two layers do not fit together, or weights or activations are too large.
    """
    weights = 0
    for i, layer in enumerate(layers):
        where = f"layers[{i}] ({layer['layer']})"
        count, shape = _output(layer, shape, where)
        weights += count
        if weights > _MOST_WEIGHTS:
            raise ManifestError(f"{where}: the model has more than {_MOST_WEIGHTS} weights")
        if math.prod(shape) > _MOST_ACTIVATIONS:
            raise ManifestError(f"{where}: its output {shape} has more than {_MOST_ACTIVATIONS} elements per sample")
    if shape != (classes,):
        raise ManifestError(f"the last layer gives {shape} for each sample, but there are {classes} classes")


def build(layers: Sequence[Layer]) -> nn.Sequential:
    """The model of checked layers; its weights are drawn from ``nnlite.random`` in the order of the layers."""
    built = []
    for layer in layers:
        arguments = {
            key: tuple(value) if isinstance(value, list) else value for key, value in layer.items() if key != "layer"
        }
        built.append(getattr(nn, layer["layer"])(**arguments))
    return nn.Sequential(*built)


def build_optimizer(optimizer: dict[str, Any], model: nn.Module) -> optim.Optimizer:
    """The optimizer of checked arguments for the parameters of ``model``."""
    arguments = {key: value for key, value in optimizer.items() if key != "name"}
    if "beta1" in arguments:
        arguments["betas"] = (arguments.pop("beta1"), arguments.pop("beta2"))
    built = getattr(optim, optimizer["name"])(model.parameters(), **arguments)
    assert isinstance(built, optim.Optimizer)
    return built


def _checked(value: object, kind: str, table: dict[str, dict[str, Field]], where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ManifestError(f"{where} must be an object, got {_shown(value)}")
    name = value.get(kind)
    if not isinstance(name, str) or name not in table:
        raise ManifestError(f"{where}.{kind} must be one of {', '.join(table)}, got {_shown(name)}")
    unknown = [key for key in value if key != kind and key not in table[name]]
    if unknown:
        raise ManifestError(f"{where} ({name}) has no argument {_shown(unknown[0])}")
    checked: dict[str, Any] = {kind: name}
    for key, field in table[name].items():
        if key in value:
            checked[key] = field.check(value[key], f"{where}.{key}")
        elif field.default is _REQUIRED:
            raise ManifestError(f"{where} ({name}) lacks {key}")
        else:
            checked[key] = field.default
    return checked


def _output(layer: Layer, shape: tuple[int, ...], where: str) -> tuple[int, tuple[int, ...]]:
    """Number of weights of a layer, and the shape of its output for a sample of ``shape``."""
    name = layer["layer"]
    if name in ("Conv2d", "MaxPool2d", "AvgPool2d", "BatchNorm2d") and len(shape) != 3:
        raise ManifestError(f"{where} needs samples (C, H, W), but gets {shape}")
    if name == "Conv2d":
        c, k, groups = layer["in_channels"], layer["out_channels"], layer["groups"]
        _same(c, shape[0], "channels", where)
        if c % groups or k % groups:
            raise ManifestError(f"{where}: {groups} groups must divide in_channels {c} and out_channels {k}")
        r, s = _pair(layer["kernel_size"])
        return k * (c // groups) * r * s + (k if layer["bias"] else 0), (k, *_window(layer, shape, where))
    if name in ("MaxPool2d", "AvgPool2d"):
        if any(2 * p > k for p, k in zip(_pair(layer["padding"]), _pair(layer["kernel_size"]), strict=True)):
            raise ManifestError(
                f"{where}: padding {layer['padding']} is more than half of kernel_size {layer['kernel_size']}"
            )
        return 0, (shape[0], *_window(layer, shape, where))
    if name in ("BatchNorm1d", "BatchNorm2d"):
        if name == "BatchNorm1d" and len(shape) > 2:
            raise ManifestError(f"{where} needs samples (C,) or (C, L), but gets {shape}")
        _same(layer["num_features"], shape[0], "features", where)
        return 4 * shape[0], shape
    if name == "Linear":
        if len(shape) != 1:
            raise ManifestError(f"{where} needs samples (features,), but gets {shape}; put a Flatten before it")
        _same(layer["in_features"], shape[0], "features", where)
        k = layer["out_features"]
        return k * shape[0] + (k if layer["bias"] else 0), (k,)
    if name == "Flatten":
        return 0, (math.prod(shape),)
    return 0, shape


def _window(layer: Layer, shape: tuple[int, ...], where: str) -> tuple[int, ...]:
    """Height and width after a convolution or pooling."""
    kernel = _pair(layer["kernel_size"])
    stride = kernel if layer["stride"] is None else _pair(layer["stride"])
    padding, dilation = _pair(layer["padding"]), _pair(layer.get("dilation", 1))
    sizes = []
    for n, k, step, p, d in zip(shape[1:], kernel, stride, padding, dilation, strict=True):
        room = n + 2 * p - d * (k - 1) - 1
        if room < 0:
            raise ManifestError(
                f"{where}: its kernel {kernel} (dilation {dilation}) is larger than the padded input {shape} "
                f"(padding {padding})"
            )
        sizes.append(room // step + 1)
    return tuple(sizes)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _same(expected: int, got: int, what: str, where: str) -> None:
    if expected != got:
        raise ManifestError(f"{where} expects {expected} {what}, but gets {got}")


def _shown(value: object) -> str:
    """``value`` for a message, cut to a readable length."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:
        return "a number of more than 77 digits"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
