"""What a fit leaves behind: one row per epoch, and who is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import files, nn, optim

if TYPE_CHECKING:
    from .trainer import Trainer

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
    """Is told how a fit goes: a subclass defines what it wants to know. Ctrl-C never interrupts it; an exception that
    it raises ends the fit.
    """

    def at_start(self, trainer: Trainer) -> None:
        """The fit begins; of one that goes on, ``trainer.history`` has the epochs that are done."""

    def after_step(self, epoch: int, step: int, loss: float | None, trainer: Trainer) -> None:
        """A step of the optimizer is done, number ``step`` of ``epoch``, both from 1.

        ``loss`` is that of its batches, before the step; ``None`` while it is on a device.
        """

    def after_epoch(self, row: Row, model: nn.Module) -> str | None:
        """An epoch is complete. A text that is returned ends the fit, with the status ``stopped: <text>``."""
        return None

    def at_end(self, status: str, model: nn.Module, optimizer: optim.Optimizer) -> None:
        """The fit is over: ``finished``, ``interrupted``, ``stopped: <why>`` or ``failed: <error> (<file>:<line>)``."""

    def state_dict(self) -> dict[str, Any]:
        """What a fit that goes on needs: numbers, texts, arrays, lists and dicts."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what :meth:`state_dict` returned."""
