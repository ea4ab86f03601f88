"""Normalisations other than batch normalisation, composed of means and elementwise ops.

With ``m`` the mean and ``v`` the mean of ``(x - m)**2`` over what is normalised together:
``y = (x - m) * (1 / sqrt(v + eps)) * weight + bias``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..arrays import Array, full_like
from ..backend import ops
from ..tensor import Tensor, as_tensor
from .batchnorm import batchnorm_inference, batchnorm_training
from .elementwise import add, multiply, pow, rsqrt, square, subtract
from .reduce import mean
from .shape import narrow, pad, reshape

__all__ = ["batch_norm", "group_norm", "instance_norm", "layer_norm", "local_response_norm", "rms_norm"]


def _normalised(x: Tensor, dims: Sequence[int], eps: float) -> Tensor:
    centred = subtract(x, mean(x, dims, True))
    return multiply(centred, rsqrt(add(mean(square(centred), dims, True), eps)))


def _scaled(y: Tensor, weight: Tensor | Array | None, bias: Tensor | Array | None) -> Tensor:
    y = y if weight is None else multiply(y, weight)
    return y if bias is None else add(y, bias)


def _last(op: str, x: Tensor, shape: int | Sequence[int]) -> list[int]:
    wanted = (shape,) if isinstance(shape, int) else tuple(shape)
    if not wanted or x.data.shape[-len(wanted) :] != wanted:
        raise ValueError(f"{op}: normalized_shape is {wanted} but x has shape {x.data.shape}")
    return list(range(-len(wanted), 0))


def layer_norm(
    x: Tensor | Array,
    normalized_shape: int | Sequence[int],
    weight: Tensor | Array | None = None,
    bias: Tensor | Array | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Each sample over its last dimensions, which are ``normalized_shape`` (Ba et al., 2016)."""
    x = as_tensor("layer_norm", "x", x)
    return _scaled(_normalised(x, _last("layer_norm", x, normalized_shape), eps), weight, bias)


def rms_norm(
    x: Tensor | Array,
    normalized_shape: int | Sequence[int],
    weight: Tensor | Array | None = None,
    eps: float | None = None,
) -> Tensor:
    """``x / sqrt(mean(x**2) + eps) * weight`` over the last dimensions (Zhang and Sennrich, 2019).

    ``eps`` defaults to the distance from 1 to the next number of the dtype.
    """
    x = as_tensor("rms_norm", "x", x)
    dims = _last("rms_norm", x, normalized_shape)
    least = float(np.finfo(x.data.dtype).eps) if eps is None else eps
    return _scaled(multiply(x, rsqrt(add(mean(square(x), dims, True), least))), weight, None)


def batch_norm(
    x: Tensor | Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Tensor | Array | None = None,
    bias: Tensor | Array | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Each channel of ``(N, C, *)`` over the batch (Ioffe and Szegedy, 2015): by its own statistics in training, which
    then update the running ones in place; else by the running ones.
    """
    x = as_tensor("batch_norm", "x", x)
    n = (x.data.shape[1],)
    scale = full_like(x.data, 1, n) if weight is None else weight
    shift = full_like(x.data, 0, n) if bias is None else bias
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: without training, running_mean and running_var are needed")
        return batchnorm_inference(x, scale, shift, running_mean, running_var, eps)
    y, mean_, var = batchnorm_training(x, scale, shift, eps)
    if running_mean is not None and running_var is not None:
        count, kernels = x.data.size // x.data.shape[1], ops(x.data)
        new = kernels.batchnorm_running_update(running_mean, running_var, mean_, var, count, momentum)
        kernels.assign(running_mean, new[0])
        kernels.assign(running_var, new[1])
    return y


def group_norm(
    x: Tensor | Array,
    num_groups: int,
    weight: Tensor | Array | None = None,
    bias: Tensor | Array | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Each sample's groups of channels ``(N, C, *)`` (Wu and He, 2018); weight and bias ``(C,)``."""
    x = as_tensor("group_norm", "x", x)
    if x.data.ndim < 2 or num_groups < 1 or x.data.shape[1] % num_groups:
        raise ValueError(
            f"group_norm: num_groups {num_groups} must divide the channels of (N, C, *), got {x.data.shape}"
        )
    shape = x.data.shape
    n = shape[0]
    size = math.prod(shape[1:]) // num_groups
    y = reshape(_normalised(reshape(x, (n, num_groups, size)), [2], eps), shape)
    return _scaled(y, _by_channel(weight, shape), _by_channel(bias, shape))


def _by_channel(value: Tensor | Array | None, shape: tuple[int, ...]) -> Tensor | None:
    return None if value is None else reshape(value, (-1, *(1,) * (len(shape) - 2)))


def instance_norm(
    x: Tensor | Array, weight: Tensor | Array | None = None, bias: Tensor | Array | None = None, eps: float = 1e-5
) -> Tensor:
    """Each channel of each sample ``(N, C, *)`` on its own (Ulyanov et al., 2016); weight and bias ``(C,)``."""
    x = as_tensor("instance_norm", "x", x)
    if x.data.ndim < 3:
        raise ValueError(f"instance_norm: x must be (N, C, L) or (N, C, H, W), got shape {x.data.shape}")
    return group_norm(x, x.data.shape[1], weight, bias, eps)


def local_response_norm(
    x: Tensor | Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """``x / (k + alpha * mean of x**2 over size neighbouring channels)**beta`` (Krizhevsky et al., 2012)."""
    x = as_tensor("local_response_norm", "x", x)
    if x.data.ndim < 3 or size < 1:
        raise ValueError(f"local_response_norm: x must be (N, C, *) and size at least 1, got {x.data.shape} and {size}")
    shape = x.data.shape
    flat = reshape(square(x), (shape[0], shape[1], math.prod(shape[2:])))
    padded = pad(flat, (0, 0, size // 2, (size - 1) // 2))
    total = narrow(padded, 1, 0, shape[1])
    for i in range(1, size):
        total = add(total, narrow(padded, 1, i, shape[1]))
    scale = pow(add(multiply(total, alpha / size), k), -beta)
    return multiply(x, reshape(scale, shape))
