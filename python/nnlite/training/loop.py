"""The loop over epochs: who is told, what is put back, where Ctrl-C is let through."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import arrays, random
from ..arrays import Array
from ..backend import device_module
from ..tape import no_grad
from . import checks
from .batches import Batches, Pair
from .history import Callback, Row, hashes
from .interrupt import CtrlC
from .progress import Bar, figures
from .step import lr_of
from .sums import Sums, right_answers

if TYPE_CHECKING:
    from .checkpoint import Checkpoints
    from .trainer import Trainer

_ADVICE = "the model was put back to the end of the last good epoch; a smaller learning rate may help"


class Loop:
    """One fit, with checked arguments."""

    def __init__(
        self,
        trainer: Trainer,
        batches: Batches,
        validation: Any,
        epochs: int,
        seed: int | None,
        callback: Callback,
        batch_size: int,
        metrics: Mapping[str, Any] | None = None,
        checkpoints: Checkpoints | None = None,
        resume: bool = False,
    ) -> None:
        self._trainer = trainer
        self._batches = batches
        self._validation = validation  # a pair of arrays, batches, or None
        self._epochs, self._seed, self._batch_size = epochs, seed, batch_size
        self._callback = callback
        self._metrics = dict(metrics or {})
        self._checkpoints = checkpoints
        self._resume = resume
        first = next(trainer.model.parameters(), None)
        self._like: Array | None = None if first is None or first.device == "cpu" else first.data
        self._good: tuple[Any, ...] | None = None

    def run(self) -> None:
        """All epochs."""
        trainer, model, callback = self._trainer, self._trainer.model, self._callback
        optimizer = trainer.optimizer
        was_training = model.training
        with CtrlC() as ctrl_c:
            try:
                if self._seed is not None:
                    random.manual_seed(self._seed)
                done, stopped = 0, None
                if self._checkpoints is not None:
                    done, stopped = self._checkpoints.begin(trainer, self._batches, callback, self._resume)
                if self._like is not None:  # the data go where the model is, once
                    self._batches.put(self._like)
                    if isinstance(self._validation, tuple):
                        x, t = self._validation
                        self._validation = arrays.put(x, self._like), arrays.put(t, self._like)
                    elif self._validation is not None:
                        self._validation.put(self._like)
                self._good = self._snapshot()
                callback.at_start(trainer)
                for epoch in range(done + 1, self._epochs + 1):
                    if stopped:
                        break
                    row = self._epoch(epoch, ctrl_c)
                    trainer.history.append(row)
                    trainer.stepping.after_epoch(row)
                    stopped = callback.after_epoch(row, model)
                    self._good = self._snapshot()
                    if self._checkpoints is not None:
                        last = epoch == self._epochs or bool(stopped)
                        self._checkpoints.after_epoch(trainer, self._batches, callback, row, last, stopped)
                callback.at_end(f"stopped: {stopped}" if stopped else "finished", model, optimizer)
            except FloatingPointError as error:
                self._restore()
                advised = FloatingPointError(f"{error}; {_ADVICE}")
                callback.at_end(f"stopped: {advised}", model, optimizer)
                raise advised from None
            except KeyboardInterrupt:
                if self._like is not None:
                    self._settle_interrupted(self._like)
                callback.at_end("interrupted", model, optimizer)
                raise
            except BaseException as error:
                if self._like is not None and isinstance(error, ValueError):  # found by a kernel some steps ago
                    self._restore()
                with contextlib.suppress(OSError):  # the error itself may be that of a full disk
                    callback.at_end(checks.failure(error), model, optimizer)
                raise
            finally:
                model.train(was_training)
        model.eval()

    def _epoch(self, epoch: int, ctrl_c: CtrlC) -> Row:
        trainer, model, stepping = self._trainer, self._trainer.model, self._trainer.stepping
        model.train()
        lr = lr_of(trainer.optimizer)
        sums = Sums()
        batches = self._batches.epoch()
        with Bar(f"epoch {epoch}/{self._epochs}", len(self._batches), trainer.progress) as bar:
            for step, group in enumerate(_groups(_fetched(batches, ctrl_c), stepping.accumulate), 1):
                for loss, right, count in stepping.step(trainer, group, f"epoch {epoch}", step, ctrl_c):
                    sums.add(loss, right, count)
                    bar.step(sums.figures())
                self._callback.after_step(epoch, step, loss if isinstance(loss, float) else None, trainer)
            sums.settle()
            if not sums.count:
                raise ValueError(
                    f"fit: {self._batches.name} had no batch in epoch {epoch}; an iterator can be used up: give a "
                    "DataLoader, or an endless iterator with steps_per_epoch"
                )
            row: Row = {"epoch": epoch, "loss": sums.loss, "train_accuracy": sums.accuracy}
            row["test_loss"], row["test_accuracy"] = (None, None)
            if self._validation is not None:
                row.update(self._evaluate(ctrl_c))
            if stepping.schedule is not None:
                row["lr"] = lr
            bar.end(figures(row["loss"], row["train_accuracy"], row["test_accuracy"]))
        self._refuse_bad_weights(row)
        row.update(hashes(model))
        return row

    def _refuse_bad_weights(self, row: Row) -> None:
        """An epoch is good if its weights and its validation loss are finite."""
        state = self._trainer.model.state_dict()
        bad = [name for name, array in state.items() if not np.isfinite(arrays.to_numpy(array)).all()]
        if row["test_loss"] is not None and not math.isfinite(row["test_loss"]):
            bad.append(f"the test loss ({row['test_loss']})")
        if bad:
            raise FloatingPointError(f"after epoch {row['epoch']} {bad[0]} is not finite")

    def _evaluate(self, ctrl_c: CtrlC) -> Row:
        trainer = self._trainer
        trainer.model.eval()
        sums = Sums()
        outputs: list[Pair] = []
        with no_grad():
            for xs, ts in _fetched(self._validation_batches(), ctrl_c):
                ctrl_c.open()
                y = trainer.model(xs)
                loss = trainer.loss(y, ts)
                ctrl_c.close()
                on_device = device_module(loss.data) is not None
                right = right_answers(trainer.loss, y.data, ts)
                sums.add(loss.data if on_device else loss.item(), right, len(xs))
                if self._metrics:
                    outputs.append((arrays.to_numpy(y.data), arrays.to_numpy(ts)))
        sums.settle()
        if not sums.count:
            return {"test_loss": None, "test_accuracy": None}
        row: Row = {"test_loss": sums.loss, "test_accuracy": sums.accuracy}
        if self._metrics:
            y, t = (np.concatenate(parts) for parts in zip(*outputs, strict=True))
            row.update({f"test_{name}": float(metric(y, t)) for name, metric in self._metrics.items()})
        return row

    def _validation_batches(self) -> Iterator[Pair]:
        if not isinstance(self._validation, tuple):
            yield from self._validation.epoch()
            return
        x, t = self._validation
        for start in range(0, len(x), self._batch_size):
            yield x[start : start + self._batch_size], t[start : start + self._batch_size]

    def _snapshot(self) -> tuple[Any, ...]:
        trainer = self._trainer
        state = {name: arrays.copy(array) for name, array in trainer.model.state_dict().items()}
        schedule = trainer.stepping.schedule
        scheduled = copy.deepcopy(schedule.state_dict()) if hasattr(schedule, "state_dict") else None
        return state, copy.deepcopy(trainer.optimizer.state_dict()), random.get_state(), scheduled

    def _settle_interrupted(self, like: Array) -> None:
        """Wait for the device; if a kernel found an error before the interruption, go back to the last good epoch."""
        try:
            arrays.synchronize(like)
        except (FloatingPointError, ValueError):
            self._restore()

    def _restore(self) -> None:
        if self._good is None:  # nothing was changed yet
            return
        state, optimizer, generator, schedule = self._good
        self._trainer.model.load_state_dict(state)
        self._trainer.optimizer.load_state_dict(optimizer)
        random.set_state(generator)
        if schedule is not None:
            self._trainer.stepping.schedule.load_state_dict(schedule)


def _fetched(batches: Iterator[Pair], ctrl_c: CtrlC) -> Iterator[Pair]:
    """The batches; Ctrl-C may interrupt the making of one, between two steps."""
    while True:
        ctrl_c.open()
        try:
            batch = next(batches, None)
        finally:
            ctrl_c.close()
        if batch is None:
            return
        yield batch


def _groups(batches: Iterator[Pair], n: int) -> Iterator[list[Pair]]:
    """Lists of ``n`` batches; the last may have fewer."""
    group: list[Pair] = []
    for batch in batches:
        group.append(batch)
        if len(group) == n:
            yield group
            group = []
    if group:
        yield group
