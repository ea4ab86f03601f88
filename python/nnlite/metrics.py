"""How good predictions are: numbers of outputs and targets, arrays or tensors in host memory.

``y`` are a model's outputs ``(N, K)``, of which the largest is the prediction (the first of equal ones), or predicted
classes ``(N,)``; ``t`` are classes ``(N,)``, integers. Averages over classes are of ``"macro"`` kind (the mean of the
classes that have samples or predictions), ``"micro"`` (of all samples together), or ``"binary"`` (class 1 alone, of
two); with ``None`` there is a number per class. A quotient 0 / 0 counts as 0. All is computed in float64.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from . import arguments
from .arrays import what_is
from .reference import arith
from .tensor import Tensor

Array = npt.NDArray[Any]

__all__ = [
    "accuracy",
    "confusion_matrix",
    "f1",
    "mean_absolute_error",
    "perplexity",
    "precision",
    "recall",
    "top_k_accuracy",
]


def accuracy(y: Any, t: Any) -> float:
    """Share of samples whose prediction is the class, from 0 to 1.

    Args:
        y: outputs ``(N, K)`` or classes ``(N,)``.
        t: classes ``(N,)``.

    Raises:
        TypeError, ValueError: shapes or types do not go together, or there are no samples.
    """
    predicted, t, _ = _classes("accuracy", y, t)
    return float(np.mean(predicted == t))


def top_k_accuracy(y: Any, t: Any, k: int = 5) -> float:
    """Share of samples whose class is among the ``k`` largest outputs; of equal outputs the first come first.

    Args:
        y: outputs ``(N, K)``.
        t: classes ``(N,)``.
        k: from 1 to K.
    """
    scores, t = _array("top_k_accuracy", "y", y), _labels("top_k_accuracy", t)
    if scores.ndim != 2 or len(scores) != len(t):
        raise ValueError(
            f"top_k_accuracy: y must have shape ({len(t)}, K), as t has {len(t)} samples; got {scores.shape}"
        )
    k = arguments.size("top_k_accuracy: k", k)
    if k > scores.shape[1]:
        raise ValueError(f"top_k_accuracy: k must be at most the {scores.shape[1]} classes of y, got {k}")
    _check_range("top_k_accuracy", t, scores.shape[1])
    own = scores[np.arange(len(t)), t][:, np.newaxis]
    before = np.arange(scores.shape[1]) < t[:, np.newaxis]
    rank = ((scores > own) | ((scores == own) & before)).sum(1)
    return float(np.mean((rank < k) & ~np.isnan(own[:, 0])))


def confusion_matrix(y: Any, t: Any, classes: int | None = None) -> npt.NDArray[np.int64]:
    """How many samples of each class were predicted as which.

    Args:
        y: outputs ``(N, K)`` or classes ``(N,)``.
        t: classes ``(N,)``.
        classes: K, where ``y`` does not say; by default the largest class and one.

    Returns:
        ``(K, K)`` int64: row the class, column the prediction.
    """
    predicted, t, columns = _classes("confusion_matrix", y, t)
    if classes is None:
        classes = columns or int(max(predicted.max(), t.max())) + 1
    k = arguments.size("confusion_matrix: classes", classes)
    for x in (predicted, t):
        _check_range("confusion_matrix", x, k)
    return np.bincount(t * k + predicted, minlength=k * k).reshape(k, k).astype(np.int64)


def precision(y: Any, t: Any, average: str | None = "macro") -> Any:
    """Of the samples predicted as a class, the share that are of it.

    Args:
        y: outputs ``(N, K)`` or classes ``(N,)``.
        t: classes ``(N,)``.
        average: ``"macro"``, ``"micro"``, ``"binary"`` or ``None``.

    Returns:
        a float; with ``None`` an array ``(K,)``.
    """
    right, predicted, _, present = _counts("precision", y, t, average)
    return _average(right, predicted, present, average)


def recall(y: Any, t: Any, average: str | None = "macro") -> Any:
    """Of the samples of a class, the share that are predicted as it. Arguments as of :func:`precision`."""
    right, _, actual, present = _counts("recall", y, t, average)
    return _average(right, actual, present, average)


def f1(y: Any, t: Any, average: str | None = "macro") -> Any:
    """Harmonic mean of precision and recall, ``2 right / (predicted + actual)``. Arguments as of :func:`precision`."""
    right, predicted, actual, present = _counts("f1", y, t, average)
    return _average(2 * right, predicted + actual, present, average)


def mean_absolute_error(y: Any, t: Any) -> float:
    """Mean over all elements of ``|y - t|``; equal shapes."""
    outputs, targets = _array("mean_absolute_error", "y", y), _array("mean_absolute_error", "t", t)
    if outputs.shape != targets.shape:
        raise ValueError(f"mean_absolute_error: y has shape {outputs.shape} but t has shape {targets.shape}")
    if not outputs.size:
        raise ValueError("mean_absolute_error: y must hold at least one element")
    return math.fsum(np.abs(outputs.astype(np.float64) - targets).reshape(-1)) / outputs.size


def perplexity(y: Any, t: Any) -> float:
    """``exp`` of the mean cross-entropy: how many classes a model hesitates between.

    Args:
        y: outputs before any softmax, ``(N, K)`` or ``(N, T, K)``.
        t: classes, ``(N,)`` or ``(N, T)``.
    """
    scores, labels = _array("perplexity", "y", y).astype(np.float64), _array("perplexity", "t", t)
    if scores.shape[:-1] != labels.shape or scores.ndim < 2:
        raise ValueError(
            f"perplexity: y must have the shape of t and the classes, (*{labels.shape}, K), got {scores.shape}"
        )
    rows, t = scores.reshape(-1, scores.shape[-1]), _labels("perplexity", labels.reshape(-1))
    _check_range("perplexity", t, rows.shape[1])
    shifted = rows - rows.max(1, keepdims=True)
    exponentials = np.cumsum(arith.exp(shifted), axis=1)[:, -1]
    losses = arith.log(exponentials) - shifted[np.arange(len(t)), t]
    return float(arith.exp(np.array([math.fsum(losses) / len(t)]))[0])


def _array(name: str, argument: str, x: Any) -> Array:
    value = x.numpy() if isinstance(x, Tensor) else x
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name}: {argument} must be a numpy.ndarray or a Tensor, got {what_is(x)}")
    return value


def _labels(name: str, t: Any) -> Array:
    labels = _array(name, "t", t)
    if labels.ndim != 1 or not len(labels):
        raise ValueError(f"{name}: t must be classes (N,) of at least one sample, got shape {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{name}: t must be integer classes, got {labels.dtype}; write t.astype(np.int64)")
    return labels.astype(np.int64)


def _check_range(name: str, t: Array, k: int) -> None:
    wrong = np.flatnonzero((t < 0) | (t >= k))
    if len(wrong):
        raise ValueError(
            f"{name}: sample {wrong[0]} has the class {t[wrong[0]]}, but there are the classes 0 to {k - 1}"
        )


def _classes(name: str, y: Any, t: Any) -> tuple[Array, Array, int]:
    """Predictions, classes, and K where ``y`` says it, else 0."""
    outputs, labels = _array(name, "y", y), _labels(name, t)
    if outputs.ndim not in (1, 2) or len(outputs) != len(labels) or 0 in outputs.shape:
        raise ValueError(
            f"{name}: y must be outputs ({len(labels)}, K) or classes ({len(labels)},), as t has {len(labels)} "
            f"samples; got shape {outputs.shape}"
        )
    if outputs.ndim == 2:
        return outputs.argmax(1), labels, outputs.shape[1]
    if outputs.dtype.kind not in "iu":
        raise TypeError(f"{name}: y must be integer classes or outputs (N, K), got {outputs.dtype} of shape (N,)")
    return outputs.astype(np.int64), labels, 0


def _counts(name: str, y: Any, t: Any, average: str | None) -> tuple[Array, Array, Array, Array]:
    """Of each class: right predictions, predictions, samples, and whether it occurs."""
    if average not in ("macro", "micro", "binary", None):
        raise ValueError(f"{name}: average must be 'macro', 'micro', 'binary' or None, got {average!r}")
    matrix = confusion_matrix(y, t, 2 if average == "binary" and np.ndim(y) == 1 else None)
    if average == "binary" and len(matrix) != 2:
        raise ValueError(f"{name}: average='binary' is for two classes, got {len(matrix)}; write average='macro'")
    predicted, actual = matrix.sum(0), matrix.sum(1)
    return np.diagonal(matrix), predicted, actual, predicted + actual > 0


def _average(over: Array, under: Array, present: Array, average: str | None) -> Any:
    if average == "micro":
        over, under = over.sum(keepdims=True), under.sum(keepdims=True)
    shares = np.zeros(len(over))
    np.divide(over, under, out=shares, where=under > 0)
    if average is None:
        return shares
    if average == "binary":
        return float(shares[1])
    if average == "micro":
        return float(shares[0])
    return math.fsum(shares[present]) / int(present.sum())
