"""Batch normalisation (Ioffe and Szegedy, Batch Normalization, 2015); docs/numerics.md, section 6."""

from __future__ import annotations

import math

import numpy as np

from nnlite.reference import arith
from nnlite.reference.checks import (
    Array,
    check,
    check_array,
    check_same_dtype,
    check_same_shape,
    check_shape,
    integer,
    number,
)
from nnlite.reference.elementwise import relu_backward, relu_forward
from nnlite.reference.signature import Computation, Spec, define_op

__all__ = [
    "batchnorm_inference_backward",
    "batchnorm_inference_forward",
    "batchnorm_running_update",
    "batchnorm_training_backward",
    "batchnorm_training_forward",
]


@define_op
def batchnorm_training_forward(
    x: Array, weight: Array, bias: Array, eps: float = 1e-5, relu: bool = False
) -> Computation[tuple[Array, Array, Array]]:
    """Normalise each channel by the mean and variance of this batch::

        y = (x - mean) * (weight / sqrt(var + eps)) + bias

    The statistics need one pass over the planes: sum and centred square sum of each plane, combined over the batch
    (Chan, Golub and LeVeque, Updating Formulae and a Pairwise Algorithm for Computing Sample Variances, 1979).

    Args:
        x: ``(N, C)``, ``(N, C, L)`` or ``(N, C, H, W)``.
        weight: scale γ, ``(C,)``.
        bias: shift β, ``(C,)``.
        eps: added to the variance.
        relu: whether :func:`relu_forward` follows.

    Returns:
        y: like ``x``.
        mean: ``(C,)``.
        var: ``(C,)``, biased (divided by the number of values).

    Raises:
        ValueError: fewer than two values per channel; ``weight`` or ``bias`` is not ``(C,)``.
    """
    op = "batchnorm_training_forward"
    planes = _planes(op, "x", x)
    _channels(op, planes, "x", weight=weight, bias=bias)
    eps = number(op, "eps", eps)
    n, _, p = planes.shape
    _check_count(op, n * p)
    yield Spec(x.shape, x.dtype), Spec(weight.shape, x.dtype), Spec(weight.shape, x.dtype)
    m = x.dtype.type(n * p)

    sums = arith.total(planes)
    means = sums / x.dtype.type(p)
    d = planes - means[:, :, None]
    squares = arith.total(d * d)
    mean = arith.total(sums, axis=0) / m
    shift = means - mean
    var = arith.total(squares + (shift * shift) * x.dtype.type(p), axis=0) / m
    y = (planes - _column(mean)) * _column(weight * _rstd(var, eps)) + _column(bias)
    y = relu_forward(y) if relu else y
    return y.reshape(x.shape), np.asarray(mean), np.asarray(var)


@define_op
def batchnorm_training_backward(
    dy: Array, x: Array, weight: Array, mean: Array, var: Array, eps: float = 1e-5, bias: Array | None = None
) -> Computation[tuple[Array, Array, Array]]:
    """Gradient of :func:`batchnorm_training_forward`, where ``mean`` and ``var`` depend on ``x``::

        dbias = Σ dy;  dweight = Σ dy * (x - mean) * rstd  with  rstd = 1 / sqrt(var + eps)
        dx = ((dy - dbias/M) - (x - mean) * (dweight * rstd / M)) * (weight * rstd)     M values per channel

    Args:
        dy, x: ``(N, C)``, ``(N, C, L)`` or ``(N, C, H, W)``.
        weight: ``(C,)``.
        mean, var: ``(C,)``, from the forward pass.
        eps: as in the forward pass.
        bias: ``(C,)`` if ``relu_forward`` followed, else ``None``. Its result is computed again, and ``dy`` becomes
            ``relu_backward(dy, y)`` first.

    Returns:
        dx: like ``x``.
        dweight, dbias: ``(C,)``.

    Raises:
        ValueError: fewer than two values per channel; shapes that differ.
    """
    op = "batchnorm_training_backward"
    eps = _check_backward(op, dy, x, weight, mean, var, eps, bias)
    m = x.dtype.type(_check_count(op, x.shape[0] * math.prod(x.shape[2:])))
    yield Spec(x.shape, x.dtype), Spec(weight.shape, x.dtype), Spec(weight.shape, x.dtype)
    dy_planes, d, rstd, scale, dweight, dbias, t = _backward(dy, x, weight, mean, var, eps, bias)
    a = dbias / m
    b = ((t * rstd) * rstd) / m
    dx = ((dy_planes - _column(a)) - d * _column(b)) * _column(scale)
    return dx.reshape(x.shape), dweight, dbias


@define_op
def batchnorm_inference_forward(
    x: Array, weight: Array, bias: Array, mean: Array, var: Array, eps: float = 1e-5, relu: bool = False
) -> Computation[Array]:
    """Normalise each channel by given statistics: ``y = (x - mean) * (weight / sqrt(var + eps)) + bias``.

    Args:
        x: ``(N, C)``, ``(N, C, L)`` or ``(N, C, H, W)``.
        weight, bias, mean, var: ``(C,)``.
        eps: added to the variance.
        relu: whether :func:`relu_forward` follows.

    Returns:
        y: like ``x``.

    Raises:
        ValueError: an argument is not ``(C,)``.
    """
    op = "batchnorm_inference_forward"
    planes = _planes(op, "x", x)
    _channels(op, planes, "x", weight=weight, bias=bias, mean=mean, var=var)
    eps = number(op, "eps", eps)
    yield Spec(x.shape, x.dtype)
    y = (planes - _column(mean)) * _column(weight * _rstd(var, eps)) + _column(bias)
    return (relu_forward(y) if relu else y).reshape(x.shape)


