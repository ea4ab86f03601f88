"""Run folders: written after every epoch, trained again by :func:`replay`, compared by :func:`diff`."""

from .diff import diff
from .manifest import CannotCompareError, DifferenceError, Manifest, read_manifest
from .recipe import Recipe
from .record import Run, start_script, start_train
from .replay import replay

__all__ = [
    "CannotCompareError",
    "DifferenceError",
    "Manifest",
    "Recipe",
    "Run",
    "diff",
    "read_manifest",
    "replay",
    "start_script",
    "start_train",
]
