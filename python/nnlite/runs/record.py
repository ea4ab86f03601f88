"""The run folder while it is written.

A folder has ``run.json`` (the manifest: everything that is needed to do the run again, and what came out),
``weights.safetensors``, ``history.csv``, of a script's run ``code/``, and, where matplotlib is installed,
``history.png``. Each file is replaced as a whole. The manifest has the SHA-256 of every file but the picture.
"""

from __future__ import annotations

import datetime
import fcntl
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from .. import NUMERICS, __version__, data, files, info, nn, optim, random
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
    """A run folder that is being written; no other process can write a run there meanwhile."""

    def __init__(self, folder: Path, lock: int, manifest: Manifest, model: nn.Module, code: Sequence[str] = ()) -> None:
        self.folder = folder
        self.manifest = manifest
        self._lock = lock
        self._history = History()
        self._committed = 0  # epochs in run.json whose files are all there
        self._start = time.monotonic()
        self.begin(model)
        manifest["files"] = {name: files.file_sha256(folder / name) for name in code}
        manifest["id"] = _identity(manifest)
        self._write_manifest()

    def begin(self, model: nn.Module) -> None:
        """Note the state that the run begins with."""
        self.manifest["initial"] = hashes(model)
        self.manifest["generator"] = random.get_state()

    def after_epoch(self, row: Row, model: nn.Module) -> None:
        """Write weights, table and manifest."""
        self._history.append(row)
        self.manifest["epochs"].append(row)
        self._write_state(model, row)

    def at_end(self, status: str, model: nn.Module, optimizer: optim.Optimizer) -> None:
        """Write the status; of an interrupted run also a checkpoint as everything is now."""
        self.manifest["status"] = status
        if status == "interrupted":
            metadata = {"generator": random.get_state(), "epochs": len(self._history)}
            files.save_checkpoint(self.folder / "checkpoint.safetensors", model, optimizer, metadata)
            self.manifest["files"]["checkpoint.safetensors"] = files.file_sha256(self.folder / "checkpoint.safetensors")
            self.manifest["generator_at_end"] = random.get_state()
            self._write_state(model, hashes(model))
        self._write_manifest()
        if status == "finished":
            png = picture(self._history)
            if png is not None:
                files.write_file(self.folder / "history.png", png)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _write_state(self, model: nn.Module, row: Row) -> None:
        """Weights and table. Killed at any moment, the manifest has the hash of each file, as it was or as it is."""
        metadata = {"run": self.manifest["id"], "weights_sha256": row["weights_sha256"]}
        content = {
            "weights.safetensors": files.to_bytes(model.state_dict(), metadata),
            "history.csv": csv(self._history),
        }
        new = {name: hashlib.sha256(raw).hexdigest() for name, raw in content.items()}
        self._write_manifest(pending=new)
        for name, raw in content.items():
            files.write_file(self.folder / name, raw)
        self.manifest["files"].update(new)
        self.manifest["weights_sha256"] = row["weights_sha256"]
        self.manifest["tensors_sha256"] = row["tensors_sha256"]
        self.manifest["test_accuracy"] = row.get("test_accuracy")
        self._committed = len(self._history)
        self._write_manifest()

    def _write_manifest(self, pending: dict[str, str] | None = None) -> None:
        self.manifest["seconds"] = round(time.monotonic() - self._start, 3)
        manifest = self.manifest
        if pending is not None:  # the epochs as they were, with the files that may already be newer
            manifest = {**manifest, "epochs": manifest["epochs"][: self._committed], "pending": pending}
        files.write_file(self.folder / "run.json", json.dumps(manifest, indent=1, allow_nan=False).encode() + b"\n")


def start_train(
    out: str | os.PathLike[str] | None,
    command: list[str],
    dataset: data.TrainTest,
    recipe: Recipe,
    model: nn.Module,
) -> Run:
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
    folder, lock = _new_folder(out, dataset.name)
    return Run(folder, lock, manifest, model)


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
    folder, lock = _new_folder(out, "")
    manifest["code"], copies = record_code(folder)
    return Run(folder, lock, manifest, trainer.model, copies)


def _manifest(kind: str, command: list[str], seed: int | None, hyperparameters: dict[str, Any]) -> Manifest:
    return {
        "format": FORMAT,
        "id": "",
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
        "files": {},
        "not_covered": ["history.png"],
        "weights_sha256": None,
        "tensors_sha256": {},
        "test_accuracy": None,
    }


def _identity(manifest: Manifest) -> str:
    """A hash of everything that decides the run, so that equal runs write equal files."""
    keys = ("kind", "numerics", "seed", "hyperparameters", "data", "model", "initial", "generator", "files")
    text = json.dumps({key: manifest[key] for key in keys}, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _new_folder(out: str | os.PathLike[str] | None, name: str) -> tuple[Path, int]:
    """``out``, which must not have a run in it; else a new ``runs/<date>-<name>``, numbered from the second on.

    Returns:
        the folder, and a file descriptor that holds its lock until it is closed.
    """
    if out is not None:
        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if (folder / "run.json").exists():
                raise FileExistsError(f"{folder} already holds a run; choose another folder")
        except BlockingIOError:
            os.close(lock)
            raise FileExistsError(f"another process is writing a run into {folder}; choose another folder") from None
        except BaseException:
            os.close(lock)
            raise
        return folder, lock
    base = Path("runs", f"{datetime.date.today().isoformat()}-{name}")
    base.parent.mkdir(exist_ok=True)
    number = 1
    while True:
        folder = base if number == 1 else base.with_name(f"{base.name}-{number}")
        try:
            folder.mkdir()
            return folder, os.open(folder, os.O_RDONLY)
        except FileExistsError:
            number += 1


def _described(value: object) -> str:
    """``repr`` without memory addresses."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def csv(history: Sequence[Row]) -> bytes:
    """The table of a run: ``history.csv``."""
    lines = [",".join(_COLUMNS)]
    lines += [",".join("" if row[column] is None else str(row[column]) for column in _COLUMNS) for row in history]
    return "\n".join(lines).encode() + b"\n"
