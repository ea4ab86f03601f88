"""Who is told how a fit goes: the base, logs, and several together."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .. import files, nn, optim
from .history import Callback, Row

if TYPE_CHECKING:
    from .trainer import Trainer


class Callbacks(Callback):
    """Several callbacks as one, told in their order."""

    def __init__(self, callbacks: Iterable[Callback]) -> None:
        self.all = list(callbacks)
        for i, callback in enumerate(self.all):
            if isinstance(callback, type) or not isinstance(callback, Callback):
                shown = f"the class {callback.__name__}" if isinstance(callback, type) else type(callback).__name__
                raise TypeError(
                    f"fit: callbacks[{i}] must be a Callback, such as EarlyStopping(patience=5), got {shown}"
                )

    def at_start(self, trainer: Trainer) -> None:
        """Tell all."""
        for callback in self.all:
            callback.at_start(trainer)

    def after_step(self, epoch: int, step: int, loss: float | None, trainer: Trainer) -> None:
        """Tell all."""
        for callback in self.all:
            callback.after_step(epoch, step, loss, trainer)

    def after_epoch(self, row: Row, model: nn.Module) -> str | None:
        """Tell all; the first reason to stop counts."""
        reasons = [callback.after_epoch(row, model) for callback in self.all]
        return next((reason for reason in reasons if reason), None)

    def at_end(self, status: str, model: nn.Module, optimizer: optim.Optimizer) -> None:
        """Tell all."""
        for callback in self.all:
            callback.at_end(status, model, optimizer)

    def state_dict(self) -> dict[str, Any]:
        """Of each that has a ``state_dict`` of its own, by place among them and class."""
        return {
            f"{i} {type(callback).__name__}": callback.state_dict() for i, callback in enumerate(self._with_state())
        }

    def _with_state(self) -> list[Callback]:
        return [callback for callback in self.all if type(callback).state_dict is not Callback.state_dict]

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Of each."""
        own = self.state_dict()
        if own.keys() != state.keys():
            raise ValueError(
                f"fit: the checkpoint is of a fit with the callbacks {list(state) or 'none'}, but this one has "
                f"{list(own) or 'none'}; give the same in the same order"
            )
        for callback, one in zip(self._with_state(), state.values(), strict=True):
            callback.load_state_dict(one)


class JSONLog(Callback):
    """Writes ``path``: a JSON object per epoch and line, ``{"epoch": 1, "loss": …}``.

    The file is replaced as a whole after each epoch, so a killed fit leaves whole lines, and one that goes on continues
    it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path
        self._rows: list[Row] = []

    def at_start(self, trainer: Trainer) -> None:
        """Begin with the epochs that a resumed fit has."""
        self._rows = [_short(row) for row in trainer.history]
        self._write()

    def after_epoch(self, row: Row, model: nn.Module) -> str | None:
        """Write one line more."""
        self._rows.append(_short(row))
        self._write()
        return None

    def _write(self) -> None:
        files.write_file(self.path, self._content().encode())

    def _content(self) -> str:
        return "".join(json.dumps(row) + "\n" for row in self._rows)


class CSVLog(JSONLog):
    """Writes ``path``: a line of names, and a line per epoch; an empty cell for what there is not.

    Replaced as a whole after each epoch, as of :class:`JSONLog`.
    """

    def _content(self) -> str:
        import csv
        import io

        names = list(dict.fromkeys(name for row in self._rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        if names:
            writer.writeheader()
        writer.writerows(self._rows)
        return text.getvalue()


def _short(row: Row) -> Row:
    """Without the hash of each tensor."""
    return {name: value for name, value in row.items() if name != "tensors_sha256"}
