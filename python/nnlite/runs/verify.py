"""Whether the files of a run folder are those that its manifest names."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from .. import files
from ..files import tensor_sha256
from .manifest import CannotCompareError, DifferenceError, Manifest, read_manifest
from .record import csv


class Verified(NamedTuple):
    """What :func:`verify` looked at: files that are what the manifest names, and files that it does not cover."""

    files: list[str]
    not_covered: list[str]


def verify(folder: str | os.PathLike[str]) -> Verified:
    """Check each file of a run against its manifest: these files, these bytes, these tensors, and none besides.

    Raises:
        CannotCompareError: the manifest or a file cannot be read.
        DifferenceError: a file is missing, was changed, or does not belong to the run; the message names it.
    """
    return verify_files(Path(folder), read_manifest(folder))


def verify_files(folder: Path, manifest: Manifest) -> Verified:
    """:func:`verify` with a manifest that was read before."""
    try:
        there = _files_below(folder)
    except OSError as error:
        raise CannotCompareError(f"cannot read {folder}: {error.strerror or error}") from error
    if manifest["format"] == 1:
        covered = {name for name in ("weights.safetensors", "history.csv") if manifest["epochs"] or name in there}
    else:
        covered = {*manifest["files"], *manifest.get("pending", {})}
        optional = manifest.get("pending", {}).keys() - manifest["files"].keys()
        covered = {name for name in covered if name in there or name not in optional}
    missing = sorted(covered - there)
    if missing:
        raise DifferenceError(f"{missing[0]} is missing")
    for name in sorted(covered):
        _check_file(folder, name, manifest)
    rest = sorted(there - covered - {"run.json"})
    strange = [name for name in rest if name.startswith("code/")] if manifest["format"] >= 2 else []
    if strange:
        raise DifferenceError(f"{strange[0]} does not belong to the run")
    if manifest["epochs"] and "weights.safetensors" in covered:
        _check_weights(folder, manifest)
    ahead = "pending" in manifest or (manifest["format"] == 1 and manifest["status"] == "running")  # by an epoch
    if "history.csv" in covered and not ahead and (folder / "history.csv").read_bytes() != csv(manifest["epochs"]):
        raise DifferenceError("history.csv is not the table of the epochs that run.json names")
    return Verified(sorted(covered), rest)


def _check_file(folder: Path, name: str, manifest: Manifest) -> None:
    if manifest["format"] == 1:
        return
    wanted = {manifest[where].get(name) for where in ("files", "pending") if where in manifest} - {None}
    try:
        found = files.file_sha256(folder / name)
    except OSError as error:
        raise CannotCompareError(f"cannot read {folder / name}: {error.strerror or error}") from error
    if found not in wanted:
        raise DifferenceError(f"{name} is not the file that run.json names: SHA-256 {found[:16]}…")


def _check_weights(folder: Path, manifest: Manifest) -> None:
    """Exactly the tensors that the manifest names, of this run."""
    path = folder / "weights.safetensors"
    try:
        state, metadata = files.load(path), files.load_metadata(path)
    except OSError as error:
        raise CannotCompareError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise CannotCompareError(f"{path} is not a weights file: {error}") from error
    if manifest["format"] >= 2 and metadata.get("run") != manifest["id"]:
        raise DifferenceError("weights.safetensors is of another run")
    if manifest["status"] == "running" and (manifest["format"] == 1 or "pending" in manifest):
        return  # killed between the files of an epoch; they may be one epoch ahead of the manifest
    for name, sha256 in manifest["tensors_sha256"].items():
        if name not in state or tensor_sha256(name, state[name]) != sha256:
            raise DifferenceError(f"weights.safetensors: {name} is not the tensor that run.json names")
    more = sorted(state.keys() - manifest["tensors_sha256"].keys())
    if more:
        raise DifferenceError(f"weights.safetensors: the run has no tensor {more[0]}")
    if manifest["format"] >= 2 and metadata.get("weights_sha256") != manifest["weights_sha256"]:
        raise DifferenceError("weights.safetensors: its metadata name another weights_sha256 than run.json")


def _files_below(folder: Path) -> set[str]:
    """Names of all files below the folder; a link or a device is named like a file, and refused when it is read."""
    names = set()
    for place, _, entries in os.walk(folder):
        for entry in entries:
            path = Path(place, entry)
            if not stat.S_ISDIR(path.lstat().st_mode):
                names.add(path.relative_to(folder).as_posix())
    return names
