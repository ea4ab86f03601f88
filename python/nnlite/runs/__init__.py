"""Run folders: written after every epoch, verified, trained again by :func:`replay`, compared by :func:`diff`."""

from .diff import diff
from .load import LoadedRun, load_run
from .manifest import CannotCompareError, DifferenceError, Manifest, read_manifest
from .recipe import Recipe
from .record import Run, start_script, start_train
from .replay import replay
from .verify import Verified, verify

__all__ = [
    "CannotCompareError",
    "DifferenceError",
    "LoadedRun",
    "Manifest",
    "Recipe",
    "Run",
    "Verified",
    "diff",
    "load_run",
    "read_manifest",
    "replay",
    "start_script",
    "start_train",
    "verify",
]
