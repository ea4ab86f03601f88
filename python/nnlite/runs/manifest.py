"""The manifest of a run, ``run.json``: untrusted input, checked before anything of it is used."""

from __future__ import annotations

import json
import math
import os
import re
import stat
from pathlib import Path
from typing import Any

import numpy.typing as npt

from .. import files
from ..models import ManifestError
from ..models.schema import shown

Manifest = dict[str, Any]
FORMAT = 2
FORMATS = (1, 2)
_LARGEST_MANIFEST = 1 << 24  # bytes
_MOST_EPOCHS = 100_000
_MOST_TENSORS = 10_000
_SHA256 = re.compile("[0-9a-f]{64}")


class CannotCompareError(RuntimeError):
    """A run cannot be compared; the message says why."""


class DifferenceError(Exception):
    """Two runs differ; the message names the first place."""


def data_hashes(arrays: dict[str, npt.NDArray[Any]]) -> dict[str, str]:
    """SHA-256 of each array of the data."""
    return {name: files.tensor_sha256(name, array) for name, array in arrays.items()}


def read_manifest(folder: str | os.PathLike[str]) -> Manifest:
    """The manifest of a run folder, with the type of everything that is used later checked.

    Raises:
        CannotCompareError: it is missing, or no manifest of this format.
    """
    path = Path(folder) / "run.json"
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ManifestError("it is no regular file")
        if found.st_size > _LARGEST_MANIFEST:
            raise ManifestError(f"it is larger than {_LARGEST_MANIFEST} bytes")
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
        _check_manifest(value)
    except OSError as error:
        raise CannotCompareError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:  # broken JSON or UTF-8 and ManifestError are ValueErrors
        raise CannotCompareError(f"{path} is not a manifest that nnlite can use: {error}") from error
    assert isinstance(value, dict)
    return value


def _refuse_constant(name: str) -> None:
    raise ManifestError(f"{name} is not a number of JSON")


def _check_manifest(value: object) -> None:
    manifest = _object(value, "the manifest")
    if integer(_get(manifest, "format", ""), "format", 0, 1 << 31) not in FORMATS:
        known = " and ".join(map(str, FORMATS))
        raise ManifestError(f"its format is {manifest['format']}, but this nnlite reads formats {known}")
    if _get(manifest, "kind", "") not in ("train", "script"):
        raise ManifestError("kind must be train or script")
    for key in ("nnlite", "status"):
        _text(_get(manifest, key, ""), key)
    integer(_get(manifest, "numerics", ""), "numerics", 0, 1 << 31)
    if _get(manifest, "seed", "") is not None or manifest["kind"] == "train":
        integer(manifest["seed"], "seed", 0, 2**64 - 1)
    _check_sha256s(_get(_object(_get(manifest, "data", ""), "data"), "sha256", "data."), "data.sha256")
    _get(_object(_get(manifest, "model", ""), "model"), "layers", "model.")
    if manifest["format"] >= 2:
        _text(_get(manifest, "id", ""), "id")
        _check_files(_get(manifest, "files", ""), "files")
        _check_files(manifest.get("pending", {}), "pending")
        initial = _object(_get(manifest, "initial", ""), "initial")
        _sha256(_get(initial, "weights_sha256", "initial."), "initial.weights_sha256")
        _check_sha256s(_get(initial, "tensors_sha256", "initial."), "initial.tensors_sha256")
        _object(_get(manifest, "generator", ""), "generator")
    hyperparameters = _object(_get(manifest, "hyperparameters", ""), "hyperparameters")
    planned = integer(_get(hyperparameters, "epochs", "hyperparameters."), "hyperparameters.epochs", 1, _MOST_EPOCHS)
    epochs = _get(manifest, "epochs", "")
    if not isinstance(epochs, list) or len(epochs) > planned:
        raise ManifestError(f"epochs must be a list of at most {planned} epochs")
    if manifest["status"] == "finished" and len(epochs) != planned:
        raise ManifestError(f"the run is finished, but has {len(epochs)} of {planned} epochs")
    for i, epoch in enumerate(epochs):
        _check_epoch(epoch, i)
    if epochs:
        _sha256(_get(manifest, "weights_sha256", ""), "weights_sha256")
        _check_sha256s(_get(manifest, "tensors_sha256", ""), "tensors_sha256")
        _number_or_none(_get(manifest, "test_accuracy", ""), "test_accuracy")


def _check_epoch(value: object, i: int) -> None:
    where = f"epochs[{i}]"
    epoch = _object(value, where)
    number = integer(_get(epoch, "epoch", where + "."), f"{where}.epoch", 1, _MOST_EPOCHS)
    if number != i + 1:
        raise ManifestError(f"{where}.epoch must be {i + 1}, got {number}")
    for key in ("loss", "train_accuracy", "test_loss", "test_accuracy"):
        _number_or_none(_get(epoch, key, where + "."), f"{where}.{key}")
    _sha256(_get(epoch, "weights_sha256", where + "."), f"{where}.weights_sha256")
    _check_sha256s(_get(epoch, "tensors_sha256", where + "."), f"{where}.tensors_sha256")


def _get(value: dict[str, Any], key: str, where: str) -> Any:
    if key not in value:
        raise ManifestError(f"{where}{key} is missing")
    return value[key]


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ManifestError(f"{where} must be an object")
    return value


def integer(value: object, where: str, low: int, high: int) -> int:
    """``value`` if it is an integer in these bounds."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ManifestError(f"{where} must be an integer, got {shown(value)}")
    if not low <= value <= high:
        raise ManifestError(f"{where} must be between {low} and {high}, got {shown(value)}")
    return value


def _text(value: object, where: str) -> None:
    if not isinstance(value, str) or len(value) > 1000:
        raise ManifestError(f"{where} must be a text of at most 1000 characters")


def _number_or_none(value: object, where: str) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ManifestError(f"{where} must be a number, got {shown(value)}")
    if (isinstance(value, int) and value.bit_length() > 1000) or not math.isfinite(value):
        raise ManifestError(f"{where} must be a number that a float can hold, got {shown(value)}")


def _sha256(value: object, where: str) -> None:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise ManifestError(f"{where} must be a SHA-256 of 64 hexadecimal digits")


def _check_sha256s(value: object, where: str) -> None:
    entries = _object(value, where)
    if len(entries) > _MOST_TENSORS:
        raise ManifestError(f"{where} must have at most {_MOST_TENSORS} entries")
    for name, sha256 in entries.items():
        _sha256(sha256, f"{where}[{name!r}]")


def _check_files(value: object, where: str) -> None:
    """Names of files below the run folder, and their SHA-256."""
    _check_sha256s(value, where)
    assert isinstance(value, dict)
    for name in value:
        if not name or name.startswith("/") or "\\" in name or {"", ".", ".."} & set(name.split("/")):
            raise ManifestError(f"{where}: {shown(name)} is no name of a file below the run folder")
