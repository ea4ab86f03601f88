"""Losses, composed of ops. ``reduction`` is "mean", "sum" or "none"; shapes of ``x`` and ``target`` are equal, and
nothing is broadcast between them: ``(N, 1)`` against ``(N,)`` is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import arrays
from ..arrays import Array, full_like
from ..backend import ops
from ..tensor import Tensor, as_tensor, record
from .activation import _softplus, log_softmax
from .distance import pairwise_distance
from .elementwise import (
    abs,
    add,
    clamp,
    divide,
    exp,
    log,
    multiply,
    negative,
    sqrt,
    square,
    subtract,
    where,
)
from .index import gather, index_select
from .mse import mse_loss as mean_squared_error
from .reduce import mean, sum
from .shape import movedim, reshape, squeeze, unsqueeze

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cosine_embedding_loss",
    "cross_entropy",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "margin_ranking_loss",
    "mse_loss",
    "multi_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
    "sum_squared_error",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]

REDUCTIONS = ("mean", "sum", "none")


def reduced(op: str, loss: Tensor, reduction: str) -> Tensor:
    """``loss`` as ``reduction`` says."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"{op}: reduction must be one of {', '.join(map(repr, REDUCTIONS))}, got {reduction!r}")
    return mean(loss) if reduction == "mean" else sum(loss) if reduction == "sum" else loss


def _pair(op: str, x: Tensor | Array, target: Tensor | Array, name: str = "target") -> tuple[Tensor, Tensor]:
    x, target = as_tensor(op, "x", x), as_tensor(op, name, target)
    if x.data.shape != target.data.shape:
        hint = ""
        if x.data.size == target.data.size:
            hint = f"; reshape one of them, e.g. {name}.reshape({x.data.shape})"
        raise ValueError(f"{op}: x has shape {x.data.shape} but {name} has shape {target.data.shape}{hint}")
    return x, target


def l1_loss(x: Tensor | Array, target: Tensor | Array, reduction: str = "mean") -> Tensor:
    """``abs(x - target)``."""
    return reduced("l1_loss", abs(subtract(*_pair("l1_loss", x, target))), reduction)


def mse_loss(x: Tensor | Array, target: Tensor | Array, reduction: str = "mean") -> Tensor:
    """``(x - target)**2``."""
    x, target = _pair("mse_loss", x, target)
    if reduction == "mean":
        return mean_squared_error(x, target)
    return reduced("mse_loss", square(subtract(x, target)), reduction)


def sum_squared_error(x: Tensor | Array, target: Tensor | Array) -> Tensor:
    """``0.5 * sum((x - target)**2)``, the loss of chapter 4 of "Deep Learning from Scratch"."""
    return multiply(0.5, sum(square(subtract(*_pair("sum_squared_error", x, target)))))


