"""What differs between two runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from ..training.history import Row
from .manifest import (
    read_manifest,
)


def diff(a: str | os.PathLike[str], b: str | os.PathLike[str]) -> list[str]:
    """A line for each of hyperparameters, data and epochs: the first that differs; empty if two runs are identical.

    Raises:
        CannotCompareError: one of the manifests is missing or broken.
    """
    left, right = read_manifest(a), read_manifest(b)
    lines = []
    settings = [
        {key: manifest[key] for key in ("numerics", "seed", "hyperparameters", "model")} for manifest in (left, right)
    ]
    for kind, (there, here) in (
        ("hyperparameter", settings),
        ("data", (left["data"]["sha256"], right["data"]["sha256"])),
    ):
        one, two = dict(_leaves(there)), dict(_leaves(here))
        for key in [*one, *(key for key in two if key not in one)]:
            if one.get(key) != two.get(key):
                lines.append(f"{kind} {key}: {one.get(key, 'missing')} against {two.get(key, 'missing')}")
                break
    for one, two in zip(left["epochs"], right["epochs"], strict=False):
        different = first_difference(one, two)
        if different:
            lines.append(f"epoch {one['epoch']}: {different}")
            break
    else:
        if len(left["epochs"]) != len(right["epochs"]):
            lines.append(
                f"epochs: {len(left['epochs'])} against {len(right['epochs'])}; those that both have are identical"
            )
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
