"""What a fit leaves behind: one row per epoch, and who is told of it."""

from __future__ import annotations

from typing import Any

from .. import files, nn, optim

Row = dict[str, Any]


class History(list[Row]):
    """One dictionary per completed epoch, in order; the columns as attributes.

    ``loss`` is the mean over the epoch's batches, as they were trained on; ``train_accuracy`` the share of right
    answers in the same passes. ``test_loss`` and ``test_accuracy`` are taken at the end of the epoch on the validation
    data in evaluation mode. An accuracy is a share from 0 to 1, and ``None`` where the targets are no classes.
    """

    @property
    def loss(self) -> list[float]:
        """Training loss of each epoch."""
        return [row["loss"] for row in self]

    @property
    def train_accuracy(self) -> list[float | None]:
        """Training accuracy of each epoch."""
        return [row["train_accuracy"] for row in self]

    @property
    def test_loss(self) -> list[float | None]:
        """Validation loss of each epoch."""
        return [row["test_loss"] for row in self]

    @property
    def test_accuracy(self) -> list[float | None]:
        """Validation accuracy of each epoch."""
        return [row["test_accuracy"] for row in self]

    @property
    def weights_sha256(self) -> list[str]:
        """Hash of all weights at the end of each epoch (docs/numerics.md, section 13)."""
        return [row["weights_sha256"] for row in self]


def hashes(model: nn.Module) -> Row:
    """``weights_sha256`` and ``tensors_sha256`` (in the model's order) of a state (docs/numerics.md, section 13)."""
    state = model.state_dict()
    tensors = files.tensors_sha256(state)
    return {"weights_sha256": files.weights_sha256(state), "tensors_sha256": {name: tensors[name] for name in state}}


class Callback:
    """Is told how a fit goes. Ctrl-C never interrupts it; an exception that it raises ends the fit."""

    def after_epoch(self, row: Row, model: nn.Module) -> None:
        """An epoch is complete."""

    def at_end(self, status: str, model: nn.Module, optimizer: optim.Optimizer) -> None:
        """The fit is over: ``finished``, ``interrupted``, ``stopped: <why>`` or ``failed: <error> (<file>:<line>)``."""
