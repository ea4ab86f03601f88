"""The run folder while it is written.

A folder has ``run.json`` (the manifest: everything that is needed to do the run again, and what came out),
``weights.safetensors``, ``history.csv`` and, where matplotlib is installed, ``history.png``. Each file is replaced as a
whole, the manifest last.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from .. import NUMERICS, __version__, data, files, info, nn, optim, random
from ..arrays import is_array
from ..training.history import Callback, History, Row, hashes
from .code import record_code
from .manifest import (
    FORMAT,
    Manifest,
    data_hashes,
)
from .picture import picture
from .recipe import Recipe

if TYPE_CHECKING:
    from ..training.trainer import Trainer
_COLUMNS = ("epoch", "loss", "train_accuracy", "test_loss", "test_accuracy", "weights_sha256")


class Run(Callback):
    """A run folder that is being written."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self._history = History()
        self._start = time.monotonic()
        self._write_manifest()

    def after_epoch(self, row: Row, model: nn.Module) -> None:
        """Write weights, table and manifest."""
        self._history.append(row)
        self.manifest["epochs"].append(row)
        self._write_end(model, row)
        self._write("history.csv", _csv(self._history))
        self._write_manifest()

    def at_end(self, status: str, model: nn.Module, optimizer: optim.Optimizer) -> None:
        """Write the status; of an interrupted run also weights, optimizer state and generator as they are now."""
        self.manifest["status"] = status
        if status == "interrupted":
            self._write_end(model, hashes(model))
            _save_optimizer(optimizer, self.folder / "optimizer.safetensors")
            self.manifest["generator"] = random.get_state()
        self._write_manifest()
        if status == "finished":
            png = picture(self._history)
            if png is not None:
                self._write("history.png", png)

    def _write_end(self, model: nn.Module, row: Row) -> None:
        files.save(model.state_dict(), self.folder / "weights.safetensors")
        self.manifest["weights_sha256"] = row["weights_sha256"]
        self.manifest["tensors_sha256"] = row["tensors_sha256"]
        self.manifest["test_accuracy"] = row.get("test_accuracy")

    def _write_manifest(self) -> None:
        self.manifest["seconds"] = round(time.monotonic() - self._start, 3)
        self._write("run.json", json.dumps(self.manifest, indent=1, allow_nan=False).encode() + b"\n")

    def _write(self, name: str, content: bytes) -> None:
        files.write_file(self.folder / name, content)


def start_train(out: str | os.PathLike[str] | None, command: list[str], dataset: data.Dataset, recipe: Recipe) -> Run:
    """The folder of a run of ``nnlite train``: ``out``, or a new one under ``runs``."""
    hyperparameters = {
        "loss": "CrossEntropyLoss",
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "optimizer": recipe.optimizer,
    }
    manifest = _manifest("train", command, recipe.seed, hyperparameters)
    manifest["data"] = {"name": dataset.name, "sha256": data_hashes(dataset.arrays())}
    manifest["model"] = {"name": dataset.name, "layers": recipe.layers}
    return Run(_new_folder(out, dataset.name), manifest)


def start_script(
    out: str | os.PathLike[str],
    trainer: Trainer,
    x: npt.NDArray[Any],
    t: npt.NDArray[Any],
    validation: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None,
    epochs: int,
    batch_size: int,
    seed: int | None,
    drop_last: bool,
) -> Run:
    """The folder of a :class:`Trainer`'s fit, with the calling script, its local modules, git's commit and diff."""
    hyperparameters = {
        "loss": _described(trainer.loss),
        "epochs": int(epochs),
        "batch_size": int(batch_size),
        "drop_last": drop_last,
        "optimizer": {"name": type(trainer.optimizer).__name__, "description": _described(trainer.optimizer)},
    }
    manifest = _manifest("script", list(sys.orig_argv), seed, hyperparameters)
    arrays = {"x": x, "t": t}
    if validation is not None:
        arrays.update(x_validation=validation[0], t_validation=validation[1])
    manifest["data"] = {"name": None, "sha256": data_hashes(arrays)}
    manifest["model"] = {"name": type(trainer.model).__name__, "layers": repr(trainer.model).splitlines()}
    folder = _new_folder(out, "")
    manifest["code"] = record_code(folder)
    return Run(folder, manifest)


def _manifest(kind: str, command: list[str], seed: int | None, hyperparameters: dict[str, Any]) -> Manifest:
    return {
        "format": FORMAT,
        "kind": kind,
        "nnlite": __version__,
        "numerics": NUMERICS,
        "status": "running",
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": 0.0,
        "command": command,
        "seed": seed,
        "hyperparameters": hyperparameters,
        "data": {},
        "model": {},
        "platform": info.platform_facts(),
        "epochs": [],
        "weights_sha256": None,
        "tensors_sha256": {},
        "test_accuracy": None,
    }


def _new_folder(out: str | os.PathLike[str] | None, name: str) -> Path:
    """``out``, which must not have a run in it; else a new ``runs/<date>-<name>``, numbered from the second on."""
    if out is not None:
        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "run.json").exists():
            raise FileExistsError(f"{folder} already holds a run; choose another folder")
        return folder
    base = Path("runs", f"{datetime.date.today().isoformat()}-{name}")
    base.parent.mkdir(exist_ok=True)
    number = 1
    while True:
        folder = base if number == 1 else base.with_name(f"{base.name}-{number}")
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            number += 1


def _save_optimizer(optimizer: optim.Optimizer, path: Path) -> None:
    """Arrays as ``<parameter's index>.<name>``; numbers and settings in the metadata."""
    content = optimizer.state_dict()
    arrays: dict[str, npt.NDArray[Any]] = {}
    numbers: dict[str, Any] = {}
    for index, state in content["state"].items():
        for key, value in state.items():
            if is_array(value):
                arrays[f"{index}.{key}"] = value
            else:
                numbers[f"{index}.{key}"] = value
    files.save(arrays, path, {"numbers": numbers, "param_groups": content["param_groups"]})


def _described(value: object) -> str:
    """``repr`` without memory addresses."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _csv(history: History) -> bytes:
    lines = [",".join(_COLUMNS)]
    lines += [",".join("" if row[column] is None else str(row[column]) for column in _COLUMNS) for row in history]
    return "\n".join(lines).encode() + b"\n"
