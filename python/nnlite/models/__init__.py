"""Models by name, and models as plain data."""

from .schema import (
    LAYERS,
    OPTIMIZERS,
    Flag,
    Integer,
    Layer,
    ManifestError,
    Number,
    build,
    build_optimizer,
    check_layers,
    check_optimizer,
    check_shapes,
)
from .zoo import digits, mnist

__all__ = [
    "LAYERS",
    "OPTIMIZERS",
    "Flag",
    "Integer",
    "Layer",
    "ManifestError",
    "Number",
    "build",
    "build_optimizer",
    "check_layers",
    "check_optimizer",
    "check_shapes",
    "digits",
    "mnist",
]
