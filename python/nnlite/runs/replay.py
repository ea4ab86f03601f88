"""Train a run again and compare every epoch."""

from __future__ import annotations

import os
from pathlib import Path

from .. import NUMERICS, data, info, models, nn
from ..models import ManifestError
from ..training.history import Callback, Row, hashes
from .diff import first_difference
from .manifest import (
    CannotCompareError,
    DifferenceError,
    Manifest,
    data_hashes,
    integer,
    read_manifest,
)
from .recipe import Recipe
from .verify import verify_files


def replay(
    folder: str | os.PathLike[str], data_dir: str | None = None, progress: bool = True, device: str = "cpu"
) -> str:
    """Train a run again from its manifest, on ``device``, and compare each epoch.

    Returns:
        a sentence that begins with ``identical``.

    Raises:
        CannotCompareError: before any training: the manifest, the data, the version of the numerics or a file does not
            allow it.
        DifferenceError: names the first epoch and tensor that differ.
    """
    manifest = read_manifest(folder)
    dataset, recipe = _comparable(manifest, data_dir)
    verify_files(Path(folder), manifest)
    model = recipe.model()
    if "initial" in manifest:
        different = first_difference(manifest["initial"], hashes(model), ())
        if different:
            raise DifferenceError(f"initial weights: {different}")
    try:
        recipe.train(model, dataset, _Comparison(manifest["epochs"]), progress, device)
    except FloatingPointError as error:
        raise DifferenceError(str(error)) from error
    if manifest["status"] == "finished":
        different = first_difference(manifest, manifest["epochs"][-1], ("test_accuracy",))
        if different:
            raise DifferenceError(f"at the end, run.json contradicts its last epoch: {different}")
    facts = info.platform_facts()
    ending = "" if manifest["status"] == "finished" else f" (the run did not finish: {manifest['status']})"
    weights = manifest["epochs"][-1]["weights_sha256"]
    where = device if device != "cpu" else f"{facts['backend']}, threads: {facts['threads']}"
    return f"identical: epochs {recipe.epochs}{ending}, weights {weights}, on {where}"


def _comparable(manifest: Manifest, data_dir: str | None) -> tuple[data.TrainTest, Recipe]:
    """The data and the recipe of a manifest, if they can give the same bits here."""
    if manifest["kind"] != "train":
        raise CannotCompareError(
            "this run was made by a script, not by nnlite train; run the script again and use nnlite diff"
        )
    if manifest["numerics"] != NUMERICS:
        raise CannotCompareError(
            f"the run was made with numerics version {manifest['numerics']}, but this nnlite has version {NUMERICS}"
        )
    if not manifest["epochs"]:
        raise CannotCompareError("the run has no completed epoch to compare with")
    name = manifest["data"].get("name")
    if name not in data.NAMES:
        raise CannotCompareError(f"run.json: data.name must be one of {', '.join(data.NAMES)}")
    hyperparameters = manifest["hyperparameters"]
    try:
        if hyperparameters.get("loss") != "CrossEntropyLoss":
            raise ManifestError("hyperparameters.loss must be CrossEntropyLoss")
        recipe = Recipe(
            models.check_layers(manifest["model"]["layers"], "model.layers"),
            models.check_optimizer(hyperparameters.get("optimizer"), "hyperparameters.optimizer"),
            len(manifest["epochs"]),
            integer(hyperparameters.get("batch_size"), "hyperparameters.batch_size", 1, 1 << 20),
            manifest["seed"],
        )
    except ManifestError as error:
        raise CannotCompareError(f"run.json: {error}") from error
    try:
        dataset = data.load(name, data_dir)
    except data.DataError as error:
        raise CannotCompareError(str(error)) from error
    here, there = data_hashes(dataset.arrays()), manifest["data"]["sha256"]
    for key in sorted(here.keys() | there.keys()):
        if here.get(key) != there.get(key):
            raise CannotCompareError(
                f"the run was made with other data: {key} has the SHA-256 {there.get(key)}, but here {here.get(key)}"
            )
    try:
        models.check_shapes(recipe.layers, dataset.x_train.shape[1:], dataset.classes, recipe.batch_size)
    except ManifestError as error:
        raise CannotCompareError(f"run.json: model.{error}") from error
    return dataset, recipe


class _Comparison(Callback):
    def __init__(self, epochs: list[Row]) -> None:
        self._epochs = epochs

    def after_epoch(self, row: Row, model: nn.Module) -> None:
        different = first_difference(self._epochs[row["epoch"] - 1], row)
        if different:
            raise DifferenceError(f"epoch {row['epoch']}: {different}")
