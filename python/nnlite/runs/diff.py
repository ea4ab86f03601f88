"""What differs between two runs."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .. import files
from ..models import ManifestError, check_layers, check_optimizer
from ..training.history import Row
from .manifest import DifferenceError, Manifest, read_manifest
from .verify import verify_files


def diff(a: str | os.PathLike[str], b: str | os.PathLike[str]) -> list[str]:
    """Everything that differs between two runs, a line each: causes first, then the first epoch and tensor.

    The lines name files that are not those of their own manifest; all settings; other code, with the first line; other
    data; other initial weights; the first epoch, tensor and figure; and the greatest difference of the final weights.
    Empty if the runs are identical.

    Raises:
        CannotCompareError: a manifest or a file is missing or broken.
    """
    folders = (Path(a), Path(b))
    left, right = (read_manifest(folder) for folder in folders)
    lines = []
    for folder, manifest in zip(folders, (left, right), strict=True):
        try:
            verify_files(folder, manifest)
        except DifferenceError as error:
            lines.append(f"{folder}: {error}")
    lines += _settings(left, right)
    lines += _code(folders, (left, right))
    lines += _leaves_that_differ("data", left["data"]["sha256"], right["data"]["sha256"])
    if "initial" in left and "initial" in right and left["initial"] != right["initial"]:
        lines.append(f"initial weights differ: {first_difference(left['initial'], right['initial'], ())}")
    different = False
    for one, two in zip(left["epochs"], right["epochs"], strict=False):
        found = first_difference(one, two)
        if found:
            lines.append(f"epoch {one['epoch']}: {found}")
            different = True
            break
    else:
        if len(left["epochs"]) != len(right["epochs"]):
            counts = f"{len(left['epochs'])} against {len(right['epochs'])}"
            lines.append(f"epochs: {counts}; those that both have are identical")
    if different or left["weights_sha256"] != right["weights_sha256"]:
        lines += _greatest_difference(folders)
    return lines


def first_difference(
    a: Row, b: Row, figures: tuple[str, ...] = ("loss", "train_accuracy", "test_loss", "test_accuracy")
) -> str | None:
    """The first tensor that differs between two epochs, in the order of ``b``; or else the first figure."""
    there, here = a["tensors_sha256"], b["tensors_sha256"]
    for name in [*here, *(name for name in there if name not in here)]:
        if there.get(name) != here.get(name):
            return f"tensor {name} differs: {_short(there.get(name))} against {_short(here.get(name))}"
    for key in ("weights_sha256", *figures):
        if a[key] != b[key]:
            return f"{key} differs: {a[key]} against {b[key]}"
    return None


def _short(sha256: str | None) -> str:
    return "missing" if sha256 is None else sha256[:16] + "…"


def _settings(left: Manifest, right: Manifest) -> list[str]:
    settings = []
    for manifest in (left, right):
        kept = {key: manifest[key] for key in ("numerics", "seed", "hyperparameters", "model")}
        if "generator" in manifest:
            kept["generator"] = manifest["generator"]
        settings.append(kept if manifest["kind"] != "train" else _normal(kept))
    if "generator" not in left or "generator" not in right:  # format 1 has none
        for kept in settings:
            kept.pop("generator", None)
    return _leaves_that_differ("hyperparameter", *settings)


def _normal(kept: dict[str, Any]) -> dict[str, Any]:
    """Layers and optimizer with every default filled in, so that formats can be compared."""
    try:
        layers = check_layers(kept["model"]["layers"])
        optimizer = check_optimizer(kept["hyperparameters"].get("optimizer"))
    except ManifestError:
        return kept
    hyperparameters = {**kept["hyperparameters"], "optimizer": optimizer}
    return {**kept, "model": {**kept["model"], "layers": layers}, "hyperparameters": hyperparameters}


def _leaves_that_differ(kind: str, there: Any, here: Any) -> list[str]:
    one, two = dict(_leaves(there)), dict(_leaves(here))
    return [
        f"{kind} {key}: {one.get(key, 'missing')} against {two.get(key, 'missing')}"
        for key in [*one, *(key for key in two if key not in one)]
        if one.get(key, "missing") != two.get(key, "missing")
    ]


def _code(folders: tuple[Path, Path], manifests: tuple[Manifest, Manifest]) -> list[str]:
    """Copies of code that differ, with the first line that does."""
    codes = [
        {name: sha256 for name, sha256 in manifest.get("files", {}).items() if name.startswith("code/")}
        for manifest in manifests
    ]
    lines = []
    for name in sorted({*codes[0], *codes[1]}):
        if codes[0].get(name) == codes[1].get(name):
            continue
        shown = name.removeprefix("code/")
        if name not in codes[0] or name not in codes[1]:
            lines.append(f"code differs: only {folders[name not in codes[0]]} has {shown}")
            continue
        texts: list[list[str]] = []
        for folder in folders:
            try:
                texts.append((folder / name).read_text(encoding="utf-8", errors="replace").splitlines())
            except OSError:
                texts.append([])
        pairs = enumerate(itertools.zip_longest(*texts), start=1)
        first = next((number for number, (one, two) in pairs if one != two), 1)
        lines.append(f"code differs: {shown} line {first}")
    return lines


def _greatest_difference(folders: tuple[Path, Path]) -> list[str]:
    """How far the weights in the two files are from each other."""
    try:
        left, right = (files.load(folder / "weights.safetensors") for folder in folders)
    except (OSError, ValueError):
        return []
    greatest, place = 0.0, ""
    for name in left.keys() & right.keys():
        x, y = left[name], right[name]
        if x.shape != y.shape or not x.size or x.dtype.kind != "f":
            continue
        with np.errstate(all="ignore"):
            apart = np.abs(x.astype(np.float64) - y)
        i = np.unravel_index(int(np.nanargmax(apart)) if not np.isnan(apart).all() else 0, apart.shape)
        if apart[i] > greatest:
            where = ", ".join(str(int(n)) for n in i)
            greatest, place = float(apart[i]), f"{name}[{where}], {x[i]} against {y[i]}"
    return [f"weights: greatest difference {greatest:.3g}, at {place}"] if place else []


def _leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of the leaves of nested objects and lists: ``optimizer.lr``, ``model.layers[0].kernel_size``."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{prefix}.{key}" if prefix else key)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _leaves(inner, f"{prefix}[{i}]")
    else:
        yield prefix, value
