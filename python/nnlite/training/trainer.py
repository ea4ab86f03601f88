"""The training loop: batches, history, Ctrl-C and losses that are no numbers."""

from __future__ import annotations

import contextlib
import copy
import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import arguments, arrays, nn, optim, random
from ..arrays import Array
from ..backend import device_module
from ..nn.module import get_buffers, set_buffers
from ..tape import no_grad
from ..tensor import Tensor
from . import checks
from .history import Callback, History, Row, hashes
from .interrupt import CtrlC
from .progress import Bar, figures

Pair = tuple[Array, Array]
_Snapshot = tuple[dict[str, Array], Any, Any]  # state of the model, of the optimizer, of the generator
_ADVICE = "the model was put back to the end of the last good epoch; a smaller learning rate may help"


class Trainer:
    """Trains a model.

    Args:
        model: maps a batch ``(N, …)`` to outputs.
        loss: maps outputs and targets to a mean loss, e.g. ``nn.CrossEntropyLoss()``.
        optimizer: updates the model's parameters (and the loss's, if it has any).
        progress: show progress on stderr: a bar per epoch on a terminal, a line per epoch elsewhere.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[Tensor, Array], Tensor],
        optimizer: optim.Optimizer,
        *,
        progress: bool = True,
    ) -> None:
        checks.check_parts(model, loss, optimizer)
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.progress = progress
        self.history = History()

    def fit(
        self,
        x: Array,
        t: Array,
        *,
        validation: Pair | None = None,
        epochs: int = 1,
        batch_size: int = 64,
        seed: int | None = None,
        drop_last: bool = False,
        out: str | os.PathLike[str] | None = None,
    ) -> History:
        """Train for ``epochs`` epochs; see docs/numerics.md, section 12, for the order of the batches.

        A ``seed`` calls ``nnlite.manual_seed`` first, so that shuffling and dropout depend on it alone; the model's
        weights were drawn before, when it was made. With ``out`` a run folder is written there after each epoch, with
        copies of the calling script and of its local modules.

        Afterwards the model is in evaluation mode, ready for :meth:`predict`. Ctrl-C ends the fit with
        ``KeyboardInterrupt``. The step that it interrupts leaves parameters, optimizer state, running statistics and
        generator as they were before it, and with ``out`` they are saved. ``trainer.history`` has the completed epochs.

        Args:
            x: inputs ``(N, …)``, float32 or float64 like the model.
            t: targets ``(N,)`` integer classes, or whatever the loss takes.
            validation: inputs and targets to evaluate after each epoch.
            epochs: passes over the data, at least 1.
            batch_size: samples per step; the last batch of an epoch may be smaller.
            seed: from 0 to 2^64 - 1.
            drop_last: leave a smaller last batch out: a batch normalisation refuses one of a single sample.
            out: a folder without a run in it; made if missing.

        Returns:
            The history: a list with one dictionary per epoch.

        Raises:
            TypeError, ValueError: wrong arguments: found before the first step, with nothing changed. All labels, the
                whole data and the sizes of all batches are looked at (the model is called on descriptions of batches).
                Only a model that computes with NumPy itself or is on a device, or labels of a loss of one's own, may
                be refused later. Then, as after any other error, everything is as after the last whole step (on a
                device, where a kernel refused a value: as at the end of the last good epoch).
            FloatingPointError: the loss became infinite or NaN. Everything is put back to the end of the last good
                epoch.
        """
        self.check(x, t, validation, epochs, batch_size, seed, drop_last)
        if out is None:
            return self.run(x, t, validation, epochs, batch_size, seed, Callback(), drop_last)
        from ..runs.record import start_script

        run = start_script(out, self, x, t, validation, epochs, batch_size, seed, drop_last)
        return self.run(x, t, validation, epochs, batch_size, seed, run, drop_last)

    def predict(self, x: Array, batch_size: int = 256) -> Array:
        """The model's outputs for ``x``, in evaluation mode and without gradients; its mode is as before afterwards.

        Args:
            x: inputs ``(N, …)``.
            batch_size: samples per call of the model; it changes no bit.

        Returns:
            outputs ``(N, …)``, an array in host memory.
        """
        return predict(self.model, x, batch_size)

    def check(
        self,
        x: Array,
        t: Array,
        validation: Pair | None,
        epochs: int,
        batch_size: int,
        seed: int | None,
        drop_last: bool = False,
    ) -> None:
        """Refuse what :meth:`fit` cannot use, as far as it can be known before the first step."""
        if seed is not None:
            random.Generator(seed)
        for name, value in (("epochs", epochs), ("batch_size", batch_size)):
            arguments.size(f"fit: {name}", value)
        if not isinstance(drop_last, bool):
            raise TypeError(f"fit: drop_last must be a bool, got {drop_last!r}")
        checks.check_belongs(self.model, self.loss, self.optimizer)
        checks.check_data("x", x, "t", t, self.loss)
        if validation is not None:
            if not isinstance(validation, tuple | list) or len(validation) != 2:
                raise TypeError("fit: validation must be a pair (x, t)")
            checks.check_data("validation[0]", validation[0], "validation[1]", validation[1], self.loss)
        if drop_last and len(x) < batch_size:
            raise ValueError(f"fit: drop_last leaves no batch of {batch_size}, as x has {len(x)} samples")
        self._check_fit(x, t, validation, batch_size, drop_last)

    def _check_fit(self, x: Array, t: Array, validation: Pair | None, batch_size: int, drop_last: bool) -> None:
        """Whether the model takes the data, in batches of these sizes, and knows their labels."""
        first = next(self.model.parameters(), None)
        if first is None or first.device != "cpu":
            return
        sizes = [min(batch_size, len(x))]
        if len(x) % batch_size and not drop_last and len(x) > batch_size:
            sizes.append(len(x) % batch_size)
        outputs = checks.rehearse(self.model, self.loss, x, t, sizes, training=True)
        if outputs is not None and validation is not None and len(validation[0]):
            sizes = [min(batch_size, len(validation[0]))]
            try:
                checks.rehearse(self.model, self.loss, *validation, sizes, training=False)
            except (TypeError, ValueError) as error:
                error.add_note("fit: found in the validation data")
                raise
        if outputs is not None and len(outputs) == 2 and checks.wants_classes(self.loss):
            checks.check_labels("t", t, outputs[1])
            if validation is not None:
                checks.check_labels("validation[1]", validation[1], outputs[1])

    def run(
        self,
        x: Array,
        t: Array,
        validation: Pair | None,
        epochs: int,
        batch_size: int,
        seed: int | None,
        callback: Callback,
        drop_last: bool = False,
    ) -> History:
        """The loop of :meth:`fit`, with checked arguments; ``callback`` is told how it goes."""
        model, optimizer = self.model, self.optimizer
        was_training = model.training
        self.history = History()
        first = next(model.parameters(), None)
        on_device = first is not None and first.device != "cpu"
        good = None
        with CtrlC() as ctrl_c:
            try:
                if seed is not None:
                    random.manual_seed(seed)
                if first is not None and on_device:  # the data go where the model is, once
                    x, t = arrays.put(x, first.data), arrays.put(t, first.data)
                    if validation is not None:
                        validation = arrays.put(validation[0], first.data), arrays.put(validation[1], first.data)
                good = self._snapshot()
                for epoch in range(1, epochs + 1):
                    row = self._epoch(x, t, validation, epoch, epochs, batch_size, drop_last, ctrl_c)
                    self.history.append(row)
                    callback.after_epoch(row, model)
                    good = self._snapshot()
                callback.at_end("finished", model, optimizer)
            except FloatingPointError as error:
                self._restore(good)
                advised = FloatingPointError(f"{error}; {_ADVICE}")
                callback.at_end(f"stopped: {advised}", model, optimizer)
                raise advised from None
            except KeyboardInterrupt:
                if on_device:
                    self._settle_interrupted(x, good)
                callback.at_end("interrupted", model, optimizer)
                raise
            except BaseException as error:
                if on_device and isinstance(error, ValueError):  # found by a kernel some steps ago
                    self._restore(good)
                with contextlib.suppress(OSError):  # the error itself may be that of a full disk
                    callback.at_end(checks.failure(error), model, optimizer)
                raise
            finally:
                model.train(was_training)
        model.eval()
        return self.history

    def _epoch(
        self,
        x: Array,
        t: Array,
        validation: Pair | None,
        epoch: int,
        epochs: int,
        batch_size: int,
        drop_last: bool,
        ctrl_c: CtrlC,
    ) -> Row:
        model = self.model
        model.train()
        order = random.permutation(len(x), stream=random.SHUFFLING, like=x)
        sums = _Sums()
        starts = range(0, len(x) - batch_size + 1 if drop_last else len(x), batch_size)
        with Bar(f"epoch {epoch}/{epochs}", len(starts), self.progress) as bar:
            for start in starts:
                index = order[start : start + batch_size]
                loss, correct = self._step(x, t, index, f"epoch {epoch}", start // batch_size + 1, ctrl_c)
                sums.add(loss, correct, len(index))
                bar.step(sums.figures())
            sums.settle()
            row: Row = {"epoch": epoch, "loss": sums.loss, "train_accuracy": sums.accuracy}
            row["test_loss"], row["test_accuracy"] = (None, None)
            if validation is not None:
                row["test_loss"], row["test_accuracy"] = self._evaluate(*validation, batch_size, ctrl_c)
            bar.end(figures(row["loss"], row["train_accuracy"], row["test_accuracy"]))
        self._refuse_bad_weights(row)
        row.update(hashes(model))
        return row

    def _step(
        self, x: Array, t: Array, index: Array, where: str, step: int, ctrl_c: CtrlC
    ) -> tuple[float | Array, int | Array | None]:
        """One step; whatever is raised leaves everything as it was before.

        On a device nothing waits: loss and count of right answers are the device's, a loss that is no number keeps the
        optimizer from changing anything, and is raised when :class:`_Sums` asks for the numbers.
        """
        model, optimizer = self.model, self.optimizer
        buffers = get_buffers(model)
        generator = random.get_state()
        try:
            ctrl_c.open()
            optimizer.zero_grad()
            xs, ts = arrays.take(x, index), arrays.take(t, index)
            y = model(xs)
            loss = self.loss(y, ts)
            value: float | Array
            device = device_module(loss.data)
            if device is not None:
                value = loss.data
                device._check_finite(value, where, step)
            else:
                value = loss.item()
                if not math.isfinite(value):
                    raise FloatingPointError(f"the loss is {value} in {where}, step {step}")
            loss.backward()
            correct = self._right(y.data, ts)
            ctrl_c.close()
            optimizer.step()  # all or nothing
        except BaseException:
            ctrl_c.close()
            set_buffers(buffers)
            random.set_state(generator)
            optimizer.zero_grad()
            raise
        return value, correct

    def _refuse_bad_weights(self, row: Row) -> None:
        """An epoch is good if its weights and its validation loss are finite."""
        bad = [name for name, array in self.model.state_dict().items() if not np.isfinite(arrays.to_numpy(array)).all()]
        if row["test_loss"] is not None and not math.isfinite(row["test_loss"]):
            bad.append(f"the test loss ({row['test_loss']})")
        if bad:
            raise FloatingPointError(f"after epoch {row['epoch']} {bad[0]} is not finite")

    def _evaluate(self, x: Array, t: Array, batch_size: int, ctrl_c: CtrlC) -> tuple[float | None, float | None]:
        if not len(x):
            return None, None
        self.model.eval()
        sums = _Sums()
        with no_grad():
            for start in range(0, len(x), batch_size):
                xs, ts = x[start : start + batch_size], t[start : start + batch_size]
                ctrl_c.open()
                y = self.model(xs)
                loss = self.loss(y, ts)
                ctrl_c.close()
                on_device = device_module(loss.data) is not None
                sums.add(loss.data if on_device else loss.item(), self._right(y.data, ts), len(xs))
        sums.settle()
        return sums.loss, sums.accuracy

    def _right(self, y: Array, t: Array) -> int | Array | None:
        """Number of samples whose largest output is the class of the target; ``None`` if the targets are no classes."""
        if y.ndim != 2:
            return None
        if t.ndim == 1 and t.dtype.kind in "iu":
            return arrays.count_equal(arrays.argmax(y), t)
        if t.shape == y.shape and isinstance(self.loss, nn.CrossEntropyLoss):
            return arrays.count_equal(arrays.argmax(y), arrays.argmax(t))
        return None

    def _snapshot(self) -> _Snapshot:
        state = {name: arrays.copy(array) for name, array in self.model.state_dict().items()}
        return state, copy.deepcopy(self.optimizer.state_dict()), random.get_state()

    def _settle_interrupted(self, x: Array, good: _Snapshot | None) -> None:
        """Wait for the device; if a kernel found an error before the interruption, go back to the last good epoch."""
        try:
            arrays.synchronize(x)
        except (FloatingPointError, ValueError):
            self._restore(good)

    def _restore(self, snapshot: _Snapshot | None) -> None:
        if snapshot is None:  # nothing was changed yet
            return
        state, optimizer, generator = snapshot
        self.model.load_state_dict(state)
        self.optimizer.load_state_dict(optimizer)
        random.set_state(generator)


def predict(model: nn.Module, x: Array, batch_size: int = 256) -> Array:
    """What :meth:`Trainer.predict` returns, of any model."""
    arguments.size("predict: batch_size", batch_size)
    if not isinstance(x, np.ndarray):
        raise TypeError(f"predict: x must be a numpy.ndarray, got {arrays.what_is(x)}")
    if x.ndim == 0 or not len(x):
        raise ValueError(f"predict: x must hold at least one sample, got shape {x.shape}")
    first = next(model.parameters(), None)
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with no_grad():
            parts = []
            for start in range(0, len(x), batch_size):
                xs = x[start : start + batch_size]
                y = model(xs if first is None else arrays.put(xs, first.data))
                parts.append(arrays.to_numpy(y.data if isinstance(y, Tensor) else y))
    finally:
        for module, training in modes:
            module.training = training
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


class _Sums:
    """Loss and right answers of the batches so far. Those of a device are asked for at :meth:`settle`, which waits."""

    def __init__(self) -> None:
        self._total, self._right, self._done, self._classes = 0.0, 0, 0, True
        self._waiting: list[tuple[Any, Any, int]] = []

    def add(self, loss: float | Array, right: int | Array | None, count: int) -> None:
        """One more batch of ``count`` samples."""
        if not isinstance(loss, float):
            self._waiting.append((loss, right, count))
            return
        self._done += count
        self._total += loss * count
        self._classes = self._classes and right is not None
        self._right += int(right or 0)

    def settle(self) -> None:
        """Take the numbers that are still on the device."""
        waiting, self._waiting = self._waiting, []
        for loss, right, count in waiting:
            self.add(float(loss.item()), None if right is None else right.item(), count)

    @property
    def loss(self) -> float:
        return self._total / self._done

    @property
    def accuracy(self) -> float | None:
        return self._right / self._done if self._classes else None

    def figures(self) -> str:
        """For the progress bar; empty while the numbers are on a device."""
        return figures(self.loss, self.accuracy) if self._done else ""
