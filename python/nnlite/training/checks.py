"""What can be known before the first step: arguments, labels, numbers that are none, and whether everything fits.

The model and the loss are run once on descriptions of the batches (:mod:`nnlite.shapes`): a last batch of one that a
batch normalisation refuses, or data of another dtype, is found before a weight has changed.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from .. import arrays, nn, optim, random
from ..arrays import Array
from ..nn.module import get_buffers, set_buffers
from ..recorder import describing
from ..tape import no_grad
from ..tensor import Tensor

_PACKAGE = Path(__file__).parent.parent
_CHUNK = 1 << 12  # samples that are looked at together


def check_parts(model: Any, loss: Any, optimizer: Any) -> None:
    """Refuse what is no model, no loss or no optimizer."""
    for name, value, kind, example in (
        ("model", model, nn.Module, "Net()"),
        ("loss", loss, Callable, "nn.CrossEntropyLoss()"),
        ("optimizer", optimizer, optim.Optimizer, "optim.Adam(model.parameters())"),
    ):
        if isinstance(value, type):
            raise TypeError(f"Trainer: {name} must be an object, got the class {value.__name__}; write {example}")
        if not isinstance(value, kind):  # type: ignore[arg-type]
            shown = repr(value) if isinstance(value, str) else type(value).__name__
            raise TypeError(f"Trainer: {name} must be such as {example}, got {shown}")


def check_belongs(model: nn.Module, loss: Any, optimizer: optim.Optimizer) -> None:
    """Refuse an optimizer that was made for another model."""
    known = {id(p) for p in model.parameters()}
    if isinstance(loss, nn.Module):
        known |= {id(p) for p in loss.parameters()}
    params = [p for group in optimizer.param_groups for p in group["params"]]
    strange = [p for p in params if id(p) not in known]
    if strange:
        raise ValueError(
            f"fit: {len(strange)} of the optimizer's {len(params)} parameters, the first of shape {strange[0].shape}, "
            f"are not the model's; make it with {type(optimizer).__name__}(model.parameters()) of this model"
        )


def check_data(x_name: str, x: Any, t_name: str, t: Any, loss: Any) -> None:
    """Refuse what is no pair of samples and targets, NaN, and labels that are no integers where the loss wants such."""
    for name, value in ((x_name, x), (t_name, t)):
        if isinstance(value, Tensor):
            raise TypeError(f"fit: {name} must be a numpy.ndarray, got {type(value).__name__}; write {name}.data")
        if not isinstance(value, np.ndarray):
            raise TypeError(f"fit: {name} must be a numpy.ndarray, got {arrays.what_is(value)}")
        if value.ndim == 0 or (len(value) == 0 and x_name == "x"):
            raise ValueError(f"fit: {name} must hold at least one sample, got shape {value.shape}")
    if len(x) != len(t):
        raise ValueError(f"fit: {x_name} has {len(x)} samples but {t_name} has {len(t)}")
    if wants_classes(loss) and t.ndim == 1 and t.dtype.kind not in "iu":
        hint = f"np.unique({t_name}, return_inverse=True)[1]" if t.dtype.kind in "OSU" else f"{t_name}.astype(np.int64)"
        raise TypeError(f"fit: {t_name} must hold integer classes, got {t.dtype}; write {hint}")
    for name, value in ((x_name, x), (t_name, t)):
        where = _first_nan(value)
        if where is not None:
            raise ValueError(f"fit: {name}[{', '.join(map(str, where))}] is NaN")


def wants_classes(loss: Any) -> bool:
    """Whether one-dimensional targets of this loss are classes."""
    return isinstance(loss, nn.CrossEntropyLoss) or loss is nn.functional.cross_entropy


def check_labels(t_name: str, t: Array, classes: int) -> None:
    """Refuse a label that is none of the model's classes; its index counts in the data."""
    if t.ndim == 1 and t.dtype.kind in "iu":
        wrong = np.flatnonzero((t < 0) | (t >= classes))
        if len(wrong):
            i = wrong[0]
            raise ValueError(
                f"fit: {t_name}[{i}] is {t[i]} but the model has {classes} outputs, the classes 0 to {classes - 1}"
            )


def rehearse(
    model: nn.Module, loss: Any, x: Array, t: Array, batch_sizes: Iterable[int], training: bool
) -> tuple[int, ...] | None:
    """Run model and loss on descriptions of batches of these sizes, in training or evaluation mode.

    Returns:
        the shape of the outputs; ``None`` where the model computes with NumPy itself, which cannot be described.

    Raises:
        TypeError, ValueError: an op or a layer refuses such a batch.
    """
    from ..shapes import Spec

    buffers, draws = get_buffers(model), random.get_state()
    attributes = [(module, dict(module.__dict__)) for module in model.modules()]
    shape: tuple[int, ...] | None = None
    try:
        model.train(training)
        with describing(), no_grad():
            for n in batch_sizes:
                y = model(Spec((n, *x.shape[1:]), x.dtype))
                loss(y, Spec((n, *t.shape[1:]), t.dtype))
                shape = tuple(y.shape) if isinstance(y, Tensor) else None
    except (TypeError, ValueError) as error:
        if _is_refusal(error):
            raise
        return None
    except Exception:  # what the model's own code makes of a description says nothing
        return None
    finally:
        random.set_state(draws)
        for module, before in attributes:  # what forward() left on the modules, and the mode
            module.__dict__.clear()
            module.__dict__.update(before)
        set_buffers(buffers)
    return shape


def failure(error: BaseException) -> str:
    """The status ``failed: <type>: <message> (<file>:<line>)`` of what was raised, in less than 1000 characters."""
    try:
        message = str(error)
    except Exception:
        message = "its message cannot be made"
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else "?"
    return f"failed: {type(error).__name__[:100]}: {message[:600]} ({place[-200:]})"


def _is_refusal(error: Exception) -> bool:
    """Whether an op or a layer of this package refused the batch, not the model's own code the description."""
    frames = traceback.extract_tb(error.__traceback__)
    text = str(error)
    return Path(frames[-1].filename).is_relative_to(_PACKAGE) and "Spec" not in text and "object" not in text


def _first_nan(x: Array) -> tuple[int, ...] | None:
    if x.dtype.kind != "f":
        return None
    for start in range(0, len(x), _CHUNK):
        nan = np.isnan(x[start : start + _CHUNK])
        if nan.any():
            first = np.unravel_index(int(nan.argmax()), nan.shape)
            return (start + int(first[0]), *(int(i) for i in first[1:]))
    return None
