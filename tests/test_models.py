"""Models and optimizers from plain data: what is built, and what an untrusted manifest is refused for."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import nnlite as nl
from nnlite import models
from nnlite.models import ManifestError

CONV = {"layer": "Conv2d", "in_channels": 1, "out_channels": 4, "kernel_size": 3}
EVERY_LAYER = [
    {
        "layer": "Conv2d",
        "in_channels": 2,
        "out_channels": 4,
        "kernel_size": [3, 2],
        "stride": [1, 2],
        "padding": 1,
        "groups": 2,
    },
    {"layer": "BatchNorm2d", "num_features": 4},
    {"layer": "Sigmoid"},
    {"layer": "MaxPool2d", "kernel_size": 3, "stride": 1, "padding": 1},
    {"layer": "Conv2d", "in_channels": 4, "out_channels": 3, "kernel_size": 2, "dilation": [2, 1], "bias": False},
    {"layer": "ReLU"},
    {"layer": "AvgPool2d", "kernel_size": 2, "stride": None, "padding": 1},
    {"layer": "Flatten"},
    {"layer": "Linear", "in_features": 27, "out_features": 5},
    {"layer": "BatchNorm1d", "num_features": 5, "eps": 1e-3, "momentum": 0.2},
    {"layer": "Tanh"},
    {"layer": "GELU", "approximate": "tanh"},
    {"layer": "Dropout", "p": 0.25},
    {"layer": "Linear", "in_features": 5, "out_features": 3, "bias": False},
]


@pytest.mark.parametrize(("layers", "size", "weights"), [(models.digits(), 8, 6186), (models.mnist(), 28, 18474)])
def test_networks_of_train(layers: list[models.Layer], size: int, weights: int) -> None:
    models.check_shapes(layers, (1, size, size), 10)
    model = models.build(layers)
    assert sum(p.size for p in model.parameters()) == weights
    assert model(np.zeros((2, 1, size, size), np.float32)).shape == (2, 10)
    assert models.check_layers(layers) == layers


def test_shapes_are_those_of_the_layers() -> None:
    layers = models.check_layers(EVERY_LAYER)
    x = np.zeros((2, 2, 7, 9), np.float32)
    for i, layer in enumerate(layers):
        y = models.build(layers[: i + 1])(x)
        with nl.backend("shapes"):
            assert models.build(layers[: i + 1])(x).shape == y.shape, layer
    models.check_shapes(layers, (2, 7, 9), 3)


def test_weights_depend_on_the_seed_alone() -> None:
    nl.manual_seed(5)
    first = models.build(models.digits()).state_dict()
    nl.manual_seed(5)
    second = models.build(models.digits()).state_dict()
    assert all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("Conv2d", "layers must be a list"),
        ([], "must be a list of 1 to 1000 layers"),
        ([CONV] * 1001, "must be a list of 1 to 1000 layers"),
        (["Conv2d"], r"layers\[0\] must be an object, got 'Conv2d'"),
        (
            [{"layer": "GELU", "approximate": "erf"}],
            r"layers\[0\] \(GELU\): GELU: approximate must be 'none' or 'tanh', got 'erf'",
        ),
        ([{"layer": "ReLU"}, {"layer": "GELU", "approximate": "x" * 99}], r"layers\[1\]\.approximate must be a number"),
        ([{}], r"layers\[0\]\.layer must be one of .*AdaptiveAvgPool2d, .*, got None"),
        ([{"layer": "os.system"}], r"layers\[0\]\.layer must be one of .*, got 'os\.system'"),
        ([{"layer": "__import__"}], "must be one of"),
        ([{"layer": ["Conv2d"]}], "must be one of"),
        ([{"layer": "Sequential"}], "must be one of"),
        ([CONV, {"layer": "ReLU", "inplace": True}], r"layers\[1\] \(ReLU\) has no argument 'inplace'"),
        ([{"layer": "Conv2d", "in_channels": 1}], r"layers\[0\] \(Conv2d\) lacks out_channels"),
        ([CONV | {"in_channels": True}], r"layers\[0\] \(Conv2d\): Conv2d: in_channels must be an integer, got True"),
        ([CONV | {"in_channels": 1.0}], "in_channels must be an integer, got 1.0"),
        ([CONV | {"in_channels": "1"}], "in_channels must be a number, a flag or a pair, got '1'"),
        ([CONV | {"in_channels": 0}], "in_channels must be at least 1, got 0"),
        ([CONV | {"in_channels": 10**400}], "must be at most 1048576, got a number of more than 77 digits"),
        ([CONV | {"in_channels": "x" * 999}], r"got 'x{76}\.\.\.$"),
        ([CONV | {"kernel_size": [3, 3, 3]}], "kernel_size must be a number, a flag or a pair"),
        ([CONV | {"kernel_size": [3, 0]}], "kernel_size must be at least 1, got 0"),
        ([CONV | {"stride": None}], "stride must be an integer"),
        ([CONV | {"padding": -1}], "padding must be at least 0, got -1"),
        ([CONV | {"bias": 1}], "bias must be true or false, got 1"),
        ([{"layer": "Dropout", "p": 1.5}], r"p must be between 0 and 1, got 1\.5"),
        ([{"layer": "Dropout", "p": float("nan")}], "p must be a number, a flag or a pair, got nan"),
        ([{"layer": "Dropout", "p": True}], "p must be a number, got True"),
    ],
)
def test_refuses_layers(layers: Any, message: str) -> None:
    before = copy.deepcopy(layers)
    with pytest.raises(ManifestError, match=message):
        models.check_layers(layers)
    assert repr(layers) == repr(before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: {"in_channels": 3}}, r"layers\[0\] \(Conv2d\): .* x has 1 channels but weight expects 3"),
        (
            {0: {"kernel_size": 11}},
            r"kernel of \(11, 11\) .* is larger than an input of \(8, 8\) with padding \(1, 1\)",
        ),
        ({4: {"groups": 3}}, r"layers\[4\] \(Conv2d\): Conv2d: groups=3 does not divide in_channels=16"),
        ({1: {"num_features": 4}}, r"layers\[1\] \(BatchNorm2d\): .* x has 16 channels but weight has 4"),
        ({3: {"padding": 2}}, r"layers\[3\] \(MaxPool2d\): .* padding must be at most half of kernel_size \(2, 2\)"),
        ({9: {"in_features": 127}}, r"layers\[9\] \(Linear\): .* x has 128 features but weight expects 127"),
        ({9: {"out_features": 9}}, r"the last layer gives \(9,\) for each sample, but there are 10 classes"),
        ({0: {"padding": 1024, "out_channels": 1 << 14}}, r"layers\[0\] \(Conv2d\): its output .* more than 16777216"),
        ({0: {"out_channels": 1 << 20, "kernel_size": 1024, "padding": 1024}}, "more than 134217728 weights"),
    ],
)
def test_refuses_shapes(change: dict[int, dict[str, Any]], message: str) -> None:
    layers = models.digits()
    for i, arguments in change.items():
        layers[i].update(arguments)
    with pytest.raises(ManifestError, match=message):
        models.check_shapes(models.check_layers(layers), (1, 8, 8), 10)


@pytest.mark.parametrize(("layer", "shape"), [("MaxPool2d", (16,)), ("BatchNorm2d", (4,)), ("BatchNorm1d", (1, 4, 4))])
def test_refuses_ranks(layer: str, shape: tuple[int, ...]) -> None:
    arguments = {"MaxPool2d": {"kernel_size": 2}}
    layers = models.check_layers([{"layer": layer, **arguments.get(layer, {"num_features": 4})}])
    with pytest.raises(ManifestError, match=rf"layers\[0\] \({layer}\): .*: x must have"):
        models.check_shapes(layers, shape, 10)


def test_build_optimizer() -> None:
    model = nl.nn.Linear(2, 2)
    sgd = models.build_optimizer(
        models.check_optimizer({"name": "SGD", "lr": 0.5, "momentum": 0.25, "nesterov": True}), model
    )
    assert repr(sgd) == "SGD(lr=0.5, momentum=0.25, dampening=0.0, weight_decay=0.0, nesterov=True, maximize=False)"
    adam = models.build_optimizer(models.check_optimizer({"name": "AdamW", "lr": 1, "betas": [0.9, 0.99]}), model)
    assert repr(adam) == "AdamW(lr=1, betas=(0.9, 0.99), eps=1e-08, weight_decay=0.01, amsgrad=False, maximize=False)"


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (None, "optimizer must be an object, got None"),
        ({"name": "Optimizer", "lr": 1}, r"optimizer\.name must be one of .*SGD, .*Adam, AdamW, .*, got 'Optimizer'"),
        ({"name": "SGD", "lr": -1.0}, r"optimizer: SGD: lr must be a finite number of at least 0, got -1\.0"),
        ({"name": "SGD", "lr": float("inf")}, "lr must be a number, a flag or a pair, got inf"),
        ({"name": "SGD", "lr": 10**400}, "lr must be at most 1048576, got a number of more than 77 digits"),
        ({"name": "SGD", "lr": 0.1, "nesterov": True}, "nesterov needs a momentum above 0"),
        ({"name": "Adam", "lr": 0.1, "betas": [1.0, 0.9]}, "betas"),
        ({"name": "Adam", "lr": 0.1, "beta1": 1.0, "beta2": 0.9}, "betas"),
        ({"name": "Adam", "lr": 0.1, "params": []}, r"optimizer \(Adam\) has no argument 'params'"),
    ],
)
def test_refuses_optimizers(optimizer: Any, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        models.check_optimizer(optimizer)


def test_a_batch_that_no_memory_holds_is_refused() -> None:
    with pytest.raises(ManifestError, match="a batch of 1048576 has more than 4294967296 activations"):
        models.check_shapes(models.mnist(), (1, 28, 28), 10, 1 << 20)


def test_checking_draws_no_random_numbers() -> None:
    before = nl.random.get_state()
    models.check_shapes(models.mnist(), (1, 28, 28), 10)
    assert nl.random.get_state() == before
