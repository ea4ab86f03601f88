"""Models by name, and models as plain data."""

from .schema import (
    LAYERS,
    OPTIMIZERS,
    Layer,
    ManifestError,
    build,
    build_optimizer,
    check_layers,
    check_optimizer,
    check_shapes,
)
from .zoo import NETWORKS, digits, mnist

__all__ = [
    "LAYERS",
    "NETWORKS",
    "OPTIMIZERS",
    "Layer",
    "ManifestError",
    "build",
    "build_optimizer",
    "check_layers",
    "check_optimizer",
    "check_shapes",
    "digits",
    "mnist",
]
