"""Checkpoints of a fit: whole or not there, two generations, enough to go on with the same bits."""

from __future__ import annotations

import collections
import hashlib
import json
import os
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import NUMERICS, arguments, arrays, files, nn, random
from ..arrays import Array
from .early_stopping import is_better, is_maximized, monitored
from .history import Row

if TYPE_CHECKING:
    from .batches import Batches
    from .history import Callback
    from .trainer import Trainer

_NAME = re.compile(r"epoch-(\d{6})\.safetensors")
_KEEP = 2


class Checkpoints:
    """The checkpoints in a folder.

    After each epoch ``epoch-000012.safetensors`` is written, and the one before the last removed: model, optimizer,
    schedule, loss, history, generator, loader and callbacks. Each file appears at once (temporary name, fsync, rename):
    killed at any moment, a fit leaves at least one whole file from its first epoch on. ``best.safetensors`` is the
    epoch with the best number. ``nl.load_checkpoint(file, model, optimizer)`` reads all of them.

    Args:
        folder: made if missing.
        monitor: the number of the history that says which epoch is best; by default the validation loss, or else the
            loss.
        mode: ``"min"`` or ``"max"``; by default ``"max"`` for names that end in ``accuracy``.
        every: epochs between two checkpoints.
    """

    def __init__(
        self, folder: str | os.PathLike[str], monitor: str | None = None, mode: str | None = None, every: int = 1
    ) -> None:
        self.folder = Path(folder)
        self.monitor = monitor
        self.mode = mode
        is_maximized("Checkpoints", monitor or "loss", mode)
        self.every = arguments.size("Checkpoints: every", every)
        self.best: float | None = None
        self._facts: dict[str, Any] = {}

    @property
    def best_path(self) -> Path:
        """The checkpoint of the best epoch."""
        return self.folder / "best.safetensors"

    def paths(self) -> list[Path]:
        """The checkpoints of epochs, the newest first."""
        found = [(int(m[1]), p) for p in self.folder.glob("epoch-*") if (m := _NAME.fullmatch(p.name))]
        return [path for _, path in sorted(found, reverse=True)]

    def begin(self, trainer: Trainer, batches: Batches, callback: Callback, resume: bool) -> tuple[int, str | None]:
        """Make the folder, and put everything into the state of its newest whole checkpoint, if the fit goes on.

        Returns:
            the epochs that are done, and why the fit was ended early, if it was.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.best = None
        self._facts = _facts(trainer, batches)  # once: it takes hashes of the data
        paths = self.paths()
        if not resume:
            if paths:
                raise FileExistsError(
                    f"fit: {self.folder} already holds checkpoints; write resume=True, or choose another folder"
                )
            return 0, None
        for i, path in enumerate(paths):
            try:
                content, state = _read(path)
            except (OSError, ValueError) as error:
                if i + 1 == len(paths):
                    raise ValueError(f"fit: no checkpoint in {self.folder} is whole: {error}") from error
                warnings.warn(f"fit: {path} is not whole ({error}); going on from the one before", stacklevel=4)
                continue
            self._restore(path, content, state, trainer, batches, callback)
            return len(trainer.history), content["stopped"]
        return 0, None

    def after_epoch(
        self, trainer: Trainer, batches: Batches, callback: Callback, row: Row, last: bool, stopped: str | None
    ) -> None:
        """Write the checkpoint of an epoch, and that of the best."""
        name = self.monitor or ("loss" if row["test_loss"] is None else "test_loss")
        value = monitored("Checkpoints", row, name)
        better = is_better(value, self.best, is_maximized("Checkpoints", name, self.mode))
        if better:
            self.best = value
        due = row["epoch"] % self.every == 0 or last
        if not (better or due):
            return
        raw = self._content(trainer, batches, callback, stopped)
        if better:  # first: an epoch that is in a checkpoint is not done again
            files.write_file(self.best_path, raw)
        if due:
            files.write_file(self.folder / f"epoch-{row['epoch']:06d}.safetensors", raw)
            for path in self.paths()[_KEEP:]:
                path.unlink(missing_ok=True)

    def _content(self, trainer: Trainer, batches: Batches, callback: Callback, stopped: str | None) -> bytes:
        state = {f"model.{name}": x for name, x in trainer.model.state_dict().items()}
        if isinstance(trainer.loss, nn.Module):
            state |= {f"loss.{name}": x for name, x in trainer.loss.state_dict().items()}
        content = {
            "optimizer": files._without_arrays(trainer.optimizer.state_dict(), state),
            "metadata": {"epochs": len(trainer.history), "generator": random.get_state()},
        }
        schedule = trainer.stepping.schedule
        fit = {
            "numerics": NUMERICS,
            "facts": self._facts,
            "history": list(trainer.history),
            "best": self.best,
            "stopped": stopped,
            "schedule": schedule.state_dict() if hasattr(schedule, "state_dict") else None,
            "loader": batches.state_dict(),
            "callbacks": callback.state_dict(),
        }
        encoded = {"checkpoint": content, "fit": _encode("fit", fit, state)}
        sealed = {**encoded, "sha256": _seal(encoded, state)}
        return files.to_bytes(state, sealed)

    def _restore(
        self,
        path: Path,
        fit: dict[str, Any],
        state: dict[str, Array],
        trainer: Trainer,
        batches: Batches,
        callback: Callback,
    ) -> None:
        if fit["numerics"] != NUMERICS:
            raise ValueError(f"fit: {path} is of numerics version {fit['numerics']}, but this nnlite has {NUMERICS}")
        own = self._facts
        for name in {**own, **fit["facts"]}:
            if own.get(name) != fit["facts"].get(name):
                raise ValueError(
                    f"fit: {path} is of a fit with {name} {fit['facts'].get(name)!r}, but this one has "
                    f"{own.get(name)!r}; go on with the same, or choose another folder"
                )
        callback.load_state_dict(fit["callbacks"])
        metadata = files.load_checkpoint(path, trainer.model, trainer.optimizer)
        if isinstance(trainer.loss, nn.Module):
            trainer.loss.load_state_dict({k[5:]: x for k, x in state.items() if k.startswith("loss.")})
        if fit["schedule"] is not None:
            trainer.stepping.schedule.load_state_dict(fit["schedule"])
        batches.load_state_dict(fit["loader"])
        random.set_state(metadata["generator"])
        trainer.history.extend(fit["history"])
        self.best = fit["best"]


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """What a checkpoint says of the fit, and its arrays, after a look at its hash."""
    state, metadata = files.load(path), files.load_metadata(path)
    seal = metadata.pop("sha256", None)
    if "fit" not in metadata or "checkpoint" not in metadata:
        raise ValueError("it holds no state of a fit")
    if seal != _seal(metadata, state):
        raise ValueError("its content does not have its hash")
    fit = _decode(metadata["fit"], state)
    assert isinstance(fit, dict)
    return fit, state


def _facts(trainer: Trainer, batches: Batches) -> dict[str, Any]:
    return {"optimizer": type(trainer.optimizer).__name__, **trainer.stepping.facts(), **batches.facts()}


def _seal(content: dict[str, Any], state: dict[str, Array]) -> str:
    text = json.dumps(content, sort_keys=True) + files.weights_sha256(state)
    return hashlib.sha256(text.encode()).hexdigest()


def _encode(where: str, value: Any, state: dict[str, Array]) -> Any:
    """What JSON can hold of ``value``; arrays go into ``state``."""
    if value is None or isinstance(value, (bool, str, int, float)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if arrays.is_array(value):
        state[where] = value
        return {"array": where}
    if isinstance(value, dict):
        kind = "counter" if isinstance(value, collections.Counter) else "dict"
        return {kind: [[k, _encode(f"{where}.{k}", v, state)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        parts = [_encode(f"{where}.{i}", v, state) for i, v in enumerate(value)]
        return {"tuple": parts} if isinstance(value, tuple) else parts
    raise TypeError(
        f"fit: a checkpoint cannot hold {where}, {arrays.what_is(value)}; a state_dict() must be of numbers, texts, "
        "arrays, lists, tuples and dicts"
    )


def _decode(value: Any, state: dict[str, Array]) -> Any:
    if isinstance(value, list):
        return [_decode(v, state) for v in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "array":
        return state[content]
    if kind == "tuple":
        return tuple(_decode(v, state) for v in content)
    found = {k: _decode(v, state) for k, v in content}
    return collections.Counter(found) if kind == "counter" else found