def smooth_l1_loss(x: Tensor | Array, target: Tensor | Array, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """``0.5 * d**2 / beta`` where ``d = abs(x - target)`` is below ``beta``, else ``d - 0.5 * beta``."""
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must be at least 0, got {beta}")
    difference = abs(subtract(*_pair("smooth_l1_loss", x, target)))
    if beta == 0:
        return reduced("smooth_l1_loss", difference, reduction)
    small = ops(difference.data).greater(full_like(difference.data, beta, ()), difference.data)
    loss = where(small, divide(multiply(0.5, square(difference)), beta), subtract(difference, 0.5 * beta))
    return reduced("smooth_l1_loss", loss, reduction)


def huber_loss(x: Tensor | Array, target: Tensor | Array, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """``0.5 * d**2`` where ``d = abs(x - target)`` is at most ``delta``, else ``delta * (d - 0.5 * delta)``."""
    if delta <= 0:
        raise ValueError(f"huber_loss: delta must be above 0, got {delta}")
    difference = abs(subtract(*_pair("huber_loss", x, target)))
    small = ops(difference.data).greater_equal(full_like(difference.data, delta, ()), difference.data)
    loss = where(small, multiply(0.5, square(difference)), multiply(delta, subtract(difference, 0.5 * delta)))
    return reduced("huber_loss", loss, reduction)


def nll_loss(
    x: Tensor | Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """``-x[n, target[n]] * weight[target[n]]`` of log-probabilities; the mean divides by the sum of the weights.

    Shapes: x ``(N, K)``, ``(N, K, d1, ...)`` or ``(K,)``; target the same without ``K``, of any integer type.
    ``weight`` ``(K,)`` has a factor for each class; a target of ``ignore_index`` counts for nothing.
    """
    return _nll("nll_loss", as_tensor("nll_loss", "x", x), target, weight, ignore_index, reduction)


def _nll(op: str, x: Tensor, target: Any, weight: Tensor | Array | None, ignore_index: int, reduction: str) -> Tensor:
    picked, factors, lead = _at_classes(op, x, target, weight, ignore_index)
    loss = negative(multiply(picked, factors))
    if reduction == "mean":
        return divide(sum(loss), sum(factors))
    return reduced(op, reshape(loss, lead), reduction)


def _at_classes(
    op: str, x: Tensor, target: Any, weight: Tensor | Array | None, ignore_index: int
) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """Of ``x``, classes in dimension 1 (or 0): the elements at the targets ``(M,)``, their weights, targets' shape."""
    shape = x.data.shape
    if not shape:
        raise ValueError(f"{op}: x must have at least 1 dimension (K,)")
    axis = 1 if len(shape) > 1 else 0
    classes, lead = shape[axis], shape[:axis] + shape[axis + 1 :]
    given = target.data if isinstance(target, Tensor) else target
    labels = arrays.to_numpy(given) if arrays.is_array(given) else np.asarray(given)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{op}: target must be an array of integer classes, got {labels.dtype}")
    if labels.shape != lead:
        raise ValueError(f"{op}: target has shape {labels.shape} but x of shape {shape} needs {lead}")
    flat = labels.reshape(-1)
    ignored = flat == ignore_index
    wrong = np.flatnonzero(((flat < 0) | (flat >= classes)) & ~ignored)
    if wrong.size:
        i = int(wrong[0])
        raise ValueError(f"{op}: target[{i}] is {flat[i]} but there are {classes} classes (0 to {classes - 1})")
    safe = np.where(ignored, 0, flat).astype(np.int64)
    rows = reshape(movedim(x, axis, -1) if len(shape) > 2 else x, (flat.size, classes))
    picked = squeeze(gather(rows, 1, arrays.put(safe.reshape(-1, 1), x.data)), 1)
    kept = Tensor(arrays.put((~ignored).astype(x.data.dtype), x.data))
    if weight is None:
        return picked, kept, lead
    weight = as_tensor(op, "weight", weight)
    if weight.data.shape != (classes,):
        raise ValueError(f"{op}: weight has shape {weight.data.shape} but there are {classes} classes")
    return picked, multiply(index_select(weight.detach(), 0, arrays.put(safe, x.data)), kept), lead


def cross_entropy(
    x: Tensor | Array,
    target: Tensor | Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """``-log(softmax(x)[target])``.

    Args:
        x: ``(N, K)``, ``(N, K, d1, ...)`` or ``(K,)``, before any softmax.
        target: integer classes, of the shape of ``x`` without ``K``; or class probabilities of x's shape and dtype.
        weight: ``(K,)``, a factor for each class; the mean divides by the sum of the targets' factors.
        ignore_index: a target that counts for nothing.
        label_smoothing: the share of the target that is spread over all classes (Szegedy et al., 2016).
    """
    op = "cross_entropy"
    x = as_tensor(op, "x", x)
    if isinstance(target, Tensor):
        if target.requires_grad:
            raise ValueError("cross_entropy: the target gets no gradient; pass target.detach()")
        target = target.data
    if arrays.is_array(target) and target.dtype.kind == "f" and target.ndim == x.data.ndim - 1:
        raise TypeError(
            f"{op}: target must be an array of integer classes, got {target.dtype}; write target.astype(int)"
        )
    smoothing = float(label_smoothing)
    if not 0.0 <= smoothing <= 1.0:
        raise ValueError(f"{op}: label_smoothing must be between 0 and 1, got {label_smoothing}")
    plain = weight is None and smoothing == 0.0 and reduction == "mean"
    if plain and x.data.ndim == 2 and not _holds(target, ignore_index):
        kernels, labels = ops(x.data), target
        loss, y = kernels.softmax_cross_entropy_forward(x.data, labels)
        return record(loss, lambda dy, needs: (kernels.softmax_cross_entropy_backward(dy, y, labels),), x)
    axis = 1 if x.data.ndim > 1 else 0
    log_p = log_softmax(x, axis)
    if arrays.is_array(target) and target.dtype.kind == "f":
        return _soft_cross_entropy(log_p, target, weight, axis, smoothing, reduction)
    picked, factors, lead = _at_classes(op, log_p, target, weight, ignore_index)
    loss = negative(multiply(picked, factors))
    if smoothing:
        classes = x.data.shape[axis]
        spread = log_p if weight is None else multiply(log_p, _along(weight, x, axis))
        kept = reshape(Tensor(arrays.put((_labels(target) != ignore_index).astype(x.data.dtype), x.data)), (-1,))
        smooth = negative(multiply(reshape(sum(spread, axis), (-1,)), kept))
        loss = add(multiply(1.0 - smoothing, loss), multiply(smoothing / classes, smooth))
    if reduction == "mean":
        return divide(sum(loss), sum(factors))
    return reduced(op, reshape(loss, lead), reduction)


def _labels(target: Any) -> Array:
    return arrays.to_numpy(target) if arrays.is_array(target) else np.asarray(target)


def _holds(target: Any, number: int) -> bool:
    """Whether NumPy labels hold ``ignore_index``."""
    return isinstance(target, np.ndarray) and target.dtype.kind == "i" and bool((target == number).any())


def _along(weight: Tensor | Array, x: Tensor, axis: int) -> Tensor:
    return reshape(as_tensor("cross_entropy", "weight", weight).detach(), (-1, *(1,) * (x.data.ndim - 1 - axis)))


def _soft_cross_entropy(
    log_p: Tensor, target: Array, weight: Any, axis: int, smoothing: float, reduction: str
) -> Tensor:
    log_p, given = _pair("cross_entropy", log_p, target)
    if smoothing:
        given = add(multiply(given, 1.0 - smoothing), smoothing / log_p.data.shape[axis])
    terms = multiply(log_p, given)
    loss = negative(sum(terms if weight is None else multiply(terms, _along(weight, log_p, axis)), axis))
    if reduction == "mean":
        return divide(sum(loss), float(max(loss.data.size, 1)))
    return reduced("cross_entropy", loss, reduction)


def binary_cross_entropy(
    x: Tensor | Array, target: Tensor | Array, weight: Array | None = None, reduction: str = "mean"
) -> Tensor:
    """``-(t * log(x) + (1 - t) * log(1 - x))`` of probabilities; logarithms are at least -100, as in PyTorch."""
    op = "binary_cross_entropy"
    x, target = _pair(op, x, target)
    values = arrays.to_numpy(x.data) if isinstance(x.data, np.ndarray) else None
    if values is not None and not ((values >= 0) & (values <= 1) | np.isnan(values)).all():
        raise ValueError(f"{op}: x must lie between 0 and 1; of scores use binary_cross_entropy_with_logits")
    kernels, p, t = ops(x.data), x.data, target.data
    one, least = full_like(p, 1, ()), full_like(p, -100, ())
    rest = kernels.subtract(one, p)
    log_p, log_rest = (kernels.maximum(kernels.log_forward(v), least) for v in (p, rest))
    positive = kernels.multiply(t, log_p)
    y = kernels.negative(kernels.add(positive, kernels.multiply(kernels.subtract(one, t), log_rest)))

    def pullback(dy: Array, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        spread = kernels.maximum(kernels.multiply(rest, p), full_like(p, 1e-12, ()))
        dx = kernels.multiply(dy, kernels.divide(kernels.subtract(p, t), spread)) if needs[0] else None
        return dx, kernels.multiply(dy, kernels.subtract(log_rest, log_p)) if needs[1] else None

    loss = record(y, pullback, x, target)
    return reduced(op, loss if weight is None else multiply(loss, weight), reduction)


def binary_cross_entropy_with_logits(
    x: Tensor | Array,
    target: Tensor | Array,
    weight: Array | None = None,
    reduction: str = "mean",
    pos_weight: Array | None = None,
) -> Tensor:
    """:func:`binary_cross_entropy` of ``sigmoid(x)``: ``(1 - t) * x + l * log(1 + exp(-x))``, ``l = 1 + (p - 1) * t``.

    ``pos_weight`` ``p`` weighs the positive targets.
    """
    op = "binary_cross_entropy_with_logits"
    x, target = _pair(op, x, target)
    tail = _softplus(negative(x))
    if pos_weight is not None:
        tail = multiply(add(multiply(subtract(pos_weight, 1.0), target), 1.0), tail)
    loss = add(multiply(subtract(1.0, target), x), tail)
    return reduced(op, loss if weight is None else multiply(loss, weight), reduction)


def kl_div(x: Tensor | Array, target: Tensor | Array, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """``t * (log(t) - x)`` of log-probabilities ``x``, 0 where ``t`` is 0; "batchmean" divides the sum by ``N``."""
    x, target = _pair("kl_div", x, target)
    if log_target:
        loss = multiply(exp(target), subtract(target, x))
    else:
        positive = ops(x.data).greater(target.data, full_like(target.data, 0, ()))
        log_t = log(where(positive, target, 1.0))
        loss = subtract(multiply(target, log_t), multiply(target, x))
    if reduction == "batchmean":
        return divide(sum(loss), float(max(x.data.shape[0], 1)))
    return reduced("kl_div", loss, reduction)


def poisson_nll_loss(
    x: Tensor | Array,
    target: Tensor | Array,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:
    """``exp(x) - t * x``, or ``x - t * log(x + eps)``; ``full`` adds Stirling's term where ``t > 1``."""
    x, target = _pair("poisson_nll_loss", x, target)
    rate, log_rate = (exp(x), x) if log_input else (x, log(add(x, eps)))
    loss = subtract(rate, multiply(target, log_rate))
    if full:
        above = ops(x.data).greater(target.data, full_like(target.data, 1, ()))
        t = where(above, target, 1.0)
        stirling = add(subtract(multiply(t, log(t)), t), multiply(0.5, log(multiply(6.283185307179586, t))))
        loss = add(loss, where(above, stirling, 0.0))
    return reduced("poisson_nll_loss", loss, reduction)


def gaussian_nll_loss(
    x: Tensor | Array,
    target: Tensor | Array,
    var: Tensor | Array,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """``0.5 * (log(v) + (x - t)**2 / v)`` with ``v = max(var, eps)``, through whose bound no gradient is lost."""
    x, target = _pair("gaussian_nll_loss", x, target)
    x, var = _pair("gaussian_nll_loss", x, var, "var")
    missing = ops(var.data).subtract(ops(var.data).maximum(var.data, full_like(var.data, eps, ())), var.data)
    v = add(var, Tensor(missing))
    loss = multiply(0.5, add(log(v), divide(square(subtract(x, target)), v)))
    if full:
        loss = add(loss, 0.9189385332046727)
    return reduced("gaussian_nll_loss", loss, reduction)


def hinge_embedding_loss(
    x: Tensor | Array, target: Tensor | Array, margin: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """``x`` where the target is 1, ``max(0, margin - x)`` where it is -1."""
    x, target = _pair("hinge_embedding_loss", x, target)
    one = full_like(target.data, 1, ())
    kernels = ops(x.data)
    negatives = where(kernels.equal(target.data, one), 0.0, clamp(subtract(margin, x), min=0.0))
    positives = where(kernels.equal(target.data, kernels.negative(one)), 0.0, x)
    return reduced("hinge_embedding_loss", add(negatives, positives), reduction)


def soft_margin_loss(x: Tensor | Array, target: Tensor | Array, reduction: str = "mean") -> Tensor:
    """``log(1 + exp(-t * x))`` for targets 1 and -1."""
    x, target = _pair("soft_margin_loss", x, target)
    return reduced("soft_margin_loss", _softplus(negative(multiply(target, x))), reduction)


def margin_ranking_loss(
    x1: Tensor | Array, x2: Tensor | Array, target: Tensor | Array, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """``max(0, -t * (x1 - x2) + margin)``: the target 1 says that ``x1`` should be the larger, -1 the smaller."""
    x1, x2 = _pair("margin_ranking_loss", x1, x2, "x2")
    loss = clamp(
        add(multiply(negative(as_tensor("margin_ranking_loss", "target", target)), subtract(x1, x2)), margin), min=0.0
    )
    return reduced("margin_ranking_loss", loss, reduction)


def multi_margin_loss(
    x: Tensor | Array,
    target: Array,
    p: int = 1,
    margin: float = 1.0,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``sum over i != t of max(0, margin - x[t] + x[i])**p / K`` of scores ``(N, K)``."""
    x = as_tensor("multi_margin_loss", "x", x)
    picked, factors, _ = _at_classes("multi_margin_loss", x, target, weight, -100)
    rows = reshape(x, (-1, x.data.shape[-1]))
    others = (np.arange(x.data.shape[-1]) != _labels(target).reshape(-1, 1)).astype(x.data.dtype)
    terms = clamp(add(subtract(margin, unsqueeze(picked, 1)), rows), min=0.0)
    terms = multiply(square(terms) if p == 2 else terms, Tensor(arrays.put(others, x.data)))
    loss = divide(multiply(sum(terms, 1), factors), float(x.data.shape[-1]))
    return reduced("multi_margin_loss", loss if x.data.ndim > 1 else reshape(loss, ()), reduction)


def multilabel_soft_margin_loss(
    x: Tensor | Array, target: Tensor | Array, weight: Array | None = None, reduction: str = "mean"
) -> Tensor:
    """``-(t * log(sigmoid(x)) + (1 - t) * log(sigmoid(-x)))``, the mean over the classes of scores ``(N, K)``."""
    x, target = _pair("multilabel_soft_margin_loss", x, target)
    positive, negatives = _softplus(negative(x)), _softplus(x)
    loss = add(multiply(target, positive), multiply(subtract(1.0, target), negatives))
    loss = mean(loss if weight is None else multiply(loss, weight), -1)
    return reduced("multilabel_soft_margin_loss", loss, reduction)


def cosine_embedding_loss(
    x1: Tensor | Array, x2: Tensor | Array, target: Tensor | Array, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """``1 - cos`` where the target is 1, ``max(0, cos - margin)`` where it is -1."""
    x1, x2 = _pair("cosine_embedding_loss", x1, x2, "x2")
    dots, squares = sum(multiply(x1, x2), -1), [add(sum(square(v), -1), 1e-12) for v in (x1, x2)]
    cosine = divide(dots, sqrt(multiply(*squares)))
    given = as_tensor("cosine_embedding_loss", "target", target).data
    if given.shape != cosine.data.shape:
        raise ValueError(f"cosine_embedding_loss: target has shape {given.shape} but x1 needs {cosine.data.shape}")
    kernels, one = ops(cosine.data), full_like(cosine.data, 1, ())
    alike = where(kernels.equal(given, one), subtract(1.0, cosine), 0.0)
    apart = where(kernels.equal(given, kernels.negative(one)), clamp(subtract(cosine, margin), min=0.0), 0.0)
    return reduced("cosine_embedding_loss", add(alike, apart), reduction)


def triplet_margin_loss(
    anchor: Tensor | Array,
    positive: Tensor | Array,
    negative: Tensor | Array,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)`` with :func:`pairwise_distance` ``d``.

    ``swap``: the nearer of anchor and positive counts for the negative.
    """
    anchor, positive = _pair("triplet_margin_loss", anchor, positive, "positive")
    anchor, negative = _pair("triplet_margin_loss", anchor, negative, "negative")
    near, far = pairwise_distance(anchor, positive, p, eps), pairwise_distance(anchor, negative, p, eps)
    if swap:
        from .elementwise import minimum

        far = minimum(far, pairwise_distance(positive, negative, p, eps))
    return reduced("triplet_margin_loss", clamp(add(subtract(near, far), margin), min=0.0), reduction)


def triplet_margin_with_distance_loss(
    anchor: Tensor | Array,
    positive: Tensor | Array,
    negative: Tensor | Array,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """:func:`triplet_margin_loss` with a distance of one's own, by default :func:`pairwise_distance`."""
    anchor, positive = _pair("triplet_margin_with_distance_loss", anchor, positive, "positive")
    anchor, negative = _pair("triplet_margin_with_distance_loss", anchor, negative, "negative")
    distance = pairwise_distance if distance_function is None else distance_function
    far = distance(anchor, negative)
    if swap:
        from .elementwise import minimum

        far = minimum(far, distance(positive, negative))
    loss = clamp(add(subtract(distance(anchor, positive), far), margin), min=0.0)
    return reduced("triplet_margin_with_distance_loss", loss, reduction)
