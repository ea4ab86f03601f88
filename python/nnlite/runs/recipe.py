"""What it takes to do a run of ``nnlite train`` again."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import data, models, nn, random
from ..training.history import Callback, History
from ..training.trainer import Trainer


class Recipe(NamedTuple):
    """What it takes to do a run of ``nnlite train`` again."""

    layers: list[models.Layer]
    optimizer: dict[str, Any]
    epochs: int
    batch_size: int
    seed: int

    def train(self, dataset: data.Dataset, callback: Callback, progress: bool, device: str = "cpu") -> History:
        """Draw the weights, train on ``device``, and tell ``callback``."""
        random.manual_seed(self.seed)
        model = models.build(self.layers).to(device)
        trainer = Trainer(
            model, nn.CrossEntropyLoss(), models.build_optimizer(self.optimizer, model), progress=progress
        )
        return trainer.run(
            dataset.x_train,
            dataset.t_train,
            (dataset.x_test, dataset.t_test),
            self.epochs,
            self.batch_size,
            self.seed,
            callback,
        )
