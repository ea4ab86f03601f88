"""The networks of ``nnlite train``."""

from __future__ import annotations

from collections.abc import Callable

from .schema import Layer, check_layers


def digits() -> list[Layer]:
    """The network for scikit-learn's digits: two convolutions on 8 x 8 images, 6,186 weights."""
    return _convolutional(kernel_size=3, padding=1, features=32 * 2 * 2)


def mnist() -> list[Layer]:
    """The network for MNIST and Fashion-MNIST: two convolutions on 28 x 28 images, 18,474 weights."""
    return _convolutional(kernel_size=5, padding=0, features=32 * 4 * 4)


def _convolutional(kernel_size: int, padding: int, features: int) -> list[Layer]:
    return check_layers(
        [
            {"layer": "Conv2d", "in_channels": 1, "out_channels": 16, "kernel_size": kernel_size, "padding": padding},
            {"layer": "BatchNorm2d", "num_features": 16},
            {"layer": "ReLU"},
            {"layer": "MaxPool2d", "kernel_size": 2},
            {"layer": "Conv2d", "in_channels": 16, "out_channels": 32, "kernel_size": kernel_size, "padding": padding},
            {"layer": "BatchNorm2d", "num_features": 32},
            {"layer": "ReLU"},
            {"layer": "MaxPool2d", "kernel_size": 2},
            {"layer": "Flatten"},
            {"layer": "Linear", "in_features": features, "out_features": 10},
        ]
    )


NETWORKS: dict[str, Callable[[], list[Layer]]] = {"digits": digits, "mnist": mnist}
"""The networks by name, as layers: ``models.build(models.NETWORKS["digits"]())``."""
