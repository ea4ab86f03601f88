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

    def model(self) -> nn.Sequential:
        """The model with newly drawn weights."""
        random.manual_seed(self.seed)
        return models.build(self.layers)

    def train(
        self, model: nn.Module, dataset: data.TrainTest, callback: Callback, progress: bool, device: str = "cpu"
    ) -> History:
        """Train what :meth:`model` has just drawn on ``device``, and tell ``callback``."""
        model = model.to(device)
        optimizer = models.build_optimizer(self.optimizer, model)
        trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, progress=progress)
        return trainer.run(
            dataset.x_train,
            dataset.t_train,
            (dataset.x_test, dataset.t_test),
            self.epochs,
            self.batch_size,
            self.seed,
            callback,
        )
