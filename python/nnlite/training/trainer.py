"""The training loop: arguments, and what is checked before the first step."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from .. import arguments, arrays, nn, optim, random
from ..arrays import Array
from ..tape import no_grad
from ..tensor import Tensor
from . import checks
from .batches import ArrayBatches, Batches, LoaderBatches
from .callbacks import Callbacks
from .checkpoint import Checkpoints
from .history import Callback, History
from .loop import Loop
from .step import Stepping

Pair = tuple[Array, Array]


class Trainer:
    """Trains a model.

    Args:
        model: maps a batch ``(N, …)`` to outputs.
        loss: maps outputs and targets to a mean loss, e.g. ``nn.CrossEntropyLoss()``.
        optimizer: updates the model's parameters (and the loss's, if it has any).
        progress: show progress on stderr: a bar per epoch on a terminal, a line per epoch elsewhere.
        accumulate: batches per step of the optimizer; its gradient is that of the mean over all their samples.
        clip_norm: the most that the norm of all gradients together may be, in each step.
        clip_value: the most that an element of a gradient may be, in magnitude; applied before ``clip_norm``.
        schedule: a learning rate schedule, or whatever has ``step()``. Where ``step`` wants a number, as of
            ``ReduceLROnPlateau``, it gets the validation loss, or the loss without validation.
        schedule_per: when it is called: after each ``"epoch"``, or after each ``"step"``.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[Tensor, Array], Tensor],
        optimizer: optim.Optimizer,
        *,
        progress: bool = True,
        accumulate: int = 1,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        schedule: Any = None,
        schedule_per: str = "epoch",
    ) -> None:
        checks.check_parts(model, loss, optimizer)
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.progress = progress
        self.stepping = Stepping(accumulate, clip_norm, clip_value, schedule, schedule_per)
        self.history = History()

    def fit(
        self,
        x: Any,
        t: Array | None = None,
        *,
        validation: Any = None,
        epochs: int = 1,
        batch_size: int = 64,
        seed: int | None = None,
        drop_last: bool = False,
        out: str | os.PathLike[str] | None = None,
        callbacks: Iterable[Callback] = (),
        metrics: Mapping[str, Callable[[Array, Array], float]] | None = None,
        steps_per_epoch: int | None = None,
        checkpoint: str | os.PathLike[str] | Checkpoints | None = None,
        resume: bool | str | os.PathLike[str] = False,
    ) -> History:
        """Train for ``epochs`` epochs; see docs/numerics.md, section 12, for the order of the batches.

        A ``seed`` calls ``nnlite.manual_seed`` first, so that shuffling and dropout depend on it alone; the model's
        weights were drawn before, when it was made. With ``out`` a run folder is written there after each epoch, with
        copies of the calling script and of its local modules.

        Afterwards the model is in evaluation mode, ready for :meth:`predict`. Ctrl-C ends the fit with
        ``KeyboardInterrupt``. The step that it interrupts leaves parameters, optimizer state, running statistics and
        generator as they were before it, and with ``out`` they are saved. ``trainer.history`` has the completed epochs.

        With ``checkpoint`` all that a fit consists of is saved after each epoch. The same program with ``resume=True``
        goes on from there, also after ``kill -9``, to the same bits as a fit that was never interrupted; where there is
        no checkpoint yet, it begins.

        Args:
            x: inputs ``(N, …)``, float32 or float64 like the model; or, without ``t``, a ``DataLoader`` or another
                iterable of batches ``(x, t)``, which is iterated over once per epoch.
            t: targets ``(N,)`` integer classes, or whatever the loss takes.
            validation: inputs and targets ``(x, t)`` to evaluate after each epoch, or a loader of such batches.
            epochs: passes over the data, at least 1; with ``resume`` those done before count.
            batch_size: samples per step; the last batch of an epoch may be smaller. A loader has its own.
            seed: from 0 to 2^64 - 1.
            drop_last: leave a smaller last batch out: a batch normalisation refuses one of a single sample.
            out: a folder without a run in it; made if missing.
            callbacks: who is told how it goes: :class:`EarlyStopping`, :class:`CSVLog`, subclasses of
                :class:`Callback`.
            metrics: name -> function of all validation outputs and targets, arrays, for ``history[i]["test_<name>"]``.
            steps_per_epoch: how many batches of an iterator that goes on make an epoch.
            checkpoint: a folder for checkpoints, or :class:`Checkpoints`.
            resume: go on from the newest checkpoint there; a folder means ``checkpoint`` as well.

        Returns:
            The history: a list with one dictionary per epoch.

        Raises:
            TypeError, ValueError: wrong arguments: found before the first step, with nothing changed. All labels, the
                whole data and the sizes of all batches are looked at (the model is called on descriptions of batches).
                Only a model that computes with NumPy itself or is on a device, labels of a loss of one's own, or the
                batches of a loader may be refused later. Then, as after any other error, everything is as after the
                last whole step (on a device, where a kernel refused a value: as at the end of the last good epoch).
            FloatingPointError: the loss became infinite or NaN. Everything is put back to the end of the last good
                epoch.
            FileExistsError: the folder of checkpoints has some, and ``resume`` is not set.
        """
        if not isinstance(resume, bool):
            if checkpoint is not None:
                raise ValueError("fit: resume names a folder, and so does checkpoint; write resume=True")
            checkpoint, resume = resume, True
        if resume and checkpoint is None:
            raise ValueError("fit: resume needs the folder of the checkpoints; write resume='folder'")
        if checkpoint is not None and not isinstance(checkpoint, Checkpoints):
            checkpoint = Checkpoints(checkpoint)
        if resume and out is not None:
            raise ValueError("fit: a run folder cannot be gone on with; leave out or resume away")
        told = Callbacks(callbacks)
        for name, metric in (metrics or {}).items():
            if not callable(metric):
                raise TypeError(f"fit: metrics[{name!r}] must be a function of outputs and targets, got {metric!r:.80}")
        self._check_settings(epochs, batch_size, seed, drop_last)
        pair, loader = _validation(validation)
        batches: Batches
        if t is None and not arrays.is_array(x) and not isinstance(x, (Tensor, list)):
            batches = self._loader(x, epochs, steps_per_epoch, checkpoint is not None)
            checks.check_belongs(self.model, self.loss, self.optimizer)
            if pair is not None:
                checks.check_data("validation[0]", pair[0], "validation[1]", pair[1], self.loss)
            if out is not None:
                raise ValueError("fit: a run folder needs the data as arrays; leave out away, or write fit(x, t)")
        else:
            if steps_per_epoch is not None:
                raise ValueError("fit: steps_per_epoch is for iterators; arrays have their number of batches")
            self.check(x, t, pair, epochs, batch_size, seed, drop_last)
            assert t is not None
            batches = ArrayBatches(x, t, batch_size, drop_last)
            if out is not None:
                from ..runs.record import start_script

                if loader is not None:
                    raise ValueError("fit: a run folder needs the data as arrays; write validation=(x, t)")
                told.all.append(start_script(out, self, x, t, pair, epochs, batch_size, seed, drop_last))
        self.history = History()
        Loop(self, batches, pair or loader, epochs, seed, told, batch_size, metrics, checkpoint, resume).run()
        return self.history

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
        x: Any,
        t: Any,
        validation: Pair | None,
        epochs: int,
        batch_size: int,
        seed: int | None,
        drop_last: bool = False,
    ) -> None:
        """Refuse what :meth:`fit` cannot use, as far as it can be known before the first step."""
        self._check_settings(epochs, batch_size, seed, drop_last)
        checks.check_belongs(self.model, self.loss, self.optimizer)
        checks.check_data("x", x, "t", t, self.loss)
        if validation is not None:
            checks.check_data("validation[0]", validation[0], "validation[1]", validation[1], self.loss)
        if drop_last and len(x) < batch_size:
            raise ValueError(f"fit: drop_last leaves no batch of {batch_size}, as x has {len(x)} samples")
        self._check_fit(x, t, validation, batch_size, drop_last)

    def _check_settings(self, epochs: int, batch_size: int, seed: int | None, drop_last: bool) -> None:
        if seed is not None:
            random.Generator(seed)
        for name, value in (("epochs", epochs), ("batch_size", batch_size)):
            arguments.size(f"fit: {name}", value)
        if not isinstance(drop_last, bool):
            raise TypeError(f"fit: drop_last must be a bool, got {drop_last!r}")

    def _loader(self, x: Any, epochs: int, steps: int | None, checkpoint: bool) -> LoaderBatches:
        batches = LoaderBatches("x", x, None if steps is None else arguments.size("fit: steps_per_epoch", steps))
        if batches.goes_on and checkpoint:
            raise ValueError("fit: an iterator cannot be gone on with; give a DataLoader to use checkpoints")
        if batches.goes_on and steps is None and epochs > 1:
            raise ValueError(
                f"fit: x is an iterator, which is used up after one of {epochs} epochs; give a DataLoader, or "
                "steps_per_epoch"
            )
        return batches

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
        self.history = History()
        batches = ArrayBatches(x, t, batch_size, drop_last)
        Loop(self, batches, validation, epochs, seed, callback, batch_size).run()
        return self.history


def _validation(validation: Any) -> tuple[Pair | None, LoaderBatches | None]:
    """The validation data as a pair of arrays, or as batches."""
    if validation is None:
        return None, None
    if isinstance(validation, (tuple, list)) and len(validation) == 2:
        return (validation[0], validation[1]), None
    if isinstance(validation, (tuple, list)) or arrays.is_array(validation) or not hasattr(validation, "__iter__"):
        raise TypeError("fit: validation must be a pair (x, t), or a DataLoader")
    return None, LoaderBatches("validation", validation, None)


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