@define_op
def batchnorm_inference_backward(
    dy: Array, x: Array, weight: Array, mean: Array, var: Array, eps: float = 1e-5, bias: Array | None = None
) -> Computation[tuple[Array, Array, Array]]:
    """Gradient of :func:`batchnorm_inference_forward`, where ``mean`` and ``var`` are constants::

        dbias = Σ dy;  dweight = Σ dy * (x - mean) * rstd;  dx = dy * (weight * rstd)  with  rstd = 1 / sqrt(var + eps)

    Args:
        dy, x: ``(N, C)``, ``(N, C, L)`` or ``(N, C, H, W)``.
        weight, mean, var: ``(C,)``.
        eps: as in the forward pass.
        bias: ``(C,)`` if ``relu_forward`` followed, else ``None``, as for :func:`batchnorm_training_backward`.

    Returns:
        dx: like ``x``.
        dweight, dbias: ``(C,)``.

    Raises:
        ValueError: shapes that differ.
    """
    op = "batchnorm_inference_backward"
    eps = _check_backward(op, dy, x, weight, mean, var, eps, bias)
    yield Spec(x.shape, x.dtype), Spec(weight.shape, x.dtype), Spec(weight.shape, x.dtype)
    dy_planes, _, _, scale, dweight, dbias, _ = _backward(dy, x, weight, mean, var, eps, bias)
    return (dy_planes * _column(scale)).reshape(x.shape), dweight, dbias


@define_op
def batchnorm_running_update(
    running_mean: Array, running_var: Array, mean: Array, var: Array, count: int, momentum: float
) -> Computation[tuple[Array, Array]]:
    """New running statistics::

        running_mean * (1 - momentum) + mean * momentum
        running_var * (1 - momentum) + (var * (count / (count - 1))) * momentum

    Args:
        running_mean, running_var: ``(C,)``; not changed.
        mean, var: ``(C,)``, statistics of the batch; ``var`` is the biased one.
        count: values per channel in the batch, at least 2.
        momentum: share of the new value.

    Returns:
        running_mean, running_var: new arrays ``(C,)``.

    Raises:
        ValueError: shapes that differ; ``count`` below 2.
    """
    op = "batchnorm_running_update"
    running_mean = check_array(op, "running_mean", running_mean, "(C,)")
    arrays = {"running_var": running_var, "mean": mean, "var": var}
    running_var, mean, var = (check_array(op, name, array, "(C,)") for name, array in arrays.items())
    check_same_dtype(op, running_mean=running_mean, running_var=running_var, mean=mean, var=var)
    for name, array in {"running_var": running_var, "mean": mean, "var": var}.items():
        check_shape(op, name, array, running_mean.shape, "running_mean")
    count = integer(op, "count", count, 2)
    momentum = number(op, "momentum", momentum)

    yield Spec(mean.shape, mean.dtype), Spec(mean.shape, mean.dtype)
    unbiased, old, new = (arith.round_scalar(v, mean.dtype) for v in (count / (count - 1), 1 - momentum, momentum))
    return running_mean * old + mean * new, running_var * old + (var * unbiased) * new


def _check_backward(
    op: str, dy: Array, x: Array, weight: Array, mean: Array, var: Array, eps: float, bias: Array | None
) -> float:
    """``eps``, if all arguments fit."""
    _planes(op, "dy", dy)
    planes = _planes(op, "x", x)
    check_same_dtype(op, dy=dy, x=x)
    check_same_shape(op, dy=dy, x=x)
    _channels(op, planes, "x", weight=weight, mean=mean, var=var)
    if bias is not None:
        _channels(op, planes, "x", bias=bias)
    return number(op, "eps", eps)


def _backward(
    dy: Array, x: Array, weight: Array, mean: Array, var: Array, eps: float, bias: Array | None
) -> tuple[Array, Array, Array, Array, Array, Array, Array]:
    """``dy`` by planes, ``x - mean``, rstd, scale, dweight, dbias and ``t = Σ dy * (x - mean)``."""
    dy_planes, planes = _planes("", "dy", dy), _planes("", "x", x)
    rstd = _rstd(var, eps)
    d = planes - _column(mean)
    if bias is not None:
        dy_planes = relu_backward(dy_planes, d * _column(weight * rstd) + _column(bias))
    t = arith.plane_total(dy_planes * d)
    return dy_planes, d, rstd, weight * rstd, t * rstd, arith.plane_total(dy_planes), t


def _planes(op: str, name: str, x: Array) -> Array:
    """``x`` as ``(N, C, P)``."""
    x = check_array(op, name, x)
    check(
        x.ndim in (2, 3, 4),
        f"{op}: {name} must have 2, 3 or 4 dimensions (N, C, ...), got {x.ndim} with shape {x.shape}",
    )
    return x.reshape(*x.shape[:2], math.prod(x.shape[2:]))


def _channels(op: str, planes: Array, x_name: str, **arrays: Array) -> None:
    for name, array in arrays.items():
        check_array(op, name, array, "(C,)")
    check_same_dtype(op, **{x_name: planes}, **arrays)
    for name, array in arrays.items():
        check(
            len(array) == planes.shape[1], f"{op}: {x_name} has {planes.shape[1]} channels but {name} has {len(array)}"
        )


def _check_count(op: str, count: int) -> int:
    check(count >= 2, f"{op}: training needs at least 2 values per channel, got {count}")
    return count


def _rstd(var: Array, eps: float) -> Array:
    one = var.dtype.type(1)
    return np.asarray(one / np.sqrt(var + arith.round_scalar(eps, var.dtype)))


def _column(x: Array) -> Array:
    """``(C,)`` for arithmetic with ``(N, C, P)``."""
    return x[:, None]
